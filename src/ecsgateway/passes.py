"""One reading of a list: what it saw, and whether that can be the list."""

from collections.abc import Set
from dataclasses import dataclass, field

from ecsgateway.v1.image_share_permission_pb2 import ImageSharePermissionPage


@dataclass(kw_only=True)
class Pass:
    """What one reading of the list has shown so far.

    Attributes:
        page_size: accounts on a full page.
        before: accounts that the reading skips, because an earlier stream delivered them.
        changed: whether two pages contradict each other: totals, groups, a short page before another.
    """

    page_size: int
    before: int = 0
    total: int = 0
    pages: int = 0
    received: int = 0
    changed: bool = False
    ids: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    last_length: int = 0

    def note(self, page: ImageSharePermissionPage) -> None:
        """Take in the next page, and take off it what an earlier page of this pass had."""
        ids = [account.aliyun_id for account in page.accounts]
        groups = {group.group for group in page.share_groups}
        if self.pages:
            short = self.last_length < self.page_size
            self.changed |= short or page.total_count != self.total or groups != self.groups
        self.total, self.last_length = page.total_count, len(ids)
        self.pages += 1
        self.received += len(ids)
        keep_only_new(page, self.ids, self.groups)
        self.ids.update(ids)
        self.groups |= groups

    @property
    def last_page(self) -> int:
        """The number of the last page, as far as the total tells; at least 1."""
        return max(1, -(-self.total // self.page_size))

    @property
    def goes_on(self) -> bool:
        """Whether the pages that the total announces cannot be all."""
        missing = self.total - self.before - self.received
        return self.last_length > 0 and (missing > 0 or (missing < 0 and self.last_length == self.page_size))

    @property
    def duplicates(self) -> int:
        """The accounts that came again."""
        return self.received - len(self.ids)

    @property
    def complete(self) -> bool:
        """Whether as many different accounts came as the total says, or more."""
        return self.before + len(self.ids) >= self.total

    @property
    def clean(self) -> bool:
        """Whether nothing shows a change: this pass is the list."""
        return not self.changed and not self.duplicates and self.before + self.received == self.total

    def agrees(self, other: "Pass") -> bool:
        """Tell whether both passes saw the same list."""
        mine = (self.ids, self.groups, self.total, self.received)
        return mine == (other.ids, other.groups, other.total, other.received)


def keep_only_new(page: ImageSharePermissionPage, ids: Set[str], groups: Set[str]) -> None:
    """Take off the page the accounts and groups that are in the sets, and what it has twice."""
    own = {account.aliyun_id: account for account in page.accounts}
    if len(own) < len(page.accounts) or not ids.isdisjoint(own):
        new = [account for key, account in own.items() if key not in ids]
        del page.accounts[:]
        page.accounts.extend(new)
    if not groups.isdisjoint(group.group for group in page.share_groups):
        new_groups = [group for group in page.share_groups if group.group not in groups]
        del page.share_groups[:]
        page.share_groups.extend(new_groups)
