"""Both methods, end to end: a real channel, the gateway, signed HTTP, the fake upstream on a socket."""

import grpc
import pytest
from google.rpc import error_details_pb2

from ecsgateway.ecs.credentials import Credentials
from ecsgateway.v1.error_details_pb2 import UpstreamError
from ecsgateway.v1.image_share_permission_pb2 import (
    Consistency,
    DescribeImageSharePermissionRequest,
    StreamImageSharePermissionRequest,
)
from fakeecs import FakeEcs
from tests.calling import STREAM, UNARY, ask
from tests.conftest import IMAGE, REGION, Running, Start

WAYS = pytest.mark.parametrize(
    ("signature", "form"),
    [("acs3-hmac-sha256", "json"), ("acs3-hmac-sha256", "xml"), ("hmac-sha1", "json"), ("hmac-sha1", "xml")],
)


@WAYS
async def test_the_unary_call_returns_the_page_of_the_documents_sample(
    start: Start, signature: str, form: str
) -> None:
    running = await start(signature=signature, format=form)

    request = DescribeImageSharePermissionRequest(region_id=REGION, image_id=IMAGE)
    page = (await running.stub.DescribeImageSharePermission(request)).page

    assert (page.region_id, page.image_id, page.page_number, page.page_size, page.total_count) == (
        REGION,
        IMAGE,
        1,
        10,
        1,
    )
    assert [group.group for group in page.share_groups] == ["all"]
    assert [(a.aliyun_id, a.shared_time.ToJsonString()) for a in page.accounts] == [
        ("1234567890", "2023-01-01T12:05:00Z")
    ]
    assert page.request_id


@WAYS
async def test_the_stream_returns_every_account_once_and_in_order(
    start: Start, fake: FakeEcs, signature: str, form: str
) -> None:
    running = await start(signature=signature, format=form)
    held = [account.aliyun_id for account in fake.image(REGION, "m-demo-2345").accounts]

    request = StreamImageSharePermissionRequest(region_id=REGION, image_id="m-demo-2345")
    messages = [message async for message in running.stub.StreamImageSharePermission(request)]

    assert [a.aliyun_id for message in messages for a in message.page.accounts] == held
    assert [message.page.page_number for message in messages] == list(range(1, 25))
    assert [message.HasField("summary") for message in messages] == [False] * 23 + [True]
    summary = messages[-1].summary
    assert (summary.page_count, summary.account_count, summary.duplicate_count) == (24, 2345, 0)
    assert summary.consistency == Consistency.CONSISTENCY_NO_CHANGE_SEEN


async def test_a_list_of_one_page_costs_one_upstream_call(running: Running, fake: FakeEcs) -> None:
    request = StreamImageSharePermissionRequest(region_id=REGION, image_id="m-demo-45")
    [message] = [message async for message in running.stub.StreamImageSharePermission(request)]

    assert message.summary.consistency == Consistency.CONSISTENCY_SINGLE_PAGE
    assert len(fake.journal) == 1


async def test_a_request_is_a_post_with_its_parameters_in_the_query_and_an_empty_body(
    running: Running, fake: FakeEcs
) -> None:
    await running.stub.DescribeImageSharePermission(
        DescribeImageSharePermissionRequest(region_id=REGION, image_id=IMAGE, page_number=1, page_size=7)
    )

    [entry] = fake.journal
    assert entry.method == "POST"
    assert entry.parameters == {"RegionId": REGION, "ImageId": IMAGE, "PageNumber": "1", "PageSize": "7"}


@pytest.mark.parametrize("streaming", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(
    ("region", "image", "code"),
    [
        (REGION, "m-unknown", grpc.StatusCode.NOT_FOUND),
        ("cn-nowhere", IMAGE, grpc.StatusCode.NOT_FOUND),
        ("", IMAGE, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_an_error_has_the_same_status_in_both_methods(
    running: Running, streaming: bool, region: str, image: str, code: grpc.StatusCode
) -> None:
    async def call() -> None:
        if streaming:
            stream = StreamImageSharePermissionRequest(region_id=region, image_id=image)
            _ = [message async for message in running.stub.StreamImageSharePermission(stream)]
        else:
            unary = DescribeImageSharePermissionRequest(region_id=region, image_id=image)
            await running.stub.DescribeImageSharePermission(unary)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call()
    assert raised.value.code() is code


@WAYS
@pytest.mark.parametrize("way", [UNARY, STREAM])
@pytest.mark.parametrize(
    ("region", "image", "secret", "code", "reason", "vendor_code"),
    [
        pytest.param(
            REGION,
            "m-no",
            "testsecret",
            "NOT_FOUND",
            "IMAGE_NOT_FOUND",
            "InvalidImageId.NotFound",
            id="image",
        ),
        pytest.param(
            "cn-no",
            IMAGE,
            "testsecret",
            "NOT_FOUND",
            "REGION_NOT_FOUND",
            "InvalidRegionId.NotFound",
            id="region",
        ),
        pytest.param(
            REGION,
            IMAGE,
            "wrong",
            "INTERNAL",
            "GATEWAY_CREDENTIALS_REJECTED",
            "SignatureDoesNotMatch",
            id="signature",
        ),
    ],
)
async def test_an_error_is_the_same_in_every_format_and_signature(
    start: Start,
    signature: str,
    form: str,
    way: str,
    region: str,
    image: str,
    secret: str,
    code: str,
    reason: str,
    vendor_code: str,
) -> None:
    keys = Credentials(access_key_id="testid", access_key_secret=secret)
    running = await start(keys=keys, signature=signature, format=form)

    outcome = await ask(running.stub, way, region=region, image=image)

    assert (outcome.code.name, outcome.reason) == (code, reason)
    assert outcome.info.domain == "ecs.aliyuncs.com"
    assert outcome.info.metadata["upstream_code"] == vendor_code
    said = outcome.detail(UpstreamError)
    assert (said.code, said.http_status) == (vendor_code, 404 if code == "NOT_FOUND" else 400)
    assert said.request_id == outcome.detail(error_details_pb2.RequestInfo).serving_data != ""
