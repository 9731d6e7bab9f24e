"""The two pages of DescribeImageSharePermission, statement by statement."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

import httpx
import pytest
from defusedxml.ElementTree import fromstring

from fakeecs import Choices, FakeEcs, Image

Ask = Callable[..., Awaitable[httpx.Response]]

HANGZHOU = {"RegionId": "cn-hangzhou", "ImageId": "m-bp1caf3yicx5jlfl****"}
QINGDAO = {"RegionId": "cn-qingdao", "ImageId": "m-282dzntc7"}


@pytest.fixture
async def old(clock: Callable[[], float]) -> AsyncIterator[FakeEcs]:
    """The edition of 2017-12-12; `fake` is that of 2024-11-14."""
    async with FakeEcs(edition=2017, now=clock) as running:
        yield running


@pytest.fixture
def ask_old(old: FakeEcs, asking: Callable[[FakeEcs], Ask]) -> Ask:
    return asking(old)


@pytest.fixture
def ask_edition(ask: Ask, ask_old: Ask) -> Mapping[int, Ask]:
    return {2017: ask_old, 2024: ask}


async def test_the_json_example_of_2024_is_the_answer_to_its_request(ask: Ask) -> None:
    answer = await ask(**HANGZHOU)
    example = """{
      "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E",
      "PageNumber": 1,
      "PageSize": 10,
      "TotalCount": 1,
      "ImageId": "m-bp1caf3yicx5jlfl****",
      "RegionId": "cn-hangzhou",
      "ShareGroups": {"ShareGroup": [{"Group": "all"}]},
      "Accounts": {"Account": [{"AliyunId": "1234567890", "SharedTime": "2023-01-01T12:05:00Z"}]}
    }"""
    assert_same_members_in_order(answer.json(), json.loads(example))


async def test_the_json_example_of_2017_is_the_answer_to_its_request(ask_old: Ask) -> None:
    answer = await ask_old(**QINGDAO)
    example = """{
      "ShareGroups": {"ShareGroup": [{"Group": "all"}]},
      "Accounts": {"Account": [{"AliyunId": "1886508529898586"}]},
      "ImageId": "m-282dzntc7",
      "PageNumber": 1,
      "PageSize": 10,
      "RegionId": "cn-qingdao",
      "TotalCount": 1,
      "RequestId": "9AD96F49-0BE5-4868-A66A-224352549CEC"
    }"""
    assert_same_members_in_order(answer.json(), json.loads(example))


async def test_the_xml_example_of_2017_is_the_answer_to_its_request(ask_old: Ask) -> None:
    answer = await ask_old(changes={"Format": "XML"}, **QINGDAO)
    root = fromstring(answer.content)
    example = fromstring(
        "<DescribeImageSharePermissionResponse><ImageId>m-282dzntc7</ImageId><PageNumber>1</PageNumber>"
        "<PageSize>10</PageSize><RegionId>cn-qingdao</RegionId><TotalCount>1</TotalCount>"
        "<RequestId>441CF898-42FF-47CF-9348-3C3BFF557278</RequestId><ShareGroups><ShareGroup><Group>all</Group>"
        "</ShareGroup></ShareGroups><Accounts><Account><AliyunId>1886508529898586</AliyunId></Account></Accounts>"
        "</DescribeImageSharePermissionResponse>"
    )
    assert shape(root, leave_out="RequestId") == shape(example, leave_out="RequestId")


def assert_same_members_in_order(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(actual) == list(expected)
    assert {**actual, "RequestId": None} == {**expected, "RequestId": None}


def shape(element: Element, leave_out: str) -> Any:
    if len(element):
        return element.tag, [shape(child, leave_out) for child in element]
    return element.tag, None if element.tag == leave_out else element.text


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What an edition, or a choice where all are silent, says of a request: members of the answer."""

    says: str
    edition: int = 2024
    choices: Choices = field(default_factory=Choices)
    request: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    accounts: int | None = None

    def check(self, answer: httpx.Response) -> None:
        body = answer.json()
        assert answer.status_code == self.status
        assert {name: body[name] for name in self.members} == self.members
        if self.accounts is not None:
            assert len(body["Accounts"]["Account"]) == self.accounts


def error(code: str, message: str) -> dict[str, str]:
    return {"Code": code, "Message": message}


def not_valid(name: str) -> dict[str, str]:
    return error("InvalidParameter", f'The specified parameter "{name}" is not valid.')


MISSING = "that is mandatory for processing this request is not supplied."

