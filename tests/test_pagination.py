"""The whole list from pages: one named case after another. The model is in test_listing_model."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from ecsgateway.deadline import Deadline
from ecsgateway.errors import GatewayError, GatewayFault, MalformedAnswer, NoAnswer
from ecsgateway.mapping import Reason
from ecsgateway.pagination import MAX_PASSES, Bounds, Listing, Part
from ecsgateway.prefetch import Fetched
from ecsgateway.resume import Position
from ecsgateway.v1.image_share_permission_pb2 import Consistency, ImageSharePermissionPage
from tests.upstream import ListUpstream, groups_of, ids_of, page_of

SINGLE = Consistency.CONSISTENCY_SINGLE_PAGE
QUIET = Consistency.CONSISTENCY_NO_CHANGE_SEEN
CHANGED = Consistency.CONSISTENCY_CHANGE_SEEN
VERIFIED = Consistency.CONSISTENCY_VERIFIED


@dataclass(kw_only=True)
class Changing(ListUpstream):
    """Before it answers the n-th call, does what is planned for it."""

    plans: dict[int, Callable[[list[str]], object]] = field(default_factory=dict)

    async def fetch(self, number: int, size: int) -> Fetched:
        plan = self.plans.get(len(self.calls) + 1)
        if plan:
            plan(self.accounts)
        return await super().fetch(number, size)


def named(count: int) -> list[str]:
    return [str(1000 + number) for number in range(count)]


@dataclass(kw_only=True)
class Clock:
    """A clock that only sleeping moves."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def whole(
    fetch: Callable[[int, int], Awaitable[Fetched]],
    *,
    size: int = 10,
    verify: bool = False,
    resume: Position | None = None,
    pages: int = 1000,
    seconds: float = 60.0,
    clock: Clock | None = None,
    prefetch: int = 1,
) -> list[Part]:
    """Read a list to its end."""
    clock = clock or Clock()
    listing = Listing(
        fetch,
        page_size=size,
        deadline=Deadline(at=seconds, clock=lambda: clock.now),
        verify=verify,
        resume=resume,
        bounds=Bounds(prefetch=prefetch, pages=pages),
        sleep=clock.sleep,
    )
    return [part async for part in listing.parts()]


async def failure(reading: Awaitable[list[Part]]) -> Reason:
    with pytest.raises(GatewayError) as raised:
        await reading
    return raised.value.reason


def accounts(parts: list[Part]) -> list[str]:
    return ids_of([part.page for part in parts])


def level(parts: list[Part]) -> int:
    assert all(part.summary is None for part in parts[:-1])
    assert parts[-1].summary
    return parts[-1].summary.consistency


@pytest.mark.parametrize(
    ("count", "size", "calls", "consistency"),
    [
        pytest.param(0, 10, 1, SINGLE, id="empty"),
        pytest.param(1, 10, 1, SINGLE, id="one account"),
        pytest.param(10, 10, 1, SINGLE, id="one full page"),
        pytest.param(11, 10, 2, QUIET, id="one more than a page"),
        pytest.param(20, 10, 2, QUIET, id="two full pages"),
        pytest.param(7, 1, 7, QUIET, id="pages of one"),
        pytest.param(250, 100, 3, QUIET, id="pages of a hundred"),
    ],
)
@pytest.mark.parametrize("verify", [False, True], ids=["plain", "verify"])
async def test_a_quiet_list_costs_its_pages_and_verified_twice_as_many(
    count: int, size: int, calls: int, consistency: int, verify: bool
) -> None:
    upstream = ListUpstream(accounts=named(count), groups=["all"])
    parts = await whole(upstream.fetch, size=size, verify=verify, prefetch=16)

    assert accounts(parts) == named(count)
    assert groups_of([part.page for part in parts]) == ["all"]
    assert [part.page.page_number for part in parts] == list(range(1, calls + 1))
    assert level(parts) == (VERIFIED if verify else consistency)
    assert len(upstream.calls) == calls * (2 if verify else 1)


CHANGES = [
    pytest.param({2: lambda held: held.remove("1000")}, ["1000"], [], id="removed from what was read"),
    pytest.param({2: lambda held: held.insert(0, "new")}, [], ["new"], id="added at the front"),
    pytest.param({2: lambda held: held.append("new")}, [], ["new"], id="added at the end"),
    pytest.param({3: lambda held: held.remove("1024")}, [], ["1024"], id="removed from what was not read"),
    pytest.param({2: lambda held: held.clear()}, named(25)[:10], named(25)[10:], id="all removed"),
    pytest.param(
        {2: lambda held: (held.remove("1000"), held.insert(0, "new"), held.insert(0, "newer"))},
        ["1000"],
        ["new", "newer"],
        id="one removed, two added",
    ),
    pytest.param(
        {2: lambda held: held.remove("1000"), 3: lambda held: held.insert(0, "1000")},
        [],
        [],
        id="removed and added again",
    ),
]


