"""A list that is read page by page, without a network: what the tests of the reading share."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from ecsgateway.errors import GatewayError
from ecsgateway.prefetch import Fetched
from ecsgateway.v1.image_share_permission_pb2 import Account, ImageSharePermissionPage, ShareGroup


def page_of(
    ids: Sequence[str], *, number: int = 1, size: int = 10, total: int = 0, groups: Sequence[str] = ()
) -> ImageSharePermissionPage:
    """A page as the gateway has it after translation."""
    return ImageSharePermissionPage(
        page_number=number,
        page_size=size,
        total_count=total,
        share_groups=[ShareGroup(group=group) for group in groups],
        accounts=[Account(aliyun_id=each) for each in ids],
    )


def ids_of(pages: Sequence[ImageSharePermissionPage]) -> list[str]:
    """The accounts of pages, in order."""
    return [account.aliyun_id for page in pages for account in page.accounts]


def groups_of(pages: Sequence[ImageSharePermissionPage]) -> list[str]:
    """The groups of pages, in order."""
    return [each.group for page in pages for each in page.share_groups]


@dataclass(kw_only=True)
class ListUpstream:
    """Cuts pages from its list as it is at the time of the answer.

    Attributes:
        largest: the page size that a larger one is clamped to.
        first_only: whether only the first page tells the groups.
        calls: the page numbers asked for.
    """

    accounts: list[str]
    groups: list[str] = field(default_factory=list)
    largest: int = 100
    first_only: bool = False
    calls: list[int] = field(default_factory=list)

    def cut(self, number: int, size: int) -> ImageSharePermissionPage:
        size = min(size, self.largest)
        return page_of(
            self.accounts[(number - 1) * size : number * size],
            number=number,
            size=size,
            total=len(self.accounts),
            groups=self.groups if number == 1 or not self.first_only else [],
        )

    async def fetch(self, number: int, size: int) -> Fetched:
        self.calls.append(number)
        return Fetched(page=self.cut(number, size), attempts=1)


@dataclass(kw_only=True, eq=False)
class Pending:
    """A request that is under way."""

    number: int
    size: int
    answer: asyncio.Future[Fetched]


@dataclass(kw_only=True)
class HeldUpstream(ListUpstream):
    """Answers a request when it is told to: any of those under way, in any order."""

    pending: list[Pending] = field(default_factory=list)

    async def fetch(self, number: int, size: int) -> Fetched:
        self.calls.append(number)
        mine = Pending(number=number, size=size, answer=asyncio.get_running_loop().create_future())
        self.pending.append(mine)
        try:
            return await mine.answer
        finally:
            if mine in self.pending:
                self.pending.remove(mine)

    def answer(self, index: int = 0, *, attempts: int = 1) -> ImageSharePermissionPage:
        """Answer one of the requests; its page is cut now."""
        chosen = self.pending.pop(index)
        page = self.cut(chosen.number, chosen.size)
        chosen.answer.set_result(Fetched(page=page, attempts=attempts))
        return page

    def fail(self, error: GatewayError, index: int = 0) -> None:
        """Let one of the requests fail."""
        self.pending.pop(index).answer.set_exception(error)


async def settle() -> None:
    """Let everything run that can run."""
    for _ in range(24):
        await asyncio.sleep(0)
