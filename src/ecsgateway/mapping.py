"""The error model as data: what went wrong, whose fault it is, its gRPC status, and what to do about it.

Nothing else decides a status, a retry or a pushback. The README's table is written from `ROWS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from fnmatch import fnmatchcase


class Reason(StrEnum):
    """The names of `ecsgateway.v1.ErrorReason` without their prefix."""

    INVALID_REQUEST = "INVALID_REQUEST"
    INVALID_RESUME_TOKEN = "INVALID_RESUME_TOKEN"  # noqa: S105 - the name of an error
    GATEWAY_CREDENTIALS_REJECTED = "GATEWAY_CREDENTIALS_REJECTED"
    GATEWAY_CREDENTIALS_REFRESHING = "GATEWAY_CREDENTIALS_REFRESHING"
    GATEWAY_CLOCK_SKEW = "GATEWAY_CLOCK_SKEW"
    UPSTREAM_THROTTLED = "UPSTREAM_THROTTLED"
    GATEWAY_OVERLOADED = "GATEWAY_OVERLOADED"
    UPSTREAM_MISSING_PARAMETER = "UPSTREAM_MISSING_PARAMETER"
    UPSTREAM_INVALID_PARAMETER = "UPSTREAM_INVALID_PARAMETER"
    IMAGE_NOT_FOUND = "IMAGE_NOT_FOUND"
    REGION_NOT_FOUND = "REGION_NOT_FOUND"
    IMAGE_STATUS_INCORRECT = "IMAGE_STATUS_INCORRECT"
    UPSTREAM_FORBIDDEN = "UPSTREAM_FORBIDDEN"
    UPSTREAM_CONFLICT = "UPSTREAM_CONFLICT"
    UPSTREAM_INTERNAL_ERROR = "UPSTREAM_INTERNAL_ERROR"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    UPSTREAM_UNREACHABLE = "UPSTREAM_UNREACHABLE"
    UPSTREAM_TIMEOUT = "UPSTREAM_TIMEOUT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UPSTREAM_MALFORMED_RESPONSE = "UPSTREAM_MALFORMED_RESPONSE"
    UPSTREAM_RESPONSE_TOO_LARGE = "UPSTREAM_RESPONSE_TOO_LARGE"
    UPSTREAM_REDIRECT = "UPSTREAM_REDIRECT"
    UPSTREAM_UNKNOWN_ERROR = "UPSTREAM_UNKNOWN_ERROR"
    GATEWAY_DRAINING = "GATEWAY_DRAINING"
    GATEWAY_INTERNAL_ERROR = "GATEWAY_INTERNAL_ERROR"
    LISTING_CHANGED = "LISTING_CHANGED"
    UPSTREAM_INCOMPLETE = "UPSTREAM_INCOMPLETE"
    STREAM_LIMIT_REACHED = "STREAM_LIMIT_REACHED"


class Fault(StrEnum):
    """Whose it is to mend."""

    CALLER = "caller"
    UPSTREAM = "upstream"
    GATEWAY = "gateway"


class Retry(Enum):
    """What the gateway itself does before it gives up."""

    NEVER = "no"
    ONCE = "once"
    BACKOFF = "up to three attempts, within the retry budget"
    WINDOW = "after the quota's window, if that fits the deadline"
    CREDENTIALS = "once, with other credentials"
    CLOCK = "once, with the upstream's clock"


class Pushback(Enum):
    """What `grpc-retry-pushback-ms` tells the caller's retry policy (gRFC A6)."""

    NONE = "not sent"
    STOP = "-1"
    DELAY = "the delay of RetryInfo"
    NOW = "1"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of failure.

    Attributes:
        number: the row of the error contract; rows of one number share their meaning.
        status: the name of the gRPC status code.
        text: the message; `{region_id}` and `{image_id}` stand for the request's.
        codes: patterns of vendor codes that mean this, as shell patterns.
        http: HTTP statuses that mean this when no row knows the code.
        only_http: the HTTP statuses that `codes` needs; empty for any.
        relay: whether the upstream's own sentence may follow the text.
    """

    number: int
    reason: Reason
    status: str
    fault: Fault
    text: str
    retry: Retry = Retry.NEVER
    pushback: Pushback = Pushback.NONE
    codes: tuple[str, ...] = ()
    http: tuple[int, ...] = ()
    only_http: tuple[int, ...] = ()
    relay: bool = False


_CREDENTIAL_CODES = (
    "InvalidAccessKeyId",
    "InvalidAccessKeyId.*",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "InvalidSecurityToken",
    "InvalidSecurityToken.*",
    "MissingSecurityToken",
    "Forbidden.AccessKeyDisabled",
)


def _unknown(
    status: str, *, http: tuple[int, ...] = (), codes: tuple[str, ...] = (), only_http: tuple[int, ...] = ()
) -> Row:
    """Make a row of a code that no other row knows: its HTTP status is all there is to go by."""
    return Row(
        number=24,
        reason=Reason.UPSTREAM_UNKNOWN_ERROR,
        status=status,
        fault=Fault.UPSTREAM,
        text="ECS refused the call with a code that the gateway does not know",
        http=http,
        codes=codes,
        only_http=only_http,
        relay=True,
    )


ROWS: tuple[Row, ...] = (
    Row(
        number=1,
        reason=Reason.INVALID_REQUEST,
        status="INVALID_ARGUMENT",
        fault=Fault.CALLER,
        text="the request breaks the rules of its fields",
        pushback=Pushback.STOP,
    ),
    Row(
        number=2,
        reason=Reason.INVALID_RESUME_TOKEN,
        status="INVALID_ARGUMENT",
        fault=Fault.CALLER,
        text="the resume token is not one of this gateway for image {image_id} in {region_id}",
        pushback=Pushback.STOP,
    ),
    Row(
        number=3,
        reason=Reason.GATEWAY_CREDENTIALS_REJECTED,
        status="INTERNAL",
        fault=Fault.GATEWAY,
        text="ECS refused the gateway's own credentials; this is not about the caller's",
        retry=Retry.CREDENTIALS,
        pushback=Pushback.STOP,
        codes=_CREDENTIAL_CODES,
        http=(401,),
    ),
    Row(
        number=4,
        reason=Reason.GATEWAY_CREDENTIALS_REFRESHING,
        status="UNAVAILABLE",
        fault=Fault.GATEWAY,
        text="the gateway has no valid credentials at the moment and is fetching new ones",
        retry=Retry.BACKOFF,
        pushback=Pushback.DELAY,
    ),
    Row(
        number=5,
        reason=Reason.GATEWAY_CLOCK_SKEW,
        status="INTERNAL",
        fault=Fault.GATEWAY,
        text="ECS refused the gateway's clock or nonce",
        retry=Retry.CLOCK,
        codes=("InvalidTimeStamp.*", "IllegalTimestamp", "SignatureNonceUsed"),
    ),
    Row(
        number=6,
        reason=Reason.UPSTREAM_THROTTLED,
        status="RESOURCE_EXHAUSTED",
        fault=Fault.UPSTREAM,
        text="the account's quota of calls at ECS in {region_id} is spent; every replica shares it",
        retry=Retry.WINDOW,
        pushback=Pushback.DELAY,
        codes=("Throttling", "Throttling.*", "*.Throttling"),
        http=(429,),
    ),
    Row(
        number=7,
        reason=Reason.GATEWAY_OVERLOADED,
        status="UNAVAILABLE",
        fault=Fault.GATEWAY,
        text="this replica is at its limit of concurrent work; another may not be",
        pushback=Pushback.DELAY,
    ),
    Row(
        number=8,
        reason=Reason.UPSTREAM_MISSING_PARAMETER,
        status="INVALID_ARGUMENT",
        fault=Fault.CALLER,
        text="a parameter that ECS requires is missing",
        pushback=Pushback.STOP,
        codes=("MissingParameter",),
        relay=True,
    ),
    Row(
        number=10,
        reason=Reason.IMAGE_NOT_FOUND,
        status="NOT_FOUND",
        fault=Fault.CALLER,
        text="the gateway's account has no image {image_id} in {region_id}",
        pushback=Pushback.STOP,
        codes=("InvalidImageId.NotFound",),
    ),
    Row(
        number=11,
        reason=Reason.REGION_NOT_FOUND,
        status="NOT_FOUND",
        fault=Fault.CALLER,
        text="there is no region {region_id}",
        pushback=Pushback.STOP,
        codes=("InvalidRegionId.NotFound",),
    ),
    Row(
        number=9,
        reason=Reason.UPSTREAM_INVALID_PARAMETER,
        status="INVALID_ARGUMENT",
        fault=Fault.CALLER,
        text="ECS refused the value of a parameter",
        pushback=Pushback.STOP,
        codes=("InvalidParameter*", "Invalid*.Malformed"),
        relay=True,
    ),
    Row(
        number=9,
        reason=Reason.UPSTREAM_INVALID_PARAMETER,
        status="INVALID_ARGUMENT",
        fault=Fault.CALLER,
        text="ECS refused the value of a parameter",
        pushback=Pushback.STOP,
        codes=("Invalid*",),
        only_http=(400,),
        relay=True,
    ),
    Row(
        number=12,
        reason=Reason.IMAGE_STATUS_INCORRECT,
        status="FAILED_PRECONDITION",
        fault=Fault.CALLER,
        text="image {image_id} is in a status that does not allow this",
        pushback=Pushback.STOP,
        codes=("IncorrectImageStatus", "Incorrect*Status"),
        relay=True,
    ),
    Row(
        number=13,
        reason=Reason.UPSTREAM_FORBIDDEN,
        status="PERMISSION_DENIED",
        fault=Fault.GATEWAY,
        text="the gateway's principal may not do ecs:DescribeImageSharePermission on image {image_id}"
        " in {region_id}",
        pushback=Pushback.STOP,
        codes=("Forbidden*", "NoPermission*"),
        http=(403,),
    ),
    Row(
        number=14,
        reason=Reason.UPSTREAM_CONFLICT,
        status="ABORTED",
        fault=Fault.UPSTREAM,
        text="ECS refused the call because of a concurrent one",
        retry=Retry.ONCE,
        codes=("OperationConflict",),
        http=(409,),
    ),
    Row(
        number=15,
        reason=Reason.UPSTREAM_INTERNAL_ERROR,
        status="INTERNAL",
        fault=Fault.UPSTREAM,
        text="ECS failed",
        retry=Retry.BACKOFF,
        codes=("InternalError", "UnknownError"),
        http=(500,),
    ),
    Row(
        number=16,
        reason=Reason.UPSTREAM_UNAVAILABLE,
        status="UNAVAILABLE",
        fault=Fault.UPSTREAM,
        text="ECS, or a proxy before it, is out of service",
        retry=Retry.BACKOFF,
        pushback=Pushback.DELAY,
        codes=("ServiceUnavailable*",),
        http=tuple(range(501, 600)),
    ),
    Row(
        number=17,
        reason=Reason.UPSTREAM_UNREACHABLE,
        status="UNAVAILABLE",
        fault=Fault.UPSTREAM,
        text="no complete answer came from ECS in {region_id}",
        retry=Retry.BACKOFF,
        pushback=Pushback.DELAY,
    ),
    Row(
        number=18,
        reason=Reason.UPSTREAM_TIMEOUT,
        status="UNAVAILABLE",
        fault=Fault.UPSTREAM,
        text="ECS was too slow to answer; the call's deadline was not reached",
        retry=Retry.BACKOFF,
    ),
    Row(
        number=19,
        reason=Reason.DEADLINE_EXCEEDED,
        status="DEADLINE_EXCEEDED",
        fault=Fault.CALLER,
        text="the call's deadline is reached, or too near for another attempt",
    ),
    Row(
        number=21,
        reason=Reason.UPSTREAM_MALFORMED_RESPONSE,
        status="INTERNAL",
        fault=Fault.UPSTREAM,
        text="what came back is not ECS's answer to the question",
        retry=Retry.ONCE,
    ),
    Row(
        number=22,
        reason=Reason.UPSTREAM_RESPONSE_TOO_LARGE,
        status="INTERNAL",
        fault=Fault.UPSTREAM,
        text="what came back is larger than the gateway reads",
    ),
    Row(
        number=23,
        reason=Reason.UPSTREAM_REDIRECT,
        status="INTERNAL",
        fault=Fault.UPSTREAM,
        text="ECS redirected the call; a redirect is never followed",
        pushback=Pushback.STOP,
    ),
    _unknown("FAILED_PRECONDITION", http=(400,)),
    _unknown("NOT_FOUND", codes=("*.NotFound",), only_http=(404,)),
    _unknown("INTERNAL", http=(404, 405, 406)),
    _unknown("UNKNOWN", http=tuple(range(402, 500))),
    Row(
        number=26,
        reason=Reason.GATEWAY_DRAINING,
        status="UNAVAILABLE",
        fault=Fault.GATEWAY,
        text="this replica shuts down; call again at once",
        pushback=Pushback.NOW,
    ),
    Row(
        number=27,
        reason=Reason.GATEWAY_INTERNAL_ERROR,
        status="INTERNAL",
        fault=Fault.GATEWAY,
        text="the gateway failed; its log has the request id",
    ),
    Row(
        number=28,
        reason=Reason.LISTING_CHANGED,
        status="ABORTED",
        fault=Fault.UPSTREAM,
        text="the list of image {image_id} changed too often to be read whole, or since the resume token"
        " was issued; start again without the token",
    ),
    Row(
        number=29,
        reason=Reason.UPSTREAM_INCOMPLETE,
        status="INTERNAL",
        fault=Fault.UPSTREAM,
        text="ECS returned fewer accounts than it counts, twice",
    ),
    Row(
        number=30,
        reason=Reason.STREAM_LIMIT_REACHED,
        status="RESOURCE_EXHAUSTED",
        fault=Fault.GATEWAY,
        text="the list has more pages than the gateway reads in one stream; resume it with its token,"
        " or ask without verify",
        pushback=Pushback.STOP,
    ),
)


def row_for(reason: Reason) -> Row:
    """Return the first row of a reason: the only one, unless the HTTP status tells them apart."""
    return next(row for row in ROWS if row.reason is reason)


def classify(code: str, http_status: int, *, retry_after: bool = False) -> Row | None:
    """Find the row of an error that ECS answered: by its code first, by the HTTP status last.

    Args:
        code: the vendor's code; empty when the answer has none.
        http_status: the status of the answer, 400 to 599.
        retry_after: whether the answer has a valid `x-acs-retry-after`: throttling, whatever it is called.

    Returns:
        None when there is no code and the status alone says nothing: the answer is not one of ECS.
    """
    for row in _by_code(code, http_status):
        if retry_after and row.number > row_for(Reason.UPSTREAM_THROTTLED).number:
            return row_for(Reason.UPSTREAM_THROTTLED)
        return row
    if retry_after:
        return row_for(Reason.UPSTREAM_THROTTLED)
    row = next(row for row in ROWS if http_status in row.http)
    return row if code or row.reason is not Reason.UPSTREAM_UNKNOWN_ERROR else None


def _by_code(code: str, http_status: int) -> Iterator[Row]:
    """Yield the rows that know the code, in their order; those of an unknown code come after the statuses."""
    for row in ROWS:
        if row.only_http and http_status not in row.only_http:
            continue
        if any(fnmatchcase(code, pattern) for pattern in row.codes):
            yield row
