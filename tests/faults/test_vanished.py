"""G8: the caller's host vanishes. No packet tells it; the server's own pings find it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc

from ecsgateway.config import Settings
from ecsgateway.ecs.credentials import CredentialSource
from ecsgateway.rpc.server import OPTIONS, Gateway
from ecsgateway.v1.image_share_permission_pb2 import StreamImageSharePermissionRequest
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from fakeecs import FakeEcs, Fault
from tests.conftest import KEYS, REGION
from tests.faults.trial import until

SOON = (("grpc.keepalive_time_ms", 1000), ("grpc.http2.ping_timeout_ms", 500))


@asynccontextmanager
async def cable(address: str, cut: asyncio.Event) -> AsyncIterator[str]:
    """Forward connections to an address until they are cut: then nothing passes, and nobody is told."""
    host, _, port = address.rpartition(":")
    ends: list[asyncio.StreamWriter] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not cut.is_set():
                writer.write(data)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        ends.extend((writer, back))
        with suppress(OSError):
            await asyncio.gather(forward(reader, back), forward(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in ends:
            writer.close()


def test_the_server_pings_every_half_minute_and_waits_ten_seconds() -> None:
    options = dict(OPTIONS)
    assert options["grpc.keepalive_time_ms"] + options["grpc.http2.ping_timeout_ms"] == 40_000


async def test_g8_a_call_whose_caller_vanished_is_ended_and_its_upstream_request_too(fake: FakeEcs) -> None:
    fake.faults.add(Fault(kind="stall", page=2))
    settings = Settings(listen="127.0.0.1:0", endpoint=fake.url, grace_seconds=0)
    gateway = Gateway(settings, CredentialSource(lambda: KEYS), SOON)
    await gateway.start()
    cut = asyncio.Event()
    async with cable(gateway.address, cut) as address, grpc.aio.insecure_channel(address) as channel:
        request = StreamImageSharePermissionRequest(region_id=REGION, image_id="m-demo-11", page_size=10)
        stream = ImageSharePermissionServiceStub(channel).StreamImageSharePermission(request)
        await anext(aiter(stream))
        await until(lambda: fake.in_flight == 1)

        cut.set()

        await until(lambda: gateway.calls == 0 and fake.in_flight == 0, seconds=10)
        assert fake.journal[-1].aborted
        stream.cancel()
    await gateway.stop()
