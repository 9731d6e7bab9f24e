"""The guard: whatever a handler does, its caller gets a status, and nothing but the status."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.message import Message

from ecsgateway.errors import GatewayFault
from ecsgateway.mapping import Reason
from ecsgateway.rpc.call import Call
from ecsgateway.rpc.guard import Guard
from ecsgateway.rpc.telemetry import logger, start_logging
from ecsgateway.v1.image_share_permission_pb2 import (
    DescribeImageSharePermissionRequest,
    DescribeImageSharePermissionResponse,
    StreamImageSharePermissionResponse,
)
from ecsgateway.v1.image_share_permission_pb2_grpc import (
    ImageSharePermissionServiceServicer,
    ImageSharePermissionServiceStub,
    add_ImageSharePermissionServiceServicer_to_server,
)
from tests.calling import STREAM, UNARY, Outcome, ask
from tests.faults.trial import until

BOTH = pytest.mark.parametrize("way", [UNARY, STREAM])
SECRET = "canary-secret"
Handler = Callable[[Any, Call], Awaitable[Any]]


class Service(ImageSharePermissionServiceServicer):
    """Both methods run one handler."""

    def __init__(self, guard: Guard, handler: Handler) -> None:
        self._guard = guard
        self._handler = handler

    async def DescribeImageSharePermission(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._guard.answer(request, context, self._handler)

    async def StreamImageSharePermission(self, request: Any, context: Any) -> None:  # type: ignore[override] # noqa: N802 - as the gateway's
        await self._guard.answer(request, context, self._handler)


Ask = Callable[..., Awaitable[Outcome]]


@pytest.fixture
async def asking() -> AsyncIterator[tuple[Callable[[str, Handler], Awaitable[Outcome]], io.StringIO]]:
    """Asks a server of one handler, and has its log."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    listener = start_logging("json", "debug", stream)

    async def ask_one(way: str, handler: Handler, **settings: Any) -> Outcome:
        timeout = settings.pop("timeout", 2.0)
        server = grpc.aio.server()
        guard = Guard(log=logger(), **settings)
        add_ImageSharePermissionServiceServicer_to_server(Service(guard, handler), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            outcome = await ask(ImageSharePermissionServiceStub(channel), way, timeout=timeout)
        await server.stop(0)
        await asyncio.wait_for(guard.finished(), 1)
        assert guard.calls == 0
        return outcome

    yield ask_one, stream
    listener.stop()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def raises(_: Any, __: Call) -> None:
    raise ValueError(f"AccessKeySecret={SECRET}")


async def waits_for_a_task_that_is_cancelled(_: Any, __: Call) -> None:
    inner = asyncio.create_task(asyncio.sleep(10))
    asyncio.get_running_loop().call_soon(inner.cancel)
    await inner


async def raises_cancelled(_: Any, __: Call) -> None:
    raise asyncio.CancelledError


async def raises_a_timeout(_: Any, __: Call) -> None:
    raise TimeoutError(SECRET)


async def raises_a_group(_: Any, __: Call) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(raises(None, __))


async def exhausts_the_stack(request: Any, call: Call) -> None:
    await exhausts_the_stack(request, call)


async def asserts(_: Any, __: Call) -> None:
    raise AssertionError(SECRET)


@BOTH
@pytest.mark.parametrize(
    "handler",
    [
        raises,
        waits_for_a_task_that_is_cancelled,
        raises_cancelled,
        raises_a_group,
        exhausts_the_stack,
        asserts,
    ],
    ids=lambda handler: handler.__name__,
)
async def test_a_defect_is_an_internal_error_whose_text_stays_here(
    asking: tuple[Ask, io.StringIO], way: str, handler: Handler
) -> None:
    ask_one, log = asking
    outcome = await ask_one(way, handler)
    assert (outcome.code.name, outcome.reason) == ("INTERNAL", "GATEWAY_INTERNAL_ERROR")
    assert outcome.names == ["RequestInfo"]
    assert outcome.seconds < 1
    await until(lambda: '"bug"' in log.getvalue())
    bug = json.loads(next(line for line in log.getvalue().splitlines() if '"bug"' in line))
    assert any("test_guard.py" in where for where in bug["where"])
    assert SECRET not in log.getvalue() + outcome.seen().decode(errors="replace")


@BOTH
async def test_a_stray_timeout_is_not_the_deadline(asking: tuple[Ask, io.StringIO], way: str) -> None:
    ask_one, log = asking
    outcome = await ask_one(way, raises_a_timeout)
    assert (outcome.code.name, outcome.reason) == ("INTERNAL", "GATEWAY_INTERNAL_ERROR")
    assert SECRET not in log.getvalue()


@BOTH
async def test_a_handler_that_never_ends_is_ended(asking: tuple[Ask, io.StringIO], way: str) -> None:
    async def hangs(_: Any, __: Call) -> None:
        await asyncio.get_running_loop().create_future()

    outcome = await asking[0](way, hangs, longest=0.1)
    assert (outcome.code.name, outcome.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    assert outcome.seconds < 1.5


async def test_a_stream_whose_caller_left_ends_as_cancelled(asking: tuple[Ask, io.StringIO]) -> None:
    ended = asyncio.Event()

    async def sends_for_ever(_: Any, call: Call) -> None:
        try:
            while True:
                await call.send(StreamImageSharePermissionResponse(resume_token="x" * 1000))
                await asyncio.sleep(0)
        finally:
            ended.set()

    outcome = await asking[0](STREAM, sends_for_ever, timeout=0.2)
    assert outcome.code.name == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(ended.wait(), 1)


@BOTH
async def test_a_draining_gateway_sends_its_callers_elsewhere(
    asking: tuple[Ask, io.StringIO], way: str
) -> None:
    async def drains(_: Any, __: Call) -> None:
        raise GatewayFault(Reason.GATEWAY_DRAINING)

    outcome = await asking[0](way, drains)
    assert (outcome.code.name, outcome.reason) == ("UNAVAILABLE", "GATEWAY_DRAINING")
    assert outcome.trailers["grpc-retry-pushback-ms"] == "1"
    assert outcome.names == ["RetryInfo"]


@BOTH
async def test_every_outcome_is_learned_by_whom_it_concerns(
    asking: tuple[Ask, io.StringIO], way: str
) -> None:
    learned: list[tuple[Reason | None, Message]] = []

    async def fails(_: Any, __: Call) -> None:
        raise GatewayFault(Reason.GATEWAY_CLOCK_SKEW)

    await asking[0](way, fails, on_outcome=lambda reason, request: learned.append((reason, request)))
    assert [reason for reason, _ in learned] == [Reason.GATEWAY_CLOCK_SKEW]


async def test_a_good_answer_passes_untouched(asking: tuple[Ask, io.StringIO]) -> None:
    async def answers(request: DescribeImageSharePermissionRequest, __: Call) -> Any:
        return DescribeImageSharePermissionResponse()

    assert (await asking[0](UNARY, answers)).code.name == "OK"
