"""Fetches pages ahead of their reader, in a window that opens while all goes well."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ecsgateway.errors import GatewayError
from ecsgateway.mapping import Reason
from ecsgateway.v1.image_share_permission_pb2 import ImageSharePermissionPage


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A page, and the upstream requests that it took: more than one means trouble."""

    page: ImageSharePermissionPage
    attempts: int


Fetch = Callable[[int], Coroutine[Any, Any, Fetched]]
"""Fetches the page of a number."""


class Window:
    """How many pages may be under way at a time; as many again may wait for their reader.

    It is open until there is trouble: the upstream counts calls, not how fast they come. It halves with each
    page that did not come at the first attempt, and opens by one with each that did. A reader who takes none
    leaves it full, so that nothing more is fetched.

    Args:
        most: its upper bound.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most

    def learn(self, attempts: int) -> None:
        """Take in how a page came."""
        self.size = min(self._most, self.size + 1) if attempts == 1 else max(1, self.size // 2)


@dataclass(frozen=True, kw_only=True)
class _Page:
    """A page under way or waiting; `hasty` if it was asked for before the reader waited for it."""

    number: int
    task: asyncio.Task[Fetched]
    hasty: bool


async def in_order(
    fetch: Fetch, next_number: Callable[[], int | None], window: Window
) -> AsyncGenerator[Fetched]:
    """Fetch pages concurrently and yield them in the order of their numbers.

    Close it (`contextlib.aclosing`): that ends what is under way, and waits until it has ended. A page that
    the gateway had no turn for is asked for again once the reader waits for it: haste breaks no stream.

    Args:
        next_number: returns the next page to fetch, or None if there is none as far as is known.
    """
    ahead: deque[_Page] = deque()
    under_way, stopped = 0, False

    def fill() -> None:
        while under_way < window.size and len(ahead) < 2 * window.size and not stopped:
            number = next_number()
            if number is None:
                return
            ahead.append(begin(number, hasty=bool(ahead)))

    def begin(number: int, *, hasty: bool) -> _Page:
        nonlocal under_way
        under_way += 1
        return _Page(number=number, task=asyncio.create_task(get(number)), hasty=hasty)

    async def get(number: int) -> Fetched:
        nonlocal under_way, stopped
        try:
            fetched = await fetch(number)
        except BaseException as error:
            if _is_refused(error):
                window.learn(2)
            else:
                stopped = True  # what is behind it will not be read
            raise
        finally:
            under_way -= 1
        window.learn(fetched.attempts)
        fill()  # at once, not when the reader comes: the upstream would stand idle while a page is sent
        return fetched

    fill()
    try:
        while ahead:
            try:
                fetched = await ahead[0].task
            except GatewayError as error:
                if not (ahead[0].hasty and _is_refused(error)):
                    raise
                ahead[0] = begin(ahead[0].number, hasty=False)
                continue
            ahead.popleft()
            fill()
            yield fetched
            fill()
    finally:
        stopped = True
        tasks = [page.task for page in ahead]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # the first failure is raised; those behind it are of no interest


def _is_refused(error: BaseException) -> bool:
    """Whether the gateway itself had no turn for the request: too much haste, if it was made ahead."""
    return isinstance(error, GatewayError) and error.reason is Reason.GATEWAY_OVERLOADED
