"""One case of the catalogue: a gateway on a hostile upstream, and the six invariants after it."""

import asyncio
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ecsgateway.ecs.credentials import Credentials
from ecsgateway.rpc.health import SERVICE
from tests.calling import Outcome, ask
from tests.faults.hostile import ACCOUNTS, Hostile, Wire, answer, page

if TYPE_CHECKING:
    from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceAsyncStub

CANARIES = Credentials(
    access_key_id="canary-key-id", access_key_secret="canary-key-secret", security_token="canary-sts-token"
)
SLOTS = 2

LATEST = 0.1
"""Seconds after its deadline at which a caller must have its status."""


@dataclass(kw_only=True)
class Trial:
    """What a case needs, and what it left behind.

    Attributes:
        slots: HTTP requests that may run at a time; a lost one shows.
        held: the accounts that an OK stream must have delivered.
        printed: returns what standard output and error got so far.
    """

    upstream: Hostile
    address: str
    channel: grpc.aio.Channel
    stub: "ImageSharePermissionServiceAsyncStub"
    log: io.StringIO
    printed: Callable[[], str]
    slots: int = SLOTS
    held: tuple[str, ...] = ACCOUNTS
    outcomes: list[Outcome] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    tasks: int = 0
    descriptors: int = 0

    async def warm_up(self) -> None:
        """Make the connections that stay, and take the baseline."""
        await self._all_slots_work()
        self.upstream.heads.clear()
        self.upstream.connections = 0
        self.tasks, self.descriptors = len(_tasks()), _descriptors()

    async def ask(self, way: str, *, timeout: float | None = 5.0, **how: Any) -> Outcome:  # noqa: ASYNC109
        """Call the gateway; what came is remembered for the invariants."""
        outcome = await ask(self.stub, way, timeout=timeout, **how)
        self.outcomes.append(outcome)
        if timeout is not None:
            self.late.append(outcome.seconds - max(0.0, timeout))
        return outcome

    async def health(self) -> str:
        """Ask what the service says of itself."""
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        answer = await check(HealthCheckRequest(service=SERVICE), timeout=1.0)
        return HealthCheckResponse.ServingStatus.Name(answer.status)

    async def check(self) -> None:
        """Check I1 to I6."""
        for outcome in self.outcomes:
            self._is_all_or_an_error(outcome)
        assert all(late <= LATEST for late in self.late), f"I6: {max(self.late):.3f} s after the deadline"
        await self.upstream.behave()
        await self._is_back_at_baseline()
        await self._all_slots_work()
        self._keeps_its_secrets()

    def _is_all_or_an_error(self, outcome: Outcome) -> None:
        delivered = outcome.accounts
        assert len(set(delivered)) == len(delivered), "I2: an account came twice"
        assert tuple(delivered) == self.held[: len(delivered)], "I2: other accounts, or in another order"
        if outcome.code is grpc.StatusCode.OK:
            assert tuple(delivered) == self.held, "I1: OK without the whole list"
        elif outcome.status is not None:
            assert outcome.reason, "a failure without ErrorInfo"
            assert outcome.size <= 4096
            assert len(outcome.text.encode()) <= 512

    async def _is_back_at_baseline(self) -> None:
        end = monotonic() + 1.0
        while len(_tasks()) > self.tasks or _descriptors() > self.descriptors:
            assert monotonic() < end, (
                f"I4: {_descriptors()} descriptors of {self.descriptors}, {self.tasks} tasks at first, now"
                f" {_tasks()}"
            )
            await asyncio.sleep(0.005)

    async def _all_slots_work(self) -> None:
        """I4 and I5: a healthy upstream that answers only when every slot is in use gets to answer."""
        together = asyncio.Barrier(self.slots)

        async def answer_together(wire: Wire) -> None:
            await together.wait()
            await wire.send(answer(page(wire.parameters)))

        self.upstream.scripts = [answer_together]
        outcomes = await asyncio.gather(
            *(ask(self.stub, "unary", image="m-healthy", timeout=5.0) for _ in range(self.slots))
        )
        assert [each.code for each in outcomes] == [grpc.StatusCode.OK] * self.slots, (
            f"I5: {[each.text for each in outcomes]}"
        )
        await self.upstream.behave()

    def _keeps_its_secrets(self) -> None:
        seen = b"\n".join(outcome.seen() for outcome in self.outcomes)
        told = seen.decode(errors="replace") + self.log.getvalue() + self.printed()
        for secret in (*CANARIES.words(), *self.upstream.signatures()):
            assert secret not in told, f"I3: {secret} is told"


async def until(true: Callable[[], bool], *, seconds: float = 1.0) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it was not in time.
    """
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for is on the other side of a socket
            await asyncio.sleep(0.002)


def _tasks() -> list[str]:
    """Name what runs in this loop, but for the health's own task, which outlives a refused signature."""
    names = [getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks()]
    return sorted(name for name in names if name != "Health._recover")


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
