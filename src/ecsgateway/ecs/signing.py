"""The two signatures that ECS accepts, each as three pure steps, and one function that signs a request.

Both sign one shape of request: a POST to `/` with every parameter in the query and an empty body.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal
from urllib.parse import quote

from ecsgateway.ecs.credentials import Credentials

_ACS3 = "ACS3-HMAC-SHA256"
_HASHED_EMPTY_BODY = hashlib.sha256(b"").hexdigest()


class Scheme(StrEnum):
    """A way to sign. Alibaba calls them V3 and V2, and advises against V2."""

    ACS3_HMAC_SHA256 = "acs3-hmac-sha256"
    HMAC_SHA1 = "hmac-sha1"


@dataclass(frozen=True, kw_only=True)
class SignedRequest:
    """What to send: the encoded query and the headers. Both hold secrets, so its repr shows neither.

    The body is empty. The query goes out as it is: encoding it again would break the signature.
    Header names are lower-case.
    """

    query: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)


def canonical_query(*, parameters: Mapping[str, str]) -> str:
    """Encode parameters in the one way that both schemes sign; the first step of HMAC-SHA1.

        pe(key1)=pe(value1)&pe(key2)=pe(value2)...

    Sorted by the bytes of the key before encoding; an empty value keeps its `=`.

    Source: Alibaba Cloud, "RPC mechanism", 2024, step 1; "V3 request structure and signature", 2025-02-05.
    """
    return "&".join(
        f"{_percent_encode(key)}={_percent_encode(parameters[key])}" for key in sorted(parameters)
    )


def hmac_sha1_string_to_sign(*, method: str, canonical_query: str) -> str:
    """Put the query in the text that HMAC-SHA1 signs; its values end up encoded twice.

        METHOD & pe("/") & pe(CanonicalQuery)       (without the spaces)

    Source: Alibaba Cloud, "RPC mechanism", 2024, step 2.
    """
    return f"{method}&{_percent_encode('/')}&{_percent_encode(canonical_query)}"


def hmac_sha1_signature(*, string_to_sign: str, access_key_secret: str) -> str:
    """Compute the value of the parameter `Signature`, not yet percent-encoded.

        base64(HMAC-SHA1(AccessKeySecret + "&", StringToSign))

    Source: Alibaba Cloud, "RPC mechanism", 2024, step 3; RFC 2104; RFC 4648, section 4.
    """
    digest = hmac.digest(f"{access_key_secret}&".encode(), string_to_sign.encode(), "sha1")
    return base64.b64encode(digest).decode()


def acs3_canonical_request(
    *, method: str, canonical_query: str, headers: Mapping[str, str], hashed_payload: str
) -> str:
    """Write the request as ACS3 signs it. Every header given is signed.

        METHOD
        /
        CanonicalQuery
        name1:value1            lower-case, sorted, trimmed;
        name2:value2            values of one name sorted and joined with ","
        <empty line>
        name1;name2
        HashedPayload           lower-case hex of the body's SHA-256

    Source: Alibaba Cloud, "V3 request structure and signature", 2025-02-05, step 1.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers.items():
        values.setdefault(name.lower(), []).append(value.strip())
    canonical_headers = "".join(f"{name}:{','.join(sorted(values[name]))}\n" for name in sorted(values))
    return "\n".join(
        (method, "/", canonical_query, canonical_headers, _signed_header_names(headers), hashed_payload)
    )


def acs3_string_to_sign(*, canonical_request: str) -> str:
    """Hash the canonical request into the text that ACS3 signs.

        ACS3-HMAC-SHA256
        HashedCanonicalRequest  lower-case hex of its SHA-256

    Source: Alibaba Cloud, "V3 request structure and signature", 2025-02-05, step 2.
    """
    return f"{_ACS3}\n{hashlib.sha256(canonical_request.encode()).hexdigest()}"