STATEMENTS = [
    Statement(
        edition=2024,
        says="By default, 10 entries are displayed on each page",
        members={"PageSize": 10, "PageNumber": 1, "TotalCount": 11},
        accounts=10,
    ),
    Statement(
        edition=2017,
        says="By default, ten results are displayed per page",
        members={"PageSize": 10, "PageNumber": 1, "TotalCount": 11},
        accounts=10,
    ),
    Statement(edition=2024, says="PageNumber: default value 1", members={"PageNumber": 1}),
    Statement(edition=2017, says="PageNumber: the default value is 1", members={"PageNumber": 1}),
    Statement(
        edition=2024,
        says="PageNumber: pages start from page 1",
        request={"PageNumber": 0},
        status=400,
        members=not_valid("PageNumber"),
    ),
    Statement(
        edition=2017,
        says="PageNumber: the start value is 1",
        request={"PageNumber": 0},
        status=400,
        members=not_valid("PageNumber"),
    ),
    Statement(
        edition=2024,
        says="PageNumber: the page number",
        request={"PageNumber": 2},
        members={"PageNumber": 2},
        accounts=1,
    ),
    Statement(
        edition=2024,
        says="PageSize: valid values from 1",
        request={"PageSize": 1},
        members={"PageSize": 1},
        accounts=1,
    ),
    Statement(
        edition=2024,
        says="PageSize: valid values to 100",
        request={"PageSize": 100, "ImageId": "m-demo-2345"},
        members={"PageSize": 100, "TotalCount": 2345},
        accounts=100,
    ),
    Statement(
        edition=2024,
        says="PageSize: not 0",
        request={"PageSize": 0},
        status=400,
        members=not_valid("PageSize"),
    ),
    Statement(
        edition=2024,
        says="PageSize: not 101",
        request={"PageSize": 101},
        status=400,
        members=not_valid("PageSize"),
    ),
    Statement(
        edition=2024,
        says="PageSize: an integer",
        request={"PageSize": "ten"},
        status=400,
        members=not_valid("PageSize"),
    ),
    Statement(
        edition=2017,
        says="PageSize: the maximum value is 50",
        request={"PageSize": 50, "ImageId": "m-demo-2345"},
        members={"PageSize": 50},
        accounts=50,
    ),
    Statement(
        edition=2017,
        says="PageSize: not 51",
        request={"PageSize": 51},
        status=400,
        members=not_valid("PageSize"),
    ),
    Statement(
        edition=2024,
        says="RegionId is required",
        request={"RegionId": None},
        status=400,
        members=error("MissingParameter", f'The input parameter "RegionId "{MISSING}'),
    ),
    Statement(
        edition=2024,
        says="ImageId is required",
        request={"ImageId": None},
        status=400,
        members=error("MissingParameter", f'The input parameter "ImageId "{MISSING}'),
    ),
    Statement(
        edition=2017,
        says="RegionId is required",
        request={"RegionId": None},
        status=400,
        members=error("MissingParameter", f'The input parameter "RegionId" {MISSING}'),
    ),
    Statement(edition=2017, says="ImageId is not required", request={"ImageId": None}, accounts=0),
    Statement(
        edition=2024,
        says="ImageId: 404 InvalidImageId.NotFound",
        request={"ImageId": "m-nowhere"},
        status=404,
        members=error("InvalidImageId.NotFound", "The specified ImageId does not exist."),
    ),
    Statement(
        edition=2017,
        says="ImageId: 404 InvalidImageId.NotFound",
        request={"ImageId": "m-nowhere"},
        status=404,
        members=error("InvalidImageId.NotFound", "The specified ImageId does not exist."),
    ),
    Statement(
        edition=2017,
        says="RegionId: 404 InvalidRegionId.NotFound",
        request={"RegionId": "cn-nowhere"},
        status=404,
        members=error("InvalidRegionId.NotFound", "The source region not found."),
    ),
    Statement(
        edition=2024,
        says="RegionId: 404, from the service error codes that the page refers to",
        request={"RegionId": "cn-nowhere"},
        status=404,
        members=error("InvalidRegionId.NotFound", "The specified RegionId does not exist."),
    ),
    Statement(
        edition=2024,
        says="ImageId and RegionId of the answer are those of the image",
        request=QINGDAO,
        members={**QINGDAO},
    ),
    Statement(
        edition=2024,
        says="SharedTime: when the image was shared, in ISO 8601 and UTC",
        request=HANGZHOU,
        members={"Accounts": {"Account": [{"AliyunId": "1234567890", "SharedTime": "2023-01-01T12:05:00Z"}]}},
    ),
    Statement(
        edition=2017,
        says="Accounts have no SharedTime",
        request=HANGZHOU,
        members={"Accounts": {"Account": [{"AliyunId": "1234567890"}]}},
    ),
    Statement(
        edition=2024,
        says="ShareGroups: the shared groups",
        request={"ImageId": "m-demo-group"},
        members={"ShareGroups": {"ShareGroup": [{"Group": "all"}]}, "TotalCount": 0},
        accounts=0,
    ),
    Statement(
        edition=2024,
        says="an image that is not shared",
        request={"ImageId": "m-demo-empty"},
        members={"ShareGroups": {"ShareGroup": []}, "Accounts": {"Account": []}, "TotalCount": 0},
        accounts=0,
    ),
    Statement(
        edition=2024,
        says="a page past the end is empty and counts all the same",
        request={"PageNumber": 3},
        members={"PageNumber": 3, "TotalCount": 11},
        accounts=0,
    ),
]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: f"{s.edition} {s.says}")
async def test_the_page_says(ask_edition: Mapping[int, Ask], statement: Statement) -> None:
    statement.check(await ask_edition[statement.edition](**statement.request))


