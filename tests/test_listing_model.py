"""The whole list against a model: an upstream that changes, fails and answers in any order, and an oracle.

The oracle knows every state of the list at the time of each answer. Between two answers one account may go
and another come: the total stays, and nothing that the upstream tells shows it. The oracle calls such an
interval hidden; only there, and only without `verify`, an account may be missed.
"""

import asyncio
import os
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ecsgateway.deadline import Deadline
from ecsgateway.errors import GatewayError, NoAnswer
from ecsgateway.mapping import Reason
from ecsgateway.pagination import Bounds, Listing, Part
from ecsgateway.resume import position_of
from ecsgateway.v1.image_share_permission_pb2 import Consistency, ImageSharePermissionPage
from tests.upstream import HeldUpstream, groups_of, ids_of, settle

REGION, IMAGE = "cn-hangzhou", "m-1"

WALKS = int(os.environ.get("LISTING_WALKS", "40"))
"""`make test-long` takes more."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A page, and the state of the list that it was cut from."""

    page: ImageSharePermissionPage
    accounts: tuple[str, ...]
    groups: tuple[str, ...]


class ListingMachine(RuleBasedStateMachine):
    """One logical stream: it may break and be resumed; the list may change all the while."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.reader: asyncio.Task[None] | None = None
        self.names = 0

    @initialize(
        size=st.sampled_from([1, 2, 3, 4, 10, 37, 100]),
        accounts=st.integers(1, 500),
        groups=st.lists(st.sampled_from(["all", "partner"]), unique=True),
        first_only=st.booleans(),
        largest=st.sampled_from([100, 100, 50, 3, 1]),
        prefetch=st.sampled_from([1, 2, 3, 16]),
        verify=st.booleans(),
    )
    def start(
        self,
        size: int,
        accounts: int,
        groups: list[str],
        first_only: bool,
        largest: int,
        prefetch: int,
        verify: bool,
    ) -> None:
        real = min(size, largest)
        self.size, self.real, self.prefetch, self.verify = size, real, prefetch, verify
        self.upstream = HeldUpstream(
            accounts=[self.new_name() for _ in range(accounts % (6 * real))],
            groups=groups,
            largest=largest,
            first_only=first_only,
        )
        self.begin()

    def begin(self) -> None:
        """Begin a stream that no other goes before."""
        self.always, self.always_groups = set(self.upstream.accounts), set(self.upstream.groups)
        self.ever, self.ever_groups = set(self.always), set(self.always_groups)
        self.parts: list[Part] = []
        self.basis: list[list[Answer]] = []
        self.history: list[Answer] = []
        self.known: list[Answer] = []
        self.resumed = False
        self.open(token="")

    def new_name(self) -> str:
        self.names += 1
        return str(self.names)

    def open(self, token: str) -> None:
        """Begin a stream, at the beginning or where another ended."""
        resume = position_of(token, REGION, IMAGE, verify=self.verify) if token else None
        self.error: GatewayError | None = None
        self.first_call, self.first_answer = len(self.upstream.calls), len(self.history)
        self.permits = asyncio.Semaphore(0)
        listing = Listing(
            self.upstream.fetch,
            page_size=self.size,
            deadline=Deadline(at=1000.0, clock=lambda: 0.0),
            verify=self.verify,
            resume=resume,
            bounds=Bounds(prefetch=self.prefetch),
            sleep=_no_time,
        )
        self.reader = self.loop.create_task(self.read(listing))
        self.settle()

    async def read(self, listing: Listing) -> None:
        parts = listing.parts()
        try:
            while True:
                if not (self.parts and self.parts[-1].summary):
                    await self.permits.acquire()
                self.parts.append(await anext(parts))
                self.basis.append([] if self.verify else list(self.known))
        except StopAsyncIteration:
            pass
        except GatewayError as error:
            self.error = error
        finally:
            await parts.aclose()

    def settle(self) -> None:
        self.loop.run_until_complete(settle())

    @property
    def runs(self) -> bool:
        return self.reader is not None and not self.reader.done()

    @property
    def pages(self) -> list[ImageSharePermissionPage]:
        return [part.page for part in self.parts]

    # What the reader does

    @precondition(lambda self: self.runs)
    @rule(messages=st.sampled_from([1, 1, 2, 50]))
    def take(self, messages: int) -> None:
        for _ in range(messages):
            self.permits.release()
        self.settle()

    @precondition(lambda self: self.runs and self.parts)
    @rule()
    def break_off(self) -> None:
        assert self.reader
        self.reader.cancel()
        self.settle()
        assert self.reader.cancelled()
        assert not self.upstream.pending, "a request goes on without a reader"
        self.reader = None

    @precondition(lambda self: not self.runs)
    @rule(rarely=st.integers(0, 2))
    def begin_again(self, rarely: int) -> None:
        if not (rarely and self.parts):
            self.begin()

    @precondition(lambda self: not self.runs and self.parts)
    @rule(boundary=st.integers(0, 10**6))
    def resume(self, boundary: int) -> None:
        """Resume after any of the messages; those behind it are lost with the connection."""
        keep = boundary % len(self.parts) + 1
        del self.parts[keep:], self.basis[keep:]
        self.parts[-1] = replace(self.parts[-1], summary=None)
        read = self.parts[-1].page.page_number
        self.known = [each for each in self.basis[-1] if each.page.page_number <= read]
        self.resumed = True
        self.open(self.parts[-1].position.token(REGION, IMAGE))

    # What the upstream does

    @precondition(lambda self: self.runs and self.upstream.pending)
    @rule(which=st.integers(0, 10**6), attempts=st.sampled_from([1, 1, 1, 2]))
    def answer(self, which: int, attempts: int) -> None:
        held = self.upstream
        page = ImageSharePermissionPage()
        page.CopyFrom(held.answer(which % len(held.pending), attempts=attempts))
        state = Answer(page=page, accounts=tuple(held.accounts), groups=tuple(sorted(held.groups)))
        self.history.append(state)
        self.known.append(state)
        self.settle()

    @precondition(lambda self: self.runs and self.upstream.pending)
    @rule(newest_first=st.booleans())
    def answer_all(self, newest_first: bool) -> None:
        for _ in range(len(self.upstream.pending)):
            if self.upstream.pending:
                self.answer(len(self.upstream.pending) - 1 if newest_first else 0, 1)

    @precondition(lambda self: self.runs and self.upstream.pending)
    @rule(which=st.integers(0, 10**6), rarely=st.integers(0, 9))
    def fail(self, which: int, rarely: int) -> None:
        if rarely:
            return
        self.upstream.fail(NoAnswer(Reason.UPSTREAM_UNAVAILABLE), which % len(self.upstream.pending))
        self.settle()

    @rule(where=st.one_of(st.just(0), st.just(10**6), st.integers(0, 450)))
    def add(self, where: int) -> None:
        name = self.new_name()
        self.upstream.accounts.insert(where, name)
        self.ever.add(name)

    @precondition(lambda self: self.upstream.accounts)
    @rule(where=st.one_of(st.just(0), st.integers(0, 450)))
    def remove(self, where: int) -> None:
        gone = self.upstream.accounts.pop(where % len(self.upstream.accounts))
        self.always.discard(gone)

    @precondition(lambda self: self.ever - set(self.upstream.accounts))
    @rule(where=st.integers(0, 450), which=st.integers(0, 10**6))
    def add_again(self, where: int, which: int) -> None:
        gone = sorted(self.ever - set(self.upstream.accounts))
        self.upstream.accounts.insert(where, gone[which % len(gone)])

    @rule(groups=st.lists(st.sampled_from(["all", "partner", "third"]), unique=True))
    def regroup(self, groups: list[str]) -> None:
        self.upstream.groups = groups
        self.always_groups &= set(groups)
        self.ever_groups |= set(groups)

    # What must hold

    def hidden(self, answers: list[Answer]) -> bool:
        """Whether the list changed between two answers and its total did not."""
        lists = [each.accounts for each in answers]
        return any(len(one) == len(next_) and one != next_ for one, next_ in pairwise(lists))

    def changes(self, answers: list[Answer]) -> bool:
        return len({(each.accounts, each.groups) for each in answers}) > 1

    @precondition(lambda self: self.reader)
    @invariant()
    def ahead_is_bounded(self) -> None:
        assert len(self.upstream.pending) <= self.prefetch

    @precondition(lambda self: self.reader)
    @invariant()
    def nothing_is_invented_and_nothing_comes_twice(self) -> None:
        delivered = ids_of(self.pages)
        assert set(delivered) <= self.ever
        if not self.resumed:
            assert len(delivered) == len(set(delivered))
            assert len(groups_of(self.pages)) == len(set(groups_of(self.pages)))

    @precondition(lambda self: self.reader)
    @invariant()
    def only_the_last_message_has_a_summary(self) -> None:
        if self.runs:
            assert not any(part.summary for part in self.parts)
            return
        if self.error:
            self.check_error(self.error)
        elif self.parts:
            assert all(part.summary is None for part in self.parts[:-1])
            self.check_whole()

    def check_error(self, error: GatewayError) -> None:
        assert not (self.parts and self.parts[-1].summary)
        match error.reason:
            case Reason.UPSTREAM_UNAVAILABLE:
                pass
            case Reason.LISTING_CHANGED:
                assert self.changes(self.history)
            case reason:
                # of an honest upstream only if the same account came twice in both of two passes
                assert reason is Reason.UPSTREAM_INCOMPLETE
                assert self.hidden(self.history)

    def check_whole(self) -> None:
        summary = self.parts[-1].summary
        assert summary
        delivered, calls = ids_of(self.pages), self.upstream.calls[self.first_call :]
        mine = self.history[self.first_answer :]
        assert (summary.page_count, summary.account_count) == (len(self.parts), len(delivered))
        assert set(groups_of(self.pages)) <= self.ever_groups
        match summary.consistency:
            case Consistency.CONSISTENCY_VERIFIED:
                trusted = self.check_verified(delivered)
            case Consistency.CONSISTENCY_SINGLE_PAGE:
                assert calls == [1]
                assert tuple(delivered) == mine[-1].accounts
                trusted = mine
            case Consistency.CONSISTENCY_NO_CHANGE_SEEN:
                trusted = self.known
                if not self.hidden(trusted):
                    assert all(tuple(delivered) == each.accounts for each in trusted)
            case level:
                assert level == Consistency.CONSISTENCY_CHANGE_SEEN
                assert self.changes(mine)
                last = max(i for i, each in enumerate(mine) if each.page.page_number == 1)
                trusted = mine[last:]
        if not self.hidden(trusted):
            assert self.always <= set(delivered)
            assert len(delivered) == len(set(delivered))
            assert self.always_groups <= set(groups_of(self.pages))
        if not self.changes(self.history):
            assert tuple(delivered) == self.history[0].accounts
            n = max(1, -(-len(delivered) // self.real))
            assert len(calls) == (2 * n if self.verify else n if not self.resumed else n + 1 - calls[0])

    def check_verified(self, delivered: list[str]) -> list[Answer]:
        """Both of the last two passes saw exactly what was delivered."""
        n = max(1, -(-len(delivered) // self.real))
        mine = self.history[self.first_answer :]
        assert len(mine) >= 2 * n
        for answers in (mine[-2 * n : -n], mine[-n:]):
            pages = sorted((each.page for each in answers), key=lambda page: page.page_number)
            assert ids_of(pages) == delivered
        return mine[-2 * n :]

    def teardown(self) -> None:
        """Once the list is quiet, the stream ends: with everything, or with an error that says why."""
        try:
            if self.runs:
                for _ in range(60):
                    if not self.runs:
                        break
                    self.take(1000)
                    while self.upstream.pending and self.runs:
                        self.answer(0, 1)
                assert not self.runs, "the stream does not end"
                self.only_the_last_message_has_a_summary()
                if not self.changes(self.history):
                    assert self.error is None or self.error.reason is Reason.UPSTREAM_UNAVAILABLE
        finally:
            if self.reader and not self.reader.done():
                self.reader.cancel()
                self.settle()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


async def _no_time(_: float) -> None:
    await asyncio.sleep(0)


def walk(machine: ListingMachine, random: Random, steps: int) -> None:
    """Take so many random steps; more of those that hypothesis takes too seldom."""
    number = random.randrange
    machine.start(
        size=random.choice([1, 2, 3, 7, 100]),
        accounts=number(500),
        groups=random.choice([[], ["all"], ["all", "partner"]]),
        first_only=random.random() < 0.3,
        largest=random.choice([100, 100, 50, 3, 1]),
        prefetch=random.choice([1, 2, 4, 16]),
        verify=random.random() < 0.3,
    )
    calm = random.choice([0.0, 0.5, 0.9, 0.99])  # how seldom the list changes
    for _ in range(steps):
        if not machine.runs:
            if machine.parts and random.random() < 0.5:
                machine.resume(number(1000))
            else:
                machine.begin()
        elif random.random() > calm:
            match number(7):
                case 0:
                    machine.regroup(random.sample(["all", "partner", "third"], number(3)))
                case 1 | 2:
                    machine.add(random.choice([0, 10**6, number(450)]))
                case 3 if machine.ever - set(machine.upstream.accounts):
                    machine.add_again(number(450), number(1000))
                case _ if machine.upstream.accounts:
                    machine.remove(random.choice([0, number(450)]))
        elif machine.upstream.pending and random.random() < 0.7:
            if number(40):
                machine.answer(number(100), attempts=random.choice([1, 1, 1, 2]))
            else:
                machine.fail(number(100), rarely=0)
        elif machine.parts and not number(8):
            machine.break_off()
        else:
            machine.take(random.choice([1, 2]))
        if machine.reader is None:
            continue  # broken off
        machine.ahead_is_bounded()
        machine.nothing_is_invented_and_nothing_comes_twice()
        machine.only_the_last_message_has_a_summary()


def _profile(examples: int, steps: int) -> Any:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


def test_no_account_that_was_there_throughout_is_missing_whatever_happens() -> None:
    run_state_machine_as_test(ListingMachine, settings=_profile(120, 40))


@pytest.mark.parametrize("seed", range(WALKS))
def test_nor_is_one_missing_on_a_long_random_walk(seed: int) -> None:
    machine = ListingMachine()
    try:
        walk(machine, Random(seed), steps=600)
    finally:
        machine.teardown()
