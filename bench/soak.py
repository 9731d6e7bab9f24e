"""A soak: mixed faults, callers that leave, and figures that must hold.

Run it with `make soak`, or `.venv/bin/python -m bench.soak --minutes 2`. A gateway and a fake upstream run in
processes of their own. One in ten upstream requests goes wrong, three in ten calls are cancelled. At the end
it prints what it measured; the exit code is 1 if one of the figures does not hold.
"""

import argparse
import asyncio
import os
import re
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import grpc
import httpx

from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from tests.calling import STREAM, UNARY, Outcome, ask

CALLERS = 16
REGION, IMAGE, ACCOUNTS, PAGE_SIZE = "cn-hangzhou", "m-demo-45", 45, 10
CANCELLED = 0.3
UNEXPLAINED = 0.002
"""The share of calls that may fail for a reason that the upstream's faults do not explain."""
GROWTH = 4.0
"""MiB by which the gateway's memory may grow after the warm-up."""
HANDLES = 8
"""Descriptors by which it may differ: connections that were just closed or not yet opened."""

FAULTS: tuple[dict[str, object], ...] = (
    {"code": "InternalError", "probability": 0.02},
    {"code": "ServiceUnavailable", "probability": 0.02},
    {"kind": "html", "status": 502, "probability": 0.01},
    {"kind": "reset", "probability": 0.015},
    {"kind": "close", "probability": 0.01},
    {"kind": "truncate", "probability": 0.01},
    {"kind": "garbage", "body": "this is not HTTP\r\n\r\n", "probability": 0.005},
    {"kind": "body", "body": "{", "probability": 0.005},
    {"kind": "stall", "probability": 0.005},
    {"latency": ["exponential", 0.005]},
)
EXPLAINED = re.compile(r"UPSTREAM_|DEADLINE_EXCEEDED")


@dataclass
class Figures:
    """What was measured.

    Attributes:
        unexplained: failures that no upstream fault explains, by what they say.
        resident: MiB of the gateway, one a second.
        handles: its open descriptors, one a second.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    unexplained: Counter[str] = field(default_factory=Counter)
    resident: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Server:
    """A process of ours, and what it prints."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, *command: str, **environment: str) -> "Server":
        """Start a command of this environment's `bin`."""
        program = Path(sys.executable).parent / command[0]
        process = await asyncio.create_subprocess_exec(
            program, *command[1:], stdout=PIPE, stderr=STDOUT, env={**os.environ, **environment}
        )
        return cls(process)

    async def said(self, pattern: str) -> str:
        """Wait for a line and return the part in parentheses."""
        async with asyncio.timeout(30):
            while True:
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found[1]
                await asyncio.sleep(0.05)

    def resident(self) -> float:
        """Return the memory that it has in RAM, in MiB."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def handles(self) -> int:
        """Return how many descriptors it has open."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    async def stop(self) -> None:
        """Stop it and read its last lines."""
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 30)
        except TimeoutError:
            self._process.kill()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip()
            if '"event": "call"' not in text:  # one a call: too many to keep
                self.lines.append(text)


async def call(stub: object, random: Random, figures: Figures) -> None:
    """Make one call, cancel it perhaps, and judge how it ended."""
    way = STREAM if random.random() < 0.5 else UNARY
    made = asyncio.create_task(ask(stub, way, image=IMAGE, page_size=PAGE_SIZE, timeout=20.0))  # type: ignore[arg-type] # the stub is typed for checkers only
    if random.random() < CANCELLED:
        await asyncio.sleep(random.random() * 0.05)
        made.cancel()
        with suppress(asyncio.CancelledError):
            await made
        figures.outcomes["cancelled by the caller"] += 1
        return
    outcome = await made
    figures.outcomes[outcome.reason or outcome.code.name] += 1
    if why := unexplained(way, outcome):
        figures.unexplained[why] += 1


def unexplained(way: str, outcome: Outcome) -> str:
    """Say what is wrong with an outcome; empty if it is right, or the upstream's fault after retries."""
    if outcome.code is grpc.StatusCode.OK:
        whole = ACCOUNTS if way == STREAM else PAGE_SIZE
        right = len(outcome.accounts) == len(set(outcome.accounts)) == whole
        return "" if right else f"{way}: OK with {len(outcome.accounts)} accounts"
    if not outcome.reason:
        return f"{outcome.code.name} without a reason: {outcome.text}"
    if not EXPLAINED.match(outcome.reason):
        return outcome.reason
    if outcome.info.metadata["attempts"] in ("", "1"):
        return f"{outcome.reason} at the first attempt"
    return ""


