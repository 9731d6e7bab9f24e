"""Scenarios times clients: each parses the answer, or raises what it raises against the real service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException, ThrottlingException
from aliyunsdkcore.acs_exception import exceptions as core_exceptions
from darabonba.exceptions import UnretryableException
from darabonba.policy.retry import RetryOptions
from pydantic import TypeAdapter

from fakeecs import FakeEcs, Fault, MinuteWindow
from fakeecs.errors import DOCUMENTED

TABLE = json.loads((Path(__file__).parent / "scenarios.json").read_text())
RULE: TypeAdapter[MinuteWindow | Fault] = TypeAdapter(MinuteWindow | Fault)

Call = Callable[..., Any]

RAISED = {
    "client": ClientException,
    "server": ServerException,
    "throttling": ThrottlingException,
    "unreadable": UnretryableException,
    "unreachable": UnretryableException,
    "cut": UnretryableException,
}


@pytest.mark.parametrize("scenario", TABLE["scenarios"], ids=lambda scenario: scenario["name"])
def test_a_client_parses_or_raises(fake: FakeEcs, call: Call, client: str, scenario: dict[str, Any]) -> None:
    for fault in scenario.get("faults", []):
        fake.faults.add(RULE.validate_python(fault))
    how = {"key": scenario.get("key"), "request": scenario.get("request")}
    if "answer" in scenario:
        assert summary(call(client, **how), scenario["answer"]) == scenario["answer"]
        assert fake.journal[-1].status == 200
    else:
        expect_error(client, lambda: call(client, **how), scenario["error"])


@pytest.mark.parametrize(("code", "status"), TABLE["codes"].items(), ids=TABLE["codes"])
def test_a_client_knows_every_code(fake: FakeEcs, call: Call, client: str, code: str, status: int) -> None:
    fake.faults.add(Fault(code=code))
    kind = "server" if status >= 500 else "client"
    expect_error(client, lambda: call(client), {"kind": kind, "status": status, "code": code})


def test_every_code_of_the_fake_is_in_the_table() -> None:
    assert set(TABLE["codes"]) == set(DOCUMENTED)


def summary(body: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What a scenario says of a page."""
    accounts = body["Accounts"]["Account"]
    found = {
        "total": body["TotalCount"],
        "page": body["PageNumber"],
        "size": body["PageSize"],
        "accounts": len(accounts),
        "groups": [group["Group"] for group in body["ShareGroups"]["ShareGroup"]],
    }
    if "first" in wanted:
        found["first"] = [accounts[0]["AliyunId"], accounts[0].get("SharedTime")]
    return found


def expect_error(client: str, attempt: Callable[[], Any], error: dict[str, Any]) -> None:
    if client.startswith("core"):
        expect_error_of_core(client, attempt, error)
        return
    with pytest.raises(RAISED[error["kind"]]) as raised:
        attempt()
    if error["kind"] in ("client", "server", "throttling"):
        value = raised.value
        assert (value.status_code, value.code) == (error["status"], error["code"])
        assert value.data["Code"] == error["code"]
        assert value.request_id is not None or value.data["RequestId"]
    if "retry_after" in error:
        assert raised.value.retry_after == error["retry_after"]


def expect_error_of_core(client: str, attempt: Callable[[], Any], error: dict[str, Any]) -> None:
    if error["kind"] == "cut" or (error["kind"] == "unreadable" and error["status"] == 200):
        # The client does not count bytes, and leaves parsing to its caller.
        with pytest.raises(json.JSONDecodeError):
            attempt()
        return
    if error["kind"] == "unreachable":
        with pytest.raises(core_exceptions.ClientException) as unreachable:
            attempt()
        assert unreachable.value.error_code == "SDK.HttpError"
        return
    with pytest.raises(core_exceptions.ServerException) as raised:
        attempt()
    assert raised.value.http_status == error["status"]
    code = error.get("code", "SDK.UnknownServerError")
    if code == "SignatureDoesNotMatch" and client != "core form":
        # The client finds the server's string to sign equal to its own (which it forgets if there is a form).
        code = "InvalidAccessKeySecret"
    assert raised.value.error_code == code


def test_every_client_uses_the_scheme_it_says(fake: FakeEcs, call: Call, client: str) -> None:
    call(client)
    entry = fake.journal[-1]
    assert entry.scheme == ("ACS3-HMAC-SHA256" if "ACS3" in client else "HMAC-SHA1")
    assert entry.method == ("GET" if "GET" in client else "POST")


@pytest.mark.parametrize("edition", [2017, 2024])
def test_a_client_reads_either_edition(call: Call, fake: FakeEcs, client: str, edition: int) -> None:
    with FakeEcs(data=fake.data, edition=edition).in_thread() as other:
        body = call(client, port=other.port)
    assert ("SharedTime" in body["Accounts"]["Account"][0]) == (edition == 2024)


def test_a_clock_that_is_wrong_is_told(call: Call, fake: FakeEcs, client: str) -> None:
    with FakeEcs(data=fake.data, now=lambda: 0.0).in_thread() as other:
        expired = {"kind": "client", "status": 400, "code": "InvalidTimeStamp.Expired"}
        expect_error(client, lambda: call(client, port=other.port), expired)


def test_tea_retries_with_a_new_signature_after_the_time_asked_for(fake: FakeEcs, call: Call) -> None:
    fake.faults.add(Fault(code="Throttling", retry_after_ms=30, times=2))
    condition = {"maxAttempts": 3, "exception": ["ThrottlingException"]}
    retry = RetryOptions({"retryable": True, "retryCondition": [condition]})
    assert call("tea ACS3", retry_options=retry)["TotalCount"] == 11
    first, second, third = fake.journal
    assert [entry.status for entry in fake.journal] == [400, 400, 200]
    assert len({entry.nonce for entry in fake.journal}) == 3
    assert third.headers["x-acs-retry-attempts"] == "2"
    assert first.ended is not None
    assert second.started - first.ended >= 0.03


def test_core_retries_by_itself(fake: FakeEcs, call: Call) -> None:
    fake.faults.add(Fault(code="InternalError", times=1))
    assert call("core POST", auto_retry=True)["TotalCount"] == 11
    assert [entry.status for entry in fake.journal] == [500, 200]
    assert len({entry.nonce for entry in fake.journal}) == 2


def test_tea_reads_an_error_in_xml(fake: FakeEcs, call: Call) -> None:
    body = b'<?xml version="1.0" encoding="UTF-8"?><Error><RequestId>R</RequestId><Code>C</Code></Error>'
    fake.faults.add(Fault(kind="body", status=404, body=body, content_type="text/xml;charset=utf-8"))
    with pytest.raises(ClientException) as raised:
        call("tea ACS3")
    assert (raised.value.status_code, raised.value.code) == (404, "C")
