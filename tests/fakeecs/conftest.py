"""A running fake with a clock that stands still, and a client that signs with either scheme."""

import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from fakeecs import FakeEcs
from fakeecs.signatures import (
    acs3_canonical_request,
    acs3_signature,
    acs3_string_to_sign,
    hash_payload,
    rpc_signature,
    rpc_string_to_sign,
)

NONCES = itertools.count()

Ask = Callable[..., Awaitable[httpx.Response]]
"""(scheme, method, key_id, secret, token, changes, headers, form, path, **parameters) -> response"""


@dataclass
class Clock:
    """Seconds since 1970, moved by hand."""

    now: float = datetime(2024, 11, 14, 12, 0, 30, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fake(clock: Clock) -> AsyncIterator[FakeEcs]:
    async with FakeEcs(now=clock) as running:
        yield running


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def ask(fake: FakeEcs, clock: Clock, http: httpx.AsyncClient) -> Ask:
    return asker(fake, clock, http)


@pytest.fixture
def asking(clock: Clock, http: httpx.AsyncClient) -> Callable[[FakeEcs], Ask]:
    """For tests that start a fake of their own."""
    return lambda fake: asker(fake, clock, http)


@pytest.fixture
def sign(fake: FakeEcs, clock: Clock) -> Callable[..., httpx.Request]:
    """Requests to the fake, not sent yet."""
    return lambda **how: rpc_request(fake.url, clock, **how)


@pytest.fixture
def sign_for(clock: Clock) -> Callable[[FakeEcs], httpx.Request]:
    """For tests that start a fake of their own."""
    return lambda fake: rpc_request(fake.url, clock)


@pytest.fixture
def sign_url() -> Callable[..., httpx.Request]:
    """Requests to any address, signed by the real clock."""
    return lambda url, **how: rpc_request(url, Clock(time.time()), **how)


def asker(fake: FakeEcs, clock: Clock, http: httpx.AsyncClient) -> Ask:
    async def ask(*, scheme: str = "rpc", **how: Any) -> httpx.Response:
        make = {"rpc": rpc_request, "acs3": acs3_request}[scheme]
        return await http.send(make(fake.url, clock, **how))

    return ask


def stamp(clock: Clock) -> str:
    return datetime.fromtimestamp(clock.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def given(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The operation's parameters: the demo image unless a test says otherwise; None leaves one out."""
    all_of_them = {"RegionId": "cn-hangzhou", "ImageId": "m-demo-11", **parameters}
    return [(name, str(value)) for name, value in all_of_them.items() if value is not None]


def rpc_request(
    url: str,
    clock: Clock,
    *,
    method: str = "GET",
    key_id: str = "testid",
    secret: str = "testsecret",
    token: str | None = None,
    changes: Mapping[str, str | None] | None = None,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    path: str = "/",
    **parameters: Any,
) -> httpx.Request:
    """Sign with SignatureVersion 1.0. `changes` of common parameters are signed too, but not `Signature`."""
    common: dict[str, str | None] = {
        "Action": "DescribeImageSharePermission",
        "Version": "2014-05-26",
        "Format": "JSON",
        "AccessKeyId": key_id,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": f"nonce-{next(NONCES)}",
        "Timestamp": stamp(clock),
        "SecurityToken": token,
        **(changes or {}),
    }
    query = [(name, value) for name, value in common.items() if value is not None and name != "Signature"]
    query += given(parameters)
    if "Signature" not in common:
        signed = [*query, *(form or {}).items()]
        query.append(("Signature", rpc_signature(secret, rpc_string_to_sign(method, signed))))
    elif common["Signature"] is not None:
        query.append(("Signature", common["Signature"]))
    content = urlencode(form).encode() if form else None
    extra = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    return httpx.Request(
        method, f"{url}{path}?{urlencode(query)}", headers={**extra, **(headers or {})}, content=content
    )


def acs3_request(
    url: str,
    clock: Clock,
    *,
    method: str = "POST",
    key_id: str = "testid",
    secret: str = "testsecret",
    token: str | None = None,
    changes: Mapping[str, str | None] | None = None,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    path: str = "/",
    **parameters: Any,
) -> httpx.Request:
    """Sign with ACS3-HMAC-SHA256. `changes` of signed headers are signed too, but not `authorization`."""
    body = urlencode(form).encode() if form else b""
    mine: dict[str, str | None] = {
        "host": urlsplit(url).netloc,
        "x-acs-action": "DescribeImageSharePermission",
        "x-acs-version": "2014-05-26",
        "x-acs-date": stamp(clock),
        "x-acs-signature-nonce": f"nonce-{next(NONCES)}",
        "x-acs-content-sha256": hash_payload(body),
        "x-acs-security-token": token,
        **(changes or {}),
    }
    sent = {name: value for name, value in mine.items() if value is not None and name != "authorization"}
    names = sorted(sent)
    query = given(parameters)
    canonical = acs3_canonical_request(
        method, path, query, list(sent.items()), names, payload_hash=hash_payload(body)
    )
    signature = acs3_signature(secret, acs3_string_to_sign(canonical))
    authorization = (
        f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={';'.join(names)},Signature={signature}"
    )
    extra = {"content-type": "application/x-www-form-urlencoded"} if form else {}
    all_headers = {
        "accept": "application/json",
        "authorization": mine.get("authorization") or authorization,
        **sent,
        **extra,
        **(headers or {}),
    }
    return httpx.Request(method, f"{url}{path}?{urlencode(query)}", headers=all_headers, content=body)
