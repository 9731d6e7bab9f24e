"""The catalogue's faults of signatures, credentials and quota, K1 to K15.

K12 to K14 are rows of tests/rpc/test_status_rows.py, K15 is in test_content.py, K11 in test_amplification.py.
"""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from google.rpc import error_details_pb2 as rpc

from ecsgateway.ecs.credentials import Credentials, CredentialSource
from tests.calling import STREAM, UNARY
from tests.faults.conftest import Begin
from tests.faults.hostile import Script, Wire, listing, refusing, well
from tests.faults.trial import CANARIES, until

BOTH = pytest.mark.parametrize("way", [UNARY, STREAM])
SKEWED = ("INTERNAL", "GATEWAY_CLOCK_SKEW")
REJECTED = ("INTERNAL", "GATEWAY_CREDENTIALS_REJECTED")
THROTTLED = ("RESOURCE_EXHAUSTED", "UPSTREAM_THROTTLED")
OTHERS = Credentials(access_key_id="canary-other-id", access_key_secret="canary-other-secret")


def with_a_clock(ahead: timedelta) -> Script:
    """An upstream whose clock is ahead, and that refuses times that are 15 minutes away from it."""

    async def script(wire: Wire) -> None:
        now = datetime.now(UTC) + ahead
        signed = datetime.fromisoformat(wire.headers()["x-acs-date"])
        if abs(now - signed) < timedelta(minutes=15):
            await well(wire)
        else:
            date = f"Date: {format_datetime(now, usegmt=True)}\r\n"
            await refusing("InvalidTimeStamp.Expired", more=date)(wire)

    return script


@BOTH
@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=400)])
async def test_k1_a_wrong_clock_is_corrected_once_for_all_calls(
    begin: Begin, way: str, ahead: timedelta
) -> None:
    trial = await begin()
    trial.upstream.scripts = [with_a_clock(ahead)]

    first, second = await trial.ask(way), await trial.ask(way)

    assert (first.code.name, second.code.name) == ("OK", "OK")
    assert len(trial.upstream.heads) == 3


@BOTH
@pytest.mark.parametrize("date", ["", "Date: soon\r\n", "Date: Thu, 99 Xyz 9999 99:99:99 GMT\r\n"])
async def test_k1_a_clock_that_cannot_be_corrected_is_told(begin: Begin, way: str, date: str) -> None:
    trial = await begin()
    trial.upstream.scripts = [refusing("IllegalTimestamp", more=date)]
    outcome = await trial.ask(way)
    assert (outcome.code.name, outcome.reason) == SKEWED
    assert len(trial.upstream.heads) == 2


@BOTH
async def test_k2_every_attempt_is_signed_anew(begin: Begin, way: str) -> None:
    trial = await begin()
    trial.upstream.scripts = [refusing("InternalError", 500), refusing("SignatureNonceUsed"), well]

    outcome = await trial.ask(way)

    assert outcome.code.name == "OK"
    sent = [Wire(reader=asyncio.StreamReader(), writer=None, head=head) for head in trial.upstream.heads]  # type: ignore[arg-type] # for reading only
    nonces = {wire.headers()["x-acs-signature-nonce"] for wire in sent}
    assert len(nonces) == len(sent) == 3
    assert len(set(trial.upstream.signatures())) == 3


@BOTH
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InvalidAccessKeyId.NotFound", 404),
        ("SignatureDoesNotMatch", 400),
        ("IncompleteSignature", 400),
        ("InvalidSecurityToken.Expired", 400),
    ],
)
async def test_k4_refused_credentials_are_replaced_once_and_then_told(
    begin: Begin, way: str, code: str, status: int
) -> None:
    snapshots = iter([CANARIES, OTHERS])
    trial = await begin(credentials=CredentialSource(lambda: next(snapshots)))
    trial.upstream.scripts = [refusing(code, status, message=f"string to sign is: x {OTHERS.access_key_id}")]

    outcome = await trial.ask(way)

    assert (outcome.code.name, outcome.reason) == REJECTED
    assert len(trial.upstream.heads) == 2
    assert OTHERS.access_key_id in trial.upstream.heads[1]
    told = outcome.seen().decode(errors="replace") + trial.log.getvalue()
    assert "canary" not in told


