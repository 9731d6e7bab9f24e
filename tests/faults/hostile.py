"""An upstream that obeys no protocol but its script: a raw TCP server on a port of its own."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl

import orjson

ACCOUNTS = ("1111111111", "2222222222", "3333333333")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A connection, and the request that was read from it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the query."""
        return dict(parse_qsl(self.head.partition(" HTTP/")[0].partition("?")[2]))

    def headers(self) -> dict[str, str]:
        """The headers by lower-case name."""
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:] if line)
        return {name.lower(): value.strip() for name, _, value in lines}

    async def send(self, *parts: bytes) -> None:
        """Send bytes as they are."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    def hang_up(self) -> None:
        """Close in good order."""
        self.writer.close()

    def reset(self) -> None:
        """Close with RST: SO_LINGER with a time of 0."""
        link: socket.socket = self.writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def silence(self) -> None:
        """Say nothing until the other side goes."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.writer.close()


Script = Callable[[Wire], Awaitable[None]]


def answer(
    body: bytes, *, status: int = 200, kind: str = "application/json;charset=utf-8", more: str = ""
) -> bytes:
    """An answer in proper HTTP."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode("latin-1") + body


def page(parameters: dict[str, str], **changes: object) -> bytes:
    """The whole list as one page, as ECS writes it; `changes` replace fields, None leaves one out."""
    fields: dict[str, object] = {
        "RegionId": parameters.get("RegionId", ""),
        "ImageId": parameters.get("ImageId", ""),
        "PageNumber": int(parameters.get("PageNumber", "1")),
        "PageSize": int(parameters.get("PageSize", "10")),
        "TotalCount": len(ACCOUNTS),
        "RequestId": "1C488B66-B819-4D14-8711-C4EAAA13AC01",
        "ShareGroups": {"ShareGroup": []},
        "Accounts": {"Account": [{"AliyunId": each} for each in ACCOUNTS]},
    }
    fields |= changes
    return orjson.dumps({name: value for name, value in fields.items() if value is not None})


async def well(wire: Wire) -> None:
    """Answer as ECS does."""
    await wire.send(answer(page(wire.parameters)))


def listing(accounts: Sequence[str], **changes: object) -> Script:
    """Answer as ECS does from a longer list, page by page."""

    async def script(wire: Wire) -> None:
        await wire.send(answer(cut(accounts, wire.parameters, **changes)))

    return script


def cut(accounts: Sequence[str], parameters: dict[str, str], **changes: object) -> bytes:
    """Write the page of a list that a request asks for."""
    number, size = int(parameters["PageNumber"]), int(parameters["PageSize"])
    part = accounts[(number - 1) * size : number * size]
    fields: dict[str, object] = {
        "TotalCount": len(accounts),
        "Accounts": {"Account": [{"AliyunId": each} for each in part]},
    }
    return page(parameters, **{**fields, **changes})


def refusing(code: str, status: int = 400, *, more: str = "", message: str = "") -> Script:
    """Answer with an error of ECS."""

    async def script(wire: Wire) -> None:
        body = orjson.dumps({"Code": code, "Message": message, "RequestId": "8C6D7A1B-0000"})
        await wire.send(answer(body, status=status, more=more))

    return script


@dataclass(kw_only=True)
class Hostile:
    """Plays `scripts`, one for each request, the last again and again; `greeting` instead of reading any."""

    scripts: list[Script] = field(default_factory=lambda: [well])
    greeting: Script | None = None
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    """Accepted so far."""
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it is found."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """The connections that are open."""
        return len(self._tasks)

    async def behave(self) -> None:
        """Be a healthy upstream from now on."""
        self.scripts, self.greeting = [well], None
        if self._server is None:
            await self.open_port()

    async def greet(self, script: Script) -> None:
        """Play a script on each connection as it comes, before any request; hang up on the open ones."""
        self.greeting = script
        await self._hang_up()

    async def open_port(self) -> None:
        """Listen; on the same port as before, if there was one."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=2**20, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close_port(self) -> None:
        """Stop listening, and hang up on everybody."""
        assert self._server is not None
        self._server.close()
        await self._hang_up()
        await self._server.wait_closed()
        self._server = None

    async def _hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def signatures(self) -> list[str]:
        """What was sent as a signature so far: to be seen nowhere else."""
        found = []
        for head in self.heads:
            wire = Wire(reader=asyncio.StreamReader(), writer=None, head=head)  # type: ignore[arg-type] # for reading only
            found.append(wire.headers().get("authorization", "").partition("Signature=")[2])
            found.append(wire.parameters.get("Signature", ""))
        return [each for each in found if each]

    async def __aenter__(self) -> Self:
        await self.open_port()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self.close_port()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if self.greeting:
                await self.greeting(Wire(reader=reader, writer=writer))
            else:
                await self._requests(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            await script(Wire(reader=reader, writer=writer, head=head))