def acs3_signature(*, string_to_sign: str, access_key_secret: str) -> str:
    """Compute the `Signature` of the header `Authorization`.

        hex(HMAC-SHA256(AccessKeySecret, StringToSign))

    The key is the secret itself: nothing is derived from the date or the region.

    Source: Alibaba Cloud, "V3 request structure and signature", 2025-02-05, step 3.
    """
    return hmac.digest(access_key_secret.encode(), string_to_sign.encode(), "sha256").hex()


def new_nonce() -> str:
    """Make a nonce for one attempt: the service refuses one that it saw in the last 15 minutes."""
    return uuid.uuid4().hex


def sign(
    scheme: Scheme,
    *,
    action: str,
    version: str,
    parameters: Mapping[str, str],
    host: str,
    credentials: Credentials,
    response_format: Literal["json", "xml"],
    at: datetime,
    nonce: str,
) -> SignedRequest:
    """Sign one attempt of one call. A retry needs a signature of its own, with a fresh nonce and time.

    `accept` and whatever the HTTP client adds stay unsigned, so that a proxy may rewrite them.

    Raises:
        ValueError: `at` has no time zone.

    Source: Alibaba Cloud, "V3 request structure and signature", 2025-02-05; "RPC mechanism", 2024.
    """
    if at.utcoffset() is None:
        raise ValueError("the time of a signature needs a time zone")
    date = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    accept = f"application/{response_format}"

    match scheme:
        case Scheme.ACS3_HMAC_SHA256:
            query = canonical_query(parameters=parameters)
            signed_headers = {
                "host": host,
                "x-acs-action": action,
                "x-acs-version": version,
                "x-acs-date": date,
                "x-acs-signature-nonce": nonce,
                "x-acs-content-sha256": _HASHED_EMPTY_BODY,
            }
            if credentials.security_token:
                signed_headers["x-acs-accesskey-id"] = credentials.access_key_id
                signed_headers["x-acs-security-token"] = credentials.security_token
            authorization = _acs3_authorization(query, signed_headers, credentials)
            headers = {**signed_headers, "accept": accept, "authorization": authorization}
            return SignedRequest(query=query, headers=headers)

        case Scheme.HMAC_SHA1:
            signed_parameters = {
                **parameters,
                "Action": action,
                "Version": version,
                "Format": response_format.upper(),
                "AccessKeyId": credentials.access_key_id,
                "SignatureMethod": "HMAC-SHA1",
                "SignatureVersion": "1.0",
                "SignatureNonce": nonce,
                "Timestamp": date,
            }
            if credentials.security_token:
                signed_parameters["SecurityToken"] = credentials.security_token
            signature = _hmac_sha1_of(signed_parameters, credentials)
            query = canonical_query(parameters={**signed_parameters, "Signature": signature})
            return SignedRequest(query=query, headers={"host": host, "accept": accept})


def _acs3_authorization(query: str, headers: Mapping[str, str], credentials: Credentials) -> str:
    canonical_request = acs3_canonical_request(
        method="POST", canonical_query=query, headers=headers, hashed_payload=_HASHED_EMPTY_BODY
    )
    signature = acs3_signature(
        string_to_sign=acs3_string_to_sign(canonical_request=canonical_request),
        access_key_secret=credentials.access_key_secret,
    )
    names = _signed_header_names(headers)
    return f"{_ACS3} Credential={credentials.access_key_id},SignedHeaders={names},Signature={signature}"


def _hmac_sha1_of(parameters: Mapping[str, str], credentials: Credentials) -> str:
    string_to_sign = hmac_sha1_string_to_sign(
        method="POST", canonical_query=canonical_query(parameters=parameters)
    )
    return hmac_sha1_signature(string_to_sign=string_to_sign, access_key_secret=credentials.access_key_secret)


def _signed_header_names(headers: Mapping[str, str]) -> str:
    return ";".join(sorted({name.lower() for name in headers}))


def _percent_encode(text: str) -> str:
    return quote(text, safe="")  # RFC 3986, section 2.3: quote() leaves exactly the unreserved characters
