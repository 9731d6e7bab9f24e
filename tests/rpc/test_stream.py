"""The stream over the wire: caller, gateway, upstream on real sockets; first where the vendor's tools err."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ecsgateway.v1.error_details_pb2 import StreamInterruption
from ecsgateway.v1.image_share_permission_pb2 import (
    Consistency,
    DescribeImageSharePermissionRequest,
    StreamImageSharePermissionRequest,
    StreamImageSharePermissionResponse,
)
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from fakeecs import FakeEcs
from fakeecs.changes import Change
from fakeecs.data import Account, Image
from fakeecs.demo import made_up_accounts
from fakeecs.editions import Choices
from fakeecs.journal import Entry
from fakeecs.trouble import Fault
from tests.conftest import REGION, Running, Start

Responses = list[StreamImageSharePermissionResponse]
Detail = TypeVar("Detail", bound=Message)

IMAGE = "m-stream"
PAGES = 5
"""Of the list of 45 accounts at a page size of 10."""

QUIET = Consistency.CONSISTENCY_NO_CHANGE_SEEN
CHANGED = Consistency.CONSISTENCY_CHANGE_SEEN


@pytest.fixture
def image(fake: FakeEcs) -> Image:
    """An image that is shared with 45 accounts and one group."""
    image = Image(IMAGE, made_up_accounts(45), ["all"])
    fake.add_image(REGION, image)
    return image


class Reading:
    """A stream as it is read: its messages, and the error that ended it."""

    def __init__(self) -> None:
        self.messages: Responses = []
        self.error: grpc.aio.AioRpcError | None = None

    @property
    def accounts(self) -> list[str]:
        return [account.aliyun_id for message in self.messages for account in message.page.accounts]

    @property
    def groups(self) -> list[str]:
        return [each.group for message in self.messages for each in message.page.share_groups]

    @property
    def consistency(self) -> int:
        assert self.error is None
        assert [message.HasField("summary") for message in self.messages[:-1]] == [False] * (
            len(self.messages) - 1
        )
        return self.messages[-1].summary.consistency

    @property
    def code(self) -> grpc.StatusCode:
        assert self.error
        return self.error.code()

    @property
    def reason(self) -> str:
        return str(self.detail(error_details_pb2.ErrorInfo).reason)

    def detail(self, kind: type[Detail]) -> Detail:
        assert self.error
        status = rpc_status.from_call(self.error)  # type: ignore[arg-type]
        assert status
        found = kind()
        [packed] = [each for each in status.details if each.Is(kind.DESCRIPTOR)]
        packed.Unpack(found)
        return found

    def has(self, kind: type[Message]) -> bool:
        assert self.error
        status = rpc_status.from_call(self.error)  # type: ignore[arg-type]
        assert status
        return any(each.Is(kind.DESCRIPTOR) for each in status.details)


async def read(
    running: Running,
    image_id: str = IMAGE,
    *,
    size: int = 10,
    token: str = "",
    verify: bool = False,
    seconds: float = 20,
) -> Reading:
    """Read a stream to its end, whatever that is."""
    request = StreamImageSharePermissionRequest(
        region_id=REGION, image_id=image_id, page_size=size, resume_token=token, verify=verify
    )
    reading = Reading()
    try:
        async for message in running.stub.StreamImageSharePermission(request, timeout=seconds):
            reading.messages.append(message)
    except grpc.aio.AioRpcError as error:
        reading.error = error
    return reading


def held(fake: FakeEcs, image_id: str = IMAGE) -> list[str]:
    return [account.aliyun_id for account in fake.image(REGION, image_id).accounts]


def pages_asked(fake: FakeEcs) -> list[int | None]:
    return [entry.page_number for entry in fake.journal]


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that happens in another task of this process."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


# Where the vendor's tools go wrong


async def test_a_group_does_not_count_as_an_account_of_the_total(running: Running, fake: FakeEcs) -> None:
    reading = await read(running, "m-demo-11")

    assert reading.accounts == held(fake, "m-demo-11")
    assert len(reading.accounts) == 11
    assert reading.groups == ["all"]
    assert reading.consistency == QUIET
    assert pages_asked(fake) == [1, 2]


async def test_an_account_removed_between_two_pages_hides_no_other(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    before = held(fake)
    fake.changes.add(Change(region=REGION, image=IMAGE, page=2, remove=before[:1]))
    reading = await read(running)

    assert set(reading.accounts) == set(before)  # the removed one was delivered already
    assert len(reading.accounts) == 45
    assert reading.consistency == CHANGED


async def test_an_account_added_at_the_front_between_two_pages_is_no_repetition(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    fake.changes.add(Change(region=REGION, image=IMAGE, page=2, add=[Account("42")], at="front"))
    reading = await read(running)

    assert sorted(reading.accounts) == sorted(held(fake))
    assert "42" in reading.accounts
    assert reading.consistency == CHANGED


async def test_an_image_that_only_a_group_may_use_is_a_whole_list(running: Running, fake: FakeEcs) -> None:
    reading = await read(running, "m-demo-group")

    [message] = reading.messages
    assert reading.groups == ["all"]
    assert message.page.total_count == 0
    assert reading.consistency == Consistency.CONSISTENCY_SINGLE_PAGE
    assert len(fake.journal) == 1


# Order and completeness


@pytest.mark.parametrize("size", [1, 7, 10, 45, 100])
async def test_the_messages_are_the_unary_pages(running: Running, image: Image, size: int) -> None:
    reading = await read(running, size=size)

    for message in reading.messages:
        unary = DescribeImageSharePermissionRequest(
            region_id=REGION, image_id=IMAGE, page_number=message.page.page_number, page_size=size
        )
        page = (await running.stub.DescribeImageSharePermission(unary)).page
        assert list(message.page.accounts) == list(page.accounts)
        assert message.page.total_count == page.total_count
        assert set(reading.groups) == {each.group for each in page.share_groups}
    assert len(reading.messages) == -(-45 // size)
    assert reading.groups == ["all"]


async def test_pages_that_are_answered_in_reverse_are_sent_in_order(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    answered = {number: asyncio.Event() for number in range(2, PAGES + 2)}
    answered[PAGES + 1].set()

    async def after_its_successor(entry: Entry) -> None:
        if entry.page_number and entry.page_number > 1:
            await answered[entry.page_number + 1].wait()
            answered[entry.page_number].set()

    fake.before_page = after_its_successor
    reading = await read(running)

    assert reading.accounts == held(fake)
    assert [message.page.page_number for message in reading.messages] == list(range(1, PAGES + 1))
    assert reading.consistency == QUIET


async def test_a_verified_stream_reads_twice_before_it_sends(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    reading = await read(running, verify=True)

    assert reading.accounts == held(fake)
    assert [len(message.page.accounts) for message in reading.messages] == [10, 10, 10, 10, 5]
    assert reading.consistency == Consistency.CONSISTENCY_VERIFIED
    assert len(fake.journal) == 2 * PAGES


async def test_one_removed_and_one_added_between_the_same_two_calls_is_seen_by_verify(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    change = Change(region=REGION, image=IMAGE, page=2, remove=held(fake)[:1], add=[Account("42")])
    fake.changes.add(change)
    reading = await read(running, verify=True)

    assert reading.accounts == held(fake)


async def test_a_page_size_that_the_upstream_clamps_is_followed(start: Start) -> None:
    async with FakeEcs(edition=2017, choices=Choices(out_of_range="clamp")) as old:
        reading = await read(await start(endpoint=old.url), "m-demo-2345", size=100)

        assert reading.accounts == held(old, "m-demo-2345")
        assert {message.page.page_size for message in reading.messages} == {50}
        assert len(old.journal) == 47


async def test_a_page_that_is_throttled_is_waited_for_unseen(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    fake.faults.add(Fault(code="Throttling", page=3, times=1, retry_after_ms=20))
    reading = await read(running)

    assert reading.accounts == held(fake)
    assert reading.consistency == QUIET


# What is no list


def answer(ids: Sequence[str], *, number: int, total: int, size: int = 10) -> bytes:
    """A page as no true upstream answers it."""
    return json.dumps(
        {
            "RequestId": "1",
            "PageNumber": number,
            "PageSize": size,
            "TotalCount": total,
            "ImageId": IMAGE,
            "RegionId": REGION,
            "ShareGroups": {"ShareGroup": []},
            "Accounts": {"Account": [{"AliyunId": each} for each in ids]},
        }
    ).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(answer([], number=2, total=45), "UPSTREAM_INCOMPLETE", id="an empty page"),
        pytest.param(answer(["1"], number=3, total=45), "UPSTREAM_MALFORMED_RESPONSE", id="another page"),
        pytest.param(
            answer(["1"], number=2, total=45, size=9), "UPSTREAM_MALFORMED_RESPONSE", id="another page size"
        ),
        pytest.param(
            answer([str(n) for n in range(11)], number=2, total=45),
            "UPSTREAM_MALFORMED_RESPONSE",
            id="more accounts than the page size",
        ),
    ],
)
async def test_a_second_page_that_cannot_be_ends_the_stream_with_an_error(
    running: Running, fake: FakeEcs, image: Image, body: bytes, reason: str
) -> None:
    fake.faults.add(Fault(kind="body", body=body, page=2))
    reading = await read(running)

    assert reading.code is grpc.StatusCode.INTERNAL
    assert reading.reason == reason
    assert len(fake.journal) < 3 * PAGES


@pytest.mark.parametrize(
    "accounts",
    [
        pytest.param(made_up_accounts(10) * 3, id="each page has the same accounts"),
        pytest.param([*made_up_accounts(15), *made_up_accounts(1)], id="an account is there twice"),
    ],
)
async def test_a_list_with_fewer_accounts_than_its_total_is_an_error_and_costs_two_passes(
    running: Running, fake: FakeEcs, accounts: list[Account]
) -> None:
    fake.add_image(REGION, Image(IMAGE, accounts))
    reading = await read(running)

    assert reading.code is grpc.StatusCode.INTERNAL
    assert reading.reason == "UPSTREAM_INCOMPLETE"
    assert len(reading.accounts) == len(set(reading.accounts))
    assert len(fake.journal) == 2 * -(-len(accounts) // 10)


async def test_a_list_longer_than_the_limit_of_pages_can_be_resumed_to_its_end(
    start: Start, fake: FakeEcs
) -> None:
    running = await start(max_pages=20)
    accounts: list[str] = []
    token, codes = "", []
    for _ in range(13):
        reading = await read(running, "m-demo-2345", token=token)
        accounts += reading.accounts
        if reading.error is None:
            break
        codes.append((reading.code, reading.reason))
        token = reading.detail(StreamInterruption).resume_token

    assert accounts == held(fake, "m-demo-2345")
    assert codes == [(grpc.StatusCode.RESOURCE_EXHAUSTED, "STREAM_LIMIT_REACHED")] * 11


async def test_a_list_that_never_holds_still_is_aborted_before_the_deadline(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    fake.before_page = lambda entry: image.accounts.append(Account(str(len(fake.journal))))
    reading = await read(running, seconds=1.5)

    assert reading.code is grpc.StatusCode.ABORTED
    assert reading.reason == "LISTING_CHANGED"


# Errors and resumption


async def test_an_error_of_the_first_page_comes_before_any_byte_so_that_a_retry_policy_may_act(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    fake.faults.add(Fault(code="ServiceUnavailable", times=3))  # as often as the gateway itself tries
    policy = {
        "maxAttempts": 2,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    options = [("grpc.service_config", config)]
    async with grpc.aio.insecure_channel(running.gateway.address, options=options) as channel:
        patient = Running(
            gateway=running.gateway, channel=channel, stub=ImageSharePermissionServiceStub(channel)
        )
        reading = await read(patient)

    assert reading.accounts == held(fake)
    assert len(fake.journal) == 3 + PAGES


@pytest.mark.parametrize("number", range(1, PAGES + 1))
async def test_a_page_that_fails_tells_where_to_resume(
    running: Running, fake: FakeEcs, image: Image, number: int
) -> None:
    fault = fake.faults.add(Fault(code="InvalidSomething", status=400, page=number))
    broken = await read(running)
    fake.faults.remove(fault)

    assert broken.accounts == held(fake)[: (number - 1) * 10]
    assert broken.detail(error_details_pb2.ErrorInfo).metadata["page"] == str(number)
    assert broken.has(StreamInterruption) is (number > 1)
    if number == 1:
        return
    where = broken.detail(StreamInterruption)
    assert (where.sent_pages, where.sent_accounts) == (number - 1, (number - 1) * 10)
    assert where.resume_token == broken.messages[-1].resume_token
    rest = await read(running, token=where.resume_token)
    assert broken.accounts + rest.accounts == held(fake)
    assert broken.groups + rest.groups == ["all"]
    assert rest.consistency == QUIET


@pytest.mark.parametrize("verify", [False, True], ids=["plain", "verify"])
async def test_every_message_can_be_resumed_by_another_replica(
    start: Start, fake: FakeEcs, image: Image, verify: bool
) -> None:
    one, other = await start(), await start()
    whole = await read(one, verify=verify)

    for boundary in range(1, PAGES + 1):
        sent = whole.messages[:boundary]
        rest = await read(other, token=sent[-1].resume_token, verify=verify, size=99)
        both = [account.aliyun_id for message in sent for account in message.page.accounts] + rest.accounts
        assert both == held(fake)
        summary = rest.messages[-1].summary
        assert summary.account_count == 45


@pytest.mark.parametrize(
    ("token", "image_id", "verify"),
    [
        pytest.param("Zm9yZWlnbg", IMAGE, False, id="a foreign token"),
        pytest.param("", "m-demo-45", False, id="a token of another image"),
        pytest.param("", IMAGE, True, id="a token of another mode"),
    ],
)
async def test_a_token_that_is_not_of_this_stream_is_refused_without_an_upstream_call(
    running: Running, fake: FakeEcs, image: Image, token: str, image_id: str, verify: bool
) -> None:
    token = token or (await read(running)).messages[0].resume_token
    fake.journal.clear()
    reading = await read(running, image_id, token=token, verify=verify)

    assert reading.code is grpc.StatusCode.INVALID_ARGUMENT
    assert reading.reason == "INVALID_RESUME_TOKEN"
    [violation] = reading.detail(error_details_pb2.BadRequest).field_violations
    assert violation.field == "resume_token"
    assert fake.journal == []


async def test_a_list_that_changed_since_the_token_is_aborted(
    running: Running, fake: FakeEcs, image: Image
) -> None:
    whole = await read(running)
    del image.accounts[3]
    reading = await read(running, token=whole.messages[1].resume_token)

    assert reading.code is grpc.StatusCode.ABORTED
    assert reading.reason == "LISTING_CHANGED"
    assert reading.messages == []
