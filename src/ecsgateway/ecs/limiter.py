"""A bound on concurrent upstream requests, shared fairly between calls."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from ecsgateway.errors import GatewayFault
from ecsgateway.mapping import Reason


class FairLimiter:
    """Lets so many requests run at a time; those that wait take turns by call, not by arrival.

    A stream that fetches sixteen pages ahead thus delays a single call by one request, not by sixteen.
    The connection pool behind it never has to queue.

    Args:
        running: the most at a time.
        waiting: the most that may wait; one more is refused.
    """

    def __init__(self, *, running: int, waiting: int) -> None:
        self._free = running
        self._room = waiting
        self._turns: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def slot(self, call: Hashable, *, patience: float) -> AsyncIterator[None]:
        """Hold one of the slots, as part of the given call.

        Args:
            call: whose turn it is.
            patience: seconds to wait for it.

        Raises:
            GatewayFault: too many wait already, or the turn did not come in time.
        """
        try:
            async with asyncio.timeout(patience):
                await self._acquire(call)
        except TimeoutError:
            raise GatewayFault(Reason.GATEWAY_OVERLOADED, "no turn came in time", retry_after=1.0) from None
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, call: Hashable) -> None:
        if self._free:  # nobody waits while one is free
            self._free -= 1
            return
        if self._room <= 0:
            raise GatewayFault(Reason.GATEWAY_OVERLOADED, "too many upstream requests wait", retry_after=1.0)
        mine = asyncio.get_running_loop().create_future()
        self._turns.setdefault(call, deque()).append(mine)
        self._room -= 1
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # the slot came and the cancellation too
                self._release()
            raise
        finally:
            self._room += 1

    def _release(self) -> None:
        """Hand the slot to the call whose turn it is; without one it is free."""
        while self._turns:
            call, queue = self._turns.popitem(last=False)
            waiter = queue.popleft()
            if queue:
                self._turns[call] = queue
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
