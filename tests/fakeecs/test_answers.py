"""The common errors, and how answers look: bodies in JSON and XML, headers, content types."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest
from defusedxml.ElementTree import fromstring

from fakeecs import Choices, FakeEcs, Fault, Problem
from fakeecs.errors import DOCUMENTED

Ask = Callable[..., Awaitable[httpx.Response]]

UUID = re.compile(r"[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}")
MISSING = "that is mandatory for processing this request is not supplied."
NO_API = "Specified api is not found, please check your url and method."

RPC, ACS3 = "rpc", "acs3"
ENVELOPE: list[tuple[str, str, dict[str, Any], int, str, str]] = [
    (
        "no action",
        RPC,
        {"changes": {"Action": None}},
        400,
        "MissingParameter",
        f'The input parameter "Action" {MISSING}',
    ),
    (
        "no action header",
        ACS3,
        {"changes": {"x-acs-action": None}},
        400,
        "MissingParameter",
        f'The input parameter "Action" {MISSING}',
    ),
    (
        "no version",
        RPC,
        {"changes": {"Version": None}},
        400,
        "MissingParameter",
        f'The input parameter "Version" {MISSING}',
    ),
    ("another action", RPC, {"changes": {"Action": "DescribeMoon"}}, 404, "InvalidAction.NotFound", NO_API),
    (
        "another action header",
        ACS3,
        {"changes": {"x-acs-action": "DescribeMoon"}},
        404,
        "InvalidAction.NotFound",
        NO_API,
    ),
    (
        "another version",
        RPC,
        {"changes": {"Version": "2017-11-10"}},
        400,
        "InvalidVersion",
        "Specified parameter Version is not valid.",
    ),
    (
        "two actions",
        RPC,
        {"method": "POST", "form": {"Action": "DeleteImage"}},
        400,
        "InvalidParameter",
        'The specified parameter "Action or Version" is not valid.',
    ),
    (
        "two images",
        RPC,
        {"method": "POST", "form": {"ImageId": "m-2"}},
        400,
        "InvalidParameter",
        'The specified parameter "ImageId" is not valid.',
    ),
    ("another path", RPC, {"path": "/v1"}, 404, "InvalidAction.NotFound", NO_API),
    (
        "another product",
        RPC,
        {"headers": {"Host": "oss-cn-hangzhou.aliyuncs.com"}},
        404,
        "InvalidProduct.NotFound",
        "Cannot find product according to your specified domain.",
    ),
    ("PUT", RPC, {"method": "PUT"}, 403, "UnsupportedHTTPMethod", "This http method is not supported."),
    (
        "DELETE",
        ACS3,
        {"method": "DELETE"},
        403,
        "UnsupportedHTTPMethod",
        "This http method is not supported.",
    ),
    (
        "both owners",
        RPC,
        {"OwnerId": 1, "OwnerAccount": "a"},
        400,
        "InvalidOwner",
        "OwnerId and OwnerAccount can't be used at one API access.",
    ),
    ("another owner", RPC, {"OwnerId": "x"}, 400, "InvalidOwnerId", "The specified OwnerId is not valid."),
    (
        "another owner's account",
        RPC,
        {"OwnerAccount": "x"},
        403,
        "InvalidParameter.OwnerAccount",
        "OwnerAccount is Invalid.",
    ),
    (
        "another resource owner",
        RPC,
        {"ResourceOwnerAccount": "x"},
        403,
        "InvalidParameter.ResourceOwnerAccount",
        "ResourceOwnerAccount is Invalid.",
    ),
]


@pytest.mark.parametrize(
    ("scheme", "how", "status", "code", "message"),
    [row[1:] for row in ENVELOPE],
    ids=[row[0] for row in ENVELOPE],
)
async def test_the_common_errors(
    ask: Ask, scheme: str, how: dict[str, Any], status: int, code: str, message: str
) -> None:
    answer = await ask(scheme=scheme, **how)
    assert (answer.status_code, answer.json()["Code"], answer.json()["Message"]) == (status, code, message)


async def test_empty_parameters_count_as_none(ask: Ask) -> None:
    answer = await ask(PageSize="", OwnerAccount="", ResourceOwnerId="")
    assert (answer.status_code, answer.json()["PageSize"]) == (200, 10)


async def test_ones_own_account_is_a_valid_owner(ask: Ask) -> None:
    assert (await ask(OwnerId="1000000000000001")).status_code == 200


@pytest.mark.parametrize("code", sorted(DOCUMENTED))
async def test_every_documented_code_can_be_answered(ask: Ask, fake: FakeEcs, code: str) -> None:
    fake.faults.add(Fault(code=code))
    answer = await ask()
    assert answer.status_code == DOCUMENTED[code].status
    assert answer.json()["Code"] == code


async def test_an_error_of_the_gateway_has_its_order_of_members(ask: Ask) -> None:
    body = (await ask(key_id="nobody")).json()
    assert list(body) == ["Recommend", "Message", "RequestId", "HostId", "Code"]
    assert body["HostId"] == "127.0.0.1"
    assert body["Recommend"] == (
        "https://api.aliyun.com/troubleshoot?q=InvalidAccessKeyId.NotFound&product=Ecs"
        f"&requestId={body['RequestId']}"
    )


async def test_an_error_of_the_service_has_its_order_of_members(ask: Ask) -> None:
    body = (await ask(ImageId="m-nowhere")).json()
    assert list(body) == ["RequestId", "HostId", "Code", "Message", "Recommend"]


async def test_in_2017_only_the_gateway_recommends(
    asking: Callable[[FakeEcs], Ask], clock: Callable[[], float]
) -> None:
    async with FakeEcs(edition=2017, now=clock) as fake:
        of_service = (await asking(fake)(ImageId="m-nowhere")).json()
        of_gateway = (await asking(fake)(secret="wrong")).json()
    assert list(of_service) == ["RequestId", "HostId", "Code", "Message"]
    assert of_gateway["Recommend"] == (
        "https://error-center.aliyun.com/status/search?Keyword=SignatureDoesNotMatch&source=PopGw"
    )


async def test_a_denial_carries_details(ask: Ask, fake: FakeEcs) -> None:
    fake.faults.add(Fault(code="NoPermission"))
    body = (await ask()).json()
    assert body["AccessDeniedDetail"]["AuthAction"] == "ecs:DescribeImageSharePermission"
    assert body["AccessDeniedDetail"]["NoPermissionType"] == "ImplicitDeny"


@pytest.mark.parametrize(
    ("host", "host_id"),
    [
        ("ecs.aliyuncs.com", "ecs.aliyuncs.com"),
        ("ecs-cn-hangzhou.aliyuncs.com", "ecs-cn-hangzhou.aliyuncs.com"),
        ("localhost:8085", "localhost"),
        ("http://127.0.0.1:18101", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:8085", "[::1]"),
    ],
)
async def test_the_host_id_is_the_name_that_was_called(ask: Ask, host: str, host_id: str) -> None:
    answer = await ask(ImageId="m-nowhere", headers={"Host": host})
    assert answer.json()["HostId"] == host_id


@pytest.mark.parametrize(
    ("scheme", "how", "content_type"),
    [
        ("rpc", {"changes": {"Format": "JSON"}}, "application/json;charset=utf-8"),
        ("rpc", {"changes": {"Format": "json"}}, "application/json;charset=utf-8"),
        ("rpc", {"changes": {"Format": "XML"}}, "text/xml;charset=utf-8"),
        ("rpc", {"changes": {"Format": None}}, "text/xml;charset=utf-8"),
        ("acs3", {"headers": {"accept": "application/json"}}, "application/json;charset=utf-8"),
        ("acs3", {"headers": {"accept": "application/xml"}}, "text/xml;charset=utf-8"),
        ("acs3", {"headers": {"accept": "*/*"}}, "application/json;charset=utf-8"),
        ("acs3", {"Format": "XML"}, "text/xml;charset=utf-8"),
    ],
    ids=["JSON", "json", "XML", "XML by default", "accepts JSON", "accepts XML", "accepts all", "acs3 XML"],
)
async def test_the_format_is_the_one_asked_for(
    ask: Ask, scheme: str, how: dict[str, Any], content_type: str
) -> None:
    for image in ("m-demo-11", "m-nowhere"):
        answer = await ask(scheme=scheme, ImageId=image, **how)
        assert answer.headers["Content-Type"] == content_type


async def test_an_unknown_format_is_refused(ask: Ask) -> None:
    answer = await ask(changes={"Format": "YAML"})
    assert fromstring(answer.content).findtext("Code") == "InvalidParameter"


async def test_an_acs3_request_without_accept_can_be_given_xml(
    asking: Callable[[FakeEcs], Ask], clock: Callable[[], float]
) -> None:
    choices = Choices(acs3_format="XML", xml_content_type="application/xml")
    async with FakeEcs(choices=choices, now=clock) as fake:
        answer = await asking(fake)(scheme="acs3", headers={"accept": "*/*"})
    assert answer.headers["Content-Type"] == "application/xml"
    assert answer.content.startswith(
        b'<?xml version="1.0" encoding="UTF-8"?><DescribeImageSharePermissionResponse>'
    )


async def test_an_xml_error_has_the_recommendation_in_a_cdata_section(ask: Ask) -> None:
    answer = await ask(changes={"Format": "XML"}, ImageId="m-nowhere")
    text = answer.text
    request_id = answer.headers["X-Acs-Request-Id"]
    assert text == (
        '<?xml version="1.0" encoding="UTF-8"?><Error>'
        f"<RequestId>{request_id}</RequestId><HostId>127.0.0.1</HostId>"
        "<Code>InvalidImageId.NotFound</Code><Message>The specified ImageId does not exist.</Message>"
        "<Recommend><![CDATA[https://api.aliyun.com/troubleshoot?q=InvalidImageId.NotFound&product=Ecs"
        f"&requestId={request_id}]]></Recommend></Error>"
    )


async def test_empty_lists_are_empty_elements_in_xml(ask: Ask) -> None:
    answer = await ask(changes={"Format": "XML"}, ImageId="m-demo-empty")
    assert b"<ShareGroups/><Accounts/></DescribeImageSharePermissionResponse>" in answer.content


FORMS = ("JSON", "XML")
ECHO: Mapping[str, Problem] = {
    "InvalidImageId.NotFound": Problem(
        code="InvalidImageId.NotFound", status=404, message="The specified image %s does not exist."
    ),
}


@pytest.mark.parametrize(
    ("image", "form", "quoted"),
    [
        *(("m-1", form, "m-1") for form in FORMS),
        *(("<m>&amp;", form, "<m>&amp;") for form in FORMS),
        *(("m-测试", form, "m-测试") for form in FORMS),
        *(("%s", form, "%s") for form in FORMS),
        ("m-\x07", "JSON", "m-\x07"),
        ("m-\x07", "XML", "m-?"),
    ],
    ids=ascii,
)
async def test_another_text_may_quote_the_request_whatever_is_in_it(
    clock: Callable[[], float], asking: Callable[[FakeEcs], Ask], image: str, form: str, quoted: str
) -> None:
    async with FakeEcs(choices=Choices(errors=ECHO), now=clock) as fake:
        answer = await asking(fake)(changes={"Format": form}, ImageId=image)
    assert answer.status_code == 404
    assert message_of(answer, form) == f"The specified image {quoted} does not exist."


@pytest.mark.parametrize("form", FORMS)
async def test_a_byte_that_is_no_utf_8_is_replaced(ask: Ask, fake: FakeEcs, form: str) -> None:
    fake.faults.add(Fault(code="InvalidImageId.NotFound", message="m-\udcff is not there"))
    assert message_of(await ask(changes={"Format": form}), form) == "m-? is not there"


def message_of(answer: httpx.Response, form: str) -> str | None:
    if form == "XML":
        return fromstring(answer.content).findtext("Message")
    message: str = answer.json()["Message"]
    return message


async def test_the_headers_are_those_of_the_service(ask: Ask, clock: Callable[[], float]) -> None:
    answer = await ask()
    assert [name for name, _ in answer.headers.raw] == [
        b"Date",
        b"Content-Type",
        b"Content-Length",
        b"Connection",
        b"Access-Control-Allow-Origin",
        b"X-Acs-Request-Id",
        b"X-Acs-Trace-Id",
    ]
    assert answer.headers["Date"] == "Thu, 14 Nov 2024 12:00:30 GMT"
    assert answer.headers["Connection"] == "keep-alive"
    assert answer.headers["X-Acs-Request-Id"] == answer.json()["RequestId"]


async def test_request_ids_are_upper_case_uuids_and_come_again_with_the_seed(
    asking: Callable[[FakeEcs], Ask], clock: Callable[[], float]
) -> None:
    seen = []
    for _ in range(2):
        async with FakeEcs(now=clock) as fake:
            seen.append([(await asking(fake)()).json()["RequestId"] for _ in range(2)])
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[0][1]
    assert all(UUID.fullmatch(one) for one in seen[0])


async def test_a_client_that_wants_to_close_is_told_so(ask: Ask) -> None:
    assert (await ask(headers={"Connection": "close"})).headers["Connection"] == "close"


async def test_the_answer_to_head_has_no_body(ask: Ask) -> None:
    answer = await ask(method="HEAD")
    assert (answer.status_code, answer.content) == (403, b"")
