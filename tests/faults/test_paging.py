"""The catalogue's faults of paging, P1 to P16: nothing lost, nothing twice, never OK for a part.

P1 and P10 are in test_content.py. How a list that changes while it is read is told (P4, P5, P7, P9, P16 in
every order of changes) is the subject of tests/test_listing_model.py; here are the plain cases over sockets.
"""

import asyncio

import pytest
from google.rpc import error_details_pb2 as rpc

from ecsgateway.v1.error_details_pb2 import StreamInterruption
from tests.calling import STREAM
from tests.faults.conftest import Begin
from tests.faults.hostile import Script, Wire, answer, cut, listing, refusing

HELD = tuple(f"{number:010}" for number in range(35))
SIZE = 5
LAST = 7


def at_page(number: int, trouble: Script, otherwise: Script, *, times: int = 1000) -> Script:
    """Make trouble when a page is asked for, so many times."""
    left = [times]

    async def script(wire: Wire) -> None:
        hit = wire.parameters["PageNumber"] == str(number) and left[0] > 0
        left[0] -= hit
        await (trouble if hit else otherwise)(wire)

    return script


@pytest.mark.parametrize("total", [36, 40, 1000])
async def test_p2_a_list_that_is_shorter_than_its_total_is_never_ok(begin: Begin, total: int) -> None:
    trial = await begin()
    trial.held = HELD
    trial.upstream.scripts = [listing(HELD, TotalCount=total)]

    outcome = await trial.ask(STREAM, page_size=SIZE)

    assert (outcome.code.name, outcome.reason) == ("INTERNAL", "UPSTREAM_INCOMPLETE")


@pytest.mark.parametrize("total", [1, 4, 34])  # with 5, the first page is full and all that is announced
async def test_p3_a_list_that_is_longer_than_its_total_is_delivered_whole(begin: Begin, total: int) -> None:
    trial = await begin()
    trial.held = HELD
    trial.upstream.scripts = [listing(HELD, TotalCount=total)]

    outcome = await trial.ask(STREAM, page_size=SIZE)

    assert (outcome.code.name, tuple(outcome.accounts)) == ("OK", HELD)


async def test_p4_a_total_that_grows_is_followed(begin: Begin) -> None:
    trial = await begin()
    trial.held = HELD
    trial.upstream.scripts = [listing(HELD[:20]), listing(HELD)]

    outcome = await trial.ask(STREAM, page_size=SIZE)

    assert (outcome.code.name, set(outcome.accounts)) == ("OK", set(HELD))


async def test_p5_no_account_is_skipped_when_one_before_it_goes(begin: Begin) -> None:
    trial = await begin(prefetch_pages=1)
    trial.held = HELD
    trial.upstream.scripts = [listing(HELD), listing(HELD), listing(HELD[1:])]

    outcome = await trial.ask(STREAM, page_size=SIZE)
    trial.outcomes.clear()  # the one that is missed comes last: another order than that of the list

    assert (outcome.code.name, sorted(outcome.accounts)) == ("OK", sorted(HELD))


async def test_p9_an_account_on_two_pages_is_delivered_once(begin: Begin) -> None:
    trial = await begin()
    trial.held = HELD
    repeated = [*HELD[:5], HELD[4], *HELD[5:]]
    trial.upstream.scripts = [listing(repeated)]

    outcome = await trial.ask(STREAM, page_size=SIZE)

    assert len(set(outcome.accounts)) == len(outcome.accounts)
    assert outcome.code.name != "OK" or set(outcome.accounts) == set(HELD)


@pytest.mark.parametrize("number", [1, 4, LAST])
async def test_p12_a_page_that_fails_for_good_ends_the_stream_with_its_cause(
    begin: Begin, number: int
) -> None:
    trial = await begin()
    trial.held = HELD
    trial.upstream.scripts = [at_page(number, refusing("Forbidden.RAM", 403), listing(HELD))]

    outcome = await trial.ask(STREAM, page_size=SIZE)

    assert (outcome.code.name, outcome.reason) == ("PERMISSION_DENIED", "UPSTREAM_FORBIDDEN")
    assert outcome.messages == number - 1
    assert outcome.info.metadata["page"] == str(number)
    assert tuple(outcome.accounts) == HELD[: (number - 1) * SIZE]
    if number == 1:
        assert "StreamInterruption" not in outcome.names
        return
    broken = outcome.detail(StreamInterruption)
    assert (broken.sent_pages, broken.sent_accounts) == (number - 1, (number - 1) * SIZE)

    trial.upstream.scripts = [listing(HELD)]
    trial.outcomes.clear()
    rest = await trial.ask(STREAM, resume_token=broken.resume_token)
    trial.outcomes.clear()
    assert (rest.code.name, [*outcome.accounts, *rest.accounts]) == ("OK", list(HELD))


