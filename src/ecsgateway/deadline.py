"""The time that a call has left."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """A point of the monotonic clock after which nobody waits for the answer any more."""

    at: float
    clock: Callable[[], float] = monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = monotonic) -> "Deadline":
        """Return the deadline so many seconds from now."""
        return cls(at=clock() + seconds, clock=clock)

    def left(self) -> float:
        """Return the seconds left; zero or less when it is over."""
        return self.at - self.clock()