@pytest.mark.parametrize(("plans", "may_stay", "may_miss"), CHANGES)
@pytest.mark.parametrize("verify", [False, True], ids=["plain", "verify"])
async def test_nothing_is_missing_from_a_list_that_changes_while_it_is_read(
    plans: dict[int, Callable[[list[str]], object]], may_stay: list[str], may_miss: list[str], verify: bool
) -> None:
    upstream = Changing(accounts=named(25), plans=plans)
    parts = await whole(upstream.fetch, verify=verify)

    delivered = accounts(parts)
    assert len(delivered) == len(set(delivered))
    if verify:
        assert delivered == upstream.accounts
        assert level(parts) == VERIFIED
    else:
        assert (
            set(upstream.accounts) <= set(delivered) <= set(upstream.accounts) | set(may_stay) | set(may_miss)
        )
        assert level(parts) == CHANGED


async def test_the_same_removal_in_every_pass_does_not_make_two_wrong_passes_agree() -> None:
    """Both passes miss 1010, with as many accounts as the total says; only the totals within them differ."""
    there: Callable[[list[str]], object] = lambda held: held.insert(0, "guest")  # noqa: E731
    gone: Callable[[list[str]], object] = lambda held: held.remove("guest")  # noqa: E731
    upstream = Changing(accounts=["guest", *named(19)], plans={2: gone, 3: there, 4: gone, 5: there, 6: gone})
    parts = await whole(upstream.fetch)

    assert set(accounts(parts)) == {"guest", *named(19)}


async def test_a_torn_pass_is_given_up_at_once() -> None:
    upstream = Changing(accounts=named(100), plans={2: lambda held: held.remove("1000")})
    await whole(upstream.fetch)

    assert upstream.calls == [1, 2, 3, *range(1, 11)]  # page 3 was under way


async def test_an_account_that_comes_twice_shows_a_change_that_the_totals_hide() -> None:
    def swap(held: list[str]) -> None:
        held.remove("1024")
        held.insert(0, "new")

    upstream = Changing(accounts=named(25), plans={2: swap})
    parts = await whole(upstream.fetch)

    assert level(parts) == CHANGED
    assert parts[-1].summary
    assert parts[-1].summary.duplicate_count == 1
    assert set(accounts(parts)) == {*named(24), "new"}


async def test_a_list_that_never_holds_still_is_given_up_after_so_many_passes() -> None:
    upstream = Changing(accounts=named(15))
    upstream.plans = {call: lambda held: held.append(f"n{len(held)}") for call in range(2, 1000)}
    clock = Clock()

    assert await failure(whole(upstream.fetch, clock=clock, seconds=1e6)) is Reason.LISTING_CHANGED
    assert len(upstream.calls) <= 3 * MAX_PASSES
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[:4] == [0.0, 0.05, 0.1, 0.2]
    assert clock.pauses[-1] == 2.0


async def test_a_list_that_never_holds_still_is_given_up_before_the_deadline() -> None:
    upstream = Changing(accounts=named(15))
    upstream.plans = {call: lambda held: held.append(f"n{len(held)}") for call in range(2, 1000)}
    clock = Clock()

    assert await failure(whole(upstream.fetch, clock=clock, seconds=1.0)) is Reason.LISTING_CHANGED
    assert clock.now < 1.0


async def test_a_changed_list_whose_next_page_does_not_come_in_time_is_told_as_changed() -> None:
    upstream = Changing(accounts=named(25), plans={2: lambda held: held.remove("1000")})

    async def fetch(number: int, size: int) -> Fetched:
        if len(upstream.calls) == 2:
            await asyncio.get_running_loop().create_future()
        return await upstream.fetch(number, size)

    assert await failure(whole(fetch, seconds=0.06)) is Reason.LISTING_CHANGED


def odd(*pages: list[str], total: int, groups: list[str] | None = None) -> ListUpstream:
    """An upstream whose pages are fixed, whatever they add up to; behind the last they are empty."""

    class Odd(ListUpstream):
        def cut(self, number: int, size: int) -> ImageSharePermissionPage:
            ids = pages[number - 1] if number <= len(pages) else []
            return page_of(ids, number=number, size=size, total=total, groups=groups or [])

    return Odd(accounts=[])


