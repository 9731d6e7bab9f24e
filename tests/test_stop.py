"""Stopping a server process: what runs may end, what does not is told where to go on, nothing hangs."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ecsgateway.v1.error_details_pb2 import StreamInterruption
from ecsgateway.v1.image_share_permission_pb2 import (
    DescribeImageSharePermissionRequest,
    StreamImageSharePermissionRequest,
)
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from fakeecs import Entry, FakeEcs
from tests.conftest import IMAGE, REGION, Run, ended, line_with

UNARY = DescribeImageSharePermissionRequest(region_id=REGION, image_id=IMAGE)


class Gate:
    """Holds requests at the fake upstream until it is opened."""

    def __init__(self, fake: FakeEcs, hold: Callable[[Entry], bool]) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self._hold = hold
        fake.before_page = self._pass

    async def _pass(self, entry: Entry) -> None:
        if self._hold(entry):
            self.reached.set()
            await self.open.wait()


Serve = Callable[..., Awaitable[tuple[Process, grpc.aio.Channel]]]


@pytest.fixture
async def serve(run: Run, fake: FakeEcs) -> AsyncIterator[Serve]:
    """Starts a server process on the fake upstream, and a channel to it."""
    channels: list[grpc.aio.Channel] = []

    async def start(*arguments: str) -> tuple[Process, grpc.aio.Channel]:
        process = await run(
            "serve",
            *("--listen", "127.0.0.1:0", "--endpoint", fake.url, *arguments),
            ALIBABA_CLOUD_ACCESS_KEY_ID="testid",
            ALIBABA_CLOUD_ACCESS_KEY_SECRET="testsecret",
        )
        line = await line_with(process.stderr, "serving")
        address = line.partition("address=")[2].split()[0]
        channels.append(grpc.aio.insecure_channel(address, options=[("grpc.enable_retries", 0)]))
        return process, channels[-1]

    yield start
    for channel in channels:
        await channel.close()


async def test_a_call_that_runs_when_the_signal_comes_is_answered(serve: Serve, fake: FakeEcs) -> None:
    gate = Gate(fake, lambda _: True)
    process, channel = await serve("--grace-seconds", "20")
    call = asyncio.ensure_future(ImageSharePermissionServiceStub(channel).DescribeImageSharePermission(UNARY))
    await gate.reached.wait()

    process.send_signal(signal.SIGTERM)
    await line_with(process.stderr, "stopping")
    gate.open.set()

    assert (await call).page.total_count == 1
    assert (await ended(process))[0] == 0


async def test_a_stream_that_goes_on_too_long_ends_with_a_token_to_resume(
    serve: Serve, fake: FakeEcs
) -> None:
    gate = Gate(fake, lambda entry: entry.page_number == 3)
    process, channel = await serve("--grace-seconds", "2")
    request = StreamImageSharePermissionRequest(region_id=REGION, image_id="m-demo-45", page_size=10)
    messages = aiter(ImageSharePermissionServiceStub(channel).StreamImageSharePermission(request))
    first, second = await anext(messages), await anext(messages)
    await gate.reached.wait()

    process.send_signal(signal.SIGTERM)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(messages)

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type] # it has what a call has
    info, interruption = error_details_pb2.ErrorInfo(), StreamInterruption()
    assert any(detail.Unpack(info) for detail in status.details)
    assert any(detail.Unpack(interruption) for detail in status.details)
    assert info.reason == "GATEWAY_DRAINING"
    assert (interruption.sent_pages, interruption.sent_accounts) == (2, 20)
    gate.open.set()
    assert raised.value.trailing_metadata().get("grpc-retry-pushback-ms") == "1"
    assert (await ended(process))[0] == 0

    _, channel = await serve()  # another replica goes on where that one ended
    request.resume_token = interruption.resume_token
    rest = [m async for m in ImageSharePermissionServiceStub(channel).StreamImageSharePermission(request)]
    got = [account.aliyun_id for page in (first, second, *rest) for account in page.page.accounts]
    assert got == [account.aliyun_id for account in fake.image(REGION, "m-demo-45").accounts]


async def test_a_second_signal_ends_what_still_runs(serve: Serve, fake: FakeEcs) -> None:
    gate = Gate(fake, lambda _: True)
    process, channel = await serve("--grace-seconds", "300")
    call = ImageSharePermissionServiceStub(channel).DescribeImageSharePermission(UNARY)
    await gate.reached.wait()

    process.send_signal(signal.SIGTERM)
    await line_with(process.stderr, "stopping")
    process.send_signal(signal.SIGTERM)

    assert (await ended(process))[0] == 0
    assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert await call.details() == "this replica shuts down; call again at once"
    gate.open.set()
