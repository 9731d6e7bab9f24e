"""The catalogue's floods, G22 and G25: one caller's frames do not disturb the others."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from ecsgateway.v1.image_share_permission_pb2 import DescribeImageSharePermissionRequest
from tests.calling import UNARY
from tests.conftest import IMAGE, REGION
from tests.faults.conftest import Begin
from tests.faults.trial import Trial, until

DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4
SERVICE = b"/ecsgateway.v1.ImageSharePermissionService/DescribeImageSharePermission"


def frame(kind: int, *, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header field that enters no table (RFC 7541, section 6.2.2)."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


CALL = (
    b"\x83\x86\x04" + bytes((len(SERVICE),)) + SERVICE + b"\x01\x01x"  # POST, http, the path, an authority
    + literal(b"te", b"trailers")
    + literal(b"content-type", b"application/grpc")
)  # fmt: skip


@asynccontextmanager
async def connection(trial: Trial) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that has shaken hands, and does nothing by itself."""
    host, _, port = trial.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))
    yield reader, writer
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def flood(writer: asyncio.StreamWriter, frames: bytes, times: int) -> None:
    """Send the same frames again and again, until the other side has enough."""
    with suppress(ConnectionError):
        for _ in range(times):
            writer.write(frames)
            await writer.drain()


async def others_are_served(trial: Trial) -> None:
    for _ in range(20):
        assert (await trial.ask(UNARY, timeout=2.0)).code.name == "OK"


async def test_frames_of_this_kind_make_a_call(begin: Begin) -> None:
    trial = await begin()
    request = DescribeImageSharePermissionRequest(region_id=REGION, image_id=IMAGE).SerializeToString()
    message = b"\x00" + struct.pack(">I", len(request)) + request
    async with connection(trial) as (_, writer):
        writer.write(frame(HEADERS, flags=END_HEADERS, stream=1, payload=CALL))
        writer.write(frame(DATA, flags=END_STREAM, stream=1, payload=message))
        await until(lambda: len(trial.upstream.heads) == 1)


async def test_g22_streams_that_are_opened_and_reset_disturb_nobody(begin: Begin) -> None:
    trial = await begin()
    async with connection(trial) as (_, writer):

        async def resets() -> None:
            with suppress(ConnectionError):
                for number in range(1, 20_001, 2):
                    writer.write(
                        frame(HEADERS, flags=END_HEADERS, stream=number, payload=CALL)
                        + frame(RST_STREAM, stream=number, payload=b"\x00\x00\x00\x08")
                    )
                    if number % 100 == 1:
                        await writer.drain()

        flooding = asyncio.create_task(resets())
        await others_are_served(trial)
        await flooding
        await others_are_served(trial)
    assert len(trial.upstream.heads) == 40


async def test_g22_streams_that_send_no_message_take_no_place(begin: Begin) -> None:
    trial = await begin(max_calls=2)
    async with connection(trial) as (_, writer):
        for number in range(1, 401, 2):
            writer.write(frame(HEADERS, flags=END_HEADERS, stream=number, payload=CALL))
        await writer.drain()
        await others_are_served(trial)


@pytest.mark.parametrize(
    "frames",
    [
        frame(PING, payload=b"12345678"),
        frame(SETTINGS),
        frame(SETTINGS, payload=struct.pack(">HI", 4, 0)),
        frame(HEADERS, stream=1, payload=CALL) + frame(CONTINUATION, stream=1, payload=b"") * 1000,
        frame(DATA, stream=1, payload=b"x"),
    ],
    ids=["pings", "settings", "zero-windows", "continuations", "data-of-no-stream"],
)
async def test_g25_control_frames_disturb_nobody(begin: Begin, frames: bytes) -> None:
    trial = await begin()
    async with connection(trial) as (_, writer):
        flooding = asyncio.create_task(flood(writer, frames * 50, 100))
        await others_are_served(trial)
        flooding.cancel()
        with suppress(asyncio.CancelledError):
            await flooding
