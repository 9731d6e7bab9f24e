"""What a client sees on its socket when an answer goes wrong."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from fakeecs import FakeEcs, Fault
from fakeecs.journal import Entry

Ask = Callable[..., Awaitable[httpx.Response]]
Sign = Callable[..., httpx.Request]


async def test_the_body_may_be_anything(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(kind="body", body=b"\xff\xfe", content_type="text/plain", status=201))
    answer = await ask()
    assert (answer.status_code, answer.content) == (201, b"\xff\xfe")
    assert answer.headers["Content-Type"] == "text/plain"


async def test_the_content_type_may_be_a_wrong_one(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(content_type="text/html"))
    answer = await ask()
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.json()["TotalCount"] == 11


async def test_a_load_balancer_answers_in_html(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(kind="html", status=503))
    answer = await ask()
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "text/html")
    assert b"<h1>503</h1>" in answer.content


async def test_a_redirect_leads_to_its_location(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(kind="redirect", status=307, headers={"Location": "http://127.0.0.1:1/"}))
    answer = await ask()
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://127.0.0.1:1/")


@pytest.mark.parametrize("framing", ["length", "chunked", "until-close"])
async def test_a_repeated_body_is_one_body(fake: FakeEcs, ask: Ask, framing: Any) -> None:
    fake.faults.add(Fault(kind="body", body=b"x" * 1000, repeat=300, framing=framing))
    answer = await ask()
    assert answer.content == b"x" * 300_000
    assert ("Content-Length" in answer.headers) == (framing == "length")


async def send(fake: FakeEcs, request: httpx.Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    target = request.url.raw_path.decode()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {request.headers['Host']}\r\n\r\n".encode())
    return reader, writer


async def receive(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    """What arrives, and how the connection ends."""
    received = bytearray()
    try:
        while part := await reader.read(65536):
            received += part
    except ConnectionResetError:
        return bytes(received), "reset"
    return bytes(received), "closed"


def first_request(fake: FakeEcs) -> asyncio.Future[Entry]:
    """Done when a verified request has arrived."""
    arrived = asyncio.get_running_loop().create_future()
    fake.on_request = arrived.set_result
    return arrived


NOTHING = -1
CUT = {
    "closed before the answer": (Fault(kind="close"), NOTHING, "closed"),
    "closed after the head": (Fault(kind="close", after=0), 0, "closed"),
    "closed within the body": (Fault(kind="close", after=7), 7, "closed"),
    "reset before the answer": (Fault(kind="reset"), NOTHING, "reset"),
    "truncated half-way": (Fault(kind="truncate", body=b"x" * 60), 30, "closed"),
    "truncated early": (Fault(kind="truncate", after=20), 20, "closed"),
    "truncated without a length": (Fault(kind="truncate", after=20, framing="until-close"), 20, "closed"),
    "without the last chunk": (Fault(kind="close", body=b"12", framing="chunked", after=7), 7, "closed"),
    "half closed": (Fault(kind="half_close"), NOTHING, "closed"),
}


@pytest.mark.parametrize(("fault", "length", "end"), CUT.values(), ids=CUT)
async def test_an_answer_is_cut_off(fake: FakeEcs, sign: Sign, fault: Fault, length: int, end: str) -> None:
    fake.faults.add(fault)
    reader, writer = await send(fake, sign())
    received, how_it_ended = await receive(reader)
    writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    assert how_it_ended == end
    assert len(body) == max(length, 0)
    assert (head == b"") == (length == NOTHING)
    assert (b"Content-Length" in head) == (fault.framing == "length" and length != NOTHING)


async def test_a_reset_may_come_within_the_body(fake: FakeEcs, sign: Sign) -> None:
    fake.faults.add(Fault(kind="reset", after=10))
    reader, writer = await send(fake, sign())
    # What arrived before the reset may be lost with it: that is TCP's choice.
    assert (await receive(reader))[1] == "reset"
    writer.close()


@pytest.mark.parametrize("after", [None, 0, 100], ids=["from the first byte", "after the head", "later"])
async def test_a_dripping_answer_is_the_right_one(fake: FakeEcs, ask: Ask, after: int | None) -> None:
    fake.faults.add(Fault(kind="drip", after=after, interval=0.0))
    assert (await ask(PageSize=3)).json()["TotalCount"] == 11
    assert not fake.journal[-1].aborted


async def test_garbage_is_all_there_is(fake: FakeEcs, sign: Sign) -> None:
    fake.faults.add(Fault(kind="garbage", body=b"\x15\x03\x01\x00\x02\x02\x0a"))
    reader, writer = await send(fake, sign())
    assert await receive(reader) == (b"\x15\x03\x01\x00\x02\x02\x0a", "closed")
    writer.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="stall"),
        Fault(kind="stall", after=5),
        Fault(kind="half_close"),
        Fault(kind="drip", interval=30.0),
        Fault(latency=30.0),
    ],
    ids=["silent", "within the body", "half closed", "dripping", "late"],
)
async def test_a_client_that_gives_up_is_seen(fake: FakeEcs, sign: Sign, fault: Fault) -> None:
    fake.faults.add(fault)
    arrived = first_request(fake)
    _, writer = await send(fake, sign())
    await arrived
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(fake.idle(), 5)
    assert fake.journal[-1].aborted
    assert fake.journal[-1].ended is not None


async def test_closing_does_not_wait_for_what_hangs(clock: Callable[[], float], sign_for: Any) -> None:
    async with asyncio.timeout(2):
        async with FakeEcs(now=clock) as fake:
            fake.faults.add(Fault(kind="stall"))
            arrived = first_request(fake)
            reader, writer = await send(fake, sign_for(fake))
            await arrived
        await receive(reader)
    writer.close()


async def test_closing_does_not_wait_for_a_client_that_does_not_read(
    clock: Callable[[], float], sign_for: Any
) -> None:
    async with asyncio.timeout(2):
        async with FakeEcs(now=clock) as fake:
            fake.faults.add(Fault(kind="body", body=b"x" * 1_000_000, repeat=1000))
            arrived = first_request(fake)
            with socket.create_connection(("127.0.0.1", fake.port)) as link:
                link.sendall(
                    f"GET {sign_for(fake).url.raw_path.decode()} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                )
                await arrived
                await fake.close()
    assert fake.journal[-1].aborted


async def test_a_client_that_resets_is_seen(fake: FakeEcs, sign: Sign) -> None:
    fake.faults.add(Fault(kind="stall"))
    arrived = first_request(fake)
    _, writer = await send(fake, sign())
    await arrived
    link: socket.socket = writer.get_extra_info("socket")
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await asyncio.wait_for(fake.idle(), 5)
    assert fake.journal[-1].aborted
