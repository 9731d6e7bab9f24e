"""Health tells the truth: serving, refused by ECS, serving again, stopping."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ecsgateway.errors import GatewayError, NoAnswer, Refusal, UpstreamRefused
from ecsgateway.mapping import Reason, row_for
from ecsgateway.rpc.health import SERVICE, Health
from ecsgateway.v1.image_share_permission_pb2 import DescribeImageSharePermissionRequest
from fakeecs import FakeEcs, Fault
from tests.conftest import IMAGE, REGION, Running

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
REQUEST = DescribeImageSharePermissionRequest(region_id=REGION, image_id=IMAGE)


@pytest.mark.parametrize("service", ["", SERVICE], ids=["overall", "service"])
async def test_a_gateway_that_started_serves(running: Running, service: str) -> None:
    answer = await _check(running, HealthCheckRequest(service=service))
    assert answer.status == SERVING


async def test_an_unknown_service_is_not_found(running: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _check(running, HealthCheckRequest(service="no.Such"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_refused_credentials_take_the_service_out(running: Running, fake: FakeEcs) -> None:
    fake.faults.add(Fault(code="InvalidAccessKeyId.NotFound", status=404))
    watch = _watch(running, HealthCheckRequest(service=SERVICE))
    assert await _told(watch) == SERVING
    with pytest.raises(grpc.aio.AioRpcError):
        await running.stub.DescribeImageSharePermission(REQUEST)
    assert await _told(watch) == NOT_SERVING
    watch.cancel()


def _refused(reason: Reason) -> GatewayError:
    return UpstreamRefused(row_for(reason), Refusal(code="Any", http_status=400))


@pytest.mark.parametrize(
    ("outcomes", "probes"),
    [
        pytest.param([None], 1, id="answered"),
        pytest.param([_refused(Reason.GATEWAY_CREDENTIALS_REJECTED), None], 2, id="refused-then-answered"),
        pytest.param([NoAnswer(Reason.UPSTREAM_UNREACHABLE), None], 2, id="unreachable-then-answered"),
        pytest.param([_refused(Reason.IMAGE_NOT_FOUND)], 1, id="refused-for-another-reason"),
        pytest.param([_refused(Reason.UPSTREAM_THROTTLED), None], 2, id="throttled-then-answered"),
        pytest.param([OverflowError("a defect"), None], 2, id="a-defect-then-answered"),
    ],
)
async def test_it_serves_again_once_the_upstream_accepts_a_signature(
    outcomes: list[Exception | None], probes: int
) -> None:
    asked: list[object] = []
    waits: list[float] = []

    async def probe(request: object) -> None:
        asked.append(request)
        if outcome := outcomes[len(asked) - 1]:
            raise outcome

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    health = Health(probe, interval=10.0, sleep=sleep)
    await health.start()
    health.learn(Reason.GATEWAY_CREDENTIALS_REJECTED, REQUEST)
    recovering = health.recovering
    assert recovering is not None
    await recovering

    assert asked == [REQUEST] * probes
    assert waits == [10.0] * probes
    assert health.recovering is None


@pytest.mark.parametrize(
    "reason", [None, Reason.UPSTREAM_THROTTLED, Reason.UPSTREAM_UNREACHABLE, Reason.GATEWAY_INTERNAL_ERROR]
)
async def test_other_outcomes_leave_it_serving(reason: Reason | None) -> None:
    async def probe(_: object) -> None:
        raise AssertionError("probed")

    health = Health(probe)
    await health.start()
    health.learn(reason, REQUEST)
    assert health.recovering is None


async def test_a_gateway_that_stops_says_so_first(running: Running) -> None:
    watch = _watch(running, HealthCheckRequest())
    assert await _told(watch) == SERVING
    stopping = asyncio.create_task(running.gateway.stop())
    assert await _told(watch) == NOT_SERVING
    watch.cancel()
    await stopping


def _check(running: Running, request: HealthCheckRequest) -> Awaitable[HealthCheckResponse]:
    return running.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )(request)


def _watch(
    running: Running, request: HealthCheckRequest
) -> grpc.aio.UnaryStreamCall[Any, HealthCheckResponse]:
    return running.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )(request)


async def _told(watch: grpc.aio.UnaryStreamCall[Any, HealthCheckResponse]) -> int:
    """Return the next status that the watch tells."""
    answer = await watch.read()
    assert isinstance(answer, HealthCheckResponse)
    return answer.status
