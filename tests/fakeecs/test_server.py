"""The fake as tests hold it: journal, hooks, planned changes, thread and port."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import httpx
import pytest

from fakeecs import Account, Change, FakeEcs, Fault, Image
from fakeecs.journal import Entry

Ask = Callable[..., Awaitable[httpx.Response]]


async def test_the_journal_has_every_request(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="Throttling", page=2))
    await ask(changes={"SignatureNonce": "n-1"}, PageNumber=1, PageSize=5)
    await ask(scheme="acs3", PageNumber=2)
    await ask(key_id="nobody", ImageId=None)
    first, second, third = fake.journal
    assert (first.action, first.region, first.image_id) == (
        "DescribeImageSharePermission",
        "cn-hangzhou",
        "m-demo-11",
    )
    assert (first.page_number, first.page_size, first.nonce, first.key_id) == (1, 5, "n-1", "testid")
    assert (first.scheme, first.method, first.status, first.code) == ("HMAC-SHA1", "GET", 200, None)
    assert first.parameters["Format"] == "JSON"
    assert "host" in first.headers
    assert (second.scheme, second.status, second.code, second.fault) == (
        "ACS3-HMAC-SHA256",
        400,
        "Throttling",
        "error",
    )
    assert (third.status, third.code, third.image_id, third.page_number) == (
        404,
        "InvalidAccessKeyId.NotFound",
        "",
        None,
    )
    assert all(entry.ended is not None and entry.ended >= entry.started for entry in fake.journal)
    assert not any(entry.aborted for entry in fake.journal)


async def test_a_hook_sees_a_request_before_its_page_is_cut(fake: FakeEcs, ask: Ask) -> None:
    image = fake.image("cn-hangzhou", "m-demo-11")

    def remove_the_first(entry: Entry) -> None:
        if entry.page_number == 2:
            del image.accounts[0]

    fake.before_page = remove_the_first
    first = (await ask(PageNumber=1, PageSize=10)).json()
    second = (await ask(PageNumber=2, PageSize=10)).json()
    assert (first["TotalCount"], len(first["Accounts"]["Account"])) == (11, 10)
    assert (second["TotalCount"], second["Accounts"]["Account"]) == (10, [])


async def test_a_hook_may_wait(fake: FakeEcs, ask: Ask) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hold(entry: Entry) -> None:
        arrived.set()
        await go_on.wait()

    fake.on_request = hold
    asking = asyncio.ensure_future(ask())
    await arrived.wait()
    assert (fake.in_flight, fake.journal[0].status) == (1, None)
    go_on.set()
    assert (await asking).status_code == 200
    assert fake.in_flight == 0


async def test_only_verified_requests_reach_a_hook(fake: FakeEcs, ask: Ask) -> None:
    seen: list[str] = []
    fake.on_request = lambda entry: seen.append(entry.key_id)
    await ask(secret="wrong")
    await ask()
    assert seen == ["testid"]


async def test_a_planned_change_is_made_once_before_its_page(fake: FakeEcs, ask: Ask) -> None:
    fake.add_image("cn-hangzhou", Image("m-1", [Account("1"), Account("2"), Account("3")]))
    new = Account("9")
    fake.changes.add(
        Change(region="cn-hangzhou", image="m-1", page=2, remove=["1"], add=[new], at="front", groups=["all"])
    )
    pages = [
        (await ask(ImageId="m-1", PageNumber=number, PageSize=2)).json()["Accounts"]["Account"]
        for number in (1, 2, 2, 1)
    ]
    ids = [[account["AliyunId"] for account in page] for page in pages]
    assert ids == [["1", "2"], ["3"], ["3"], ["9", "2"]]
    assert fake.image("cn-hangzhou", "m-1").groups == ["all"]
    assert fake.changes.planned == []


async def test_a_change_of_the_first_page_waits_for_it(fake: FakeEcs, ask: Ask) -> None:
    change = Change(region="cn-hangzhou", image="m-demo-11", remove=["1000000000000007"])
    fake.changes.add(change)
    assert (await ask(PageNumber=0)).status_code == 400
    assert fake.changes.planned == [change]
    assert (await ask()).json()["TotalCount"] == 10


async def test_a_change_of_an_image_that_is_gone_changes_nothing(fake: FakeEcs, ask: Ask) -> None:
    fake.changes.add(Change(region="cn-hangzhou", image="m-gone", remove=["1"]))
    assert (await ask(ImageId="m-gone")).status_code == 404


def test_a_fake_in_a_thread_serves_clients_that_block(sign_for: Callable[[FakeEcs], httpx.Request]) -> None:
    with FakeEcs(now=lambda: 1731585630.0).in_thread() as fake:
        with httpx.Client(trust_env=False, verify=False) as client:
            answer = client.send(sign_for(fake))
        assert answer.status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", fake.port))


async def test_a_port_that_is_taken_is_an_error(fake: FakeEcs) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await FakeEcs(listen=("127.0.0.1", fake.port)).start()
