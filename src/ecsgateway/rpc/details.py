"""The google.rpc details of an error: ErrorInfo always, the rest as the error contract says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from ecsgateway.errors import CallerError, GatewayError, UpstreamRefused
from ecsgateway.mapping import Pushback, Reason
from ecsgateway.v1.error_details_pb2 import StreamInterruption, UpstreamError

UPSTREAM_DOMAIN = "ecs.aliyuncs.com"
GATEWAY_DOMAIN = "ecsgateway"
ACTION = "ecs:DescribeImageSharePermission"

_DEFAULT_RETRY_DELAY = 1.0
_LONGEST_RETRY_DELAY = 60.0 + 5.0
_FIELD_OF_PARAMETER = {
    "RegionId": "region_id",
    "ImageId": "image_id",
    "PageNumber": "page_number",
    "PageSize": "page_size",
}


@dataclass(frozen=True, kw_only=True)
class About:
    """The call that failed, as far as its status tells it.

    Attributes:
        page: the page that failed, of a stream.
        interruption: where to resume, once a stream has sent a message.
        left: seconds until the call's deadline.
    """

    region_id: str = ""
    image_id: str = ""
    request_id: str = ""
    page: int = 0
    interruption: StreamInterruption | None = None
    left: float = inf

    @property
    def resource(self) -> str:
        """The image's name in the vendor's notation. Source: the operation's page, 2024-11-14."""
        return f"acs:ecs:{self.region_id}:*:image/{self.image_id}"


def details_of(error: GatewayError, about: About, delay: float) -> Iterable[Message]:
    """Return the details beside ErrorInfo, the most important first: the last are dropped first."""
    if about.interruption:
        yield about.interruption
    if error.reason in _WITH_RETRY_INFO:
        yield error_details_pb2.RetryInfo(retry_delay=_duration(delay))
    if error.reason in _DETAILS:
        yield from _DETAILS[error.reason](error, about)
    if error.upstream:
        yield UpstreamError(
            code=error.upstream.code,
            http_status=error.upstream.http_status,
            request_id=error.upstream.request_id,
            host_id=error.upstream.host_id,
            recommend=error.upstream.recommend,
        )
    if error.upstream or error.reason is Reason.GATEWAY_INTERNAL_ERROR:
        yield error_details_pb2.RequestInfo(
            request_id=about.request_id, serving_data=error.upstream.request_id if error.upstream else ""
        )
    if error.reason in _WITH_HELP:
        yield _help(error)


def error_info(error: GatewayError, about: About) -> error_details_pb2.ErrorInfo:
    """Return what every status has: why, who decided it, and what varies in the message."""
    refused = isinstance(error, UpstreamRefused)
    metadata = {
        "fault": str(error.row.fault),
        "region": about.region_id,
        "image": about.image_id,
        "upstream_code": error.upstream.code if error.upstream else "",
        "attempts": str(error.attempts or ""),
        "page": str(about.page or ""),
    }
    if error.reason is Reason.DEADLINE_EXCEEDED:
        metadata["last_error"] = error.last.reason if error.last else ""
        metadata["sent_pages"] = str(about.interruption.sent_pages if about.interruption else 0)
    if error.reason is Reason.UPSTREAM_FORBIDDEN:
        metadata |= {"action": ACTION, "resource": about.resource, "principal": "gateway"}
    return error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=UPSTREAM_DOMAIN if refused else GATEWAY_DOMAIN,
        metadata={name: value for name, value in metadata.items() if value},
    )


def _bad_request(error: GatewayError, _: About) -> Iterable[Message]:
    violations = error.violations if isinstance(error, CallerError) else ()
    yield error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.field, description=violation.description, reason=violation.rule
            )
            for violation in violations
        ]
    )


