"""Calls a method over a channel and takes its outcome apart: what any client can learn from a status."""

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

import ecsgateway.v1.error_details_pb2  # noqa: F401 - so that its messages are known
from ecsgateway.v1.image_share_permission_pb2 import (
    DescribeImageSharePermissionRequest,
    StreamImageSharePermissionRequest,
    StreamSummary,
)

if TYPE_CHECKING:
    from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceAsyncStub

D = TypeVar("D", bound=Message)

UNARY, STREAM = "unary", "stream"


@dataclass(kw_only=True)
class Outcome:
    """How a call ended, and what came before."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    status: Any = None
    details: tuple[Message, ...] = ()
    trailers: dict[str, str | bytes] = field(default_factory=dict)
    accounts: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    messages: int = 0
    summary: StreamSummary | None = None
    seconds: float = 0.0

    def detail(self, kind: type[D]) -> D:
        """Return the one detail of a type."""
        [found] = [each for each in self.details if isinstance(each, kind)]
        return found

    @property
    def info(self) -> Any:
        """The ErrorInfo that every failure has."""
        return self.detail(error_details_pb2.ErrorInfo)

    @property
    def reason(self) -> str:
        """Why it failed; empty when it did not."""
        return self.info.reason if self.status is not None else ""

    @property
    def names(self) -> list[str]:
        """The types of the details, in their order, without ErrorInfo."""
        return [type(each).__name__ for each in self.details if type(each).__name__ != "ErrorInfo"]

    @property
    def size(self) -> int:
        """Bytes of all trailers, names and values."""
        return sum(
            len(key) + len(value if isinstance(value, bytes) else value.encode())
            for key, value in self.trailers.items()
        )

    def seen(self) -> bytes:
        """Everything that the caller received of a status, for searching."""
        values = [value if isinstance(value, bytes) else value.encode() for value in self.trailers.values()]
        return b"\n".join([self.text.encode(), str(self.status).encode(), *values])


async def ask(
    stub: "ImageSharePermissionServiceAsyncStub",
    way: str,
    *,
    region: str = "cn-hangzhou",
    image: str = "m-bp1caf3yicx5jlfl****",
    timeout: float | None = 5.0,  # noqa: ASYNC109 - the RPC's deadline
    metadata: tuple[tuple[str, str], ...] = (),
    **fields: Any,
) -> Outcome:
    """Make a call, unary or stream, and return its outcome; never raises for a status."""
    outcome, started = Outcome(), monotonic()
    try:
        if way == UNARY:
            asked = DescribeImageSharePermissionRequest(region_id=region, image_id=image, **fields)
            page = (await stub.DescribeImageSharePermission(asked, timeout=timeout, metadata=metadata)).page
            outcome.accounts = [account.aliyun_id for account in page.accounts]
            outcome.messages = 1
        else:
            wanted = StreamImageSharePermissionRequest(region_id=region, image_id=image, **fields)
            async for message in stub.StreamImageSharePermission(wanted, timeout=timeout, metadata=metadata):
                outcome.accounts += [account.aliyun_id for account in message.page.accounts]
                outcome.groups += [group.group for group in message.page.share_groups]
                outcome.messages += 1
                outcome.summary = message.summary if message.HasField("summary") else None
    except grpc.aio.AioRpcError as error:
        _take_apart(error, outcome)
    outcome.seconds = monotonic() - started
    return outcome


def _take_apart(error: grpc.aio.AioRpcError, outcome: Outcome) -> None:
    outcome.code, outcome.text = error.code(), error.details() or ""
    outcome.trailers = dict(error.trailing_metadata())
    packed = outcome.trailers.get("grpc-status-details-bin")
    if isinstance(packed, bytes):
        outcome.status = status_pb2.Status.FromString(packed)
        outcome.details = tuple(_unpacked(each) for each in outcome.status.details)


def _unpacked(packed: Packed) -> Message:
    kind = descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
    return GetMessageClass(kind).FromString(packed.value)