@BOTH
async def test_k4_refused_credentials_without_others_are_not_sent_again(begin: Begin, way: str) -> None:
    trial = await begin()
    trial.upstream.scripts = [refusing("InvalidAccessKeyId.NotFound", 404)]
    outcome = await trial.ask(way)
    assert (outcome.code.name, outcome.reason) == REJECTED
    assert len(trial.upstream.heads) == 1


async def test_k4_health_says_so_while_the_credentials_are_refused(begin: Begin) -> None:
    trial = await begin()
    trial.upstream.scripts = [refusing("InvalidAccessKeyId.NotFound", 404)]
    await trial.ask(UNARY)

    assert await trial.health() == "NOT_SERVING"


async def test_k5_a_token_that_expires_in_the_middle_of_a_stream_is_replaced_unnoticed(begin: Begin) -> None:
    snapshots = iter([CANARIES, OTHERS])
    trial = await begin(credentials=CredentialSource(lambda: next(snapshots)))
    trial.held = tuple(f"{number:010}" for number in range(50))
    pages = listing(trial.held)

    async def expiring(wire: Wire) -> None:
        old = CANARIES.access_key_id in wire.head
        late = wire.parameters["PageNumber"] != "1"
        await (refusing("InvalidSecurityToken.Expired") if old and late else pages)(wire)

    trial.upstream.scripts = [expiring]
    outcome = await trial.ask(STREAM, page_size=5)

    assert outcome.code.name == "OK"
    assert outcome.messages == 10


async def test_k6_no_call_fails_while_the_credentials_are_rotated(begin: Begin) -> None:
    current = [CANARIES]
    trial = await begin(
        credentials=CredentialSource(lambda: current[0], refresh_after=0.02), max_requests=2, max_waiting=1000
    )
    trial.held = tuple(f"{number:010}" for number in range(20))
    pages = listing(trial.held)
    accepted = {CANARIES.access_key_id}

    async def checking(wire: Wire) -> None:
        known = any(key in wire.head for key in accepted)
        await (pages if known else refusing("InvalidAccessKeyId.NotFound", 404))(wire)

    trial.upstream.scripts = [checking]
    calls = [asyncio.create_task(trial.ask(STREAM, page_size=5, timeout=20.0)) for _ in range(100)]
    await until(lambda: len(trial.upstream.heads) > 20, seconds=5)
    current[0] = OTHERS
    accepted.add(OTHERS.access_key_id)
    await until(lambda: OTHERS.access_key_id in trial.upstream.heads[-1], seconds=5)
    accepted.discard(CANARIES.access_key_id)
    outcomes = await asyncio.gather(*calls)

    assert {each.code.name for each in outcomes} == {"OK"}
    accepted.add(CANARIES.access_key_id)


async def test_k7_a_slow_provider_delays_nobody_who_has_credentials(begin: Begin) -> None:
    hold, calls = threading.Event(), [0]

    def slow() -> Credentials:
        calls[0] += 1
        if calls[0] > 1:
            hold.wait(10)
        return CANARIES

    trial = await begin(credentials=CredentialSource(slow, refresh_after=0.0))
    slowest = 0.0
    for _ in range(20):
        before = time.monotonic()
        await asyncio.sleep(0)
        outcome = await trial.ask(UNARY)
        slowest = max(slowest, time.monotonic() - before)
        assert outcome.code.name == "OK"
    hold.set()
    assert calls[0] == 2
    assert slowest < 0.5


