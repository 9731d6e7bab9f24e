"""Reads the pages of a list: one pass at a time, ahead of who takes them, within bounds."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from ecsgateway.errors import GatewayFault, MalformedAnswer
from ecsgateway.mapping import Reason
from ecsgateway.passes import Pass
from ecsgateway.prefetch import Fetched, Window, in_order
from ecsgateway.v1.image_share_permission_pb2 import ImageSharePermissionPage

FetchPage = Callable[[int, int], Awaitable[Fetched]]
"""Fetches the page of a number and a size; the page may be of a smaller size, if the upstream says so."""


class Reader:
    """Fetches pages in the size that the upstream uses.

    Args:
        prefetch: the most pages that are fetched ahead of who takes them.
        most: the most pages of one pass.

    Attributes:
        page_size: that size, once the first page has come.
        calls: the pages that were asked for.
    """

    def __init__(self, fetch: FetchPage, *, page_size: int, prefetch: int, most: int) -> None:
        self._fetch = fetch
        self._most = most
        self._window = Window(prefetch)
        self.page_size = page_size
        self.calls = 0

    async def pages(
        self, this: Pass, start: int, skipped: int = 0
    ) -> AsyncGenerator[ImageSharePermissionPage]:
        """Yield the pages of a pass in order. Close it (`contextlib.aclosing`).

        The caller notes each page in `this` before it takes the next one.

        Args:
            start: the first page.
            skipped: pages at the start that do not count, because an earlier stream delivered them.

        Raises:
            GatewayError: what fetch raises; STREAM_LIMIT_REACHED.
        """
        number, limit = start, start + skipped + self._most - 1
        first = await self._get(start)
        self._window.learn(first.attempts)
        yield first.page

        def next_number() -> int | None:
            nonlocal number
            if number >= limit or not this.has_after(number):
                return None
            number += 1
            return number

        async with aclosing(in_order(self._get, next_number, self._window)) as fetched:
            async for each in fetched:
                yield each.page
                if this.over:
                    return
        if this.has_after(number):
            raise GatewayFault(Reason.STREAM_LIMIT_REACHED, f"{self._most} pages")

    async def _get(self, number: int) -> Fetched:
        """Fetch a page. The very first may be of a smaller size: the list is read in that one."""
        self.calls += 1
        fetched = await self._fetch(number, self.page_size)
        if fetched.page.page_size != self.page_size:
            if self.calls > 1:
                raise MalformedAnswer("PageSize changed between two calls")
            self.page_size = fetched.page.page_size
        return fetched
