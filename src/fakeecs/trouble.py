"""Trouble on demand: which request fails, and in which way."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar, Literal, cast

from fakeecs.data import STRICT
from fakeecs.journal import Entry

Kind = Literal[
    "error",  # the error `code`; without one the right answer, so that `latency` alone only delays
    "body",  # `body` in place of the answer
    "html",  # an error page, as a load balancer sends it
    "redirect",  # to `headers["Location"]`
    "garbage",  # `body` in place of HTTP
    "truncate",  # the connection is closed half-way through the body
    "close",  # closed in good order before the answer
    "reset",  # the same with a reset
    "half_close",  # no answer, but the end of the stream; the client must hang up
    "stall",  # no answer
    "drip",  # the answer byte by byte
]
Distribution = Literal["uniform", "exponential", "lognormal"]
Latency = float | tuple[Distribution, float] | tuple[Distribution, float, float]
"""Seconds, or a distribution of them: uniform(low, high), exponential(mean), lognormal(median, sigma)."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with the requests that match. What is not given matches all."""

    __pydantic_config__: ClassVar = STRICT

    kind: Kind = "error"

    action: str | None = None
    region: str | None = None
    image: str | None = None
    page: int | None = None
    key_id: str | None = None
    skip: int = 0
    """So many matching requests pass first."""
    times: int | None = None
    """So many are hit; None: all of them, until the fault is removed."""
    probability: float = 1.0

    code: str | None = None
    status: int | None = None
    """The documented one of the code if None; alone, it chooses a code."""
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    retry_after_ms: int | None = None
    """Sent as `x-acs-retry-after`."""
    latency: Latency = 0.0
    """Before the answer."""
    body: bytes | None = None
    repeat: int = 1
    """The body is sent so many times in a row, as one body."""
    framing: Literal["length", "chunked", "until-close"] = "length"
    after: int | None = None
    """How many bytes of the body are sent well before the trouble of a `kind` that cuts the answer;
    None: not even the head, or half of the body to `truncate`."""
    interval: float = 0.01
    """Seconds between the bytes of a `drip`."""

    def __post_init__(self) -> None:
        if self.kind == "redirect" and "Location" not in self.headers:
            raise ValueError('a redirect needs headers={"Location": ...}')
        if isinstance(self.latency, tuple) and len(self.latency) != (
            2 if self.latency[0] == "exponential" else 3
        ):
            raise ValueError(f"latency: wrong number of parameters for the distribution {self.latency[0]}")

    def matches(self, entry: Entry) -> bool:
        """Whether the fault is meant for a request; a page not given is the first."""
        wanted = (self.action, self.region, self.image, self.page, self.key_id)
        page = 1 if entry.page_number is None else entry.page_number
        actual = (entry.action, entry.region, entry.image_id, page, entry.key_id)
        return all(want is None or want == got for want, got in zip(wanted, actual, strict=True))

    @property
    def only_delays(self) -> bool:
        """Whether nothing of the answer changes."""
        return self == Fault(**{name: getattr(self, name) for name in _SELECTING})


_SELECTING = ("action", "region", "image", "page", "key_id", "skip", "times", "probability", "latency")


@dataclass(frozen=True, kw_only=True)
class MinuteWindow:
    """Throttling as the service does it: so many requests per account, region and operation each minute.

    Who is refused in one minute of the clock is served again from the next one on.
    """

    __pydantic_config__: ClassVar = STRICT
    limit: int
    region: str | None = None
    code: str = "Throttling"
    retry_after_ms: int | Literal["next-minute"] | None = None


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
        if not isinstance(latency, tuple):
            return latency
        if latency[0] == "exponential":
            return self._random.expovariate(1 / latency[1])
        _, first, second = cast("tuple[str, float, float]", latency)  # Fault has counted them
        if latency[0] == "uniform":
            return self._random.uniform(first, second)
        return self._random.lognormvariate(math.log(first), second)