@pytest.mark.parametrize(
    ("upstream", "reason"),
    [
        pytest.param(odd(named(10), [], total=30), Reason.UPSTREAM_INCOMPLETE, id="an empty page"),
        pytest.param(
            odd(*[named(10)] * 3, total=30),
            Reason.UPSTREAM_INCOMPLETE,
            id="the same accounts for each number",
        ),
        pytest.param(odd(named(9), total=10), Reason.UPSTREAM_INCOMPLETE, id="one account too few"),
        pytest.param(
            odd(named(9), total=10, groups=["all"]),
            Reason.UPSTREAM_INCOMPLETE,
            id="one too few, but as many accounts and groups as the total",
        ),
        pytest.param(odd([], total=10), Reason.UPSTREAM_INCOMPLETE, id="a total and no account"),
        pytest.param(
            odd([], total=2**31 - 1), Reason.UPSTREAM_INCOMPLETE, id="the largest total, no account"
        ),
    ],
)
@pytest.mark.parametrize("verify", [False, True], ids=["plain", "verify"])
async def test_an_upstream_that_tells_less_than_it_counts_is_an_error(
    upstream: ListUpstream, reason: Reason, verify: bool
) -> None:
    upstream.calls.clear()

    assert await failure(whole(upstream.fetch, verify=verify)) is reason
    assert len(upstream.calls) <= 2 * 4


@pytest.mark.parametrize(
    ("upstream", "expected", "consistency"),
    [
        pytest.param(odd(named(10), named(12)[10:], total=9), named(12), QUIET, id="more than the total"),
        pytest.param(
            odd(named(9), named(12)[9:], total=12), named(12), CHANGED, id="a short page in the middle"
        ),
        pytest.param(
            odd(named(10), named(12)[9:], total=12), named(12), CHANGED, id="an account on two pages"
        ),
    ],
)
async def test_an_odd_list_is_delivered_if_two_passes_agree_and_nothing_is_missing(
    upstream: ListUpstream, expected: list[str], consistency: int
) -> None:
    upstream.calls.clear()
    parts = await whole(upstream.fetch)

    assert accounts(parts) == expected
    assert level(parts) == consistency
    assert len(upstream.calls) == 2 * len(set(upstream.calls))


async def test_an_endless_list_ends_at_the_limit_of_pages() -> None:
    calls: list[int] = []

    async def fetch(number: int, size: int) -> Fetched:
        calls.append(number)
        ids = [str(number * 100 + each) for each in range(size)]
        return Fetched(page=page_of(ids, number=number, size=size, total=2**31 - 1), attempts=1)

    assert await failure(whole(fetch, pages=30, prefetch=16)) is Reason.STREAM_LIMIT_REACHED
    assert calls == list(range(1, 31))


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_a_stream_that_reached_its_limit_goes_on_where_it_is_resumed(limit: int) -> None:
    upstream = ListUpstream(accounts=named(95))
    collected: list[Part] = []
    for _ in range(11):
        resume = collected[-1].position if collected else None
        listing = Listing(
            upstream.fetch,
            page_size=10,
            deadline=Deadline.after(60),
            resume=resume,
            bounds=Bounds(pages=limit),
        )
        try:
            async for part in listing.parts():
                collected.append(part)
        except GatewayFault:
            continue
        break

    assert accounts(collected) == named(95)
    assert level(collected) == QUIET


async def test_a_clamped_page_size_is_the_size_of_all_pages() -> None:
    upstream = ListUpstream(accounts=named(120), largest=50)
    parts = await whole(upstream.fetch, size=100)

    assert accounts(parts) == named(120)
    assert upstream.calls == [1, 2, 3]
    assert {part.position.page_size for part in parts} == {50}


async def test_a_page_size_that_changes_later_is_no_answer_to_the_question() -> None:
    upstream = ListUpstream(accounts=named(120))

    async def fetch(number: int, size: int) -> Fetched:
        upstream.largest = 50 if number == 3 else 100
        return await upstream.fetch(number, size)

    with pytest.raises(MalformedAnswer):
        await whole(fetch, size=55)


