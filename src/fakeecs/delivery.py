"""How an answer gets on the wire: whole, or in one of the ways in which that goes wrong."""

import asyncio
import itertools
import socket
import struct
from collections.abc import Iterator

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from fakeecs.trouble import Fault

_CUT = ("close", "reset", "half_close", "stall", "truncate", "drip")
_COMPLETE = ("error", "body", "html", "redirect", "drip")


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


def ends_connection(fault: Fault) -> bool:
    """Whether the connection cannot serve another request after this one."""
    return fault.kind not in _COMPLETE or fault.framing == "until-close"


async def deliver(request: web.BaseRequest, head: bytes, body: bytes, fault: Fault | None) -> None:
    """Send an answer as the fault has it. `head` ends with the empty line.

    Raises:
        ConnectionResetError: The client is gone.
    """
    if fault is None:
        _transport(request).write(head + body)
        return
    if fault.kind == "garbage":
        _transport(request).write(body)
        return
    parts: Iterator[bytes] = itertools.chain((head,), _framed(fault, body))
    if fault.kind in _CUT:
        early, late = _cut(fault, head, b"".join(parts))
        parts = iter((early,) if early else ())
    for part in parts:
        _transport(request).write(part)
        await request.writer.drain()
    if fault.kind in _CUT:
        await _go_wrong(request, fault, late)


def _framed(fault: Fault, body: bytes) -> Iterator[bytes]:
    """The body as it is on the wire, in parts."""
    chunked = fault.framing == "chunked"
    part = b"%x\r\n%b\r\n" % (len(body), body) if chunked and body else body
    yield from itertools.repeat(part, fault.repeat)
    if chunked:
        yield b"0\r\n\r\n"


def _cut(fault: Fault, head: bytes, answer: bytes) -> tuple[bytes, bytes]:
    """What is sent well, and what is left for the trouble."""
    after = fault.after
    if after is None and fault.kind == "truncate":
        after = (len(answer) - len(head)) // 2
    position = 0 if after is None else len(head) + after
    return answer[:position], answer[position:]


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
