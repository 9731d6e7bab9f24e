"""From an error to the status that tells a program all it needs. The only place where a status is made."""

from dataclasses import dataclass

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from ecsgateway.errors import GatewayError
from ecsgateway.mapping import Pushback
from ecsgateway.rpc.details import About, details_of, error_info, retry_delay

_MOST_BYTES = 3584  # of the Status: with the trailers around it, at most 4 KiB; clients refuse 8 KiB and more
_MOST_MESSAGE_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class RichStatus(grpc.Status):
    """A status with its trailers, as grpc aborts with it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def status_of(error: GatewayError, about: About) -> RichStatus:
    """Return the status of an error: code, message, google.rpc details, retry pushback.

    Source: AIP-193 for the details, gRFC A6 for the pushback.
    """
    delay = retry_delay(error)
    message = _message(error, about)
    code = code_pb2.Code.Value(error.row.status)
    details = [error_info(error, about), *details_of(error, about, delay)]
    status = _within_bounds(code, message, details)
    trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", status.SerializeToString())]
    if (pushback := _pushback(error, delay, about.left)) is not None:
        trailers.append(("grpc-retry-pushback-ms", str(pushback)))
    if about.request_id:
        trailers.append(("x-request-id", about.request_id))
    return RichStatus(
        code=grpc.StatusCode[error.row.status], details=message, trailing_metadata=tuple(trailers)
    )


def _message(error: GatewayError, about: About) -> str:
    """Return one readable sentence; programs read the details."""
    text = error.row.text.format(region_id=about.region_id, image_id=about.image_id)
    if error.upstream and error.upstream.code:
        text += f" ({error.upstream.code})"
    if error.note:
        text += f": {error.note}"
    if len(text.encode()) <= _MOST_MESSAGE_BYTES:
        return text
    return text.encode()[: _MOST_MESSAGE_BYTES - 3].decode(errors="ignore") + "..."


def _pushback(error: GatewayError, delay: float, left: float) -> int | None:
    match error.row.pushback:
        case Pushback.STOP:
            return -1
        case Pushback.NOW:
            return 1  # gRPC's C core never tries again after 0 if the server has gone meanwhile
        case Pushback.DELAY if delay < left:
            return round(delay * 1000)
        case Pushback.DELAY:
            return -1  # a client's own retry would wait past its deadline, and lose this status
        case _:
            return None


def _within_bounds(code: int, message: str, details: list[Message]) -> status_pb2.Status:
    """Pack the details; drop Help, cut the list of fields, drop the last, until every client accepts it."""
    listed = next((each for each in details if isinstance(each, error_details_pb2.BadRequest)), None)
    every = list(listed.field_violations) if listed else []
    shown = len(every)
    while True:
        status = status_pb2.Status(code=code, message=message)
        for detail in details:
            status.details.add().Pack(detail)
        if status.ByteSize() <= _MOST_BYTES or len(details) == 1:
            return status
        if listed and shown > 1 and not isinstance(details[-1], error_details_pb2.Help):
            shown //= 2
            del listed.field_violations[:]
            listed.field_violations.extend(every[:shown])
            listed.field_violations.add(description=f"... {len(every) - shown} more")
        else:
            details.pop()
