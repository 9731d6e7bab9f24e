"""The faults in force: which of them hits a request, and after which delay."""

import itertools
import math
from collections import Counter
from random import Random

from fakeecs.journal import Entry
from fakeecs.trouble import Fault, Latency, MinuteWindow


class Faults:
    """The faults in force, in the order in which they were added; the first that fits a request hits it.

    Faults that only delay add up with the one that hits.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._ids = itertools.count(1)
        self._rules: dict[int, Fault | MinuteWindow] = {}
        self._met: Counter[int] = Counter()
        self._windows: Counter[tuple[int, str, str, str]] = Counter()
        self._minute = 0

    def add(self, rule: Fault | MinuteWindow) -> int:
        """Put a rule in force and give its number."""
        number = next(self._ids)
        self._rules[number] = rule
        return number

    def remove(self, number: int) -> None:
        """Take one rule back.

        Raises:
            KeyError: There is none of this number.
        """
        del self._rules[number]

    def clear(self) -> None:
        """Take all rules back."""
        self._rules.clear()
        self._met.clear()
        self._windows.clear()

    def rules(self) -> dict[int, Fault | MinuteWindow]:
        """The rules in force by number, also those that have hit as often as they may."""
        return dict(self._rules)

    def strike(self, entry: Entry, *, account: str, now: float) -> tuple[float, Fault | None]:
        """Seconds to wait, and what goes wrong then, if anything."""
        latency = 0.0
        for number, rule in list(self._rules.items()):
            hit = (
                self._throttle(number, rule, entry, account, now)
                if isinstance(rule, MinuteWindow)
                else self._fault(number, rule, entry)
            )
            if hit is None:
                continue
            latency += self._seconds(hit.latency)
            if not hit.only_delays:
                return latency, hit
        return latency, None

    def _fault(self, number: int, fault: Fault, entry: Entry) -> Fault | None:
        if not fault.matches(entry):
            return None
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return None
        self._met[number] += 1
        hits = self._met[number] - fault.skip
        return fault if hits > 0 and (fault.times is None or hits <= fault.times) else None

    def _throttle(
        self, number: int, window: MinuteWindow, entry: Entry, account: str, now: float
    ) -> Fault | None:
        if window.region not in (None, entry.region):
            return None
        minute = math.floor(now / 60)
        if minute != self._minute:
            self._minute = minute
            self._windows.clear()
        key = (number, account, entry.region, entry.action)
        self._windows[key] += 1
        if self._windows[key] <= window.limit:
            return None
        if window.retry_after_ms == "next-minute":
            left = math.ceil((minute + 1) * 60_000 - now * 1000)
            return Fault(code=window.code, retry_after_ms=left)
        return Fault(code=window.code, retry_after_ms=window.retry_after_ms)

    def _seconds(self, latency: Latency) -> float:
        match latency:
            case ("uniform", low, high):
                return self._random.uniform(low, high)
            case ("exponential", mean):
                return self._random.expovariate(1 / mean)
            case ("lognormal", median, sigma):
                return self._random.lognormvariate(math.log(median), sigma)
            case _:
                return latency