@pytest.mark.parametrize(
    ("status", "message"),
    [("copied", "The image has completed copy."), ("not-copied", "The image is not from copied.")],
)
async def test_2017_incorrect_image_status(
    old: FakeEcs, ask_edition: Mapping[int, Ask], fake: FakeEcs, status: Any, message: str
) -> None:
    for one in (old, fake):
        one.add_image("cn-hangzhou", Image("m-copy", status=status))
    answer = await ask_edition[2017](ImageId="m-copy")
    assert answer.status_code == 400
    assert answer.json()["Code"] == "IncorrectImageStatus"
    assert answer.json()["Message"] == message
    assert (await ask_edition[2024](ImageId="m-copy")).status_code == 200


@pytest.mark.parametrize(("image", "size"), [("m-demo-45", 7), ("m-demo-45", 45), ("m-demo-2345", 100)])
async def test_pages_hold_every_account_once_and_in_order(
    ask: Ask, fake: FakeEcs, image: str, size: int
) -> None:
    expected = [account.aliyun_id for account in fake.image("cn-hangzhou", image).accounts]
    number, seen = 1, list[str]()
    while len(seen) < len(expected):
        answer = (await ask(ImageId=image, PageNumber=number, PageSize=size)).json()
        seen += [account["AliyunId"] for account in answer["Accounts"]["Account"]]
        assert answer["TotalCount"] == len(expected)
        number += 1
    assert seen == expected


async def test_the_region_and_the_image_belong_together(ask: Ask) -> None:
    answer = await ask(RegionId="cn-qingdao", ImageId=HANGZHOU["ImageId"])
    assert answer.json()["Code"] == "InvalidImageId.NotFound"


async def test_an_image_of_another_account_does_not_exist(ask: Ask, fake: FakeEcs) -> None:
    fake.add_image("cn-hangzhou", Image("m-theirs", owner="1999999999999999"))
    assert (await ask(ImageId="m-theirs")).json()["Code"] == "InvalidImageId.NotFound"
    fake.add_image("cn-hangzhou", Image("m-theirs", owner="1000000000000001"))
    assert (await ask(ImageId="m-theirs")).status_code == 200


def test_demo_accounts_are_distinct_and_exact_as_floats(fake: FakeEcs) -> None:
    ids = {account.aliyun_id for account in fake.image("cn-hangzhou", "m-demo-10000").accounts}
    assert len(ids) == 10_000
    assert {len(one) for one in ids} == {16}
    assert all(int(one) < 2**53 for one in ids)


CHOSEN = [
    Statement(
        says="too large a page is cut down and echoed",
        choices=Choices(out_of_range="clamp"),
        request={"PageSize": 101, "ImageId": "m-demo-2345"},
        members={"PageSize": 100},
        accounts=100,
    ),
    Statement(
        says="too large a page of 2017 is cut down and echoed",
        choices=Choices(out_of_range="clamp"),
        edition=2017,
        request={"PageSize": 100, "ImageId": "m-demo-2345"},
        members={"PageSize": 50},
        accounts=50,
    ),
    Statement(
        says="page 0 is the first",
        choices=Choices(out_of_range="clamp"),
        request={"PageNumber": 0},
        members={"PageNumber": 1},
    ),
    Statement(
        says="a page past the end is refused",
        choices=Choices(past_the_end="refuse"),
        request={"PageNumber": 3},
        status=400,
        members=not_valid("PageNumber"),
    ),
    Statement(
        says="the first page of an empty list is none past the end",
        choices=Choices(past_the_end="refuse"),
        request={"ImageId": "m-demo-empty"},
        accounts=0,
    ),
    Statement(
        says="groups count too",
        choices=Choices(total_count="accounts-and-groups"),
        members={"TotalCount": 12},
    ),
    Statement(
        says="groups come on every page",
        choices=Choices(),
        request={"PageNumber": 2},
        members={"ShareGroups": {"ShareGroup": [{"Group": "all"}]}},
    ),
    Statement(
        says="groups come on the first page only",
        choices=Choices(share_groups="first-page"),
        request={"PageNumber": 2},
        members={"ShareGroups": {"ShareGroup": []}},
    ),
    Statement(
        says="ids are numbers",
        choices=Choices(aliyun_id="number"),
        request=QINGDAO,
        members={"Accounts": {"Account": [{"AliyunId": 1886508529898586}]}},
    ),
    Statement(
        says="without an image, the accounts of all of them",
        choices=Choices(without_image="all"),
        edition=2017,
        request={"RegionId": "cn-qingdao", "ImageId": None},
        members={"Accounts": {"Account": [{"AliyunId": "1886508529898586"}]}, "TotalCount": 1},
    ),
]


@pytest.mark.parametrize("chosen", CHOSEN, ids=lambda s: s.says)
async def test_where_the_documents_are_silent(
    asking: Callable[[FakeEcs], Ask], clock: Callable[[], float], chosen: Statement
) -> None:
    async with FakeEcs(edition=chosen.edition, choices=chosen.choices, now=clock) as fake:
        chosen.check(await asking(fake)(**chosen.request))
