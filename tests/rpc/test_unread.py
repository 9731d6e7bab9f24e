"""A caller that does not read: what was written counts as sent, so that a resumption repeats nothing."""

from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_status import rpc_status

from ecsgateway.v1.error_details_pb2 import StreamInterruption
from ecsgateway.v1.image_share_permission_pb2 import (
    StreamImageSharePermissionRequest,
    StreamImageSharePermissionResponse,
)
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from fakeecs import FakeEcs
from tests.conftest import REGION, Start
from tests.faults.trial import until

SMALL_BUFFERS = [("grpc.http2.bdp_probe", 0), ("grpc.enable_retries", 0)]


async def _read(messages: AsyncIterator[StreamImageSharePermissionResponse], into: list[str]) -> None:
    async for message in messages:
        into += [account.aliyun_id for account in message.page.accounts]


async def test_a_stream_that_its_time_ended_while_it_wrote_resumes_after_the_last_message(
    start: Start, fake: FakeEcs
) -> None:
    held = [account.aliyun_id for account in fake.image(REGION, "m-demo-10000").accounts]
    short = await start(max_seconds=2)
    request = StreamImageSharePermissionRequest(region_id=REGION, image_id="m-demo-10000")
    got: list[str] = []
    async with grpc.aio.insecure_channel(short.gateway.address, options=SMALL_BUFFERS) as channel:
        stream = ImageSharePermissionServiceStub(channel).StreamImageSharePermission(request)
        messages = aiter(stream)
        first = await anext(messages)
        got += [account.aliyun_id for account in first.page.accounts]
        await until(lambda: short.gateway.calls == 0, seconds=30)  # its time is over; the rest is unread
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _read(messages, got)

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type] # it has what a call has
    interruption = StreamInterruption()
    assert any(detail.Unpack(interruption) for detail in status.details)
    assert interruption.sent_accounts == len(got) < len(held)

    request.resume_token = interruption.resume_token
    await _read(aiter((await start()).stub.StreamImageSharePermission(request)), got)
    assert got == held
