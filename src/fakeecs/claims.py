"""What a request says about its sender, read the same way from either signature scheme."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from fakeecs.call import Call
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

_MISMATCH = "Specified signature does not match our calculation."
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
    payload_hash = hash_payload(call.body)
    if given["x-acs-content-sha256"] != payload_hash:
        raise Refused(
            "SignatureDoesNotMatch", message=f"{_MISMATCH} server HashedPayload is [{payload_hash}]"
        )
    signed = fields["SignedHeaders"].split(";")
    must = {"host", *(name for name in given if name.startswith("x-acs-"))}
    if not must <= set(signed):
        _incomplete(";".join(signed))
    canonical_request = acs3_canonical_request(
        call.method, call.path, call.query, call.headers, signed, payload_hash=payload_hash
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
        mismatch=f"{_MISMATCH} server StringToSign is [{string_to_sign}] "
        f"server CanonicalRequest is [{canonical_request}]",
    )


def _require(given: Mapping[str, str], *names: str) -> None:
    for name in names:
        if not given.get(name):
            raise Refused("MissingParameter", name)


def _incomplete(what: str) -> NoReturn:
    raise Refused("IncompleteSignature", what)
