"""The error model as data: every row of the contract, and the order in which they are tried."""

import pytest

from ecsgateway.mapping import ROWS, Fault, Pushback, Reason, Retry, Row, classify, row_for
from ecsgateway.v1.error_details_pb2 import ErrorReason

CREDENTIALS = Reason.GATEWAY_CREDENTIALS_REJECTED
THROTTLED = Reason.UPSTREAM_THROTTLED
INVALID = Reason.UPSTREAM_INVALID_PARAMETER
FORBIDDEN = Reason.UPSTREAM_FORBIDDEN
UNAVAILABLE = Reason.UPSTREAM_UNAVAILABLE
UNKNOWN = Reason.UPSTREAM_UNKNOWN_ERROR


@pytest.mark.parametrize(
    ("code", "http", "reason", "status"),
    [
        ("InvalidAccessKeyId.NotFound", 404, CREDENTIALS, "INTERNAL"),  # though it ends in .NotFound
        ("InvalidAccessKeyId.NotFound", 400, CREDENTIALS, "INTERNAL"),  # though it begins with Invalid
        ("InvalidAccessKeyId.Inactive", 400, CREDENTIALS, "INTERNAL"),
        ("InvalidAccessKeyId", 404, CREDENTIALS, "INTERNAL"),
        ("SignatureDoesNotMatch", 400, CREDENTIALS, "INTERNAL"),
        ("IncompleteSignature", 400, CREDENTIALS, "INTERNAL"),
        ("InvalidSecurityToken.Expired", 400, CREDENTIALS, "INTERNAL"),
        ("InvalidSecurityToken.Malformed", 400, CREDENTIALS, "INTERNAL"),  # though it ends in .Malformed
        ("MissingSecurityToken", 400, CREDENTIALS, "INTERNAL"),
        ("Forbidden.AccessKeyDisabled", 403, CREDENTIALS, "INTERNAL"),  # though it begins with Forbidden
        ("Anything", 401, CREDENTIALS, "INTERNAL"),
        ("", 401, CREDENTIALS, "INTERNAL"),
        ("InvalidTimeStamp.Expired", 400, Reason.GATEWAY_CLOCK_SKEW, "INTERNAL"),
        ("InvalidTimeStamp.Format", 400, Reason.GATEWAY_CLOCK_SKEW, "INTERNAL"),
        ("IllegalTimestamp", 400, Reason.GATEWAY_CLOCK_SKEW, "INTERNAL"),
        ("SignatureNonceUsed", 400, Reason.GATEWAY_CLOCK_SKEW, "INTERNAL"),
        ("Throttling", 400, THROTTLED, "RESOURCE_EXHAUSTED"),
        ("Throttling.User", 400, THROTTLED, "RESOURCE_EXHAUSTED"),
        ("Throttling.Api", 503, THROTTLED, "RESOURCE_EXHAUSTED"),  # the code beats the status
        ("Rejected.Throttling", 400, THROTTLED, "RESOURCE_EXHAUSTED"),
        ("", 429, THROTTLED, "RESOURCE_EXHAUSTED"),
        ("Anything", 429, THROTTLED, "RESOURCE_EXHAUSTED"),
        ("MissingParameter", 400, Reason.UPSTREAM_MISSING_PARAMETER, "INVALID_ARGUMENT"),
        ("InvalidImageId.NotFound", 404, Reason.IMAGE_NOT_FOUND, "NOT_FOUND"),
        ("InvalidImageId.NotFound", 400, Reason.IMAGE_NOT_FOUND, "NOT_FOUND"),  # not any Invalid* at 400
        ("InvalidRegionId.NotFound", 404, Reason.REGION_NOT_FOUND, "NOT_FOUND"),
        ("InvalidParameter", 400, INVALID, "INVALID_ARGUMENT"),
        ("InvalidParameter.OwnerAccount", 403, INVALID, "INVALID_ARGUMENT"),  # the code beats the status
        ("InvalidImageId.Malformed", 404, INVALID, "INVALID_ARGUMENT"),
        ("InvalidPageNumber", 400, INVALID, "INVALID_ARGUMENT"),
        ("InvalidAction", 403, FORBIDDEN, "PERMISSION_DENIED"),  # Invalid* alone needs 400
        ("IncorrectImageStatus", 400, Reason.IMAGE_STATUS_INCORRECT, "FAILED_PRECONDITION"),
        ("IncorrectInstanceStatus", 403, Reason.IMAGE_STATUS_INCORRECT, "FAILED_PRECONDITION"),
        ("Forbidden.RAM", 403, FORBIDDEN, "PERMISSION_DENIED"),
        ("Forbidden", 404, FORBIDDEN, "PERMISSION_DENIED"),
        ("NoPermission", 400, FORBIDDEN, "PERMISSION_DENIED"),
        ("Anything", 403, FORBIDDEN, "PERMISSION_DENIED"),
        ("OperationConflict", 400, Reason.UPSTREAM_CONFLICT, "ABORTED"),
        ("Anything", 409, Reason.UPSTREAM_CONFLICT, "ABORTED"),
        ("InternalError", 400, Reason.UPSTREAM_INTERNAL_ERROR, "INTERNAL"),
        ("UnknownError", 400, Reason.UPSTREAM_INTERNAL_ERROR, "INTERNAL"),
        ("Anything", 500, Reason.UPSTREAM_INTERNAL_ERROR, "INTERNAL"),
        ("ServiceUnavailable", 400, UNAVAILABLE, "UNAVAILABLE"),
        ("ServiceUnavailable.RegionMaintaining", 503, UNAVAILABLE, "UNAVAILABLE"),
        ("Anything", 502, UNAVAILABLE, "UNAVAILABLE"),
        ("", 503, UNAVAILABLE, "UNAVAILABLE"),
        ("Anything", 504, UNAVAILABLE, "UNAVAILABLE"),
        ("Anything.NotFound", 599, UNAVAILABLE, "UNAVAILABLE"),
        ("Anything", 400, UNKNOWN, "FAILED_PRECONDITION"),
        ("Anything.NotFound", 400, UNKNOWN, "FAILED_PRECONDITION"),
        ("Anything.NotFound", 404, UNKNOWN, "NOT_FOUND"),
        ("Anything", 404, UNKNOWN, "INTERNAL"),
        ("Anything", 405, UNKNOWN, "INTERNAL"),
        ("Anything", 406, UNKNOWN, "INTERNAL"),
        ("Anything", 418, UNKNOWN, "UNKNOWN"),
        ("Anything", 499, UNKNOWN, "UNKNOWN"),
    ],
)
def test_an_error_is_known_by_its_code_first_and_by_its_status_last(
    code: str, http: int, reason: Reason, status: str
) -> None:
    row = classify(code, http)
    assert row is not None
    assert (row.reason, row.status) == (reason, status)


