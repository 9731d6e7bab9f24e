"""What every call goes through: limits, validation, deadline, errors to a status, one log line."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from ecsgateway.errors import GatewayError, GatewayFault
from ecsgateway.mapping import Fault, Reason
from ecsgateway.rpc.call import Call, CallerLeft, open_call
from ecsgateway.rpc.status import RichStatus, status_of
from ecsgateway.rpc.telemetry import Logger
from ecsgateway.rpc.validation import validate

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")

_LAST_RESORT = 0.5
"""Seconds after the deadline at which a handler is ended that should have ended itself by then."""


Handler = Callable[[Request, Call], Awaitable[Response]]


class Guard:
    """Wraps every handler.

    Args:
        log: gets one line for each call.
        most_calls: the calls at a time; one more is refused at once.
        longest: seconds that any call may take.
        on_outcome: learns the reason of each failure, and None of each success.
    """

    def __init__(
        self,
        *,
        log: Logger,
        most_calls: int = 1000,
        longest: float = 300.0,
        on_outcome: Callable[[Reason | None, Message], None] = lambda reason, request: None,
    ) -> None:
        self._log = log
        self._most_calls = most_calls
        self._longest = longest
        self._on_outcome = on_outcome
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waits: set[asyncio.Timeout] = set()
        self.draining = False

    @property
    def calls(self) -> int:
        """The calls that are under way."""
        return len(self._tasks)

    def drain(self) -> None:
        """Refuse new calls, and end those that wait for ECS; what is being sent is sent."""
        if self.draining:
            return
        self.draining = True
        for scope in self._waits:
            scope.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Mark where a handler waits for ECS, and may be ended by draining without a doubt what was sent.

        Raises:
            GatewayFault: the gateway drains.
        """
        if self.draining:
            raise GatewayFault(Reason.GATEWAY_DRAINING)
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._waits.add(scope)
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise GatewayFault(Reason.GATEWAY_DRAINING) from None
        finally:
            self._waits.discard(scope)

    async def finished(self) -> None:
        """Wait until every handler has ended, clean-up included: grpc's own stop does not (grpc#37239)."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def answer(
        self,
        request: Request,
        context: grpc.aio.ServicerContext[Any, Any],
        handler: Handler[Request, Response],
    ) -> Response:
        """Run a handler; whatever it raises becomes a status."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler is a task
        self._tasks.add(task)
        try:
            outcome = await self._outcome(request, context, handler)
        finally:
            self._tasks.discard(task)
        if isinstance(outcome, RichStatus):
            await context.abort_with_status(outcome)
            raise AssertionError("abort returned")
        return outcome

    async def _outcome(
        self,
        request: Request,
        context: grpc.aio.ServicerContext[Any, Any],
        handler: Handler[Request, Response],
    ) -> Response | RichStatus:
        call = open_call(request, context, longest=self._longest)
        error: GatewayError | None = None
        limit = asyncio.timeout(max(0.0, call.deadline.left() + _LAST_RESORT))
        try:
            if self.draining:
                raise GatewayFault(Reason.GATEWAY_DRAINING)
            if len(self._tasks) > self._most_calls:
                raise GatewayFault(Reason.GATEWAY_OVERLOADED, "too many calls", retry_after=1.0)
            validate(request)
            async with limit:
                response = await handler(request, call)
        except CallerLeft:
            self._write(call, "CANCELLED")
            raise asyncio.CancelledError from None
        except asyncio.CancelledError as stray:
            if _is_cancelled():
                self._write(call, "CANCELLED")
                raise
            error = self._bug(call, stray)  # of a task that this one waited for
        except TimeoutError as timeout:
            if limit.expired():
                error = GatewayFault(Reason.DEADLINE_EXCEEDED)
                error.attempts = call.attempts
            else:
                error = self._bug(call, timeout)
        except GatewayError as failure:
            error = failure
        except Exception as bug:  # the last line of defence: nothing of it may reach the caller
            error = self._bug(call, bug)
        if error is None:
            self._on_outcome(None, request)
            self._write(call, "OK")
            return response
        self._on_outcome(error.reason, request)
        self._write(call, error.row.status, error)
        return status_of(error, call.about)

    def _bug(self, call: Call, bug: BaseException) -> GatewayFault:
        """Log where a defect is, without its text: that may hold anything."""
        frames = traceback.extract_tb(bug.__traceback__)
        where = [f"{frame.filename.rpartition('/src/')[2]}:{frame.lineno}" for frame in frames]
        self._log.error("bug", request_id=call.request_id, type=type(bug).__qualname__, where=where)
        return GatewayFault(Reason.GATEWAY_INTERNAL_ERROR)

    def _write(self, call: Call, code: str, error: GatewayError | None = None) -> None:
        """Log a call: who is at fault decides how loud."""
        level = self._log.info
        if error and error.row.fault is not Fault.CALLER:
            own = error.row.fault is Fault.GATEWAY and error.row.status == "INTERNAL"
            level = self._log.error if own else self._log.warning
        level("call", **call.facts(code, error))


def _is_cancelled() -> bool:
    """Tell whether this task itself was cancelled: by its caller, its deadline or the server's stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
