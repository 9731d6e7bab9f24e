"""Planned changes of a list of accounts: the list that a page is cut from is not the one before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from fakeecs.data import STRICT, Account, Data
from fakeecs.journal import Entry


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to an image right before a page of it is answered, once."""

    __pydantic_config__: ClassVar = STRICT
    region: str
    image: str
    page: int = 1
    remove: Sequence[str] = ()
    """Ids of accounts that the image is no longer shared with."""
    add: Sequence[Account] = ()
    at: Literal["front", "back"] = "back"
    """Where accounts are added."""
    groups: Sequence[str] | None = None
    """The groups from then on; None leaves them."""


class Changes:
    """The changes that are still to come."""

    def __init__(self) -> None:
        self.planned: list[Change] = []

    def add(self, change: Change) -> None:
        """Plan a change."""
        self.planned.append(change)

    def clear(self) -> None:
        """Forget what is still to come."""
        self.planned.clear()

    def apply(self, entry: Entry, data: Data) -> None:
        """Make the changes that are due before a request is answered."""
        if not self.planned:
            return
        asked = (entry.region, entry.image_id, entry.page)
        due = [change for change in self.planned if (change.region, change.image, change.page) == asked]
        for change in due:
            self.planned.remove(change)
            _make(change, data)


def _make(change: Change, data: Data) -> None:
    image = data.regions.get(change.region, {}).get(change.image)
    if image is None:
        return
    kept = [account for account in image.accounts if account.aliyun_id not in change.remove]
    added = list(change.add)
    image.accounts = added + kept if change.at == "front" else kept + added
    if change.groups is not None:
        image.groups = list(change.groups)
