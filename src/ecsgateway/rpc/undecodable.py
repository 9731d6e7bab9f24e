"""A request whose bytes are no request: answered like any other that breaks a rule."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from ecsgateway.rpc.health import SERVICE


class NoRequest(Message):
    """Stands for a request that cannot be decoded."""


class Undecodable(grpc.aio.ServerInterceptor):
    """Hands such a request to the handler; by itself, grpc would answer with the text of an exception."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        """Make the methods of the service take any bytes."""
        handler = await continuation(details)
        if handler is None or not details.method.startswith(f"/{SERVICE}/"):
            return handler
        return handler._replace(request_deserializer=_tolerant(handler.request_deserializer))


def _tolerant(decode: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
    def decoded(data: bytes) -> Message:
        try:
            return decode(data)
        except DecodeError:
            return NoRequest()

    return decoded
