"""Both signature schemes, step by step, from their specification. Pure: no clock, no keys, no I/O.

Everything here takes *decoded* text and encodes it canonically itself, because clients encode one value in
several ways (`+` or `%20`, `*` or `%2A`, raw `/ : @`) and all of them are signed alike.

Source: "Request syntax and signature method V3" (2025-02-05) and "RPC-style signature" of the vendor's SDK
reference; RFC 3986 section 2.3; RFC 2104.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote

Pairs = Sequence[tuple[str, str]]
"""Decoded name and value, in the order sent; a name may occur twice."""

RPC = "HMAC-SHA1"
ACS3 = "ACS3-HMAC-SHA256"


@lru_cache(maxsize=4096)  # names and most values come again with every request
def percent_encode(text: str) -> str:
    """RFC 3986: all but the unreserved characters as upper-case `%XX` of their UTF-8 bytes."""
    return quote(text, safe="~", errors="surrogateescape")


def canonical_query(parameters: Pairs) -> str:
    """Encoded pairs joined by `&`, in order of the raw names: that of code points is that of UTF-8 bytes."""
    return "&".join([f"{percent_encode(name)}={percent_encode(value)}" for name, value in sorted(parameters)])


def rpc_string_to_sign(method: str, parameters: Pairs) -> str:
    """What SignatureVersion 1.0 signs: query and form parameters alike, all but `Signature` itself."""
    signed = [(name, value) for name, value in parameters if name != "Signature"]
    # Encoded once, a query holds no other reserved characters than these three.
    twice = canonical_query(signed).replace("%", "%25").replace("=", "%3D").replace("&", "%26")
    return f"{method}&%2F&{twice}"


def rpc_signature(secret: str, string_to_sign: str) -> str:
    """Base64 of the HMAC-SHA1 under the secret followed by `&`."""
    digest = hmac.digest(_bytes(secret + "&"), _bytes(string_to_sign), "sha1")
    return base64.b64encode(digest).decode()


def canonical_headers(headers: Iterable[tuple[str, str]], signed: Iterable[str]) -> str:
    """One `name:value` line per signed header; a header sent twice has its values sorted and joined."""
    values: dict[str, list[str]] = {name: [] for name in sorted(signed)}
    for name, value in headers:
        if (lower := name.lower()) in values:
            values[lower].append(value.strip())
    return "".join(f"{name}:{','.join(sorted(found))}\n" for name, found in values.items())


def acs3_canonical_request(
    method: str,
    path: str,
    parameters: Pairs,
    headers: Iterable[tuple[str, str]],
    signed_headers: Sequence[str],
    *,
    payload_hash: str,
) -> str:
    """The six parts of a canonical request. `parameters` are those of the query only.

    `payload_hash` is `hash_payload` of the body as it arrived.
    """
    return "\n".join(
        (
            method,
            path,
            canonical_query(parameters),
            canonical_headers(headers, signed_headers),
            ";".join(signed_headers),
            payload_hash,
        )
    )


def hash_payload(body: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(body).hexdigest()


def acs3_string_to_sign(canonical_request: str) -> str:
    """The algorithm and the hash of the canonical request."""
    return f"{ACS3}\n{hash_payload(_bytes(canonical_request))}"


def acs3_signature(secret: str, string_to_sign: str) -> str:
    """Lower-case hexadecimal HMAC-SHA256 under the bare secret: no derived key, no scope."""
    return hmac.digest(_bytes(secret), _bytes(string_to_sign), "sha256").hex()


def acs3_authorization(text: str) -> Mapping[str, str] | None:
    """The fields Credential, SignedHeaders and Signature of an Authorization header; None if malformed."""
    fields = dict(part.strip().partition("=")[::2] for part in text.removeprefix(ACS3).split(","))
    if fields.keys() != {"Credential", "SignedHeaders", "Signature"} or not all(fields.values()):
        return None
    return fields


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
