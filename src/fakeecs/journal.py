"""What the fake saw: one entry for each request, from its arrival on."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from fakeecs.call import Call

KEPT = 100_000
"""So many entries are kept at least; the oldest go first."""


@dataclass(kw_only=True)
class Entry:
    """A request and what became of it. Times are of the monotonic clock."""

    action: str
    region: str
    image_id: str
    page_number: int | None
    page_size: int | None
    scheme: str
    method: str
    key_id: str = ""
    nonce: str = ""
    string_to_sign: str = field(default="", repr=False)
    """What the server would have the client sign."""
    request_id: str
    status: int | None = None
    """The HTTP status sent; None while there is no answer."""
    code: str | None = None
    """The error's code; None for a page."""
    fault: str | None = None
    """The kind of the fault that hit it."""
    started: float
    ended: float | None = None
    aborted: bool = False
    """The client went away before its answer was complete."""
    parameters: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def page(self) -> int:
        """The page meant: the first if none is given."""
        return 1 if self.page_number is None else self.page_number


def open_entry(call: Call, request_id: str) -> Entry:
    """Note a request that has just arrived."""
    given = call.parameters
    return Entry(
        action=call.action,
        region=given.get("RegionId", ""),
        image_id=given.get("ImageId", ""),
        page_number=_lenient_int(given.get("PageNumber", "")),
        page_size=_lenient_int(given.get("PageSize", "")),
        scheme=call.scheme,
        method=call.method,
        request_id=request_id,
        started=time.monotonic(),
        parameters=given,
        headers=call.header,
    )


def keep(journal: list[Entry], entry: Entry) -> None:
    """Append, and forget the oldest half once there are twice as many as are kept."""
    journal.append(entry)
    if len(journal) >= 2 * KEPT:
        del journal[:KEPT]


def _lenient_int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
