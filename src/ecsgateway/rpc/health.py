"""Health: the service serves unless ECS refuses the gateway's credentials, and again once it accepts them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from google.protobuf.message import Message
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from ecsgateway.errors import UpstreamRefused
from ecsgateway.mapping import Fault, Reason
from ecsgateway.v1.image_share_permission_pb2 import DESCRIPTOR

SERVICE = DESCRIPTOR.services_by_name["ImageSharePermissionService"].full_name

_REFUSED = (Reason.GATEWAY_CREDENTIALS_REJECTED, Reason.GATEWAY_CLOCK_SKEW)


class Health:
    """Keeps `grpc.health.v1` true: overall for the process, by its name for the service.

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
        await self.servicer.set(SERVICE, HealthCheckResponse.SERVING)

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
        await self.servicer.set(SERVICE, HealthCheckResponse.NOT_SERVING)
        while not await self._accepted(refused):
            pass
        await self.servicer.set(SERVICE, HealthCheckResponse.SERVING)
        self.recovering = None

    async def _accepted(self, refused: Message) -> bool:
        """Tell whether ECS accepts a signature: it answers, or refuses for a reason that comes after it."""
        await self._sleep(self._interval)
        try:
            await self._probe(refused)
        except UpstreamRefused as error:
            return error.reason not in _REFUSED and error.row.fault is not Fault.UPSTREAM
        except Exception:  # whatever it was, it was no accepted signature, and the probing must go on
            return False
        return True
