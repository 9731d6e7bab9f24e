"""The fixture that every case of the catalogue runs in."""

import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
import structlog

from ecsgateway.config import Settings
from ecsgateway.ecs.credentials import CredentialSource
from ecsgateway.rpc.server import Gateway
from ecsgateway.rpc.telemetry import start_logging
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from tests.faults.hostile import Hostile
from tests.faults.trial import CANARIES, SLOTS, Trial

OPTIONS = (("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))

Begin = Callable[..., Awaitable[Trial]]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The gateway's own log, at its most talkative."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    listener = start_logging("json", "debug", stream)
    yield stream
    listener.stop()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
async def begin(log: io.StringIO, capfd: pytest.CaptureFixture[str]) -> AsyncIterator[Begin]:
    """Begins a trial with settings of its own. When the case is over, the invariants are checked."""
    async with AsyncExitStack() as stack:
        trials: list[Trial] = []

        def printed() -> str:
            captured = capfd.readouterr()
            return captured.out + captured.err

        async def begin_one(credentials: CredentialSource | None = None, **settings: Any) -> Trial:
            upstream = await stack.enter_async_context(Hostile())
            chosen: dict[str, Any] = {
                "listen": "127.0.0.1:0",
                "endpoint": upstream.url,
                "grace_seconds": 0,
                "max_requests": SLOTS,
            }
            gateway = Gateway(
                Settings(**{**chosen, **settings}), credentials or CredentialSource(lambda: CANARIES)
            )
            await gateway.start()
            stack.push_async_callback(gateway.stop)
            channel = grpc.aio.insecure_channel(gateway.address, options=OPTIONS)
            stack.push_async_callback(channel.close)
            stub = ImageSharePermissionServiceStub(channel)
            trial = Trial(
                upstream=upstream,
                address=gateway.address,
                channel=channel,
                stub=stub,
                log=log,
                printed=printed,
                slots=settings.get("max_requests", SLOTS),
            )
            await trial.warm_up()
            trials.append(trial)
            return trial

        yield begin_one
        for trial in trials:
            await trial.check()