@pytest.mark.parametrize("number", [1, 4, LAST])
async def test_p12_a_page_that_fails_once_is_read_again(begin: Begin, number: int) -> None:
    trial = await begin()
    trial.held = HELD
    trial.upstream.scripts = [at_page(number, refusing("InternalError", 500), listing(HELD), times=1)]

    outcome = await trial.ask(STREAM, page_size=SIZE)

    assert outcome.code.name == "OK"
    assert len(trial.upstream.heads) == LAST + 1


async def test_p13_throttling_of_a_page_is_waited_out_if_that_fits(begin: Begin) -> None:
    trial = await begin()
    trial.held = HELD
    throttled = refusing("Throttling", more="x-acs-retry-after: 100\r\n")
    trial.upstream.scripts = [at_page(4, throttled, listing(HELD), times=1)]
    assert (await trial.ask(STREAM, page_size=SIZE)).code.name == "OK"


async def test_p13_throttling_of_a_page_that_lasts_ends_the_stream_where_it_can_go_on(begin: Begin) -> None:
    trial = await begin()
    trial.held = HELD
    throttled = refusing("Throttling", more="x-acs-retry-after: 30000\r\n")
    trial.upstream.scripts = [at_page(4, throttled, listing(HELD))]

    outcome = await trial.ask(STREAM, page_size=SIZE)

    assert (outcome.code.name, outcome.reason) == ("RESOURCE_EXHAUSTED", "UPSTREAM_THROTTLED")
    assert outcome.detail(rpc.RetryInfo).retry_delay.ToMilliseconds() == 30_000
    assert outcome.detail(StreamInterruption).sent_pages == 3
    assert outcome.seconds < 2


async def test_p14_pages_that_arrive_out_of_order_are_delivered_in_order(begin: Begin) -> None:
    trial = await begin(max_requests=8)
    trial.held = HELD

    async def later_pages_first(wire: Wire) -> None:
        await asyncio.sleep(0.02 * (LAST - int(wire.parameters["PageNumber"])))
        await wire.send(answer(cut(HELD, wire.parameters)))

    trial.upstream.scripts = [later_pages_first]
    outcome = await trial.ask(STREAM, page_size=SIZE)
    assert (outcome.code.name, tuple(outcome.accounts)) == ("OK", HELD)


async def test_p15_when_the_deadline_expires_between_pages_nothing_more_is_asked(begin: Begin) -> None:
    trial = await begin(prefetch_pages=1)
    trial.held = HELD

    async def slow(wire: Wire) -> None:
        await asyncio.sleep(0.1)
        await wire.send(answer(cut(HELD, wire.parameters)))

    trial.upstream.scripts = [slow]
    outcome = await trial.ask(STREAM, page_size=SIZE, timeout=0.35)
    asked = len(trial.upstream.heads)
    await asyncio.sleep(0.15)

    assert (outcome.code.name, outcome.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    assert outcome.info.metadata["sent_pages"] == str(outcome.messages)
    assert outcome.detail(StreamInterruption).sent_pages == outcome.messages > 0
    assert len(trial.upstream.heads) == asked <= outcome.messages + 2


async def test_p16_groups_that_differ_between_pages_are_delivered_once_each(begin: Begin) -> None:
    trial = await begin()
    trial.held = HELD

    async def grouped(wire: Wire) -> None:
        names = {"1": ["all"], "2": ["all", "new"]}.get(wire.parameters["PageNumber"], [])
        groups = {"ShareGroup": [{"Group": name} for name in names]}
        await wire.send(answer(cut(HELD, wire.parameters, ShareGroups=groups)))

    trial.upstream.scripts = [grouped]
    outcome = await trial.ask(STREAM, page_size=SIZE)
    assert outcome.code.name in ("OK", "ABORTED")
    assert sorted(outcome.groups) == ["all", "new"]
