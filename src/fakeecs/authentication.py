"""Who is calling: keys, clock, signature, nonce and security token, checked in the order of decision 0003."""

import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from fakeecs.call import Call
from fakeecs.data import Key
from fakeecs.editions import Choices
from fakeecs.errors import Refused
from fakeecs.signatures import (
    ACS3,
    RPC,
    acs3_authorization,
    acs3_canonical_request,
    acs3_signature,
    acs3_string_to_sign,
    hash_payload,
    rpc_signature,
    rpc_string_to_sign,
)

WINDOW = 15 * 60
"""Seconds that a timestamp may be off, and during which a nonce may not come again."""
MAX_NONCES = 1_000_000
"""So many are remembered at most; the oldest go first."""

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9+/=_.~-]+")
_ACS3_HEADERS = (
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-content-sha256",
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a request says about its sender, in either scheme."""

    key_id: str
    nonce: str
    timestamp: str
    token: str
    signature: str
    string_to_sign: str = field(repr=False)
    sign: Callable[[str, str], str]
    """Makes the signature of a string under a secret."""
    mismatch: str | None = None
    """The text of SignatureDoesNotMatch where it is not the documented one."""


def claim(call: Call) -> Claim:
    """Read the claim of a request.

    Raises:
        Refused: Something is missing that every signed request has.
    """
    return _acs3_claim(call) if call.scheme == ACS3 else _rpc_claim(call)


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


def _rpc_claim(call: Call) -> Claim:
    given = call.parameters
    _require(given, "AccessKeyId", "Signature")
    if "Timestamp" not in given:
        raise Refused("MissingParameter", "TimeStamp")
    string_to_sign = rpc_string_to_sign(call.method, (*call.query, *call.form))
    if given.get("SignatureType"):
        raise Refused("UnsupportedParameter")  # bearer tokens are not this fake's business
    if not all(given.get(name) for name in ("SignatureMethod", "SignatureVersion", "SignatureNonce")):
        raise Refused("IncompleteSignature", string_to_sign)
    for name, only in (("SignatureMethod", RPC), ("SignatureVersion", "1.0")):
        if given[name] != only:
            raise Refused("InvalidParamater", name)
    return Claim(
        key_id=given["AccessKeyId"],
        nonce=given["SignatureNonce"],
        timestamp=given["Timestamp"],
        token=given.get("SecurityToken", ""),
        signature=given["Signature"],
        string_to_sign=string_to_sign,
        sign=rpc_signature,
    )


def _acs3_claim(call: Call) -> Claim:
    given = call.header
    algorithm = given["authorization"].partition(" ")[0]
    if algorithm != ACS3:
        raise Refused("InvalidParamater", "SignatureMethod")
    _require(given, *_ACS3_HEADERS)
    fields = acs3_authorization(given["authorization"])
    if fields is None:
        _incomplete(given["authorization"])
    signed = fields["SignedHeaders"].split(";")
    must = {"host", *(name for name in given if name.startswith("x-acs-"))}
    if not must <= set(signed):
        _incomplete(";".join(signed))
    canonical_request = acs3_canonical_request(
        call.method, call.path, call.query, call.headers, signed, payload_hash=hash_payload(call.body)
    )
    string_to_sign = acs3_string_to_sign(canonical_request)
    return Claim(
        key_id=fields["Credential"],
        nonce=given["x-acs-signature-nonce"],
        timestamp=given["x-acs-date"],
        token=given.get("x-acs-security-token", ""),
        signature=fields["Signature"],
        string_to_sign=string_to_sign,
        sign=acs3_signature,
        mismatch="Specified signature does not match our calculation. "
        f"server StringToSign is [{string_to_sign}] server CanonicalRequest is [{canonical_request}]",
    )


def _require(given: Mapping[str, str], *names: str) -> None:
    for name in names:
        if not given.get(name):
            raise Refused("MissingParameter", name)


def _incomplete(what: str) -> NoReturn:
    raise Refused("IncompleteSignature", what)
