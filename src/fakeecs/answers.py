"""Answers as they are written: bodies in JSON or XML, and the headers around them."""

import http
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import orjson

from fakeecs.call import Format
from fakeecs.data import Account
from fakeecs.editions import Choices, Edition
from fakeecs.errors import Problem
from fakeecs.operation import ACTION, Page

JSON_TYPE = "application/json;charset=utf-8"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_CDATA = ("Recommend",)
_DENIED = ("NoPermission", "Forbidden.RAM")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Status, headers and body; `code` is the error's, None for a page."""

    status: int
    content_type: str
    body: bytes
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes one answer in the form that the request asked for."""

    format: Format
    request_id: str
    edition: Edition
    choices: Choices

    def page(self, page: Page) -> Answer:
        """Write a page of accounts."""
        values: dict[str, Any] = {
            "RequestId": self.request_id,
            "PageNumber": page.page_number,
            "PageSize": page.page_size,
            "TotalCount": page.total_count,
            "ImageId": page.image_id,
            "RegionId": page.region_id,
            "ShareGroups": {"ShareGroup": [{"Group": group} for group in page.groups]},
            "Accounts": {"Account": self._accounts(page.accounts)},
        }
        order = self.edition.json_order if self.format == "JSON" else self.edition.xml_order
        ordered = {name: values[name] for name in order}
        return Answer(
            status=200, content_type=self.content_type(), body=self._body(f"{ACTION}Response", ordered)
        )

    def problem(self, problem: Problem, host: str) -> Answer:
        """Write an error. `host` is the name that the client called."""
        values: dict[str, Any] = {
            "RequestId": self.request_id,
            "HostId": host,
            "Code": problem.code,
            "Message": problem.message,
        }
        if problem.sender == "gateway":
            # The gateway's order, and its own link in the time of the older edition.
            values = {name: values[name] for name in ("Message", "RequestId", "HostId", "Code")}
            values = {"Recommend": self._recommend(problem.code), **values}
        elif self.edition.recommends_always:
            values["Recommend"] = self._recommend(problem.code)
        if problem.code in _DENIED:
            values["AccessDeniedDetail"] = _access_denied(self.request_id)
        return Answer(
            status=problem.status,
            content_type=self.content_type(),
            body=self._body("Error", values),
            code=problem.code,
        )

    def _accounts(self, accounts: Sequence[Account]) -> list[dict[str, str | int]]:
        timed = self.edition.has_shared_time
        written: list[dict[str, str | int]] = [
            {"AliyunId": account.aliyun_id, "SharedTime": account.shared_time}
            if timed and account.shared_time is not None
            else {"AliyunId": account.aliyun_id}
            for account in accounts
        ]
        if self.choices.aliyun_id == "number":
            return [{**account, "AliyunId": int(account["AliyunId"])} for account in written]
        return written

    def _recommend(self, code: str) -> str:
        if self.edition.recommends_always:
            query = urlencode({"q": code, "product": "Ecs", "requestId": self.request_id})
            return f"https://api.aliyun.com/troubleshoot?{query}"
        return (
            f"https://error-center.aliyun.com/status/search?{urlencode({'Keyword': code, 'source': 'PopGw'})}"
        )

    def content_type(self) -> str:
        """The content type of the format."""
        return JSON_TYPE if self.format == "JSON" else self.choices.xml_content_type

    def _body(self, root: str, values: Mapping[str, Any]) -> bytes:
        if self.format == "JSON":
            try:
                return orjson.dumps(values)
            except TypeError:  # bytes of the request that are no UTF-8, in a message
                return orjson.dumps(_clean(values))
        return (_DECLARATION + _element(root, values)).encode("utf-8", "replace")


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _element(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        content = "".join(_element(inner, item) for inner, item in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        return "".join(_element(name, item) for item in value)
    elif name in _CDATA:
        content = f"<![CDATA[{value}]]>"
    else:
        # XML 1.0 section 2.2: most control characters cannot be written at all.
        content = escape("".join(c if c >= " " or c in "\t\n\r" else "?" for c in str(value)))
    return f"<{name}>{content}</{name}>" if content else f"<{name}/>"


def _access_denied(request_id: str) -> dict[str, str]:
    return {
        "PolicyType": "AccountLevelIdentityBasedPolicy",
        "AuthPrincipalOwnerId": "1000000000000001",
        "EncodedDiagnosticMessage": request_id.replace("-", ""),
        "AuthPrincipalType": "SubUser",
        "AuthPrincipalDisplayName": "200000000000000001",
        "NoPermissionType": "ImplicitDeny",
        "AuthAction": f"ecs:{ACTION}",
    }


def head(answer: Answer, *, now: float, request_id: str, keep_alive: bool, length: int | None) -> bytes:
    """The status line and headers, in the order seen on a live answer. `length` None: no Content-Length."""
    headers = {
        "Date": _date(math.floor(now)),
        "Content-Type": answer.content_type,
        **({} if length is None else {"Content-Length": str(length)}),
        "Connection": "keep-alive" if keep_alive else "close",
        "Access-Control-Allow-Origin": "*",
        "X-Acs-Request-Id": request_id,
        "X-Acs-Trace-Id": request_id.replace("-", "").lower(),
        **answer.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} {_reason(answer.status)}\r\n{lines}\r\n".encode("utf-8", "replace")


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""
