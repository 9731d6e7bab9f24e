"""One call: what its handler needs, and what its log line and its status tell of it."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import grpc
from google.protobuf.message import Message

from ecsgateway.deadline import Deadline
from ecsgateway.errors import GatewayError, GatewayFault
from ecsgateway.mapping import Reason
from ecsgateway.rpc.details import About
from ecsgateway.v1.error_details_pb2 import StreamInterruption

_MARGIN = 0.05
"""Seconds before the caller's deadline at which it is told that it is over, so that the status arrives."""


class CallerLeft(Exception):
    """The caller does not take what is sent: it cancelled, or its connection is gone."""


@dataclass(kw_only=True, eq=False)
class Call:
    """One call.

    Attributes:
        send: writes a message of a stream; raises CallerLeft, or GatewayFault at the deadline.
        page: the page that a stream is at.
        interruption: where to resume, once a message was sent.
        told: more for the log line.
    """

    method: str
    request_id: str
    deadline: Deadline
    send: Callable[[Message], Awaitable[None]]
    region_id: str
    image_id: str
    started: float = field(default_factory=monotonic)
    page: int = 0
    attempts: int = 0
    interruption: StreamInterruption | None = None
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> About:
        """What a status tells of the call."""
        return About(
            region_id=self.region_id,
            image_id=self.image_id,
            request_id=self.request_id,
            page=self.page,
            interruption=self.interruption,
            left=self.deadline.left(),
        )

    def facts(self, code: str, error: GatewayError | None) -> dict[str, Any]:
        """What the log tells of the call."""
        facts: dict[str, Any] = {
            "method": self.method,
            "code": code,
            "region_id": self.region_id,
            "image_id": self.image_id,
            "request_id": self.request_id,
            "seconds": round(monotonic() - self.started, 4),
            "attempts": error.attempts if error and error.attempts else self.attempts,
            **self.told,
        }
        if error:
            facts |= {"reason": str(error.reason), "fault": str(error.row.fault)}
            facts |= {"note": error.note} if error.note else {}
            if error.upstream:
                facts |= {
                    "upstream_code": error.upstream.code,
                    "upstream_status": error.upstream.http_status,
                    "upstream_request_id": error.upstream.request_id,
                }
        return facts


def open_call(request: Message, context: grpc.aio.ServicerContext[Any, Any], *, longest: float) -> Call:
    """Take up a call: its id, its deadline, and how to send to its caller.

    Args:
        longest: seconds that any call may take; the caller's own deadline may be nearer.
    """
    left = context.time_remaining()
    seconds = longest if left is None else min(longest, left - min(_MARGIN, left / 10))
    deadline = Deadline.after(seconds)

    async def send(message: Message) -> None:
        limit = asyncio.timeout(deadline.left())
        try:
            async with limit:
                await context.write(message)
        except Exception as error:  # grpc raises private classes when the call is over
            if limit.expired():
                raise GatewayFault(Reason.DEADLINE_EXCEEDED, "the caller takes no message") from None
            raise CallerLeft from error

    return Call(
        method=type(request).__name__.removesuffix("Request"),
        request_id=_request_id(context),
        deadline=deadline,
        send=send,
        region_id=getattr(request, "region_id", "")[:63],
        image_id=getattr(request, "image_id", "")[:128],
    )


def _request_id(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return the caller's id of the call, if it gave a proper one, or a new one."""
    for name, value in context.invocation_metadata() or ():
        if name == "x-request-id" and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", str(value), re.ASCII):
            return str(value)
    return uuid.uuid4().hex
