"""From the bytes of an answer to an object, or to the error that they are. Strict: half an answer is none."""

import re
import zlib
from collections.abc import Mapping
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

import orjson
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from ecsgateway.errors import MalformedAnswer, NoAnswer, Refusal, UpstreamRefused
from ecsgateway.mapping import Reason, classify, row_for

MAX_BODY: Final = 1 << 20
"""The most bytes of a body that are read, before and after decompression: 100 accounts are 8 KiB."""

_MAX_DEPTH = 32
_MAX_ELEMENTS = 10_000
_MAX_RETRY_AFTER_MS = 3_600_000
_TELLS_SECRETS = re.compile(r"sign|access ?key|token|secret|acs:|LTAI", re.IGNORECASE)


def decode(
    *, status: int, headers: Mapping[str, str], body: bytes, operation: str, secrets: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the fields of a successful answer, in the vendor's names, whether it is JSON or XML.

    Args:
        status: the HTTP status.
        headers: the answer's, by lower-case name.
        body: the whole body, as it came.
        operation: the `Action` that was called; an XML answer names it.
        secrets: what must not be relayed if ECS repeats it.

    Raises:
        UpstreamRefused: the answer is an error of ECS.
        NoAnswer: the answer is a proxy's, in place of ECS's.
        MalformedAnswer: the answer is none: not JSON, not XML, foreign, damaged, too large.
    """
    if 300 <= status < 400:
        raise MalformedAnswer(f"HTTP {status}", Reason.UPSTREAM_REDIRECT)
    if not (status == 200 or 400 <= status < 600):
        raise MalformedAnswer(f"HTTP {status}")
    root = f"{operation}Response" if status == 200 else "Error"
    try:
        answer = _parse(headers, _decompressed(headers, body), root=root)
    except MalformedAnswer as error:
        if status < 400 or error.reason is not Reason.UPSTREAM_MALFORMED_RESPONSE:
            raise
        raise _not_of_ecs(status, headers) from error
    if status == 200:
        return answer
    raise _refusal(status, headers, answer, secrets)


def _parse(headers: Mapping[str, str], body: bytes, *, root: str) -> dict[str, Any]:
    """Parse the body as what its content type says it is; JSON and XML are the documented ones."""
    kind = headers.get("content-type", "").lower()
    if "json" in kind:
        answer = _json(body)
    elif "xml" in kind:
        answer = _xml(body, root)
    else:
        raise MalformedAnswer("the content type is neither JSON nor XML")
    if not isinstance(answer, dict):
        raise MalformedAnswer("the body is not an object")
    return answer


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer("the body is not JSON, or not all of it") from error


def _xml(body: bytes, root: str) -> Any:
    """Turn elements into objects: repeated ones into a list, those without children into their text."""
    try:
        parser = DefusedXMLParser(target=_Bounded(), forbid_dtd=True)
        parser.feed(body)
        document = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise MalformedAnswer("the body is not XML, not all of it, or declares entities") from error
    if _name(document) != root:
        raise MalformedAnswer("the body is another document")
    return _value(document)


class _Bounded(TreeBuilder):
    """Builds the elements, and stops at once where they are deeper or more than those of any true answer."""

    def __init__(self) -> None:
        super().__init__()
        self._depth, self._elements = 0, 0

    def start(self, tag: Any, attrs: Any, /) -> Any:
        self._depth += 1
        self._elements += 1
        if self._depth > _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise MalformedAnswer("the body has too many elements, or too deep ones")
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Any:
        self._depth -= 1
        return super().end(tag)


def _value(element: Element) -> Any:
    if not len(element):
        return (element.text or "").strip()
    fields: dict[str, Any] = {}
    for child in element:
        name, value = _name(child), _value(child)
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _decompressed(headers: Mapping[str, str], body: bytes) -> bytes:
    """Undo gzip, within bounds: it was not asked for, but a proxy may not care."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise MalformedAnswer("the content encoding was not asked for")
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise MalformedAnswer("the body is not gzip") from error
    if len(plain) > MAX_BODY:
        raise MalformedAnswer(f"more than {MAX_BODY} bytes", Reason.UPSTREAM_RESPONSE_TOO_LARGE)
    if not inflater.eof or inflater.unused_data:
        raise MalformedAnswer("the body is not one whole gzip")
    return plain


def _not_of_ecs(status: int, headers: Mapping[str, str]) -> MalformedAnswer | NoAnswer:
    """Read an error whose body ECS did not write: its status says what the proxy means, if anything."""
    note = f"HTTP {status}, not from ECS"
    retry_after = _milliseconds(headers.get("x-acs-retry-after", ""))
    if status == 429 or retry_after is not None:
        retry_after = retry_after or _seconds(headers.get("retry-after", ""))
        return NoAnswer(Reason.UPSTREAM_THROTTLED, note, retry_after=retry_after)
    if status >= 500:
        return NoAnswer(Reason.UPSTREAM_UNAVAILABLE, note)
    return MalformedAnswer(note)


def _refusal(
    status: int, headers: Mapping[str, str], answer: Mapping[str, Any], secrets: tuple[str, ...]
) -> UpstreamRefused | MalformedAnswer:
    code = _clean(answer.get("Code"), r"[A-Za-z0-9._-]{1,64}")
    retry_after = _milliseconds(headers.get("x-acs-retry-after", ""))
    row = classify(code, status, retry_after=retry_after is not None)
    if row is None:
        return MalformedAnswer(f"HTTP {status} without a code")
    if row is row_for(Reason.UPSTREAM_THROTTLED) and retry_after is None:
        retry_after = _seconds(headers.get("retry-after", ""))
    refusal = Refusal(
        code=code,
        http_status=status,
        request_id=_clean(answer.get("RequestId"), r"[A-Za-z0-9-]{1,64}"),
        host_id=_clean(answer.get("HostId"), r"[A-Za-z0-9.:-]{1,128}"),
        recommend=_recommend(answer.get("Recommend"), secrets),
        message=_message(answer.get("Message"), secrets),
    )
    return UpstreamRefused(row, refusal, retry_after=retry_after)


def _clean(value: object, pattern: str) -> str:
    """Return a value that goes into logs and metadata; anything else than its pattern is dropped."""
    return value if isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) else ""


def _recommend(value: object, secrets: tuple[str, ...]) -> str:
    address = _clean(value, r"https://[\x21-\x7e]{1,248}")
    return "" if any(secret in address for secret in secrets) else address


def _message(value: object, secrets: tuple[str, ...]) -> str:
    """Return ECS's sentence in at most 256 harmless characters; nothing of one that may tell a secret."""
    if not isinstance(value, str) or len(value) > 4096 or _TELLS_SECRETS.search(value):
        return ""
    if any(secret in value for secret in secrets):
        return ""
    return "".join(c if c.isprintable() else "�" for c in value[:256])


def _milliseconds(value: str) -> float | None:
    """Read `x-acs-retry-after`, in seconds. Source: vendor SDKs, which sleep so many milliseconds."""
    if not re.fullmatch(r"[0-9]{1,9}", value) or not 0 < int(value) <= _MAX_RETRY_AFTER_MS:
        return None
    return int(value) / 1000


def _seconds(value: str) -> float | None:
    """Read the seconds of a plain `Retry-After`, as a proxy sends it."""
    return float(value) if re.fullmatch(r"[0-9]{1,4}", value) else None
