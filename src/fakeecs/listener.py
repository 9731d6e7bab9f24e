"""A listening socket, the requests that it is busy with, and the end of both."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import cast

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@contextmanager
def loop_in_thread(name: str) -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def http_url(host: str, port: int) -> str:
    """The address as clients write it: an IPv6 one in brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Listener:
    """Serves HTTP/1.1 on one address; port 0 picks one. Handlers are cancelled when their client leaves."""

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        self._handler = handler
        self.host = host
        self.port = port
        self._busy: set[asyncio.Task[object]] = set()
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where clients find it, once it listens."""
        return http_url(self.host, self.port)

    @property
    def in_flight(self) -> int:
        """How many requests have arrived and are not answered yet."""
        return len(self._busy)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be had.
        """
        self._web = web.Server(self._handle, handler_cancellation=True, access_log=None)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._web, self.host, self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def idle(self) -> None:
        """Wait until no request is in flight."""
        while self._busy:
            await asyncio.wait(self._busy)

    async def close(self, grace: float) -> None:
        """Stop listening, give the requests in flight `grace` seconds, and hang up on everybody."""
        if self._server is None or self._web is None:
            return
        self._server.close()
        self._web.pre_shutdown()  # ends the idle connections
        end = time.monotonic() + grace
        while self._busy and (left := end - time.monotonic()) > 0:
            await asyncio.wait(self._busy, timeout=left)
        for task in self._busy:
            task.cancel()
        await self._web.shutdown(timeout=1.0)
        await self._server.wait_closed()
        await asyncio.sleep(0)  # lets the transports that were closed above close their sockets
        self._server = self._web = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._busy.add(task)
        try:
            return await self._handler(request)
        finally:
            self._busy.discard(task)
