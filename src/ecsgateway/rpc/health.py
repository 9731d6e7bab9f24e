"""Health: serving, unless ECS refuses the gateway's credentials; then again as soon as it accepts them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from google.protobuf.message import Message
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from ecsgateway.errors import GatewayError
from ecsgateway.mapping import Reason
from ecsgateway.v1.image_share_permission_pb2 import DESCRIPTOR

SERVICE = DESCRIPTOR.services_by_name["ImageSharePermissionService"].full_name

_REFUSED = (Reason.GATEWAY_CREDENTIALS_REJECTED, Reason.GATEWAY_CLOCK_SKEW)


class Health:
    """Keeps `grpc.health.v1` true, overall and for the service.

    Args:
        probe: asks ECS again what a refused request asked; raises GatewayError.
        interval: seconds between probes while the service is not serving.
    """

    def __init__(
        self,
        probe: Callable[[Message], Awaitable[object]],
        *,
        interval: float = 10.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.servicer = health.HealthServicer()
        self._probe = probe
        self._interval = interval
        self._sleep = sleep
        self.recovering: asyncio.Task[None] | None = None
        """The probing that goes on while the service is out."""

    async def start(self) -> None:
        """Say that everything serves."""
        await self._say(HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """Say that nothing serves any more, for good."""
        if self.recovering:
            self.recovering.cancel()
            with suppress(asyncio.CancelledError):
                await self.recovering
        await self.servicer.enter_graceful_shutdown()

    def learn(self, reason: Reason | None, request: Message) -> None:
        """Take in how a call ended."""
        if reason in _REFUSED and self.recovering is None:
            self.recovering = asyncio.create_task(self._recover(request))

    async def _recover(self, refused: Message) -> None:
        """Be out of service until ECS accepts the gateway's signature again."""
        await self._say(HealthCheckResponse.NOT_SERVING)
        while True:
            await self._sleep(self._interval)
            try:
                await self._probe(refused)
                break
            except GatewayError as error:
                if error.upstream is not None and error.reason not in _REFUSED:
                    break  # it is refused for another reason: the signature was accepted
        await self._say(HealthCheckResponse.SERVING)
        self.recovering = None

    async def _say(self, status: int) -> None:
        for service in ("", SERVICE):
            await self.servicer.set(service, status)