@pytest.mark.parametrize("http", [400, 402, 404, 405, 418, 499])
def test_a_refusal_without_a_code_is_no_answer_of_ecs_unless_its_status_says_enough(http: int) -> None:
    assert classify("", http) is None


@pytest.mark.parametrize(
    ("code", "http", "reason"),
    [
        ("Anything", 400, THROTTLED),
        ("", 400, THROTTLED),
        ("ServiceUnavailable", 503, THROTTLED),
        ("InternalError", 500, THROTTLED),
        ("InvalidImageId.NotFound", 404, THROTTLED),
        ("SignatureDoesNotMatch", 400, CREDENTIALS),
        ("InvalidTimeStamp.Expired", 400, Reason.GATEWAY_CLOCK_SKEW),
    ],
)
def test_a_time_to_come_back_means_throttling_except_to_the_rows_above_it(
    code: str, http: int, reason: Reason
) -> None:
    row = classify(code, http, retry_after=True)
    assert row is not None
    assert row.reason is reason


@pytest.mark.parametrize("http", range(400, 600))
def test_every_error_status_has_a_row_for_an_unknown_code(http: int) -> None:
    assert classify("Anything", http) is not None


def test_the_reasons_are_those_of_the_proto() -> None:
    names = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()]  # noqa: SIM118 - not a dict
    assert names == ["UNSPECIFIED", *Reason]


def test_every_reason_has_a_row_and_every_number_of_the_contract_too() -> None:
    assert {row.reason for row in ROWS} == set(Reason)
    # 20 is a caller that has left, 25 a stream that breaks: neither has a reason of its own.
    assert {row.number for row in ROWS} == set(range(1, 31)) - {20, 25}


def test_rows_of_one_reason_differ_only_where_the_http_status_tells_them_apart() -> None:
    for row in ROWS:
        assert row_for(row.reason).number == row.number
        if row.reason is not UNKNOWN:
            assert row_for(row.reason).status == row.status


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}-{row.reason}-{row.status}")
def test_a_row_is_consistent_with_itself(row: Row) -> None:
    row.text.format(region_id="", image_id="")
    if row.fault is Fault.CALLER:
        assert row.retry is Retry.NEVER, "what the caller must mend is not tried again"
    if row.status in ("INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED") and row.reason is not UNKNOWN:
        assert row.pushback is Pushback.STOP, "no retry policy may repeat it"
    if row.status == "UNAVAILABLE" and row.reason is not Reason.UPSTREAM_TIMEOUT:
        assert row.pushback in (Pushback.DELAY, Pushback.NOW), "retry policies repeat it: tell them when"
    if row.reason in (CREDENTIALS, Reason.GATEWAY_CLOCK_SKEW):
        assert not row.relay, "ECS's sentence holds the string to sign"


def test_what_the_gateway_tries_again_is_what_the_contract_says() -> None:
    assert {row.number: row.retry for row in ROWS if row.retry is not Retry.NEVER} == {
        3: Retry.CREDENTIALS,
        4: Retry.BACKOFF,
        5: Retry.CLOCK,
        6: Retry.WINDOW,
        14: Retry.ONCE,
        15: Retry.BACKOFF,
        16: Retry.BACKOFF,
        17: Retry.BACKOFF,
        18: Retry.BACKOFF,
        21: Retry.ONCE,
    }