@pytest.mark.parametrize("verify", [False, True], ids=["plain", "verify"])
@pytest.mark.parametrize("boundary", range(1, 6))
async def test_a_stream_resumed_at_any_boundary_completes_the_list(boundary: int, verify: bool) -> None:
    upstream = ListUpstream(accounts=named(47), groups=["all"])
    sent = (await whole(upstream.fetch, verify=verify))[:boundary]
    upstream.calls.clear()
    rest = await whole(upstream.fetch, verify=verify, resume=sent[-1].position)

    assert accounts(sent + rest) == named(47)
    assert groups_of([part.page for part in sent + rest]) == ["all"]
    summary = rest[-1].summary
    assert summary
    assert (summary.page_count, summary.account_count) == (len(sent + rest), 47)
    assert summary.consistency == (VERIFIED if verify else QUIET)
    assert upstream.calls == (list(range(1, 6)) * 2 if verify else list(range(boundary, 6)))


def _rename(held: list[str]) -> None:
    held[held.index("1005")] = "new"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda held: held.remove("1000"), id="removed before it"),
        pytest.param(lambda held: held.insert(0, "new"), id="added before it"),
        pytest.param(_rename, id="one for another on the last page delivered"),
        pytest.param(lambda held: held.remove("1046"), id="removed behind it"),
        pytest.param(lambda held: held.append("new"), id="added behind it"),
    ],
)
@pytest.mark.parametrize("verify", [False, True], ids=["plain", "verify"])
async def test_a_list_that_changed_since_its_token_cannot_be_resumed(
    change: Callable[[list[str]], object], verify: bool
) -> None:
    upstream = ListUpstream(accounts=named(47))
    [first, *_] = await whole(upstream.fetch, verify=verify)
    change(upstream.accounts)

    resumed = whole(upstream.fetch, verify=verify, resume=first.position)
    assert await failure(resumed) is Reason.LISTING_CHANGED


async def test_groups_that_changed_since_the_token_cannot_be_resumed() -> None:
    upstream = ListUpstream(accounts=named(47), groups=["all"])
    [first, *_] = await whole(upstream.fetch)
    upstream.groups = ["all", "partner"]

    assert await failure(whole(upstream.fetch, resume=first.position)) is Reason.LISTING_CHANGED


async def test_an_account_that_moves_behind_the_token_is_not_delivered_again() -> None:
    """The witness is the same in both passes: one goes and another comes before it, the first comes back.

    The total grows with that, and shrinks before the second pass.
    """

    def move(held: list[str]) -> None:
        held.remove("1000")
        held.insert(0, "new")
        held.append("1000")

    quiet = ListUpstream(accounts=named(47))
    second = (await whole(quiet.fetch))[1]
    upstream = Changing(accounts=named(47), plans={2: move, 3: lambda held: held.remove("1045")})

    assert await failure(whole(upstream.fetch, resume=second.position)) is Reason.LISTING_CHANGED


async def test_a_token_of_a_list_that_was_seen_to_change_is_refused_without_a_call() -> None:
    upstream = Changing(accounts=named(47), plans={3: lambda held: held.remove("1000")})
    parts = await whole(upstream.fetch)
    assert [part.position.changed for part in parts[:3]] == [False, False, True]
    upstream.calls.clear()

    for part in parts[2:]:
        assert await failure(whole(upstream.fetch, resume=part.position)) is Reason.LISTING_CHANGED
    assert upstream.calls == []


@pytest.mark.parametrize("number", range(1, 6))
async def test_a_page_that_fails_ends_the_stream_after_those_before_it(number: int) -> None:
    upstream = ListUpstream(accounts=named(47))

    async def fetch(asked: int, size: int) -> Fetched:
        if asked == number:
            raise NoAnswer(Reason.UPSTREAM_TIMEOUT)
        return await upstream.fetch(asked, size)

    sent: list[Part] = []
    listing = Listing(fetch, page_size=10, deadline=Deadline.after(60), bounds=Bounds(prefetch=16))

    async def read() -> list[Part]:
        async for part in listing.parts():
            sent.append(part)
        return sent

    assert await failure(read()) is Reason.UPSTREAM_TIMEOUT
    assert accounts(sent) == named(47)[: (number - 1) * 10]


async def test_a_page_goes_out_before_the_next_one_has_come() -> None:
    upstream = ListUpstream(accounts=named(47))

    async def fetch(number: int, size: int) -> Fetched:
        if number > 1:
            await asyncio.get_running_loop().create_future()
        return await upstream.fetch(number, size)

    parts = Listing(fetch, page_size=10, deadline=Deadline.after(60), bounds=Bounds()).parts()
    assert (await anext(parts)).page.page_number == 1
    await parts.aclose()
