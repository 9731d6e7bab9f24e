"""Fetching ahead: in order, in a window that opens and closes, and nothing left behind."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from ecsgateway.errors import GatewayFault, NoAnswer
from ecsgateway.mapping import Reason
from ecsgateway.prefetch import Fetched, Window, in_order
from tests.upstream import HeldUpstream, settle


@pytest.mark.parametrize(
    ("most", "attempts", "size"),
    [
        pytest.param(16, [], 16, id="it starts open"),
        pytest.param(16, [1] * 100, 16, id="it opens no further than its bound"),
        pytest.param(16, [2], 8, id="trouble halves it"),
        pytest.param(16, [2, 1, 1, 1], 11, id="it opens by one with each page"),
        pytest.param(16, [2] + [1] * 100, 16, id="it opens to its bound again"),
        pytest.param(16, [3] * 10, 1, id="it never closes"),
        pytest.param(16, [3] * 10 + [1], 2, id="nor for good"),
        pytest.param(1, [1, 1, 2], 1, id="a bound of one page"),
    ],
)
def test_the_window_follows_how_pages_come(most: int, attempts: list[int], size: int) -> None:
    window = Window(most)
    for each in attempts:
        window.learn(each)

    assert window.size == size


def upstream() -> HeldUpstream:
    """A list of a hundred pages of one account."""
    return HeldUpstream(accounts=[str(number) for number in range(100)])


def pages_of(held: HeldUpstream, *, window: Window, last: int = 100) -> AsyncGenerator[Fetched]:
    async def fetch(number: int) -> Fetched:
        return await held.fetch(number, 1)

    return in_order(fetch, counting(last), window)


def counting(last: int) -> Callable[[], int | None]:
    numbers = iter(range(1, last + 1))
    return lambda: next(numbers, None)


async def test_pages_that_arrive_in_reverse_are_yielded_in_order() -> None:
    held = upstream()
    async with aclosing(pages_of(held, window=Window(8), last=8)) as pages:
        reading = asyncio.create_task(_numbers(pages))
        while not reading.done():
            await settle()
            while held.pending:
                held.answer(-1)
        assert await reading == list(range(1, 9))


async def _numbers(pages: AsyncGenerator[Fetched]) -> list[int]:
    return [each.page.page_number async for each in pages]


async def test_a_page_that_comes_makes_room_for_the_next_before_it_is_taken() -> None:
    held = upstream()
    async with aclosing(pages_of(held, window=Window(1))) as pages:
        first = asyncio.create_task(anext(pages))
        await settle()
        held.answer()
        await settle()

        assert held.calls == [1, 2]
        assert (await first).page.page_number == 1


async def test_a_reader_who_takes_nothing_costs_two_windows_of_pages() -> None:
    held = upstream()
    async with aclosing(pages_of(held, window=Window(16))) as pages:
        first = asyncio.create_task(anext(pages))
        await settle()
        while held.pending:
            held.answer()
            await settle()

        assert (await first).page.page_number == 1
        assert len(held.calls) == 2 * 16 + 1


async def test_the_first_failure_in_order_is_raised_and_what_is_under_way_is_cancelled() -> None:
    held = upstream()
    async with aclosing(pages_of(held, window=Window(8))) as pages:
        reading = asyncio.create_task(_numbers(pages))
        await settle()
        held.fail(NoAnswer(Reason.UPSTREAM_TIMEOUT), 2)
        held.fail(NoAnswer(Reason.UPSTREAM_UNREACHABLE), 1)
        await settle()
        assert not reading.done()  # page 1 comes first
        held.answer(0)
        with pytest.raises(NoAnswer) as raised:
            await reading

    assert raised.value.reason is Reason.UPSTREAM_UNREACHABLE
    assert held.pending == []


async def test_a_page_that_was_refused_for_haste_is_asked_for_again_when_it_is_its_turn() -> None:
    held, window = upstream(), Window(4)
    async with aclosing(pages_of(held, window=window, last=4)) as pages:
        reading = asyncio.create_task(_numbers(pages))
        await settle()
        for _ in range(3):
            held.fail(GatewayFault(Reason.GATEWAY_OVERLOADED), 1)
        await settle()
        assert window.size == 1
        while not reading.done():
            held.answer()
            await settle()

        assert await reading == [1, 2, 3, 4]
        assert held.calls == [1, 2, 3, 4, 2, 3, 4]


async def test_a_page_that_is_refused_although_its_reader_waits_ends_the_stream() -> None:
    held = upstream()
    async with aclosing(pages_of(held, window=Window(4))) as pages:
        reading = asyncio.create_task(_numbers(pages))
        await settle()
        held.fail(GatewayFault(Reason.GATEWAY_OVERLOADED))
        with pytest.raises(GatewayFault):
            await reading

    assert held.pending == []


@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_nothing_is_under_way_after_the_end(way: str) -> None:
    held = upstream()
    pages = pages_of(held, window=Window(16))
    first = asyncio.create_task(anext(pages))
    await settle()
    assert len(held.pending) == 16

    if way == "cancel":
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    else:
        held.answer()
        await first
        await pages.aclose()

    assert held.pending == []
