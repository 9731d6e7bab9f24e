"""How an answer gets on the wire: whole, or in one of the ways in which that goes wrong."""

import asyncio
import socket
import struct
from collections.abc import Iterator

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from fakeecs.trouble import Fault

_CUT = ("close", "reset", "half_close", "stall", "truncate", "drip")


class Delivered(web.StreamResponse):
    """Tells the HTTP server that the answer is on its way already."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._open = keep_alive

    @property
    def keep_alive(self) -> bool:
        """Whether the connection serves another request."""
        return self._open

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send no head."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send no body."""


async def deliver(request: web.BaseRequest, head: bytes, body: bytes, fault: Fault | None) -> None:
    """Send an answer as the fault has it. `head` ends with the empty line.

    Raises:
        ConnectionResetError: The client is gone.
    """
    if fault is None:
        _transport(request).write(head + body)
        return
    early, late = _split(fault, head, body)
    for part in early:
        _transport(request).write(part)
        await request.writer.drain()
    await _go_wrong(request, fault, late)


def frame(fault: Fault, body: bytes) -> bytes:
    """The body as it is on the wire."""
    if fault.framing != "chunked" or not body:
        return body
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def _split(fault: Fault, head: bytes, body: bytes) -> tuple[Iterator[bytes], bytes]:
    """What is sent well, in parts, and what is left for the trouble."""
    if fault.kind == "garbage":
        return iter((body,)), b""
    if fault.kind not in _CUT:
        return _whole(head, body, fault.repeat), b""
    after = fault.after
    if after is None and fault.kind == "truncate":
        after = len(body) // 2
    if after is None:
        return iter(()), head + body
    return iter((head + body[:after],)), body[after:]


def _whole(head: bytes, body: bytes, repeat: int) -> Iterator[bytes]:
    yield head + body
    for _ in range(repeat - 1):
        yield body


async def _go_wrong(request: web.BaseRequest, fault: Fault, late: bytes) -> None:
    if fault.kind == "drip":
        for position in range(len(late)):
            _transport(request).write(late[position : position + 1])
            await asyncio.sleep(fault.interval)
    elif fault.kind == "reset":
        _reset(_transport(request))
    elif fault.kind == "half_close":
        _transport(request).write_eof()
    if fault.kind in ("half_close", "stall"):
        await asyncio.get_running_loop().create_future()  # until the client hangs up


def _reset(transport: asyncio.Transport) -> None:
    # SO_LINGER with a time of 0 makes close() send RST in place of FIN.
    link: socket.socket = transport.get_extra_info("socket")
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _transport(request: web.BaseRequest) -> asyncio.Transport:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    return transport
