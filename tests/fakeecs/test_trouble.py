"""Trouble on demand: which requests it hits, and what a client sees on its socket."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import httpx
import pytest

from fakeecs import Account, Change, FakeEcs, Fault, Image, MinuteWindow
from fakeecs.faults import Faults
from fakeecs.journal import Entry
from fakeecs.trouble import Latency

Ask = Callable[..., Awaitable[httpx.Response]]
Sign = Callable[..., httpx.Request]


async def codes(ask: Ask, times: int, **how: Any) -> list[str | None]:
    return [(await ask(**how)).json().get("Code") for _ in range(times)]


async def test_a_fault_hits_until_it_is_removed(fake: FakeEcs, ask: Ask) -> None:
    number = fake.faults.add(Fault(code="InternalError"))
    assert await codes(ask, 2) == ["InternalError"] * 2
    fake.faults.remove(number)
    assert await codes(ask, 1) == [None]


async def test_the_next_n_answers(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="InternalError", times=2))
    assert await codes(ask, 3) == ["InternalError", "InternalError", None]


async def test_the_first_n_pass(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="InternalError", skip=2, times=1))
    assert await codes(ask, 4) == [None, None, "InternalError", None]


async def test_faults_queue_up_in_the_order_added(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="Throttling", times=1))
    fake.faults.add(Fault(code="ServiceUnavailable", times=1))
    assert await codes(ask, 3) == ["Throttling", "ServiceUnavailable", None]


@pytest.mark.parametrize(
    ("fault", "hit", "missed"),
    [
        (Fault(code="InternalError", page=2), {"PageNumber": 2}, {"PageNumber": 1}),
        (Fault(code="InternalError", page=1), {}, {"PageNumber": 2}),
        (Fault(code="InternalError", image="m-demo-45"), {"ImageId": "m-demo-45"}, {}),
        (Fault(code="InternalError", region="cn-hangzhou"), {}, {"RegionId": "cn-qingdao"}),
        (
            Fault(code="InternalError", key_id="STS.testid"),
            {"key_id": "STS.testid", "token": "testtoken"},
            {},
        ),
    ],
    ids=["page", "page by default", "image", "region", "key"],
)
async def test_a_fault_hits_what_it_names(
    fake: FakeEcs, ask: Ask, fault: Fault, hit: dict[str, Any], missed: dict[str, Any]
) -> None:
    fake.faults.add(fault)
    assert await codes(ask, 1, **hit) == ["InternalError"]
    assert await codes(ask, 1, **missed) != ["InternalError"]


async def test_the_same_seed_hits_the_same_requests(
    asking: Callable[[FakeEcs], Ask], clock: Callable[[], float]
) -> None:
    runs = []
    for _ in range(2):
        async with FakeEcs(now=clock, random=Random(7)) as fake:
            fake.faults.add(Fault(code="InternalError", probability=0.5))
            runs.append(await codes(asking(fake), 40))
    assert runs[0] == runs[1]
    assert 8 <= Counter(runs[0])["InternalError"] <= 32


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(status=503), 503, "ServiceUnavailable"),
        (Fault(status=418), 418, "UnknownError"),
        (Fault(code="Throttling", status=429), 429, "Throttling"),
        (Fault(code="Something.New"), 400, "Something.New"),
        (Fault(code="InternalError", message="Oops"), 500, "InternalError"),
    ],
    ids=["status", "other status", "both", "unknown code", "message"],
)
async def test_an_error_by_code_or_status(
    fake: FakeEcs, ask: Ask, fault: Fault, status: int, code: str
) -> None:
    fake.faults.add(fault)
    answer = await ask()
    assert (answer.status_code, answer.json()["Code"]) == (status, code)
    assert fault.message in (None, answer.json()["Message"])


async def test_throttling_may_say_how_long_to_wait(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(code="Throttling.User", retry_after_ms=1500))
    answer = await ask()
    assert answer.headers["x-acs-retry-after"] == "1500"
    assert answer.json()["Message"] == "Request was denied due to user flow control."


async def test_a_minute_window_refuses_until_the_next_minute(fake: FakeEcs, ask: Ask, clock: Any) -> None:
    fake.faults.add(MinuteWindow(limit=2, retry_after_ms="next-minute"))
    assert await codes(ask, 2) == [None, None]
    answer = await ask()  # at 12:00:30
    assert (answer.status_code, answer.json()["Code"]) == (400, "Throttling")
    assert answer.headers["x-acs-retry-after"] == "30000"
    clock.now += 29
    assert await codes(ask, 1) == ["Throttling"]
    clock.now += 1
    assert await codes(ask, 3) == [None, None, "Throttling"]


async def test_a_minute_window_counts_each_account_and_region_for_itself(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(MinuteWindow(limit=1, code="Throttling.User", region="cn-hangzhou"))
    assert await codes(ask, 2) == [None, "Throttling.User"]
    assert await codes(ask, 2, RegionId="cn-qingdao", ImageId="m-282dzntc7") == [None, None]
    key = fake.keys["STS.testid"]
    fake.keys["STS.testid"] = type(key)(key.secret, key.security_token, account="1000000000000002")
    assert await codes(ask, 2, key_id="STS.testid", token="testtoken") == [None, "Throttling.User"]


@pytest.mark.parametrize(
    ("latency", "low", "high"),
    [
        (0.25, 0.25, 0.25),
        (("uniform", 0.1, 0.2), 0.1, 0.2),
        (("exponential", 0.1), 0.0, 5.0),
        (("lognormal", 0.1, 0.5), 0.0, 5.0),
    ],
    ids=["fixed", "uniform", "exponential", "lognormal"],
)
def test_latency_is_drawn_from_its_distribution(
    entry: Entry, latency: Latency, low: float, high: float
) -> None:
    faults = Faults(Random(1))
    faults.add(Fault(latency=latency))
    drawn = [faults.strike(entry, account="1", now=0)[0] for _ in range(200)]
    assert all(low <= one <= high for one in drawn)
    assert (len(set(drawn)) == 1) == isinstance(latency, float)


def test_delays_add_up_with_the_error_that_hits(entry: Entry) -> None:
    faults = Faults(Random(1))
    faults.add(Fault(latency=0.5))
    hitting = Fault(code="InternalError", latency=0.25)
    faults.add(hitting)
    assert faults.strike(entry, account="1", now=0) == (0.75, hitting)


async def test_a_late_answer_is_the_right_one(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(latency=0.02))
    assert (await ask()).status_code == 200
    assert fake.journal[-1].ended is not None
    assert fake.journal[-1].ended - fake.journal[-1].started >= 0.02


@pytest.fixture
def entry() -> Entry:
    return Entry(
        action="DescribeImageSharePermission",
        region="cn-hangzhou",
        image_id="m-1",
        page_number=1,
        page_size=10,
        scheme="HMAC-SHA1",
        method="GET",
        request_id="",
        started=0.0,
        parameters={},
        headers={},
    )


def test_a_redirect_to_nowhere_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="Location"):
        Fault(kind="redirect")


async def test_the_body_may_be_anything(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(kind="body", body=b"\xff\xfe", content_type="text/plain", status=201))
    answer = await ask()
    assert (answer.status_code, answer.content) == (201, b"\xff\xfe")
    assert answer.headers["Content-Type"] == "text/plain"


async def test_the_content_type_may_be_a_wrong_one(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(content_type="text/html"))
    answer = await ask()
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.json()["TotalCount"] == 11


async def test_a_load_balancer_answers_in_html(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(kind="html", status=503))
    answer = await ask()
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "text/html")
    assert b"<h1>503</h1>" in answer.content


async def test_a_redirect_leads_to_its_location(fake: FakeEcs, ask: Ask) -> None:
    fake.faults.add(Fault(kind="redirect", status=307, headers={"Location": "http://127.0.0.1:1/"}))
    answer = await ask()
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://127.0.0.1:1/")


@pytest.mark.parametrize("framing", ["length", "chunked", "until-close"])
async def test_a_repeated_body_is_one_body(fake: FakeEcs, ask: Ask, framing: Any) -> None:
    fake.faults.add(Fault(kind="body", body=b"x" * 1000, repeat=300, framing=framing))
    answer = await ask()
    assert answer.content == b"x" * 300_000
    assert ("Content-Length" in answer.headers) == (framing == "length")


async def send(fake: FakeEcs, request: httpx.Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    target = request.url.raw_path.decode()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {request.headers['Host']}\r\n\r\n".encode())
    return reader, writer


async def receive(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    """What arrives, and how the connection ends."""
    received = bytearray()
    try:
        while part := await reader.read(65536):
            received += part
    except ConnectionResetError:
        return bytes(received), "reset"
    return bytes(received), "closed"


def first_request(fake: FakeEcs) -> asyncio.Future[Entry]:
    """Done when a verified request has arrived."""
    arrived = asyncio.get_running_loop().create_future()
    fake.on_request = arrived.set_result
    return arrived


NOTHING = -1
CUT = {
    "closed before the answer": (Fault(kind="close"), NOTHING, "closed"),
    "closed after the head": (Fault(kind="close", after=0), 0, "closed"),
    "closed within the body": (Fault(kind="close", after=7), 7, "closed"),
    "reset before the answer": (Fault(kind="reset"), NOTHING, "reset"),
    "truncated half-way": (Fault(kind="truncate", body=b"x" * 60), 30, "closed"),
    "truncated early": (Fault(kind="truncate", after=20), 20, "closed"),
    "truncated without a length": (Fault(kind="truncate", after=20, framing="until-close"), 20, "closed"),
    "without the last chunk": (Fault(kind="close", body=b"12", framing="chunked", after=7), 7, "closed"),
    "half closed": (Fault(kind="half_close"), NOTHING, "closed"),
}


@pytest.mark.parametrize(("fault", "length", "end"), CUT.values(), ids=CUT)
async def test_an_answer_is_cut_off(fake: FakeEcs, sign: Sign, fault: Fault, length: int, end: str) -> None:
    fake.faults.add(fault)
    reader, writer = await send(fake, sign())
    received, how_it_ended = await receive(reader)
    writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    assert how_it_ended == end
    assert len(body) == max(length, 0)
    assert (head == b"") == (length == NOTHING)
    assert (b"Content-Length" in head) == (fault.framing == "length" and length != NOTHING)


async def test_a_reset_may_come_within_the_body(fake: FakeEcs, sign: Sign) -> None:
    fake.faults.add(Fault(kind="reset", after=10))
    reader, writer = await send(fake, sign())
    # What arrived before the reset may be lost with it: that is TCP's choice.
    assert (await receive(reader))[1] == "reset"
    writer.close()


@pytest.mark.parametrize("after", [None, 0, 100], ids=["from the first byte", "after the head", "later"])
async def test_a_dripping_answer_is_the_right_one(fake: FakeEcs, ask: Ask, after: int | None) -> None:
    fake.faults.add(Fault(kind="drip", after=after, interval=0.0))
    assert (await ask(PageSize=3)).json()["TotalCount"] == 11
    assert not fake.journal[-1].aborted


async def test_garbage_is_all_there_is(fake: FakeEcs, sign: Sign) -> None:
    fake.faults.add(Fault(kind="garbage", body=b"\x15\x03\x01\x00\x02\x02\x0a"))
    reader, writer = await send(fake, sign())
    assert await receive(reader) == (b"\x15\x03\x01\x00\x02\x02\x0a", "closed")
    writer.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="stall"),
        Fault(kind="stall", after=5),
        Fault(kind="half_close"),
        Fault(kind="drip", interval=30.0),
        Fault(latency=30.0),
    ],
    ids=["silent", "within the body", "half closed", "dripping", "late"],
)
async def test_a_client_that_gives_up_is_seen(fake: FakeEcs, sign: Sign, fault: Fault) -> None:
    fake.faults.add(fault)
    arrived = first_request(fake)
    _, writer = await send(fake, sign())
    await arrived
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(fake.idle(), 5)
    assert fake.journal[-1].aborted
    assert fake.journal[-1].ended is not None


async def test_closing_does_not_wait_for_what_hangs(clock: Callable[[], float], sign_for: Any) -> None:
    async with asyncio.timeout(2):
        async with FakeEcs(now=clock) as fake:
            fake.faults.add(Fault(kind="stall"))
            arrived = first_request(fake)
            reader, writer = await send(fake, sign_for(fake))
            await arrived
        await receive(reader)
    writer.close()


async def test_closing_does_not_wait_for_a_client_that_does_not_read(
    clock: Callable[[], float], sign_for: Any
) -> None:
    async with asyncio.timeout(2):
        async with FakeEcs(now=clock) as fake:
            fake.faults.add(Fault(kind="body", body=b"x" * 1_000_000, repeat=1000))
            arrived = first_request(fake)
            with socket.create_connection(("127.0.0.1", fake.port)) as link:
                link.sendall(
                    f"GET {sign_for(fake).url.raw_path.decode()} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                )
                await arrived
                await fake.close()
    assert fake.journal[-1].aborted


async def test_a_client_that_resets_is_seen(fake: FakeEcs, sign: Sign) -> None:
    fake.faults.add(Fault(kind="stall"))
    arrived = first_request(fake)
    _, writer = await send(fake, sign())
    await arrived
    link: socket.socket = writer.get_extra_info("socket")
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await asyncio.wait_for(fake.idle(), 5)
    assert fake.journal[-1].aborted


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
