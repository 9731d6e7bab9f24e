"""What a fault makes of an answer."""

from dataclasses import replace

from fakeecs.answers import Answer, Writer
from fakeecs.errors import CODE_OF_STATUS, Refused
from fakeecs.journal import Entry
from fakeecs.trouble import Fault

_HTML = "<html>\n<head><title>%d</title></head>\n<body><h1>%d</h1></body>\n</html>\n"


def instead(fault: Fault, entry: Entry, writer: Writer, host: str) -> Answer | None:
    """The answer that a fault gives in place of the right one; None if the right one is given."""
    if fault.kind == "html":
        status = fault.status or 502
        return Answer(status=status, content_type="text/html", body=(_HTML % (status, status)).encode())
    if fault.kind == "redirect":
        return Answer(status=fault.status or 302, content_type="text/html", body=b"")
    if fault.body is not None or fault.kind in ("body", "garbage"):
        return Answer(status=fault.status or 200, content_type=writer.content_type(), body=fault.body or b"")
    code = fault.code or (CODE_OF_STATUS.get(fault.status, "UnknownError") if fault.status else None)
    if code is None:
        return None
    problem = Refused(code, _subject(code, entry)).problem(writer.choices.errors)
    changed = replace(
        problem, status=fault.status or problem.status, message=fault.message or problem.message
    )
    return writer.problem(changed, host)


def _subject(code: str, entry: Entry) -> str:
    """What the text of an error is likely to be about."""
    if code in ("SignatureDoesNotMatch", "IncompleteSignature"):
        return entry.string_to_sign
    return entry.image_id if code == "InvalidImageId.NotFound" else "ImageId"


def dress(answer: Answer, fault: Fault) -> Answer:
    """An answer with the headers and the content type of a fault."""
    headers = dict(fault.headers)
    if fault.retry_after_ms is not None:
        headers["x-acs-retry-after"] = str(fault.retry_after_ms)
    if fault.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    return replace(answer, content_type=fault.content_type or answer.content_type, headers=headers)
