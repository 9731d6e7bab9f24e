"""Credentials from Alibaba's default chain, kept fresh away from the event loop."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """An access key, with its STS token if it is a temporary one. Secrets stay out of its repr."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
