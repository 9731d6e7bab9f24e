"""Who is believed, in both schemes; what those are told who are not."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from fakeecs import FakeEcs, Key

Ask = Callable[..., Awaitable[httpx.Response]]

NOW = datetime(2024, 11, 14, 12, 0, 30, tzinfo=UTC)
SCHEMES = ("rpc", "acs3")
KEYS = {
    "testid": Key("testsecret"),
    "disabled": Key("testsecret", disabled=True),
    "STS.testid": Key("testsecret", "test/token+=="),
    "STS.expired": Key("testsecret", "testtoken", expires=NOW),
    "STS.valid": Key("testsecret", "testtoken", expires=NOW + timedelta(seconds=1)),
}


def at(**offset: float) -> str:
    return (NOW + timedelta(**offset)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, kw_only=True)
class Case:
    """`time` and `nonce` are spelled for either scheme."""

    name: str
    how: dict[str, Any] = field(default_factory=dict)
    time: str | None = None
    status: int = 200
    code: str | None = None
    message: str | None = None
    schemes: tuple[str, ...] = SCHEMES


CASES = [
    Case(name="a permanent key"),
    Case(name="a temporary key", how={"key_id": "STS.testid", "token": "test/token+=="}),
    Case(name="a temporary key in its last second", how={"key_id": "STS.valid", "token": "testtoken"}),
    Case(name="15 minutes slow", time=at(minutes=-15)),
    Case(name="15 minutes fast", time=at(minutes=15)),
    Case(
        name="more than 15 minutes slow",
        time=at(minutes=-15, seconds=-1),
        status=400,
        code="InvalidTimeStamp.Expired",
        message="Specified time stamp or date value is expired.",
    ),
    Case(
        name="more than 15 minutes fast",
        time=at(minutes=15, seconds=1),
        status=400,
        code="InvalidTimeStamp.Expired",
    ),
    Case(
        name="a time that is none",
        time="2024-11-14T25:00:30Z",
        status=400,
        code="InvalidTimeStamp.Format",
        message="Specified time stamp or date value is not well formatted.",
    ),
    Case(name="local time", time="2024-11-14T12:00:30+00:00", status=400, code="InvalidTimeStamp.Format"),
    Case(
        name="other digits",
        time="\uff12024-11-14T12:00:30Z",
        status=400,
        code="InvalidTimeStamp.Format",
        schemes=("rpc",),  # no client sends such a header
    ),
    Case(
        name="an unknown key",
        how={"key_id": "nobody"},
        status=404,
        code="InvalidAccessKeyId.NotFound",
        message="Specified access key is not found.",
    ),
    Case(
        name="a disabled key",
        how={"key_id": "disabled"},
        status=400,
        code="InvalidAccessKeyId.Inactive",
        message="Specified access key is disabled.",
    ),
    Case(name="a wrong secret", how={"secret": "wrong"}, status=400, code="SignatureDoesNotMatch"),
    Case(
        name="a temporary key without its token",
        how={"key_id": "STS.testid"},
        status=404,
        code="InvalidAccessKeyId.NotFound",
    ),
    Case(
        name="another token",
        how={"key_id": "STS.testid", "token": "testtoken"},
        status=400,
        code="InvalidSecurityToken.MismatchWithAccessKey",
        message="Specified SecurityToken mismatch with the AccessKey.",
    ),
    Case(
        name="a token with a permanent key",
        how={"token": "testtoken"},
        status=400,
        code="InvalidSecurityToken.MismatchWithAccessKey",
    ),
    Case(
        name="a token that cannot be one",
        how={"key_id": "STS.testid", "token": "test token!"},
        status=400,
        code="InvalidSecurityToken.Malformed",
        message="Specified SecurityToken is malformed.",
    ),
    Case(
        name="an expired token",
        how={"key_id": "STS.expired", "token": "testtoken"},
        status=400,
        code="InvalidSecurityToken.Expired",
        message="Specified SecurityToken is expired.",
    ),
]


@pytest.fixture
async def guarded(fake: FakeEcs) -> FakeEcs:
    fake.keys.clear()
    fake.keys.update(KEYS)
    return fake


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("case", "scheme"),
    [pytest.param(case, scheme, id=f"{case.name}-{scheme}") for case in CASES for scheme in case.schemes],
)
async def test_a_request_is_believed_or_told_why_not(ask: Ask, case: Case, scheme: str) -> None:
    name = {"rpc": "Timestamp", "acs3": "x-acs-date"}[scheme]
    changes = {} if case.time is None else {name: case.time}
    answer = await ask(scheme=scheme, changes=changes, **case.how)
    assert answer.status_code == case.status
    assert answer.json().get("Code") == case.code
    if case.message is not None:
        assert answer.json()["Message"] == case.message


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_nonce_may_come_again_only_after_15_minutes(ask: Ask, scheme: str, clock: Any) -> None:
    changes = {"SignatureNonce": "once"} if scheme == "rpc" else {"x-acs-signature-nonce": "once"}
    assert (await ask(scheme=scheme, changes=changes)).status_code == 200
    clock.now += 15 * 60
    answer = await ask(scheme=scheme, changes=changes)
    assert answer.status_code == 400
    assert answer.json()["Code"] == "SignatureNonceUsed"
    assert answer.json()["Message"] == "Specified signature nonce was used already."
    clock.now += 1
    assert (await ask(scheme=scheme, changes=changes)).status_code == 200


async def test_a_request_that_was_refused_does_not_use_up_its_nonce(ask: Ask) -> None:
    changes = {"SignatureNonce": "once"}
    assert (await ask(changes=changes, secret="wrong")).status_code == 400
    assert (await ask(changes=changes)).status_code == 200


async def test_two_keys_may_use_the_same_nonce(guarded: FakeEcs, ask: Ask) -> None:
    changes = {"SignatureNonce": "once"}
    assert (await ask(changes=changes)).status_code == 200
    assert (await ask(changes=changes, key_id="STS.valid", token="testtoken")).status_code == 200


async def test_the_older_scheme_ends_its_refusal_with_the_string_to_sign(ask: Ask) -> None:
    answer = await ask(
        secret="wrong",
        changes={"SignatureNonce": "n", "Timestamp": at()},
        RegionId="cn-hangzhou",
        ImageId="m-*",
    )
    start, _, string_to_sign = answer.json()["Message"].partition(" server string to sign is:")
    assert start == "Specified signature is not matched with our calculation."
    assert string_to_sign == (
        "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeImageSharePermission%26Format%3DJSON%26"
        "ImageId%3Dm-%252A%26RegionId%3Dcn-hangzhou%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3Dn%26"
        "SignatureVersion%3D1.0%26Timestamp%3D2024-11-14T12%253A00%253A30Z%26Version%3D2014-05-26"
    )


async def test_the_newer_scheme_shows_string_to_sign_and_canonical_request(ask: Ask, fake: FakeEcs) -> None:
    changes = {"x-acs-signature-nonce": "n", "x-acs-date": at()}
    answer = await ask(scheme="acs3", secret="wrong", changes=changes, ImageId="m-*")
    message = answer.json()["Message"]
    assert message.startswith(
        "Specified signature does not match our calculation. server StringToSign is [ACS3-HMAC-SHA256\n"
    )
    empty_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    names = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
    assert message.endswith(
        "server CanonicalRequest is [POST\n/\nImageId=m-%2A&RegionId=cn-hangzhou\n"
        f"host:127.0.0.1:{fake.port}\nx-acs-action:DescribeImageSharePermission\n"
        f"x-acs-content-sha256:{empty_hash}\nx-acs-date:2024-11-14T12:00:30Z\nx-acs-signature-nonce:n\n"
        f"x-acs-version:2014-05-26\n\n{names}\n{empty_hash}]"
    )


INCOMPLETE = [
    ("no key", "rpc", {"AccessKeyId": None}, "MissingParameter", '"AccessKeyId"'),
    ("no signature", "rpc", {"Signature": None}, "MissingParameter", '"Signature"'),
    ("no timestamp", "rpc", {"Timestamp": None}, "MissingParameter", '"TimeStamp"'),
    ("no nonce", "rpc", {"SignatureNonce": None}, "IncompleteSignature", "server string to sign is:GET&"),
    ("no method", "rpc", {"SignatureMethod": None}, "IncompleteSignature", "Aliyun standards."),
    ("no signature version", "rpc", {"SignatureVersion": None}, "IncompleteSignature", "Aliyun standards."),
    ("another method", "rpc", {"SignatureMethod": "HMAC-MD5"}, "InvalidParamater", '"SignatureMethod"'),
    ("another signature version", "rpc", {"SignatureVersion": "2"}, "InvalidParamater", '"SignatureVersion"'),
    ("a bearer token", "rpc", {"SignatureType": "BEARERTOKEN"}, "UnsupportedParameter", ""),
    ("no date", "acs3", {"x-acs-date": None}, "MissingParameter", '"x-acs-date"'),
    (
        "no nonce header",
        "acs3",
        {"x-acs-signature-nonce": None},
        "MissingParameter",
        '"x-acs-signature-nonce"',
    ),
    ("no hash", "acs3", {"x-acs-content-sha256": None}, "MissingParameter", '"x-acs-content-sha256"'),
    (
        "another algorithm",
        "acs3",
        {"authorization": "ACS3-HMAC-SM3 x"},
        "InvalidParamater",
        "SignatureMethod",
    ),
    ("half a header", "acs3", {"authorization": "ACS3-HMAC-SHA256 Credential=a"}, "IncompleteSignature", ""),
    (
        "a common header that is not signed",
        "acs3",
        {"authorization": "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=host,Signature=00"},
        "IncompleteSignature",
        "host",
    ),
]


@pytest.mark.parametrize(
    ("scheme", "changes", "code", "part"), [row[1:] for row in INCOMPLETE], ids=[row[0] for row in INCOMPLETE]
)
async def test_a_request_without_all_of_a_signature_is_told_what_is_missing(
    ask: Ask, scheme: str, changes: dict[str, str | None], code: str, part: str
) -> None:
    answer = await ask(scheme=scheme, changes=changes)
    assert (answer.status_code, answer.json()["Code"]) == (400, code)
    assert part in answer.json()["Message"]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_form_counts_as_parameters_and_is_signed(ask: Ask, scheme: str, fake: FakeEcs) -> None:
    form = {"ImageId": "m-demo-45", "PageSize": "3"}
    answer = await ask(scheme=scheme, method="POST", ImageId=None, form=form)
    assert answer.json()["ImageId"] == "m-demo-45"
    assert len(answer.json()["Accounts"]["Account"]) == 3
    assert fake.journal[-1].parameters["PageSize"] == "3"


async def test_a_body_that_is_not_the_hashed_one_is_refused(ask: Ask) -> None:
    answer = await ask(scheme="acs3", changes={"x-acs-content-sha256": "0" * 64})
    assert answer.json()["Code"] == "SignatureDoesNotMatch"


async def test_keys_can_be_exchanged_while_it_runs(ask: Ask, fake: FakeEcs) -> None:
    fake.keys["testid"] = Key("another")
    assert (await ask()).json()["Code"] == "SignatureDoesNotMatch"
    assert (await ask(secret="another")).status_code == 200


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_clock_may_be_an_aware_datetime(scheme: str, asking: Callable[[FakeEcs], Ask]) -> None:
    async with FakeEcs(now=lambda: NOW) as fake:
        answer = await asking(fake)(scheme=scheme)
    assert answer.status_code == 200
    assert answer.headers["Date"] == "Thu, 14 Nov 2024 12:00:30 GMT"


def test_secrets_do_not_show() -> None:
    assert "hidden" not in repr(Key("hidden", "hidden"))
