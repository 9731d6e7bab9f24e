"""Whether and when a failure is tried again, without a clock or a network."""

from datetime import UTC, datetime
from random import Random

import pytest

from ecsgateway.ecs.retry import MAX_ATTEMPTS, Backoff, RetryBudget
from ecsgateway.errors import GatewayError, NoAnswer, Refusal, UpstreamRefused
from ecsgateway.mapping import ROWS, Reason, Retry, row_for

ALWAYS_MOST = Backoff(random=lambda: 1.0)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_k11_a_failing_upstream_gets_at_most_a_fifth_more_than_its_load(share: float) -> None:
    budget, random, sent = RetryBudget(), Random(7), 0
    calls, settled = 20_000, 1_000
    for number in range(calls):
        before = sent
        budget.earn()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            sent += 1
            failed = random.random() < share
            if not failed or attempt == MAX_ATTEMPTS or not budget.spend():
                break
        if number < settled:
            sent = before  # the first are not of the steady state
    assert sent <= 1.2 * (calls - settled)


def test_the_first_failures_are_tried_again_as_often_as_was_saved_up() -> None:
    budget = RetryBudget(ratio=0.2, most=10)
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2
    for _ in range(5):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_a_budget_never_holds_more_than_its_most() -> None:
    budget = RetryBudget(ratio=0.2, most=2)
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_delays_double_up_to_the_longest_and_never_reach_beyond_it() -> None:
    error = NoAnswer(Reason.UPSTREAM_UNREACHABLE)
    backoff = Backoff(initial=1.0, longest=1.5, random=lambda: 1.0)
    assert [backoff.delay(error, attempt) for attempt in (1, 2, 3)] == [1.0, 1.5, None]


def test_delays_are_spread_over_all_of_their_range() -> None:
    random = Random(1)
    backoff = Backoff(initial=1.0, longest=8.0, random=random.random)
    delays = [backoff.delay(NoAnswer(Reason.UPSTREAM_TIMEOUT), 2) or 0.0 for _ in range(1000)]
    assert min(delays) < 0.1
    assert max(delays) > 1.9
    assert max(delays) <= 2.0


@pytest.mark.parametrize("reason", Reason)
def test_only_what_its_row_says_is_tried_again(reason: Reason) -> None:
    row = row_for(reason)
    delay = ALWAYS_MOST.delay(GatewayError(reason), 1)
    assert (delay is not None) == (row.retry in (Retry.BACKOFF, Retry.ONCE))


def test_what_is_final_is_never_tried_again() -> None:
    error = NoAnswer(Reason.UPSTREAM_UNREACHABLE)
    error.final = True
    assert ALWAYS_MOST.delay(error, 1) is None


def test_throttling_is_waited_out_as_long_as_ecs_says() -> None:
    refusal = Refusal(code="Throttling", http_status=400)
    error = UpstreamRefused(row_for(Reason.UPSTREAM_THROTTLED), refusal, retry_after=42.0)
    assert ALWAYS_MOST.delay(error, 1) == 42.0


@pytest.mark.parametrize(
    ("second", "least", "most"), [(0, 60, 63), (1, 59, 62), (30, 30, 33), (59, 1, 4)], ids=str
)
def test_the_quotas_window_ends_with_the_minute_of_the_upstream(
    second: int, least: float, most: float
) -> None:
    at = datetime(2024, 11, 14, 12, 0, second, tzinfo=UTC)
    assert Backoff(random=lambda: 0.0).until_next_window(at) == least
    assert Backoff(random=lambda: 1.0).until_next_window(at) == most


def test_every_row_that_may_be_repeated_is_known_to_the_backoff_or_has_a_remedy() -> None:
    remedies = {Retry.CREDENTIALS, Retry.CLOCK, Retry.WINDOW}
    for row in ROWS:
        known = ALWAYS_MOST.delay(GatewayError(row), 1) is not None
        assert known or row.retry in remedies | {Retry.NEVER}