@BOTH
async def test_k7_without_any_credentials_the_caller_is_told_to_come_back(begin: Begin, way: str) -> None:
    outages = [0]

    def failing() -> Credentials:
        outages[0] += 1
        raise OSError("the metadata service answered <html>canary-key-secret</html>")

    provider = [lambda: CANARIES]
    trial = await begin(credentials=CredentialSource(lambda: provider[0]()))
    trial.upstream.scripts = [refusing("InvalidSecurityToken.Expired")]
    provider[0] = failing

    outcome = await trial.ask(way)

    assert (outcome.code.name, outcome.reason) == ("UNAVAILABLE", "GATEWAY_CREDENTIALS_REFRESHING")
    assert outages[0] == 3


@BOTH
@pytest.mark.parametrize("code", ["Forbidden.RAM", "NoPermission"])
async def test_k9_a_denial_names_no_account(begin: Begin, way: str, code: str) -> None:
    trial = await begin()
    said = "User acs:ram::1234567890123456:user/x is not authorized; account 1234567890123456"
    trial.upstream.scripts = [refusing(code, 403, message=said)]
    outcome = await trial.ask(way)
    assert (outcome.code.name, outcome.reason) == ("PERMISSION_DENIED", "UPSTREAM_FORBIDDEN")
    assert outcome.info.metadata["principal"] == "gateway"
    assert outcome.info.metadata["action"] == "ecs:DescribeImageSharePermission"
    assert "1234567890123456" not in outcome.seen().decode(errors="replace") + trial.log.getvalue()


NOW = "Date: Thu, 14 Nov 2024 12:00:30 GMT\r\n"


@BOTH
@pytest.mark.parametrize(
    ("code", "status", "header", "least", "most"),
    [
        ("Throttling", 400, NOW, 30_000, 33_000),
        ("Throttling.User", 400, "Date: Thu, 14 Nov 2024 12:00:00 GMT\r\n", 60_000, 63_000),
        ("Throttling.Api", 400, NOW + "x-acs-retry-after: 42000\r\n", 42_000, 42_000),
        ("Throttling", 400, NOW + "x-acs-retry-after: -1\r\n", 30_000, 33_000),
        ("Throttling", 400, NOW + "x-acs-retry-after: 0\r\n", 30_000, 33_000),
        ("Throttling", 400, NOW + "x-acs-retry-after: 1000000000\r\n", 30_000, 33_000),
        ("Throttling", 400, NOW + "x-acs-retry-after: 1e3\r\n", 30_000, 33_000),
        ("Throttling", 400, NOW + "x-acs-retry-after: soon\r\n", 30_000, 33_000),
        ("Throttling", 400, NOW + "x-acs-retry-after: 3600000\r\n", 65_000, 65_000),
        ("Anything", 429, NOW + "Retry-After: 50\r\n", 50_000, 50_000),
        ("Anything", 429, NOW + "Retry-After: 9999\r\n", 65_000, 65_000),
        ("Anything", 429, NOW + "Retry-After: Thu, 14 Nov 2024 12:01:00 GMT\r\n", 30_000, 33_000),
        ("Anything", 429, NOW, 30_000, 33_000),
    ],
)
async def test_k10_throttling_says_when_to_come_back_and_is_not_waited_out_beyond_the_deadline(
    begin: Begin, way: str, code: str, status: int, header: str, least: int, most: int
) -> None:
    trial = await begin()
    trial.upstream.scripts = [refusing(code, status, more=header)]

    outcome = await trial.ask(way)

    assert (outcome.code.name, outcome.reason) == THROTTLED
    assert least <= outcome.detail(rpc.RetryInfo).retry_delay.ToMilliseconds() <= most
    assert outcome.trailers["grpc-retry-pushback-ms"] == "-1"  # a client's own retry would not fit either
    assert len(trial.upstream.heads) == 1
    assert outcome.seconds < 1.0


@BOTH
async def test_k10_throttling_is_waited_out_if_that_fits_the_deadline(begin: Begin, way: str) -> None:
    trial = await begin()
    trial.upstream.scripts = [refusing("Throttling", more="x-acs-retry-after: 150\r\n"), well]
    outcome = await trial.ask(way)
    assert outcome.code.name == "OK"
    assert 0.15 <= outcome.seconds < 0.6
