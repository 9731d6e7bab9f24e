"""Every row of the error model over the wire: code, reason, domain, details, pushback, in both methods.

K12 to K14 of the fault catalogue are rows 8 to 12 here.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.rpc import error_details_pb2 as rpc

from ecsgateway.ecs.credentials import Credentials, CredentialSource
from ecsgateway.mapping import ROWS, Reason
from ecsgateway.v1.error_details_pb2 import UpstreamError
from fakeecs import FakeEcs, Fault
from tests.calling import STREAM, UNARY, Outcome, ask
from tests.conftest import IMAGE, REGION, Start

ECS, GATEWAY = "ecs.aliyuncs.com", "ecsgateway"
ANSWERED = ["UpstreamError", "RequestInfo"]
STOP, DELAY, NOTHING = "stop", "delay", "nothing"
BOTH = pytest.mark.parametrize("way", [UNARY, STREAM])


@pytest.fixture
async def fake() -> AsyncIterator[FakeEcs]:
    """An upstream whose minute never ends, so that no quota's window opens during a call."""
    async with FakeEcs(now=lambda: time.time() // 60 * 60 + 10) as server:
        yield server


@dataclass(frozen=True, kw_only=True)
class Case:
    """An upstream's trouble and the status that it must become."""

    fault: Fault
    code: str
    reason: str
    details: list[str]
    domain: str = ECS
    pushback: str = NOTHING
    requests: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


def refusal(
    code: str, status: int, becomes: str, reason: str, *details: str, pushback: str = STOP, requests: int = 1
) -> Case:
    """An error answer of ECS with this code and HTTP status."""
    helped = [name for name in details if name == "Help"]
    others = [name for name in details if name != "Help"]
    return Case(
        fault=Fault(code=code, status=status),
        code=becomes,
        reason=reason,
        details=[*others, *ANSWERED, *helped],
        pushback=pushback,
        requests=requests,
    )


HANGS = {"attempt_seconds": 0.1}
CREDENTIALS = ("INTERNAL", "GATEWAY_CREDENTIALS_REJECTED", "Help")
INVALID = ("INVALID_ARGUMENT", "UPSTREAM_INVALID_PARAMETER", "BadRequest")
THROTTLED = ("RESOURCE_EXHAUSTED", "UPSTREAM_THROTTLED", "RetryInfo", "QuotaFailure")
FORBIDDEN = ("PERMISSION_DENIED", "UPSTREAM_FORBIDDEN", "ResourceInfo", "Help")
SKEWED = ("INTERNAL", "GATEWAY_CLOCK_SKEW")
FAILED = ("INTERNAL", "UPSTREAM_INTERNAL_ERROR", "RetryInfo")
OUT = ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE", "RetryInfo")
UNKNOWN = "UPSTREAM_UNKNOWN_ERROR"

CASES = {
    "3-unknown-key-at-404": refusal("InvalidAccessKeyId.NotFound", 404, *CREDENTIALS),
    "3-inactive-key": refusal("InvalidAccessKeyId.Inactive", 400, *CREDENTIALS),
    "3-signature": refusal("SignatureDoesNotMatch", 400, *CREDENTIALS),
    "3-incomplete-signature": refusal("IncompleteSignature", 400, *CREDENTIALS),
    "3-expired-token": refusal("InvalidSecurityToken.Expired", 400, *CREDENTIALS),
    "3-malformed-token": refusal("InvalidSecurityToken.Malformed", 400, *CREDENTIALS),
    "3-missing-token": refusal("MissingSecurityToken", 400, *CREDENTIALS),
    "3-disabled-key-at-403": refusal("Forbidden.AccessKeyDisabled", 403, *CREDENTIALS),
    "3-status-401": refusal("Whatever", 401, *CREDENTIALS),
    "5-expired-time": refusal("InvalidTimeStamp.Expired", 400, *SKEWED, pushback=NOTHING, requests=2),
    "5-illegal-time": refusal("IllegalTimestamp", 400, *SKEWED, pushback=NOTHING, requests=2),
    "5-nonce": refusal("SignatureNonceUsed", 400, *SKEWED, pushback=NOTHING, requests=2),
    "6-throttling-at-400": refusal("Throttling", 400, *THROTTLED, pushback=DELAY),
    "6-throttling-user": refusal("Throttling.User", 400, *THROTTLED, pushback=DELAY),
    "6-rejected": refusal("Rejected.Throttling", 400, *THROTTLED, pushback=DELAY),
    "6-throttling-at-503": refusal("Throttling", 503, *THROTTLED, pushback=DELAY),
    "6-status-429": refusal("Whatever", 429, *THROTTLED, pushback=DELAY),
    "6-header-alone": Case(
        fault=Fault(code="Whatever", status=400, retry_after_ms=60_000),
        code="RESOURCE_EXHAUSTED",
        reason="UPSTREAM_THROTTLED",
        details=["RetryInfo", "QuotaFailure", *ANSWERED],
        pushback=DELAY,
    ),
    "8-missing-parameter": refusal(
        "MissingParameter", 400, "INVALID_ARGUMENT", "UPSTREAM_MISSING_PARAMETER", "BadRequest"
    ),
    "9-invalid-parameter": refusal("InvalidParameter", 400, *INVALID),
    "9-invalid-owner-at-403": refusal("InvalidParameter.OwnerAccount", 403, *INVALID),
    "9-malformed": refusal("InvalidRegionId.Malformed", 404, *INVALID),
    "9-invalid-anything-at-400": refusal("InvalidPageSize", 400, *INVALID),
    "10-image": refusal("InvalidImageId.NotFound", 404, "NOT_FOUND", "IMAGE_NOT_FOUND", "ResourceInfo"),
    "10-image-at-400": refusal(
        "InvalidImageId.NotFound", 400, "NOT_FOUND", "IMAGE_NOT_FOUND", "ResourceInfo"
    ),
    "11-region": refusal(
        "InvalidRegionId.NotFound", 404, "NOT_FOUND", "REGION_NOT_FOUND", "ResourceInfo", "BadRequest"
    ),
    "12-image-status": refusal(
        "IncorrectImageStatus",
        400,
        "FAILED_PRECONDITION",
        "IMAGE_STATUS_INCORRECT",
        "PreconditionFailure",
    ),
    "12-other-status": refusal(
        "IncorrectDiskStatus", 400, "FAILED_PRECONDITION", "IMAGE_STATUS_INCORRECT", "PreconditionFailure"
    ),
    "13-ram": refusal("Forbidden.RAM", 403, *FORBIDDEN),
    "13-forbidden-at-400": refusal("Forbidden.RiskControl", 400, *FORBIDDEN),
    "13-no-permission": refusal("NoPermission", 403, *FORBIDDEN),
    "13-status-403": refusal("Whatever", 403, *FORBIDDEN),
    "14-conflict": refusal(
        "OperationConflict", 409, "ABORTED", "UPSTREAM_CONFLICT", pushback=NOTHING, requests=2
    ),
    "14-status-409": refusal("Whatever", 409, "ABORTED", "UPSTREAM_CONFLICT", pushback=NOTHING, requests=2),
    "15-internal-error": refusal("InternalError", 500, *FAILED, pushback=NOTHING, requests=3),
    "15-unknown-error-at-400": refusal("UnknownError", 400, *FAILED, pushback=NOTHING, requests=3),
    "15-status-500": refusal("Whatever", 500, *FAILED, pushback=NOTHING, requests=3),
    "16-maintenance": refusal("ServiceUnavailable.RegionMaintaining", 503, *OUT, pushback=DELAY, requests=3),
    "16-status-504": refusal("Whatever", 504, *OUT, pushback=DELAY, requests=3),
    "16-proxy-page": Case(
        fault=Fault(kind="html", status=502),
        code="UNAVAILABLE",
        reason="UPSTREAM_UNAVAILABLE",
        domain=GATEWAY,
        details=["RetryInfo", *ANSWERED],
        pushback=DELAY,
        requests=3,
    ),
    "17-reset": Case(
        fault=Fault(kind="reset"),
        code="UNAVAILABLE",
        reason="UPSTREAM_UNREACHABLE",
        domain=GATEWAY,
        details=["RetryInfo"],
        pushback=DELAY,
        requests=3,
    ),
    "18-stall": Case(
        fault=Fault(kind="stall"),
        code="UNAVAILABLE",
        reason="UPSTREAM_TIMEOUT",
        domain=GATEWAY,
        details=["RetryInfo"],
        requests=3,
        settings=HANGS,
    ),
    "21-not-json": Case(
        fault=Fault(kind="body", body=b"{"),
        code="INTERNAL",
        reason="UPSTREAM_MALFORMED_RESPONSE",
        domain=GATEWAY,
        details=ANSWERED,
        requests=2,
    ),
    "22-too-large": Case(
        fault=Fault(kind="body", body=b" " * 4096, repeat=300),
        code="INTERNAL",
        reason="UPSTREAM_RESPONSE_TOO_LARGE",
        domain=GATEWAY,
        details=ANSWERED,
    ),
    "23-redirect": Case(
        fault=Fault(kind="redirect", headers={"Location": "http://127.0.0.1:1/"}),
        code="INTERNAL",
        reason="UPSTREAM_REDIRECT",
        domain=GATEWAY,
        details=ANSWERED,
        pushback=STOP,
    ),
    "24-unknown-at-400": refusal("Whatever", 400, "FAILED_PRECONDITION", UNKNOWN, pushback=NOTHING),
    "24-unknown-not-found": refusal("Whatever.NotFound", 404, "NOT_FOUND", UNKNOWN, pushback=NOTHING),
    "24-unknown-at-404": refusal("Whatever", 404, "INTERNAL", UNKNOWN, pushback=NOTHING),
    "24-unknown-at-405": refusal("Whatever", 405, "INTERNAL", UNKNOWN, pushback=NOTHING),
    "24-unknown-at-406": refusal("Whatever", 406, "INTERNAL", UNKNOWN, pushback=NOTHING),
    "24-unknown-at-418": refusal("Whatever", 418, "UNKNOWN", UNKNOWN, pushback=NOTHING),
}


@BOTH
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_the_upstream_does_becomes_the_status_of_its_row(
    start: Start, fake: FakeEcs, case: Case, way: str
) -> None:
    running = await start(**case.settings)
    fake.faults.add(case.fault)

    outcome = await ask(running.stub, way, metadata=(("x-request-id", "mine-1"),))

    assert (outcome.code.name, outcome.reason) == (case.code, case.reason)
    assert outcome.info.domain == case.domain
    assert outcome.names == case.details
    assert outcome.info.metadata["region"] == REGION
    assert outcome.info.metadata["image"] == IMAGE
    assert outcome.info.metadata["fault"] in ("caller", "upstream", "gateway")
    assert outcome.info.metadata["attempts"] == str(case.requests) == str(len(fake.journal))
    assert outcome.trailers["x-request-id"] == "mine-1"
    check_pushback(outcome, case.pushback)
    check_upstream(outcome, fake)
    check_consistent(outcome)


def check_pushback(outcome: Outcome, expected: str, *, timeout: float = 5.0) -> None:
    """A delay that the call's deadline has no room for is no delay: a client would wait past it."""
    pushback = outcome.trailers.get("grpc-retry-pushback-ms")
    if expected == NOTHING:
        assert pushback is None
    elif expected == STOP:
        assert pushback == "-1"
    else:
        delay = outcome.detail(rpc.RetryInfo).retry_delay.ToMilliseconds()
        assert pushback == (str(delay) if delay < timeout * 1000 else "-1")
        assert 0 <= delay <= 65_000


def check_upstream(outcome: Outcome, fake: FakeEcs) -> None:
    """What the upstream answered is told; its request id leads to its support."""
    if "UpstreamError" not in outcome.names:
        return
    last = fake.journal[-1]
    said = outcome.detail(UpstreamError)
    assert said.http_status == last.status
    if said.code:
        assert said.code == last.code == outcome.info.metadata["upstream_code"]
        assert said.request_id == last.request_id == outcome.detail(rpc.RequestInfo).serving_data
    assert outcome.detail(rpc.RequestInfo).request_id == "mine-1"


def check_consistent(outcome: Outcome) -> None:
    """The status in the details is the status itself, and all of it is small."""
    assert (outcome.status.code, outcome.status.message) == (outcome.code.value[0], outcome.text)
    assert len(outcome.text.encode()) <= 512
    assert outcome.size <= 4096


def test_every_row_that_an_upstream_can_cause_has_a_case() -> None:
    caused = {row.number for row in ROWS if row.codes or row.http} | {17, 18, 21, 22, 23}
    assert caused == {int(name.partition("-")[0]) for name in CASES}


@BOTH
async def test_row_1_names_every_field_that_breaks_a_rule(start: Start, fake: FakeEcs, way: str) -> None:
    outcome = await ask((await start()).stub, way, region="Cn_", image="", page_size=101)

    assert (outcome.code.name, outcome.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert outcome.info.domain == GATEWAY
    fields = [each.field for each in outcome.detail(rpc.BadRequest).field_violations]
    assert sorted(fields) == ["image_id", "page_size", "region_id"]
    assert outcome.names == ["BadRequest"]
    check_pushback(outcome, STOP)
    check_consistent(outcome)
    assert not fake.journal


@pytest.mark.parametrize("token", ["x", "A" * 48, "A" * 1024], ids=["short", "forged", "long"])
async def test_row_2_refuses_a_token_that_the_gateway_did_not_issue(
    start: Start, fake: FakeEcs, token: str
) -> None:
    outcome = await ask((await start()).stub, STREAM, resume_token=token)

    assert (outcome.code.name, outcome.reason) == ("INVALID_ARGUMENT", "INVALID_RESUME_TOKEN")
    assert [each.field for each in outcome.detail(rpc.BadRequest).field_violations] == ["resume_token"]
    check_pushback(outcome, STOP)
    check_consistent(outcome)
    assert not fake.journal


@BOTH
async def test_row_4_says_that_credentials_are_being_fetched(start: Start, fake: FakeEcs, way: str) -> None:
    loads = iter([Credentials(access_key_id="testid", access_key_secret="testsecret")])
    running = await start(credentials=CredentialSource(lambda: next(loads)))
    fake.faults.add(Fault(code="InvalidSecurityToken.Expired"))

    outcome = await ask(running.stub, way, timeout=1.0)

    assert (outcome.code.name, outcome.reason) == ("UNAVAILABLE", "GATEWAY_CREDENTIALS_REFRESHING")
    assert outcome.info.domain == GATEWAY
    assert outcome.names == ["RetryInfo", *ANSWERED]
    check_pushback(outcome, DELAY, timeout=1.0)
    check_consistent(outcome)


@BOTH
async def test_row_19_tells_the_attempts_and_the_last_error_when_the_deadline_ends_the_call(
    start: Start, fake: FakeEcs, way: str
) -> None:
    running = await start()
    fake.faults.add(Fault(kind="reset", times=1))
    fake.faults.add(Fault(kind="stall"))

    outcome = await ask(running.stub, way, timeout=0.5)

    assert (outcome.code.name, outcome.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    assert outcome.info.metadata["attempts"] == "2"
    assert outcome.info.metadata["last_error"] == "UPSTREAM_UNREACHABLE"
    assert outcome.info.metadata["sent_pages"] == "0"
    check_pushback(outcome, NOTHING)
    check_consistent(outcome)


def test_every_reason_has_a_row() -> None:
    assert {row.reason for row in ROWS} == set(Reason)
