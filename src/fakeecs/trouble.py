"""Trouble on demand: what can be asked for, and which requests it is meant for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

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
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]


def _explain(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        forms = '["uniform", low, high], ["exponential", mean] or ["lognormal", median, sigma]'
        raise ValueError(f"Input should be seconds, {forms}") from None


Latency = (
    Seconds
    | tuple[Literal["uniform"], Seconds, Seconds]
    | tuple[Literal["exponential"], Above0]
    | tuple[Literal["lognormal"], Above0, Seconds]
)
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
    skip: Count = 0
    """So many matching requests pass first."""
    times: Annotated[int, Field(ge=1)] | None = None
    """So many are hit; None: all of them, until the fault is removed."""
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0

    code: str | None = None
    status: Annotated[int, Field(ge=100, le=999)] | None = None
    """The documented one of the code if None; alone, it chooses a code."""
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    retry_after_ms: Count | None = None
    """Sent as `x-acs-retry-after`."""
    latency: Annotated[Latency, WrapValidator(_explain)] = 0.0
    """Before the answer."""
    body: bytes | None = None
    repeat: Count = 1
    """The body is sent so many times in a row, as one body."""
    framing: Literal["length", "chunked", "until-close"] = "length"
    after: Count | None = None
    """How many bytes of the body are sent well before the trouble of a `kind` that cuts the answer;
    None: not even the head, or half of the body to `truncate`."""
    interval: Seconds = 0.01
    """Seconds between the bytes of a `drip`."""

    def __post_init__(self) -> None:
        if self.kind == "redirect" and "Location" not in self.headers:
            raise ValueError('a redirect needs headers={"Location": ...}')

    def matches(self, entry: Entry) -> bool:
        """Whether the fault is meant for a request."""
        wanted = (self.action, self.region, self.image, self.page, self.key_id)
        actual = (entry.action, entry.region, entry.image_id, entry.page, entry.key_id)
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
    limit: Count
    region: str | None = None
    code: str = "Throttling"
    retry_after_ms: Count | Literal["next-minute"] | None = None
