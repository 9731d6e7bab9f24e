"""A compact exact set of account ids: a stream remembers every id that it sent, and many run at a time."""

from array import array
from bisect import bisect_left

_TABLES = 127


class IdSet:
    """A set of ids in some ten bytes each, where a set of text takes 110.

    Ids that are decimal numbers, as account ids are, are kept as numbers in sorted tables; there are many
    tables, so that little is moved for a new one. Anything else is kept as text: the set is exact for that
    too.
    """

    def __init__(self) -> None:
        self._tables = [array("Q") for _ in range(_TABLES)]
        self._others: set[str] = set()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, account_id: str) -> bool:
        """Put an id in, and tell whether it is new."""
        if _is_number(account_id):
            number = int(account_id)
            table = self._tables[number % _TABLES]
            place = bisect_left(table, number)
            if place < len(table) and table[place] == number:
                return False
            table.insert(place, number)
        elif account_id in self._others:
            return False
        else:
            self._others.add(account_id)
        self._length += 1
        return True


def _is_number(account_id: str) -> bool:
    """Whether the id is the only way to write its number, and that fits 64 bits."""
    return len(account_id) < 20 and account_id.isdecimal() and account_id[0] != "0" and account_id.isascii()
