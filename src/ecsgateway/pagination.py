"""The whole list from numbered pages: in order, complete, each account once, honest about change.

The upstream has no snapshot and no cursor: when an account goes, all that follow move up by one, and what
was first on the next page is skipped. A reading of the list (a pass) is therefore trusted only if nothing in
it shows a change: every page tells the same total, no account comes twice, no page before the last is short,
and as many accounts came as the total says. Otherwise the list is read again, and what no earlier pass
delivered is delivered. docs/decisions/0006 has the levels of consistency, their cost and their proof.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from ecsgateway.deadline import Deadline
from ecsgateway.errors import GatewayError, GatewayFault, MalformedAnswer
from ecsgateway.mapping import Reason
from ecsgateway.passes import Pass, keep_only_new
from ecsgateway.prefetch import Fetched, Window, in_order
from ecsgateway.resume import Position, fingerprint
from ecsgateway.v1.image_share_permission_pb2 import Consistency, ImageSharePermissionPage, StreamSummary

MAX_PASSES = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0

FetchPage = Callable[[int, int], Awaitable[Fetched]]
"""Fetches the page of a number and a size; the page may be of a smaller size, if the upstream says so."""


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
        pages: the most pages of one pass.
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
        self._fetch = fetch
        self._page_size = resume.page_size if resume else page_size
        self._deadline = deadline
        self._verify = verify
        self._resume = resume
        self._bounds = bounds
        self._sleep = sleep
        self._window = Window(bounds.prefetch)
        self._calls = 0
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
        delivered: frozenset[str] = frozenset()
        groups: frozenset[str] = frozenset()
        previous: Pass | None = None
        while True:
            this = Pass(page_size=self._page_size, before=(start - 1) * self._page_size)
            new, witness, waits = ImageSharePermissionPage(), b"", False
            async with aclosing(self._pages(this, start)) as pages:
                async for page in pages:
                    if waits:  # it was not the last after all
                        yield self._part(new, witness)
                    new, witness = page, _witness(page)
                    this.note(new)
                    self._changed |= this.changed or this.duplicates > 0 or previous is not None
                    if self._resume and page.page_number == start:
                        self._check_resumed(witness, this)
                        keep_only_new(new, this.ids, this.groups)
                    keep_only_new(new, delivered, groups)
                    waits = bool(new.accounts or new.share_groups) or not (previous or self._resume)
                    if waits and page.page_number < this.last_page:
                        yield self._part(new, witness)
                        waits = False
            is_list = await self._is_list(this, previous)
            if not waits:  # sent, or known before
                del new.accounts[:], new.share_groups[:]
            if is_list:
                yield self._part(new, witness, last=True)
                return
            if waits:
                yield self._part(new, witness)
            delivered, groups, previous = delivered | this.ids, groups | this.groups, this

    async def _verified(self) -> AsyncGenerator[Part]:
        """Read until two passes agree; deliver the second, or what of it a resumption lacks."""
        previous: Pass | None = None
        while True:
            this = Pass(page_size=self._page_size)
            read: list[ImageSharePermissionPage] = []
            async with aclosing(self._pages(this, 1)) as pages:
                async for page in pages:
                    this.note(page)
                    read.append(page)
            if await self._is_list(this, previous):
                break
            previous = this
        witness = fingerprint(sorted(this.ids))
        first = 1
        if self._resume:
            self._check_resumed(witness, this)
            first = min(self._resume.next_page, len(read))
            if first < self._resume.next_page:
                del read[-1].accounts[:], read[-1].share_groups[:]
        for page in read[first - 1 :]:
            yield self._part(page, witness, last=page is read[-1])

    async def _pages(self, this: Pass, start: int) -> AsyncGenerator[ImageSharePermissionPage]:
        """Fetch the pages of one pass. The caller notes each in `this` before it takes the next."""
        first = await self._get(start)
        this.page_size = self._page_size
        yield first.page
        number = start

        def next_number() -> int | None:
            nonlocal number
            if number >= min(this.last_page, start + self._bounds.pages - 1):
                return None
            number += 1
            return number

        async with aclosing(in_order(self._get, next_number, self._window)) as fetched:
            async for each in fetched:
                yield each.page
        while number < this.last_page or this.goes_on:
            if this.pages >= self._bounds.pages:
                raise GatewayFault(Reason.STREAM_LIMIT_REACHED, f"{self._bounds.pages} pages")
            number += 1
            yield (await self._get(number)).page

    async def _get(self, number: int) -> Fetched:
        """Fetch a page of this listing. The first may be of a smaller size: the list is read in that one."""
        self._calls += 1
        try:
            fetched = await self._fetch(number, self._page_size)
        except GatewayError as error:
            if error.reason is Reason.DEADLINE_EXCEEDED and self._passes >= 2:
                raise GatewayFault(Reason.LISTING_CHANGED, "it kept changing until the deadline") from error
            raise
        if fetched.page.page_size != self._page_size:
            if self._calls > 1:
                raise MalformedAnswer("PageSize changed between two calls")
            self._page_size = fetched.page.page_size
        return fetched

    async def _is_list(self, this: Pass, previous: Pass | None) -> bool:
        """Tell whether a pass is the whole list; if not, wait as long as another should."""
        self._passes += 1
        self._duplicates += this.duplicates
        if this.clean and not self._verify:
            return True
        if previous and this.agrees(previous):
            if not this.complete:
                raise GatewayFault(Reason.UPSTREAM_INCOMPLETE, f"{len(this.ids)} of {this.total} accounts")
            return True
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (self._passes - 2)) if self._passes > 1 else 0.0
        if self._passes >= MAX_PASSES or pause >= self._deadline.left():
            raise GatewayFault(Reason.LISTING_CHANGED, f"read {self._passes} times")
        await self._sleep(pause)
        return False

    def _check_resumed(self, witness: bytes, this: Pass) -> None:
        """Make sure that what an earlier stream delivered is still the beginning of the list."""
        if self._resume and witness != self._resume.witness:
            raise GatewayFault(Reason.LISTING_CHANGED, "it changed since the resume token was issued")
        self._changed |= self._resume is not None and this.total != self._resume.total

    def _part(self, page: ImageSharePermissionPage, witness: bytes, *, last: bool = False) -> Part:
        """Make a page the next message."""
        self._sent_pages += 1
        self._sent_accounts += len(page.accounts)
        position = Position(
            page_size=self._page_size,
            next_page=page.page_number + 1,
            total=page.total_count,
            sent_pages=self._sent_pages,
            sent_accounts=self._sent_accounts,
            witness=witness,
            verify=self._verify,
            changed=self._changed and not self._verify,
        )
        return Part(page=page, position=position, summary=self._summary() if last else None)

    def _summary(self) -> StreamSummary:
        if self._verify:
            consistency = Consistency.CONSISTENCY_VERIFIED
        elif self._changed:
            consistency = Consistency.CONSISTENCY_CHANGE_SEEN
        elif self._calls == 1:
            consistency = Consistency.CONSISTENCY_SINGLE_PAGE
        else:
            consistency = Consistency.CONSISTENCY_NO_CHANGE_SEEN
        return StreamSummary(
            page_count=self._sent_pages,
            account_count=self._sent_accounts,
            duplicate_count=self._duplicates,
            consistency=consistency,
        )


def _witness(page: ImageSharePermissionPage) -> bytes:
    return fingerprint(account.aliyun_id for account in page.accounts)
