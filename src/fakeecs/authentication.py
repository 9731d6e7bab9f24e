"""Who is calling: key, clock, token, signature and nonce, checked in the order of decision 0003."""

import hmac
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from fakeecs.claims import Claim
from fakeecs.data import Key
from fakeecs.editions import Choices
from fakeecs.errors import Refused

WINDOW = 15 * 60
"""Seconds that a timestamp may be off, and during which a nonce may not come again."""
MAX_NONCES = 1_000_000
"""So many are remembered at most; the oldest go first."""

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9+/=_.~-]+")


class Authentication:
    """Verifies claims. `keys` may be changed at any time; `now` gives seconds since 1970."""

    def __init__(self, keys: dict[str, Key], now: Callable[[], float], choices: Choices) -> None:
        self.keys = keys
        self._now = now
        self._choices = choices
        self._nonces: OrderedDict[tuple[str, str], float] = OrderedDict()

    def verify(self, made: Claim) -> Key:
        """Give the key that signed.

        Raises:
            Refused: The request is not believed.
        """
        now = self._now()
        sent = parse_timestamp(made.timestamp)
        key = self.keys.get(made.key_id)
        if key is None:
            raise Refused("InvalidAccessKeyId.NotFound")
        if key.disabled:
            raise Refused("InvalidAccessKeyId.Inactive")
        if abs(now - sent) > WINDOW:
            raise Refused("InvalidTimeStamp.Expired")
        self._check_token(key, made.token)
        if not hmac.compare_digest(
            made.sign(key.secret, made.string_to_sign).encode(),
            made.signature.encode("utf-8", "surrogateescape"),
        ):
            raise Refused("SignatureDoesNotMatch", made.string_to_sign, message=made.mismatch)
        if key.expires is not None and now >= key.expires.timestamp():
            raise Refused("InvalidSecurityToken.Expired")
        self._use_nonce((made.key_id, made.nonce), now)
        return key

    def _check_token(self, key: Key, token: str) -> None:
        if not token and key.security_token is not None:
            raise Refused(self._choices.token_missing)
        if token and not _TOKEN.fullmatch(token):
            raise Refused("InvalidSecurityToken.Malformed")
        if token and token != key.security_token:
            raise Refused("InvalidSecurityToken.MismatchWithAccessKey")

    def _use_nonce(self, nonce: tuple[str, str], now: float) -> None:
        while self._nonces:
            oldest, used = next(iter(self._nonces.items()))
            if now - used <= WINDOW and len(self._nonces) < MAX_NONCES:
                break
            del self._nonces[oldest]
        if nonce in self._nonces:
            raise Refused("SignatureNonceUsed")
        self._nonces[nonce] = now


def parse_timestamp(text: str) -> float:
    """Seconds since 1970 of `YYYY-MM-DDThh:mm:ssZ`.

    Raises:
        Refused: It is written in another way.
    """
    try:
        if not _TIMESTAMP.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Refused("InvalidTimeStamp.Format") from None