def _bad_parameter(error: GatewayError, _: About) -> Iterable[Message]:
    """Name the field whose parameter ECS named; its code or sentence has the vendor's name of it."""
    said = f"{error.upstream.code} {error.upstream.message}" if error.upstream else ""
    fields = [field for parameter, field in _FIELD_OF_PARAMETER.items() if parameter in said]
    yield error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=field, description=error.note or error.row.text)
            for field in fields or [""]
        ]
    )


def _quota(_: GatewayError, about: About) -> Iterable[Message]:
    violation = error_details_pb2.QuotaFailure.Violation(
        subject="the gateway's Alibaba Cloud account",
        description="requests per minute",
        api_service=UPSTREAM_DOMAIN,
        quota_metric="DescribeImageSharePermission",
        quota_dimensions={"region": about.region_id},
    )
    yield error_details_pb2.QuotaFailure(violations=[violation])


def _image(_: GatewayError, about: About) -> Iterable[Message]:
    yield error_details_pb2.ResourceInfo(
        resource_type=f"{UPSTREAM_DOMAIN}/Image", resource_name=about.resource
    )


def _region(_: GatewayError, about: About) -> Iterable[Message]:
    yield error_details_pb2.ResourceInfo(
        resource_type=f"{UPSTREAM_DOMAIN}/Region", resource_name=about.region_id
    )
    violation = error_details_pb2.BadRequest.FieldViolation(field="region_id", description="no such region")
    yield error_details_pb2.BadRequest(field_violations=[violation])


def _image_status(error: GatewayError, about: About) -> Iterable[Message]:
    violation = error_details_pb2.PreconditionFailure.Violation(
        type="IMAGE_STATUS", subject=about.image_id, description=error.note or error.row.text
    )
    yield error_details_pb2.PreconditionFailure(violations=[violation])


def _help(error: GatewayError) -> error_details_pb2.Help:
    """Point to the vendor's advice on the code. Source: the address in the vendor's own errors."""
    code = error.upstream.code if error.upstream else ""
    return error_details_pb2.Help(
        links=[
            error_details_pb2.Help.Link(
                description="what the operator of the gateway can do",
                url=f"https://api.aliyun.com/troubleshoot?q={code}&product=Ecs",
            )
        ]
    )


_DETAILS: dict[Reason, Callable[[GatewayError, About], Iterable[Message]]] = {
    Reason.INVALID_REQUEST: _bad_request,
    Reason.INVALID_RESUME_TOKEN: _bad_request,
    Reason.UPSTREAM_THROTTLED: _quota,
    Reason.UPSTREAM_MISSING_PARAMETER: _bad_parameter,
    Reason.UPSTREAM_INVALID_PARAMETER: _bad_parameter,
    Reason.IMAGE_NOT_FOUND: _image,
    Reason.REGION_NOT_FOUND: _region,
    Reason.IMAGE_STATUS_INCORRECT: _image_status,
    Reason.UPSTREAM_FORBIDDEN: _image,
}
_WITH_RETRY_INFO = {
    Reason.GATEWAY_CREDENTIALS_REFRESHING,
    Reason.UPSTREAM_THROTTLED,
    Reason.GATEWAY_OVERLOADED,
    Reason.UPSTREAM_INTERNAL_ERROR,
    Reason.UPSTREAM_UNAVAILABLE,
    Reason.UPSTREAM_UNREACHABLE,
    Reason.UPSTREAM_TIMEOUT,
    Reason.GATEWAY_DRAINING,
}
_WITH_HELP = {Reason.GATEWAY_CREDENTIALS_REJECTED, Reason.UPSTREAM_FORBIDDEN}


def retry_delay(error: GatewayError) -> float:
    """Return the seconds after which the caller may try again."""
    if error.row.pushback is Pushback.NOW:
        return 0.0
    known = error.retry_after if error.retry_after is not None else _DEFAULT_RETRY_DELAY
    return round(min(known, _LONGEST_RETRY_DELAY), 3)  # whole milliseconds, as the pushback is


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
