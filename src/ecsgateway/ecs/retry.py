"""Whether and when a failed call is tried again: the error says if it may, the budget if we can afford it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ecsgateway.errors import GatewayError
from ecsgateway.mapping import Retry

MAX_ATTEMPTS = 3
_WINDOW = 60.0
_WINDOW_JITTER = 3.0


@dataclass(kw_only=True)
class RetryBudget:
    """Bounds the extra load on an upstream that fails.

    Each call earns a part of a retry, each retry costs one.
    With a ratio of 0.2, an upstream that fails for good gets 1.2 times its load, after the first few calls.

    Args:
        ratio: retries earned by a call.
        most: retries that can be saved up; also what there is at the start.
    """

    ratio: float = 0.2
    most: float = 10.0

    def __post_init__(self) -> None:
        self._saved = self.most

    def earn(self) -> None:
        """Count a call."""
        self._saved = min(self.most, self._saved + self.ratio)

    def spend(self) -> bool:
        """Pay for a retry; False if the budget has not enough."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before another attempt.

    Args:
        initial: seconds; the bound of the first delay, doubled for each further one.
        longest: seconds; the bound of any delay.
        random: returns a number from 0 to 1.
    """

    initial: float = 0.1
    longest: float = 2.0
    random: Callable[[], float] = random.random

    def delay(self, error: GatewayError, attempt: int) -> float | None:
        """Return the seconds to wait after this attempt failed, or None if it must not be repeated."""
        if error.final or attempt >= MAX_ATTEMPTS:
            return None
        match error.row.retry:
            case Retry.BACKOFF | Retry.ONCE:
                return self._jittered(attempt)
            case Retry.WINDOW:
                return error.retry_after
            case _:
                return None

    def _jittered(self, attempt: int) -> float:
        """Full jitter: anything up to the bound, so that callers who failed together do not come together."""
        return self.random() * min(self.longest, self.initial * 2.0 ** (attempt - 1))

    def advice(self) -> float:
        """Return the seconds after which a caller may try what this gateway has given up."""
        return self.random() * self.longest

    def until_next_window(self, upstream_clock: datetime) -> float:
        """Return the seconds until the quota's next minute begins, plus some to spread callers.

        Source: the vendor's page on API throttling: what is refused in minute T may be sent from T+1.
        """
        return _WINDOW - upstream_clock.second % _WINDOW + self.random() * _WINDOW_JITTER
