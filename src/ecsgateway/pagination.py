"""The whole list from numbered pages: in order, complete, each account once, honest about change.

The upstream has no snapshot and no cursor: when an account goes, all that follow move up by one, and what
was first on the next page is skipped. A reading of the list (a pass) is therefore trusted only if nothing in
it shows a change. Otherwise the list is read again, and what no earlier pass delivered is delivered.
docs/decisions/0006 has the levels of consistency, their cost and their proof.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from ecsgateway.deadline import Deadline
from ecsgateway.errors import GatewayFault
from ecsgateway.mapping import Reason
from ecsgateway.passes import Pass, Seen
from ecsgateway.prefetch import Fetched
from ecsgateway.reading import FetchPage, Reader
from ecsgateway.resume import Position
from ecsgateway.v1.image_share_permission_pb2 import Consistency, ImageSharePermissionPage, StreamSummary

MAX_PASSES = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_MARGIN = 0.05
"""Seconds before the deadline at which a list that kept changing is given up, so that this is told."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One message: what is new on a page, where to resume after it, and the summary if it is the last."""

    page: ImageSharePermissionPage
    position: Position
    summary: StreamSummary | None = None


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How far a reading may go.

    Attributes:
        prefetch: the most pages that are fetched ahead of the reader.
        pages: the most pages of one pass over the list.
    """

    prefetch: int = 16
    pages: int = 1000


class Listing:
    """Reads the whole list of one image, once.

    Args:
        fetch: fetches a page; raises GatewayError.
        page_size: accounts per page.
        deadline: of the call; ends a list that will not hold still.
        verify: whether to read until two passes agree, and to deliver only then.
        resume: where an earlier stream ended.
        sleep: waits between passes over a list that keeps changing.
    """

    def __init__(
        self,
        fetch: FetchPage,
        *,
        page_size: int,
        deadline: Deadline,
        verify: bool = False,
        resume: Position | None = None,
        bounds: Bounds = Bounds(),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        size = resume.page_size if resume else page_size
        self._reader = Reader(self._in_time, page_size=size, prefetch=bounds.prefetch, most=bounds.pages)
        self._fetch = fetch
        self._deadline = deadline
        self._verify = verify
        self._resume = resume
        self._sleep = sleep
        self._passes = 0
        self._changed = False
        self._duplicates = 0
        self._sent_pages = resume.sent_pages if resume else 0
        self._sent_accounts = resume.sent_accounts if resume else 0

    async def parts(self) -> AsyncGenerator[Part]:
        """Yield the messages; the last has the summary. Close it (`contextlib.aclosing`).

        Raises:
            GatewayError: what fetch raises; LISTING_CHANGED, UPSTREAM_INCOMPLETE, STREAM_LIMIT_REACHED.
        """
        if self._resume and self._resume.changed:
            raise GatewayFault(Reason.LISTING_CHANGED, "it changed before the stream broke")
        async with aclosing(self._verified() if self._verify else self._as_it_comes()) as parts:
            async for part in parts:
                yield part

    async def _as_it_comes(self) -> AsyncGenerator[Part]:
        """Deliver each page when it comes, then what is new on later passes, until a pass is the list."""
        start = self._resume.next_page - 1 if self._resume else 1
        known: Seen | None = None
        previous = b""
        while True:
            this = Pass(before=(start - 1) * self._reader.page_size)
            latest, waits = ImageSharePermissionPage(), False
            async with aclosing(self._reader.pages(this, start, skipped=bool(self._resume))) as pages:
                async for page in pages:
                    if waits:  # it was not the last after all
                        yield self._part(latest, this.mark)
                    latest = page
                    this.note(page)
                    self._changed |= this.changed
                    if self._resume:
                        self._check_resumed(self._resume, this, page)
                    if known:
                        known.keep_new(page)
                    waits = bool(page.accounts or page.share_groups) or not (known or self._resume)
                    if waits and page.page_number < this.last_page:
                        yield self._part(page, this.mark)
                        waits = False
            is_list = await self._is_list(this, previous)
            if is_list or waits:
                yield self._part(latest if waits else _emptied(latest), this.mark, last=is_list)
            if is_list:
                return
            known, previous = known or this.seen, this.digest

    async def _verified(self) -> AsyncGenerator[Part]:
        """Read until two passes agree; deliver the second, or what of it a resumption lacks."""
        previous = b""
        while True:
            this = Pass()
            read: list[bytes] = []  # a tenth of what the pages take
            async with aclosing(self._reader.pages(this, 1)) as pages:
                async for page in pages:
                    this.note(page)
                    read.append(page.SerializeToString())
            if await self._is_list(this, previous):
                break
            previous = this.digest
        mark = this.digest[: len(this.mark)]
        first = 1
        if self._resume:
            if self._resume.witness != mark:
                raise GatewayFault(Reason.LISTING_CHANGED, "it changed since the resume token was issued")
            first = self._resume.next_page
        if first > len(read):
            yield self._part(_emptied(ImageSharePermissionPage.FromString(read[-1])), mark, last=True)
        for number, each in enumerate(read[first - 1 :], first):
            yield self._part(ImageSharePermissionPage.FromString(each), mark, last=number == len(read))

    def _check_resumed(self, resume: Position, this: Pass, page: ImageSharePermissionPage) -> None:
        """Make sure that what an earlier stream delivered is still the beginning of the list.

        The first page read is the last one delivered: it bears witness, and is not delivered again.
        """
        if page.page_number < resume.next_page:
            if this.mark != resume.witness:
                raise GatewayFault(Reason.LISTING_CHANGED, "it changed since the resume token was issued")
            _emptied(page)
        if this.changed:
            raise GatewayFault(Reason.LISTING_CHANGED, "what was delivered before cannot be read again")

    async def _is_list(self, this: Pass, previous: bytes) -> bool:
        """Tell whether a pass is the whole list; if not, wait as long as another should.

        Args:
            previous: the digest of the pass before; empty if there was none.
        """
        self._passes += 1
        self._duplicates += this.duplicates
        if this.digest == previous and not this.torn:
            if not this.complete:
                raise GatewayFault(
                    Reason.UPSTREAM_INCOMPLETE, f"{len(this.seen.ids)} of {this.total} accounts"
                )
            return True
        self._changed |= this.changed or previous != b""
        if this.clean and not self._verify:
            return True
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (self._passes - 2)) if previous else 0.0
        if self._passes >= MAX_PASSES or pause >= self._deadline.left():
            raise GatewayFault(Reason.LISTING_CHANGED, f"read {self._passes} times")
        await self._sleep(pause)
        return False

    async def _in_time(self, number: int, size: int) -> Fetched:
        """Fetch a page. If the list has changed before, this is what the caller is told at its deadline."""
        if not self._changed:
            return await self._fetch(number, size)
        left = self._deadline.left() - _MARGIN
        with suppress(TimeoutError):
            if left > 0:
                async with asyncio.timeout(left):
                    return await self._fetch(number, size)
        raise GatewayFault(Reason.LISTING_CHANGED, "it kept changing until the deadline")

    def _part(self, page: ImageSharePermissionPage, witness: bytes, *, last: bool = False) -> Part:
        """Make a page the next message."""
        self._sent_pages += 1
        self._sent_accounts += len(page.accounts)
        position = Position(
            page_size=self._reader.page_size,
            next_page=page.page_number + 1,
            sent_pages=self._sent_pages,
            sent_accounts=self._sent_accounts,
            witness=witness,
            verify=self._verify,
            changed=not self._verify and (self._changed or (self._passes > 0 and not last)),
        )
        return Part(page=page, position=position, summary=self._summary() if last else None)

    def _summary(self) -> StreamSummary:
        if self._verify:
            consistency = Consistency.CONSISTENCY_VERIFIED
        elif self._changed:
            consistency = Consistency.CONSISTENCY_CHANGE_SEEN
        elif self._reader.calls == self._sent_pages == 1:
            consistency = Consistency.CONSISTENCY_SINGLE_PAGE
        else:
            consistency = Consistency.CONSISTENCY_NO_CHANGE_SEEN
        return StreamSummary(
            page_count=self._sent_pages,
            account_count=self._sent_accounts,
            duplicate_count=self._duplicates,
            consistency=consistency,
        )


def _emptied(page: ImageSharePermissionPage) -> ImageSharePermissionPage:
    """Take everything off a page; what is left tells where and of what list it is."""
    del page.accounts[:], page.share_groups[:]
    return page
