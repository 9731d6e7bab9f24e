"""Which HTTP transport survives cancellation: the figures of docs/decisions/0004.

Run it with `.venv/bin/python -m bench.churn`. Each transport gets ten slots and a server that answers after
2 ms. Twenty callers send requests and cancel them at random moments for some seconds; afterwards a healthy
server counts how many of the ten slots still serve.
"""

import asyncio
import time
from typing import Any

import httpx

from ecsgateway.ecs.transport import AiohttpTransport
from tests.ecs.test_transport import SLOTS, brief, churn, usable
from tests.faults.hostile import Hostile


class Queued(httpx.AsyncClient):
    """A client that lets no more requests into its pool than have a slot there."""

    _turns = asyncio.Semaphore(SLOTS)

    async def send(self, *given: Any, **how: Any) -> httpx.Response:
        """Wait for a turn, send and read."""
        async with self._turns:
            return await super().send(*given, **how)


async def measure(
    name: str, transport: httpx.AsyncBaseTransport, client: type[httpx.AsyncClient] = httpx.AsyncClient
) -> None:
    """Print one line of figures."""
    async with (
        Hostile(scripts=[brief]) as upstream,
        client(transport=transport, timeout=1.0, trust_env=False) as http,
    ):
        answered = await churn(http, upstream.url, calls=4000, callers=2 * SLOTS)
        slots = await usable(http, upstream)
        upstream.scripts = [brief]
        before, served = time.perf_counter(), 0
        for _ in range(50):
            outcomes = await asyncio.gather(
                *(http.post(upstream.url) for _ in range(SLOTS)), return_exceptions=True
            )
            served += sum(isinstance(each, httpx.Response) for each in outcomes)
            if not served:
                break
        rate = served / (time.perf_counter() - before)
    left = f"{slots:>2} of {SLOTS} slots left"
    print(f"{name:<28} {answered:>5} of 4000 answered  {left}  {rate:>6.0f} requests/s after")


async def main() -> None:
    """Measure them."""
    limits = httpx.Limits(max_connections=SLOTS)
    await measure("httpx's own transport", httpx.AsyncHTTPTransport(limits=limits, trust_env=False))
    behind = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
    await measure("the same, with a semaphore", behind, Queued)
    await measure("ecsgateway's transport", AiohttpTransport(connections=SLOTS, any_address=True))


if __name__ == "__main__":
    asyncio.run(main())
