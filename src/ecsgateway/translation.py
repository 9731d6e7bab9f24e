"""DescribeImageSharePermission between ECS's names and ours. Plain, one field a line.

Source: the vendor's pages of the operation, 2017-12-12 and 2024-11-14; both shapes are accepted.
"""

import re
from datetime import datetime
from typing import Any, Final

from ecsgateway.errors import MalformedAnswer
from ecsgateway.v1.image_share_permission_pb2 import (
    Account,
    DescribeImageSharePermissionRequest,
    ImageSharePermissionPage,
    ShareGroup,
)

ACTION: Final = "DescribeImageSharePermission"
VERSION: Final = "2014-05-26"

DEFAULT_PAGE_NUMBER: Final = 1
DEFAULT_PAGE_SIZE: Final = 10

_MOST_GROUPS = 100  # the documents know one, "all"
_MAX_INT32 = 2**31 - 1
_MAX_EXACT_INTEGER = 2**53
"""A JSON number up to here is the same in every language; above it an id may name another account."""

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z")


def to_parameters(request: DescribeImageSharePermissionRequest) -> dict[str, str]:
    """Return the request's parameters in ECS's names; unset numbers get the operation's defaults."""
    return {
        "RegionId": request.region_id,
        "ImageId": request.image_id,
        "PageNumber": str(request.page_number or DEFAULT_PAGE_NUMBER),
        "PageSize": str(request.page_size or DEFAULT_PAGE_SIZE),
    }


def to_page(answer: dict[str, Any], request: DescribeImageSharePermissionRequest) -> ImageSharePermissionPage:
    """Return the page that ECS answered, after checking that it answers this request.

    Raises:
        MalformedAnswer: a field is missing or of another type, or the answer is to another question.
    """
    page = ImageSharePermissionPage(
        region_id=_text(answer, "RegionId"),
        image_id=_text(answer, "ImageId"),
        page_number=_integer(answer, "PageNumber"),
        page_size=_integer(answer, "PageSize"),
        total_count=_integer(answer, "TotalCount"),
        share_groups=map(_share_group, _items(answer, "ShareGroups", "ShareGroup")[: _MOST_GROUPS + 1]),
        request_id=_request_id(answer),
    )
    _check_echo(page, request)
    if len(page.share_groups) > _MOST_GROUPS:
        raise MalformedAnswer("ShareGroups has more entries than there are groups")
    accounts = _items(answer, "Accounts", "Account")
    if len(accounts) > page.page_size:
        raise MalformedAnswer("Accounts has more entries than PageSize")
    for account in accounts:
        _fill(page.accounts.add(), account)  # in place: a page has a hundred, and copying is half the cost
    if page.total_count and _absent(answer, "Accounts", "Account"):
        raise MalformedAnswer("Accounts is missing though TotalCount is not 0")
    return page


def _share_group(share_group: dict[str, Any]) -> ShareGroup:
    return ShareGroup(group=_text(share_group, "Group"))


def _fill(account: Account, answered: dict[str, Any]) -> None:
    account.aliyun_id = _account_id(answered)
    time = answered.get("SharedTime")
    if time is not None and time != "":
        account.shared_time.seconds = _seconds(time)


def _check_echo(page: ImageSharePermissionPage, request: DescribeImageSharePermissionRequest) -> None:
    """Refuse an answer to another question. A smaller page size is the 2017 maximum at work."""
    asked = to_parameters(request)
    if page.region_id != asked["RegionId"]:
        raise MalformedAnswer("RegionId is not the one that was asked for")
    if page.image_id != asked["ImageId"]:
        raise MalformedAnswer("ImageId is not the one that was asked for")
    if str(page.page_number) != asked["PageNumber"]:
        raise MalformedAnswer("PageNumber is not the one that was asked for")
    if not 1 <= page.page_size <= int(asked["PageSize"]):
        raise MalformedAnswer("PageSize is not the one that was asked for, nor a smaller one")


def _items(answer: dict[str, Any], outer: str, inner: str) -> list[dict[str, Any]]:
    """Return the entries of ECS's wrapped list; one entry alone is what XML makes of a list of one."""
    wrapper = answer.get(outer)
    if wrapper is None or wrapper == "":
        return []
    if not isinstance(wrapper, dict):
        raise MalformedAnswer(f"{outer} is not an object")
    items = wrapper.get(inner)
    if items is None or items == "":
        return []
    if isinstance(items, dict):
        return [items]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise MalformedAnswer(f"{outer}.{inner} is not a list of objects")
    return items


def _absent(answer: dict[str, Any], outer: str, inner: str) -> bool:
    """Tell whether the list is not there at all, which is not the same as an empty one."""
    wrapper = answer.get(outer)
    return wrapper is None or (isinstance(wrapper, dict) and wrapper.get(inner) is None)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedAnswer(f"{name} is missing or not text")
    return value


def _account_id(fields: dict[str, Any]) -> str:
    """Return AliyunId as text. Later editions of the page show it as a number."""
    value = fields.get("AliyunId")
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_EXACT_INTEGER:
        return str(value)
    if isinstance(value, int | float):
        raise MalformedAnswer("AliyunId is a number that JSON cannot hold exactly")
    raise MalformedAnswer("AliyunId is missing or not text")


def _integer(fields: dict[str, Any], name: str) -> int:
    """Return a count, also one written as text, as XML and some of the vendor's own fixtures do."""
    value = fields.get(name)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value, re.ASCII):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_INT32:
        raise MalformedAnswer(f"{name} is missing or not a count")
    return value


def _seconds(time: object) -> int:
    """Read a time of UTC, with or without seconds: the documents show both. A page has a hundred of them."""
    try:
        if isinstance(time, str) and _TIME.fullmatch(time):
            return int(datetime.fromisoformat(time).timestamp())
    except ValueError:
        pass
    raise MalformedAnswer("SharedTime is not a time")


def _request_id(answer: dict[str, Any]) -> str:
    """Return the request's id if it looks like one: it goes into logs and metadata."""
    value = answer.get("RequestId")
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]{1,64}", value, re.ASCII) else ""
