"""What the tests share: a fake upstream and a gateway on real sockets, and callers over a real channel."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from ecsgateway.config import Settings
from ecsgateway.ecs.credentials import Credentials, CredentialSource
from ecsgateway.rpc.server import Gateway
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from fakeecs import FakeEcs

if TYPE_CHECKING:
    from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceAsyncStub

REGION, IMAGE = "cn-hangzhou", "m-bp1caf3yicx5jlfl****"
KEYS = Credentials(access_key_id="testid", access_key_secret="testsecret")

for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]  # the vendor's SDKs send even loopback traffic to a proxy


@dataclass(frozen=True, kw_only=True)
class Running:
    """A gateway that serves, and a caller of it."""

    gateway: Gateway
    channel: grpc.aio.Channel
    stub: "ImageSharePermissionServiceAsyncStub"


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeEcs]:
    """A fake upstream with the demo data."""
    async with FakeEcs() as server:
        yield server


@pytest.fixture
async def start(fake: FakeEcs) -> AsyncIterator[Start]:
    """Starts gateways on the fake upstream, with settings of one's own; stops them at the end."""
    async with AsyncExitStack() as stack:

        async def start_one(
            credentials: CredentialSource | None = None, keys: Credentials = KEYS, **settings: Any
        ) -> Running:
            chosen: dict[str, Any] = {"listen": "127.0.0.1:0", "endpoint": fake.url, "grace_seconds": 0}
            gateway = Gateway(
                Settings(**{**chosen, **settings}), credentials or CredentialSource(lambda: keys)
            )
            await gateway.start()
            stack.push_async_callback(gateway.stop)
            channel = grpc.aio.insecure_channel(gateway.address, options=[("grpc.enable_retries", 0)])
            stack.push_async_callback(channel.close)
            return Running(gateway=gateway, channel=channel, stub=ImageSharePermissionServiceStub(channel))

        yield start_one


@pytest.fixture
async def running(start: Start) -> Running:
    """A gateway with the default settings."""
    return await start()


Run = Callable[..., Awaitable[Process]]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """Starts `ecsgateway` with nothing in its environment but what is given; ends what still runs."""
    started: list[Process] = []

    async def start(*arguments: str, **environment: str) -> Process:
        base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ecsgateway", *arguments, env=base | environment, stdout=PIPE, stderr=PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: Process) -> tuple[int | None, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), err.decode()


async def line_with(stream: asyncio.StreamReader | None, part: str) -> str:
    """Read until a line that holds the part."""
    assert stream is not None
    async with asyncio.timeout(30):
        while line := (await stream.readline()).decode():
            if part in line:
                return line
    raise AssertionError(f"the stream ended before {part!r}")
