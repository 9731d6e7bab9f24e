"""The server: reads a request, verifies it, lets trouble and hooks have their way, and answers."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import web

from fakeecs.answers import Answer, Writer, head
from fakeecs.authentication import Authentication
from fakeecs.call import Call, read
from fakeecs.changes import Changes
from fakeecs.claims import claim
from fakeecs.data import Data, Image, Key
from fakeecs.delivery import Delivered, deliver, ends_connection
from fakeecs.demo import demo_data, demo_keys
from fakeecs.editions import EDITIONS, Choices
from fakeecs.errors import Refused
from fakeecs.faults import Faults
from fakeecs.journal import Entry, keep, open_entry
from fakeecs.listener import Listener, loop_in_thread
from fakeecs.mishaps import dress, instead
from fakeecs.operation import check_envelope, describe
from fakeecs.trouble import Fault

Hook = Callable[[Entry], Awaitable[None] | None]


class FakeEcs:
    """A fake ECS on a socket of its own. Use it as `async with`, or `with fake.in_thread()`.

    `now` is the server's clock, in seconds since 1970 or as an aware datetime. `random` decides
    probabilities, latencies and request ids; it is seeded unless another one is given. Port 0 picks one.
    """

    def __init__(
        self,
        *,
        data: Data | None = None,
        keys: dict[str, Key] | None = None,
        edition: int = 2024,
        choices: Choices | None = None,
        now: Callable[[], float | datetime] = time.time,
        random: Random | None = None,
        listen: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.data = data or demo_data()
        self.edition = EDITIONS[edition]
        self.choices = choices or Choices()
        self.random = random or Random(0)  # noqa: S311 - no secrets are made of it
        self.faults = Faults(self.random)
        self.changes = Changes()
        self.journal: list[Entry] = []
        self.keys = dict(keys or self.data.keys or demo_keys())
        self.on_request: Hook | None = None
        """Called with each verified request, before trouble and answer."""
        self.before_page: Hook | None = None
        """Called right before the page of a request is cut; what it changes is in the page."""
        self._now = now
        self._authentication = Authentication(self.keys, self.now, self.choices)
        self._listener = Listener(self._serve, *listen)

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Where clients find the fake."""
        return self._listener.url

    @property
    def in_flight(self) -> int:
        """How many requests have arrived and are not answered yet."""
        return self._listener.in_flight

    def now(self) -> float:
        """The server's clock, in seconds since 1970."""
        now = self._now()
        return now.timestamp() if isinstance(now, datetime) else now

    def image(self, region: str, image_id: str) -> Image:
        """An image, to look at or to change.

        Raises:
            KeyError: The region or the image does not exist.
        """
        return self.data.image(region, image_id)

    def add_image(self, region: str, image: Image) -> None:
        """Add or replace an image; the region is made if need be."""
        self.data.add(region, image)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be had.
        """
        await self._listener.start()

    async def idle(self) -> None:
        """Wait until no request is in flight: answered, or given up by its client."""
        await self._listener.idle()

    async def close(self, grace: float = 0.0) -> None:
        """Stop listening, give the requests in flight `grace` seconds, and hang up on everybody."""
        await self._listener.close(grace)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from a thread and an event loop of its own, for clients that block."""
        with loop_in_thread("fakeecs") as loop:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.close(), loop).result()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        call = read(request.method, request.raw_path, tuple(request.headers.items()), await request.read())
        entry = open_entry(call, str(uuid.UUID(int=self.random.getrandbits(128), version=4)).upper())
        keep(self.journal, entry)
        try:
            keep_alive = await self._exchange(request, call, entry)
        except asyncio.CancelledError:
            entry.aborted = True
            raise
        except ConnectionError:
            entry.aborted = True
            keep_alive = False
        finally:
            entry.ended = entry.ended or time.monotonic()
        return Delivered(keep_alive=keep_alive)

    async def _exchange(self, request: web.BaseRequest, call: Call, entry: Entry) -> bool:
        answer, fault = await self._answer(call, entry)
        entry.status, entry.code = answer.status, answer.code
        length: int | None = len(answer.body)
        keep_alive = request.keep_alive
        if fault is not None:
            entry.fault = fault.kind
            keep_alive = keep_alive and not ends_connection(fault)
            length = len(answer.body) * fault.repeat if fault.framing == "length" else None
        top = head(answer, now=self.now(), request_id=entry.request_id, keep_alive=keep_alive, length=length)
        if fault is None:
            entry.ended = time.monotonic()  # a client in another thread may look at once
        await deliver(request, top, b"" if call.method == "HEAD" else answer.body, fault)
        return keep_alive

    async def _answer(self, call: Call, entry: Entry) -> tuple[Answer, Fault | None]:
        writer = Writer(
            format=call.format(self.choices.acs3_format),
            request_id=entry.request_id,
            edition=self.edition,
            choices=self.choices,
        )
        fault: Fault | None = None
        try:
            check_envelope(call)
            made = claim(call)
            entry.key_id, entry.nonce = made.key_id, made.nonce
            entry.string_to_sign = made.string_to_sign
            account = self._authentication.verify(made).account
            await _call(self.on_request, entry)
            latency, fault = self.faults.strike(entry, account=account, now=self.now())
            if latency > 0:
                await asyncio.sleep(latency)
            answer = instead(fault, entry, writer, call.host) if fault is not None else None
            if answer is None:
                self.changes.apply(entry, self.data)
                await _call(self.before_page, entry)
                page = describe(call, self.data, account=account, edition=self.edition, choices=self.choices)
                answer = writer.page(page)
        except Refused as refused:
            answer = writer.problem(refused.problem(self.choices.errors), call.host)
        return (answer if fault is None else dress(answer, fault)), fault


async def _call(hook: Hook | None, entry: Entry) -> None:
    if hook is not None and (waiting := hook(entry)) is not None:
        await waiting