async def load(address: str, figures: Figures, end: float, seed: int) -> None:
    """Call until the end."""
    random = Random(seed)
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_retries", 0)]) as channel:
        stub = ImageSharePermissionServiceStub(channel)
        while time.monotonic() < end:
            await call(stub, random, figures)
            await asyncio.sleep(random.random() * 0.02)


async def watch(server: Server, address: str, figures: Figures, end: float) -> None:
    """Take the gateway's figures once a second, and how quickly it says that it is healthy."""
    async with grpc.aio.insecure_channel(address) as channel:
        health: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes
        )
        while time.monotonic() < end:
            before = time.monotonic()
            await health(b"", timeout=5)
            figures.health.append(time.monotonic() - before)
            figures.resident.append(server.resident())
            figures.handles.append(server.handles())
            await asyncio.sleep(1.0)


async def soak(minutes: float) -> Figures:
    """Run everything for so long."""
    figures = Figures()
    async with AsyncExitStack() as stack:
        fake = await Server.start("fakeecs", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0")
        stack.push_async_callback(fake.stop)
        url, control = await fake.said(r"listens on (\S+)"), await fake.said(r"control API on (\S+)")
        async with httpx.AsyncClient(trust_env=False) as http:
            for fault in FAULTS:
                (await http.post(f"{control}/faults", json=fault)).raise_for_status()
        gateway = await Server.start(
            *("ecsgateway", "serve", "--listen", "127.0.0.1:0", "--endpoint", url, "--log-format", "json"),
            *("--attempt-seconds", "1", "--max-requests", "16"),
            ALIBABA_CLOUD_ACCESS_KEY_ID="testid",
            ALIBABA_CLOUD_ACCESS_KEY_SECRET="testsecret",
        )
        stack.push_async_callback(gateway.stop)
        address = await gateway.said(r'"address": ?"([^"]+)"')
        end = time.monotonic() + 60 * minutes
        await asyncio.gather(
            watch(gateway, address, figures, end),
            *(load(address, figures, end, seed) for seed in range(CALLERS)),
        )
    figures.complaints = [line for line in gateway.lines if not re.search(r'"level": ?"info"', line)]
    return figures


def verdict(figures: Figures) -> list[str]:
    """Say which figures do not hold."""
    broken = []
    judged = sum(figures.outcomes.values()) - figures.outcomes["cancelled by the caller"]
    if not judged or figures.unexplained.total() > UNEXPLAINED * judged:
        broken.append(f"unexplained failures: {dict(figures.unexplained)}")
    early, late = halves(figures.resident), halves([float(each) for each in figures.handles])
    if early[1] - early[0] > GROWTH:
        broken.append(f"memory grew from {early[0]:.1f} to {early[1]:.1f} MiB")
    if abs(late[1] - late[0]) > HANDLES:
        broken.append(f"descriptors went from {late[0]:.0f} to {late[1]:.0f}")
    if figures.complaints:
        broken.append(f"the gateway complained: {figures.complaints[:3]}")
    return broken


def halves(samples: list[float]) -> tuple[float, float]:
    """Return the medians of the halves of what came after the warm-up, the first quarter."""
    warm = samples[len(samples) // 4 :]
    middle = len(warm) // 2
    return median(warm[:middle] or [0.0]), median(warm[middle:] or [0.0])


def main() -> int:
    """Soak, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=2.0)
    minutes = parser.parse_args().minutes
    figures = asyncio.run(soak(minutes))
    total = sum(figures.outcomes.values())
    judged = max(1, total - figures.outcomes["cancelled by the caller"])
    print(f"{total} calls in {minutes:g} minutes, {total / minutes / 60:.0f} a second")
    for name, count in figures.outcomes.most_common():
        print(f"  {name:<32} {count:>8}  {count / total:8.3%}")
    print(f"unexplained failures: {figures.unexplained.total()} of {judged}, {dict(figures.unexplained)}")
    memory, handles = halves(figures.resident), halves([float(each) for each in figures.handles])
    print(f"memory after the warm-up: {memory[0]:.1f} MiB, later {memory[1]:.1f} MiB")
    print(f"descriptors after the warm-up: {handles[0]:.0f}, later {handles[1]:.0f}")
    slow = sorted(figures.health)
    print(f"health answered in {median(slow) * 1000:.1f} ms, at worst {slow[-1] * 1000:.1f} ms")
    broken = verdict(figures)
    print("\n".join(broken) or "all figures hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
