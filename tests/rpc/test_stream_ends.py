"""How a stream ends that is not read to its end: nothing of it may go on."""

import asyncio

import grpc
import pytest

from ecsgateway.v1.error_details_pb2 import StreamInterruption
from ecsgateway.v1.image_share_permission_pb2 import StreamImageSharePermissionRequest
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from fakeecs import FakeEcs
from fakeecs.journal import Entry
from tests.conftest import REGION, Running, Start
from tests.rpc.test_stream import Reading, held, read, until

LIST = "m-demo-2345"
REQUEST = StreamImageSharePermissionRequest(region_id=REGION, image_id=LIST)


def stop_at(fake: FakeEcs, page: int) -> asyncio.Event:
    """Let pages from this one on wait until the event is set."""
    go_on = asyncio.Event()

    async def wait(entry: Entry) -> None:
        if entry.page_number and entry.page_number >= page:
            await go_on.wait()

    fake.before_page = wait
    return go_on


async def nothing_runs(fake: FakeEcs) -> None:
    """Wait until no upstream request runs; those that had no answer yet were hung up on."""
    await until(lambda: fake.in_flight == 0)
    unanswered = [entry for entry in fake.journal if entry.status is None]
    assert unanswered
    assert all(entry.aborted for entry in unanswered)


@pytest.mark.parametrize("page", [1, 3], ids=["before the first message", "in the middle"])
async def test_a_caller_that_cancels_leaves_no_upstream_request(
    running: Running, fake: FakeEcs, page: int
) -> None:
    stop_at(fake, page)
    stream = running.stub.StreamImageSharePermission(REQUEST)
    for _ in range(1, page):
        await stream.read()
    await until(lambda: fake.in_flight >= (1 if page == 1 else 8))
    stream.cancel()

    await nothing_runs(fake)


@pytest.mark.parametrize("page", [1, 3], ids=["before the first message", "in the middle"])
async def test_a_deadline_leaves_no_upstream_request(running: Running, fake: FakeEcs, page: int) -> None:
    stop_at(fake, page)
    reading = await read(running, LIST, size=100, seconds=0.5)

    assert reading.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(reading.messages) == page - 1
    await nothing_runs(fake)


async def test_a_shutdown_in_the_middle_ends_the_stream_with_a_token_and_leaves_no_upstream_request(
    start: Start, fake: FakeEcs
) -> None:
    draining, other = await start(grace_seconds=0.4), await start()
    go_on = stop_at(fake, 4)
    reading = asyncio.create_task(read(draining, LIST, size=100))
    await until(lambda: fake.in_flight >= 8)
    stopping = asyncio.create_task(draining.gateway.stop())
    await asyncio.sleep(0.25)  # half of the grace, in which streams may end by themselves
    go_on.set()
    broken = await reading
    await stopping

    assert broken.code is grpc.StatusCode.UNAVAILABLE
    assert broken.reason == "GATEWAY_DRAINING"
    await until(lambda: fake.in_flight == 0)
    rest = await read(other, LIST, token=broken.detail(StreamInterruption).resume_token)
    assert broken.accounts + rest.accounts == held(fake, LIST)


async def test_a_shutdown_without_grace_leaves_no_upstream_request(start: Start, fake: FakeEcs) -> None:
    running = await start(grace_seconds=0)
    stop_at(fake, 3)
    reading = asyncio.create_task(read(running, LIST, size=100))
    await until(lambda: fake.in_flight >= 8)
    await running.gateway.stop()

    await nothing_runs(fake)
    assert (await reading).error


async def test_a_caller_that_does_not_read_costs_a_bounded_number_of_upstream_calls(
    running: Running, fake: FakeEcs
) -> None:
    """With a window of 64 KiB, which is HTTP/2's own; grpc widens it for who reads."""
    options = [("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(running.gateway.address, options=options) as channel:
        request = StreamImageSharePermissionRequest(region_id=REGION, image_id="m-demo-10000")
        stream = ImageSharePermissionServiceStub(channel).StreamImageSharePermission(request)
        asked = -1
        while asked < len(fake.journal):
            asked = len(fake.journal)
            await asyncio.sleep(0.3)  # of 100 pages, some are always asked for in that time
        assert 16 <= asked < 60

        reading = Reading()
        async for message in stream:
            reading.messages.append(message)
    assert reading.accounts == held(fake, "m-demo-10000")
    assert len(fake.journal) == 100
