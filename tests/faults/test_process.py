"""The catalogue's faults of the process, S5 to S13, and the memory bounds of U12, U14 and G6.

Elsewhere: S1 to S3 in tests/test_stop.py, S8 in tests/rpc/test_telemetry.py, S9 in tests/ecs/test_client.py,
S11 and S14 in tests/test_cli.py. Left: S4 and S10 (workers).
"""

import asyncio
import gc
import os
import time
from pathlib import Path

import pytest

from tests.calling import STREAM, UNARY
from tests.faults.conftest import Begin
from tests.faults.hostile import Script, listing, refusing
from tests.faults.test_transport import BOMB, encoded, flooding, head, then_silence
from tests.faults.trial import until

TOO_LARGE = ("INTERNAL", "UPSTREAM_RESPONSE_TOO_LARGE")


def resident() -> float:
    """Return this process's memory, in MiB: gateway, upstream and callers together."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize(
    "script",
    [
        encoded(BOMB, "gzip"),
        flooding(head(), b" " * 65536),
        flooding(head(more="Transfer-Encoding: chunked\r\n"), b"10000\r\n" + b" " * 65536 + b"\r\n"),
        then_silence(head(10 * 2**30)),
    ],
    ids=["U12-bomb", "U14-until-close", "U14-chunks", "U14-announced"],
)
async def test_u12_u14_an_answer_without_end_costs_no_memory(begin: Begin, script: Script) -> None:
    trial = await begin()
    trial.upstream.scripts = [script]
    await trial.ask(UNARY)
    before = resident()
    for _ in range(20):
        outcome = await trial.ask(UNARY)
        assert (outcome.code.name, outcome.reason) == TOO_LARGE
    assert resident() - before <= 16  # the bombs alone would be 1280


async def test_s5_the_loop_is_never_held_for_long_while_pages_are_read(begin: Begin) -> None:
    trial = await begin()
    trial.held = tuple(f"{number:016}" for number in range(5000))
    trial.upstream.scripts = [listing(trial.held)]
    lags: list[float] = []

    async def measure() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            lags.append(time.monotonic() - before - 0.001)

    measuring = asyncio.create_task(measure())
    for _ in range(3):
        assert (await trial.ask(STREAM)).code.name == "OK"
    measuring.cancel()
    assert sorted(lags)[len(lags) * 95 // 100] < 0.05


async def test_s13_one_poisonous_request_again_and_again_costs_one_line_each(begin: Begin) -> None:
    trial = await begin()
    trial.upstream.scripts = [refusing("Forbidden.RAM", 403, message="x" * 4000)]
    for _ in range(50):
        await asyncio.gather(*(trial.ask(UNARY) for _ in range(10)))
    trial.outcomes.clear()
    await until(lambda: trial.log.getvalue().count('"UPSTREAM_FORBIDDEN"') == 500)
    lines = [line for line in trial.log.getvalue().splitlines() if "UPSTREAM_FORBIDDEN" in line]
    assert len(lines) == 500
    assert max(len(line) for line in lines) < 1000
