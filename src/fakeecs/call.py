"""One request as the service reads it: decoded parameters, and what they say in either scheme."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal
from urllib.parse import unquote_plus, urlsplit

from fakeecs.signatures import ACS3, RPC, Pairs

Format = Literal["JSON", "XML"]

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request before anything in it is believed."""

    method: str
    path: str
    headers: Pairs
    query: Pairs
    form: Pairs
    body: bytes

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """Query and form together. See `repeated` for names that occur twice."""
        return dict((*self.query, *self.form))

    @cached_property
    def repeated(self) -> frozenset[str]:
        """Names of parameters given more than once."""
        if len(self.parameters) == len(self.query) + len(self.form):
            return frozenset()
        count = Counter(name for name, _ in (*self.query, *self.form))
        return frozenset(name for name, times in count.items() if times > 1)

    @cached_property
    def header(self) -> Mapping[str, str]:
        """Values by lower-case name; the last of a header sent twice."""
        return {name.lower(): value.strip() for name, value in self.headers}

    @cached_property
    def scheme(self) -> str:
        """Which signature the request carries, judged by where it would be."""
        return ACS3 if self.header.get("authorization", "").startswith("ACS3-") else RPC

    @property
    def action(self) -> str:
        """The operation: a header in ACS3, a parameter otherwise. Empty if there is none."""
        return self._common("x-acs-action", "Action")

    @property
    def version(self) -> str:
        """The version of the API. Empty if there is none."""
        return self._common("x-acs-version", "Version")

    @cached_property
    def host(self) -> str:
        """The name that the client called, without the port."""
        host = self.header.get("host", "")
        host = host.rpartition("//")[2]  # one SDK sends the whole endpoint, scheme included
        return host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host

    def format(self, acs3_default: Format) -> Format:
        """JSON or XML: `Format`, else what is accepted, else XML as documented for the older scheme."""
        match self.parameters.get("Format", "").upper():
            case "JSON":
                return "JSON"
            case "XML":
                return "XML"
        if self.scheme == RPC:
            return "XML"
        accept = self.header.get("accept", "")
        if "json" in accept:
            return "JSON"
        return "XML" if "xml" in accept else acs3_default

    def _common(self, header: str, parameter: str) -> str:
        if self.scheme == ACS3:
            return self.header.get(header, "")
        return self.parameters.get(parameter, "")


def read(method: str, target: str, headers: Pairs, body: bytes) -> Call:
    """Decode a request. `target` is the request line's, with its encoding as the client chose it."""
    if "://" in target[:8]:  # absolute form, through a proxy
        parts = urlsplit(target)
        target = f"{parts.path or '/'}?{parts.query}"
    path, _, query = target.partition("?")
    content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
    form = body.decode("utf-8", "surrogateescape") if content_type.strip().lower().startswith(FORM) else ""
    return Call(
        method=method,
        path=path,
        headers=headers,
        query=_decode(query),
        form=_decode(form),
        body=body,
    )


def _decode(text: str) -> Pairs:
    return tuple([_decode_pair(part) for part in text.split("&") if part])


@lru_cache(maxsize=4096)  # most pairs come again with every request
def _decode_pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return unquote_plus(name, errors="surrogateescape"), unquote_plus(value, errors="surrogateescape")
