"""The bound on upstream requests: never more, never lost, in turns."""

import asyncio
from random import Random

import pytest

from ecsgateway.ecs.limiter import FairLimiter
from ecsgateway.errors import GatewayFault
from ecsgateway.mapping import Reason

PATIENT = 10.0


async def test_no_more_run_than_may() -> None:
    limiter, running, most = FairLimiter(running=3, waiting=100), 0, 0

    async def work(number: int) -> None:
        nonlocal running, most
        async with limiter.slot(number, patience=PATIENT):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work(number) for number in range(50)))
    assert (most, running) == (3, 0)


async def test_calls_take_turns_whatever_one_of_them_asks_for() -> None:
    limiter, order = FairLimiter(running=1, waiting=100), list[str]()

    async def work(call: str) -> None:
        async with limiter.slot(call, patience=PATIENT):
            order.append(call)
            await asyncio.sleep(0)

    greedy = [asyncio.create_task(work("stream")) for _ in range(10)]
    await asyncio.sleep(0)
    modest = [asyncio.create_task(work(f"call {number}")) for number in range(3)]
    await asyncio.gather(*greedy, *modest)

    assert {"call 0", "call 1", "call 2"} <= set(order[:6])


async def test_one_more_than_may_wait_is_refused_at_once() -> None:
    limiter = FairLimiter(running=1, waiting=1)
    async with limiter.slot("a", patience=PATIENT):
        waiting = asyncio.create_task(hold(limiter))
        await asyncio.sleep(0)
        with pytest.raises(GatewayFault) as raised:
            await hold(limiter)
        assert raised.value.reason is Reason.GATEWAY_OVERLOADED
        assert raised.value.retry_after == 1.0
    await waiting


async def test_a_turn_that_does_not_come_in_time_is_an_overload_and_leaves_no_trace() -> None:
    limiter = FairLimiter(running=1, waiting=1)
    async with limiter.slot("a", patience=PATIENT):
        for _ in range(3):
            with pytest.raises(GatewayFault):
                await hold(limiter, patience=0.001)
    await hold(limiter)


async def hold(limiter: FairLimiter, patience: float = PATIENT) -> None:
    async with limiter.slot("b", patience=patience):
        pass


@pytest.mark.parametrize("seed", range(5))
async def test_no_slot_is_lost_whenever_those_who_wait_or_work_are_cancelled(seed: int) -> None:
    limiter, random = FairLimiter(running=4, waiting=1000), Random(seed)

    async def work(number: int) -> None:
        async with limiter.slot(number % 7, patience=PATIENT):
            for _ in range(number % 4):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(work(number)) for number in range(400)]
    while not all(task.done() for task in tasks):
        random.choice(tasks).cancel()
        await asyncio.sleep(0)
    together = asyncio.Barrier(4)

    async def meet(number: int) -> None:
        async with limiter.slot(number, patience=PATIENT):
            await together.wait()  # only if all four slots are there

    await asyncio.wait_for(asyncio.gather(*(meet(number) for number in range(4))), 1.0)
