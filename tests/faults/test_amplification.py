"""K11: how much more than its load a failing upstream gets, measured at the upstream."""

from random import Random

import pytest

from ecsgateway.deadline import Deadline
from ecsgateway.ecs.client import EcsClient, Policy
from ecsgateway.ecs.credentials import Credentials, CredentialSource
from ecsgateway.ecs.limiter import FairLimiter
from ecsgateway.ecs.retry import Backoff
from ecsgateway.ecs.transport import AiohttpTransport
from ecsgateway.errors import GatewayError
from fakeecs import FakeEcs, Fault
from tests.conftest import KEYS

CALLS, SETTLED = 400, 100


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("fault", ["InternalError", "ServiceUnavailable"])
async def test_k11_a_failing_upstream_gets_at_most_a_fifth_more_than_its_load(
    fake: FakeEcs, share: float, fault: str
) -> None:
    fake.faults.add(Fault(code=fault, probability=share))
    calls = [0]
    async with AiohttpTransport(connections=4, any_address=True) as http:
        ecs = ecs_client(http, fake.url, KEYS)
        for number in range(CALLS):
            if number == SETTLED:
                assert len(fake.journal) <= 3 * SETTLED
                fake.journal.clear()
            calls[0] += await succeeds(ecs)
    assert len(fake.journal) <= 1.2 * (CALLS - SETTLED) + 1
    if share == 0.1:
        assert calls[0] >= 0.99 * CALLS, "the budget is enough for a few failures"


def ecs_client(http: AiohttpTransport, url: str, keys: Credentials) -> EcsClient:
    random = Random(5)
    return EcsClient(
        http,
        credentials=CredentialSource(lambda: keys),
        endpoint=lambda region: url,
        limiter=FairLimiter(running=4, waiting=100),
        policy=Policy(any_endpoint=True, backoff=Backoff(initial=0.0, random=random.random)),
    )


async def succeeds(ecs: EcsClient) -> bool:
    try:
        await ecs.call(
            "DescribeImageSharePermission",
            "2014-05-26",
            {"RegionId": "cn-hangzhou", "ImageId": "m-demo-11"},
            lambda fields: fields,
            region_id="cn-hangzhou",
            deadline=Deadline.after(5),
            flow="x",
        )
    except GatewayError:
        return False
    return True
