"""One call to ECS with clocks, names and waits passed in."""

import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ecsgateway.deadline import Deadline
from ecsgateway.ecs.client import Answer, EcsClient, Policy
from ecsgateway.ecs.credentials import CredentialSource
from ecsgateway.ecs.limiter import FairLimiter
from ecsgateway.ecs.resolver import Found
from ecsgateway.ecs.retry import Backoff, RetryBudget
from ecsgateway.ecs.transport import AiohttpTransport
from ecsgateway.errors import CallerError, GatewayError, GatewayFault, NoAnswer, UpstreamRefused
from ecsgateway.mapping import Reason
from fakeecs import FakeEcs, Fault
from tests.conftest import IMAGE, KEYS, REGION
from tests.ecs.test_transport import failing, found, tls_server

LookUp = Callable[[str, int, socket.AddressFamily], Sequence[Found]]
HERE = found("127.0.0.1")


class Waits:
    """Sleeps without sleeping, and moves a clock instead."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now = 1000.0

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


async def call(
    url: str,
    *,
    look_up: LookUp = HERE,
    any_address: bool = True,
    any_endpoint: bool = True,
    waits: Waits | None = None,
    seconds: float = 5.0,
    **given: Any,
) -> Answer[dict[str, Any]]:
    """Call the operation once through a client of its own."""
    transport = AiohttpTransport(connections=2, any_address=any_address, look_up=look_up)
    async with transport as http:
        if waits is not None:
            given["sleep"] = waits
        ecs = EcsClient(
            http,
            credentials=CredentialSource(lambda: KEYS),
            endpoint=lambda region: url,
            limiter=FairLimiter(running=2, waiting=10),
            policy=Policy(
                attempt_timeout=2.0, any_endpoint=any_endpoint, backoff=Backoff(random=lambda: 1.0)
            ),
            **given,
        )
        deadline = Deadline.after(seconds, waits.clock) if waits else Deadline.after(seconds)
        return await ecs.call(
            "DescribeImageSharePermission",
            "2014-05-26",
            {"RegionId": REGION, "ImageId": IMAGE},
            lambda fields: fields,
            region_id=REGION,
            deadline=deadline,
            flow="x",
        )


async def failure(url: str, **how: Any) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        await call(url, **how)
    return raised.value


UNKNOWN_NAME = failing(socket.gaierror(socket.EAI_NONAME, "unknown"))
NO_SERVER = failing(socket.gaierror(socket.EAI_AGAIN, "try again"))


async def test_u25_a_regions_endpoint_that_does_not_exist_means_that_the_region_does_not() -> None:
    error = await failure("https://ecs.cn-nowhere.aliyuncs.com", look_up=UNKNOWN_NAME, any_endpoint=False)
    assert isinstance(error, CallerError)
    assert (error.reason, error.attempts) == (Reason.REGION_NOT_FOUND, 1)


async def test_u25_an_operators_endpoint_that_does_not_exist_is_unreachable() -> None:
    error = await failure("https://ecs.inner", look_up=UNKNOWN_NAME, waits=Waits())
    assert isinstance(error, NoAnswer)
    assert (error.reason, error.attempts) == (Reason.UPSTREAM_UNREACHABLE, 3)
    assert "inner" not in str(error)


async def test_u25_a_name_server_that_fails_says_nothing_of_the_region() -> None:
    error = await failure(
        "https://ecs.cn-x.aliyuncs.com", look_up=NO_SERVER, any_endpoint=False, waits=Waits()
    )
    assert (error.reason, error.attempts) == (Reason.UPSTREAM_UNREACHABLE, 3)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "100.100.100.200"])
async def test_u25_an_inner_address_is_unreachable(address: str) -> None:
    error = await failure(
        "http://ecs.cn-x.aliyuncs.com", look_up=found(address), any_address=False, waits=Waits()
    )
    assert error.reason is Reason.UPSTREAM_UNREACHABLE
    assert address not in str(error)


async def test_u26_a_certificate_that_is_not_trusted_is_not_tried_again(certificate: Path) -> None:
    async with tls_server(certificate) as url:
        error = await failure(url.rstrip("/"))
    assert (error.reason, error.attempts) == (Reason.UPSTREAM_UNREACHABLE, 1)


async def test_the_waits_between_attempts_double(fake: FakeEcs) -> None:
    waits = Waits()
    fake.faults.add(Fault(code="InternalError"))
    error = await failure(fake.url, waits=waits)
    assert waits.slept == [0.1, 0.2]
    assert error.attempts == 3


async def test_an_attempt_that_does_not_fit_the_deadline_is_not_started(fake: FakeEcs) -> None:
    waits = Waits()
    fake.faults.add(Fault(code="InternalError"))
    error = await failure(fake.url, waits=waits, seconds=0.25)
    assert waits.slept == [0.1]
    assert (error.reason, error.attempts) == (Reason.UPSTREAM_INTERNAL_ERROR, 2)


async def test_throttling_is_waited_out_for_as_long_as_ecs_says_and_no_longer(fake: FakeEcs) -> None:
    waits = Waits()
    fake.faults.add(Fault(code="Throttling", retry_after_ms=45_000, times=1))
    assert (await call(fake.url, waits=waits, seconds=60)).attempts == 2
    assert waits.slept == [45.0]

    fake.faults.add(Fault(code="Throttling", retry_after_ms=45_000))
    error = await failure(fake.url, waits=Waits(), seconds=44)
    assert (error.reason, error.attempts, error.retry_after) == (Reason.UPSTREAM_THROTTLED, 1, 45.0)


async def test_without_a_hint_throttling_lasts_until_the_upstreams_next_minute() -> None:
    async with FakeEcs(now=lambda: datetime(2024, 11, 14, 12, 0, 20, tzinfo=UTC)) as fake:
        fake.faults.add(Fault(code="Throttling"))
        at = datetime(2024, 11, 14, 12, 3, 59, tzinfo=UTC)  # the gateway's clock does not matter
        error = await failure(fake.url, waits=Waits(), seconds=10, now=lambda: at)
    assert error.retry_after == 43.0


@pytest.mark.parametrize("wrong", [timedelta(hours=1), timedelta(hours=-1)])
async def test_s9_a_clock_that_jumps_is_corrected_for_the_signature_and_no_deadline_moves(
    fake: FakeEcs, wrong: timedelta
) -> None:
    answer = await call(fake.url, now=lambda: datetime.now(UTC) + wrong, seconds=2)
    assert answer.attempts == 2


async def test_an_empty_budget_leaves_one_attempt(fake: FakeEcs) -> None:
    fake.faults.add(Fault(code="InternalError"))
    error = await failure(fake.url, waits=Waits(), budget=RetryBudget(ratio=0.0, most=0.0))
    assert isinstance(error, UpstreamRefused)
    assert error.attempts == 1


async def test_a_deadline_that_is_over_sends_nothing(fake: FakeEcs) -> None:
    error = await failure(fake.url, seconds=0.0)
    assert isinstance(error, GatewayFault)
    assert error.reason is Reason.DEADLINE_EXCEEDED
    assert not fake.journal


FORK = """
import os
from ecsgateway.ecs.signing import new_nonce
new_nonce()
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, " ".join(new_nonce() for _ in range(100)).encode())
    os._exit(0)
os.close(writer)
theirs = os.read(reader, 65536).decode().split()
print(len({*theirs, *(new_nonce() for _ in range(100))}))
"""


def test_k3_processes_that_were_forked_make_no_nonce_twice() -> None:
    told = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert told.stdout == "200\n", told.stderr
