"""One reading of a list: what it saw, and whether that can be the list. docs/decisions/0006 has the proof."""

import hashlib
from dataclasses import dataclass, field

from ecsgateway.idset import IdSet
from ecsgateway.v1.image_share_permission_pb2 import ImageSharePermissionPage


class Seen:
    """The accounts and groups that have come."""

    def __init__(self) -> None:
        self.ids = IdSet()
        self.groups: set[str] = set()

    def keep_new(self, page: ImageSharePermissionPage) -> None:
        """Take off the page what has come before, and remember the rest."""
        accounts = [account for account in page.accounts if self.ids.add(account.aliyun_id)]
        if len(accounts) < len(page.accounts):
            del page.accounts[:]
            page.accounts.extend(accounts)
        groups = [each for each in page.share_groups if each.group not in self.groups]
        self.groups.update(each.group for each in groups)
        if len(groups) < len(page.share_groups):
            del page.share_groups[:]
            page.share_groups.extend(groups)


@dataclass(kw_only=True)
class Pass:
    """What one reading of the list has shown so far.

    Attributes:
        before: accounts that the reading skips, because an earlier stream delivered them.
        page_size: accounts on a full page.
        total: the number of accounts that the first page told.
        number: the number of the latest page.
        received: accounts that came, repeats included.
        torn: whether two pages told different totals: there is no list that both are of.
        mark: the fingerprint of the latest page.
        digest: the fingerprint of all pages; equal digests mean equal pages.
    """

    before: int = 0
    page_size: int = 0
    total: int = 0
    number: int = 0
    received: int = 0
    torn: bool = False
    mark: bytes = b""
    digest: bytes = b""
    seen: Seen = field(default_factory=Seen)
    _length: int = 0
    _odd: bool = False

    def note(self, page: ImageSharePermissionPage) -> None:
        """Take in the next page, and take off it what an earlier page of this pass had."""
        self.mark = fingerprint(page)
        if self.number:
            self.torn |= page.total_count != self.total
            self._odd |= self._length < self.page_size and len(page.accounts) > 0
            self._odd |= any(each.group not in self.seen.groups for each in page.share_groups)
        else:
            self.page_size, self.total = page.page_size, page.total_count
        self.digest = hashlib.sha256(self.digest + self.mark).digest()
        self.number = page.page_number
        self._length = len(page.accounts)
        self.received += self._length
        self.seen.keep_new(page)

    @property
    def last_page(self) -> int:
        """The number of the last page, as far as the total tells; at least 1."""
        return max(1, -(-self.total // self.page_size))

    @property
    def over(self) -> bool:
        """Whether a further page could not make this pass the list, or would be empty too."""
        return self.torn or self._length == 0

    def has_after(self, number: int) -> bool:
        """Tell whether the page after this number is to be fetched, as far as is known.

        Up to the last page that the total announces, it is. Behind it, only if the pages up to here cannot
        be all: fewer accounts came than the total says, or more and the page is full.
        """
        if self.over or number < self.last_page:
            return not self.over
        missing = self.total - self.before - self.received
        return number == self.number and (missing > 0 or (missing < 0 and self._length == self.page_size))

    @property
    def duplicates(self) -> int:
        """The accounts that came again."""
        return self.received - len(self.seen.ids)

    @property
    def changed(self) -> bool:
        """Whether two pages contradict each other: totals, an account twice, a short page, a new group."""
        return self.torn or self._odd or self.duplicates > 0

    @property
    def clean(self) -> bool:
        """Whether nothing speaks against it: this pass is the list."""
        return not self.changed and self.before + self.received == self.total

    @property
    def complete(self) -> bool:
        """Whether as many different accounts came as the total says, or more."""
        return self.before + len(self.seen.ids) >= self.total


def fingerprint(page: ImageSharePermissionPage) -> bytes:
    """Return eight bytes that differ when a page's total, groups, accounts or the accounts' order do."""
    groups = sorted(each.group for each in page.share_groups)
    said = [str(page.total_count), *groups, "", *(account.aliyun_id for account in page.accounts)]
    return hashlib.sha256("\n".join(said).encode()).digest()[:8]
