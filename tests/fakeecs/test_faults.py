"""Which requests the faults in force hit, after which delay, and with which error."""

from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import httpx
import pytest

from fakeecs import FakeEcs, Fault, MinuteWindow
from fakeecs.faults import Faults
from fakeecs.journal import Entry
from fakeecs.trouble import Latency

Ask = Callable[..., Awaitable[httpx.Response]]


async def codes(ask: Ask, times: int, **how: Any) -> list[str | None]:
    return [(await ask(**how)).json().get("Code") for _ in range(times)]


async def test_a_fault_hits_until_it_is_removed(fake: FakeEcs, ask: Ask) -> None:
    number = fake.faults.add(Fault(code="InternalError"))
    assert await codes(ask, 2) == ["InternalError"] * 2
    fake.faults.remove(number)
    assert await codes(ask, 1) == [None]


async def test_the_next_n_answers(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="InternalError", times=2))
    assert await codes(ask, 3) == ["InternalError", "InternalError", None]


async def test_the_first_n_pass(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="InternalError", skip=2, times=1))
    assert await codes(ask, 4) == [None, None, "InternalError", None]


async def test_faults_queue_up_in_the_order_added(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="Throttling", times=1))
    fake.faults.add(Fault(code="ServiceUnavailable", times=1))
    assert await codes(ask, 3) == ["Throttling", "ServiceUnavailable", None]


@pytest.mark.parametrize(
    ("fault", "hit", "missed"),
    [
        (Fault(code="InternalError", page=2), {"PageNumber": 2}, {"PageNumber": 1}),
        (Fault(code="InternalError", page=1), {}, {"PageNumber": 2}),
        (Fault(code="InternalError", image="m-demo-45"), {"ImageId": "m-demo-45"}, {}),
        (Fault(code="InternalError", region="cn-hangzhou"), {}, {"RegionId": "cn-qingdao"}),
        (
            Fault(code="InternalError", key_id="STS.testid"),
            {"key_id": "STS.testid", "token": "testtoken"},
            {},
        ),
    ],
    ids=["page", "page by default", "image", "region", "key"],
)
async def test_a_fault_hits_what_it_names(
    fake: FakeEcs, ask: Ask, fault: Fault, hit: dict[str, Any], missed: dict[str, Any]
) -> None:
    fake.faults.add(fault)
    assert await codes(ask, 1, **hit) == ["InternalError"]
    assert await codes(ask, 1, **missed) != ["InternalError"]


async def test_the_same_seed_hits_the_same_requests(
    asking: Callable[[FakeEcs], Ask], clock: Callable[[], float]
) -> None:
    runs = []
    for _ in range(2):
        async with FakeEcs(now=clock, random=Random(7)) as fake:
            fake.faults.add(Fault(code="InternalError", probability=0.5))
            runs.append(await codes(asking(fake), 40))
    assert runs[0] == runs[1]
    assert 8 <= Counter(runs[0])["InternalError"] <= 32


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(status=503), 503, "ServiceUnavailable"),
        (Fault(status=418), 418, "UnknownError"),
        (Fault(code="Throttling", status=429), 429, "Throttling"),
        (Fault(code="Something.New"), 400, "Something.New"),
        (Fault(code="InternalError", message="Oops"), 500, "InternalError"),
    ],
    ids=["status", "other status", "both", "unknown code", "message"],
)
async def test_an_error_by_code_or_status(
    fake: FakeEcs, ask: Ask, fault: Fault, status: int, code: str
) -> None:
    fake.faults.add(fault)
    answer = await ask()
    assert (answer.status_code, answer.json()["Code"]) == (status, code)
    assert fault.message in (None, answer.json()["Message"])


async def test_throttling_may_say_how_long_to_wait(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="Throttling.User", retry_after_ms=1500))
    answer = await ask()
    assert answer.headers["x-acs-retry-after"] == "1500"
    assert answer.json()["Message"] == "Request was denied due to user flow control."


async def test_a_minute_window_refuses_until_the_next_minute(fake: FakeEcs, ask: Ask, clock: Any) -> None:
    fake.faults.add(MinuteWindow(limit=2, retry_after_ms="next-minute"))
    assert await codes(ask, 2) == [None, None]
    answer = await ask()  # at 12:00:30
    assert (answer.status_code, answer.json()["Code"]) == (400, "Throttling")
    assert answer.headers["x-acs-retry-after"] == "30000"
    clock.now += 29
    assert await codes(ask, 1) == ["Throttling"]
    clock.now += 1
    assert await codes(ask, 3) == [None, None, "Throttling"]


async def test_a_minute_window_counts_each_account_and_region_for_itself(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(MinuteWindow(limit=1, code="Throttling.User", region="cn-hangzhou"))
    assert await codes(ask, 2) == [None, "Throttling.User"]
    assert await codes(ask, 2, RegionId="cn-qingdao", ImageId="m-282dzntc7") == [None, None]
    key = fake.keys["STS.testid"]
    fake.keys["STS.testid"] = type(key)(key.secret, key.security_token, account="1000000000000002")
    assert await codes(ask, 2, key_id="STS.testid", token="testtoken") == [None, "Throttling.User"]


@pytest.mark.parametrize(
    ("latency", "low", "high"),
    [
        (0.25, 0.25, 0.25),
        (("uniform", 0.1, 0.2), 0.1, 0.2),
        (("exponential", 0.1), 0.0, 5.0),
        (("lognormal", 0.1, 0.5), 0.0, 5.0),
    ],
    ids=["fixed", "uniform", "exponential", "lognormal"],
)
def test_latency_is_drawn_from_its_distribution(
    entry: Entry, latency: Latency, low: float, high: float
) -> None:
    faults = Faults(Random(1))
    faults.add(Fault(latency=latency))
    drawn = [faults.strike(entry, account="1", now=0)[0] for _ in range(200)]
    assert all(low <= one <= high for one in drawn)
    assert (len(set(drawn)) == 1) == isinstance(latency, float)


def test_delays_add_up_with_the_error_that_hits(entry: Entry) -> None:
    faults = Faults(Random(1))
    faults.add(Fault(latency=0.5))
    hitting = Fault(code="InternalError", latency=0.25)
    faults.add(hitting)
    assert faults.strike(entry, account="1", now=0) == (0.75, hitting)


async def test_a_late_answer_is_the_right_one(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(latency=0.02))
    assert (await ask()).status_code == 200
    assert fake.journal[-1].ended is not None
    assert fake.journal[-1].ended - fake.journal[-1].started >= 0.02


@pytest.fixture
def entry() -> Entry:
    return Entry(
        action="DescribeImageSharePermission",
        region="cn-hangzhou",
        image_id="m-1",
        page_number=1,
        page_size=10,
        scheme="HMAC-SHA1",
        method="GET",
        request_id="",
        started=0.0,
        parameters={},
        headers={},
    )


def test_a_redirect_to_nowhere_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="Location"):
        Fault(kind="redirect")
