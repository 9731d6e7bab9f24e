"""The control API, as a test in another language uses it."""

import json
import re
import shlex
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakeecs import FakeEcs
from fakeecs.control import Control

Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def api(fake: FakeEcs) -> AsyncIterator[httpx.AsyncClient]:
    control = Control(fake, "127.0.0.1", 0)
    await control.start()
    async with httpx.AsyncClient(base_url=control.url, trust_env=False, verify=False) as client:
        yield client
    await control.close()


async def test_it_lists_what_it_can_do(api: httpx.AsyncClient) -> None:
    lines = (await api.get("/")).text.splitlines()
    assert "POST /faults" in lines
    assert "PUT /images/{region}/{image}" in lines


async def test_a_fault_is_put_in_force_and_taken_back(api: httpx.AsyncClient, ask: Ask) -> None:
    made = await api.post("/faults", json={"code": "Throttling", "retry_after_ms": 100, "page": 2})
    assert (made.status_code, made.json()) == (201, {"number": 1})
    assert (await ask()).status_code == 200
    assert (await ask(PageNumber=2)).headers["x-acs-retry-after"] == "100"
    assert (await api.get("/faults")).json()["1"]["code"] == "Throttling"
    assert (await api.delete("/faults/1")).json() == {}
    assert (await ask(PageNumber=2)).status_code == 200


async def test_faults_are_cleared(api: httpx.AsyncClient, ask: Ask) -> None:
    await api.post("/faults", json={"status": 503, "latency": ["uniform", 0.0, 0.001]})
    await api.post("/faults", json={"kind": "body", "body": "é", "content_type": "text/plain"})
    assert (await ask()).status_code == 503
    assert (await api.get("/faults")).status_code == 200
    assert (await api.delete("/faults")).json() == {}
    assert (await ask()).status_code == 200


async def test_a_minute_window_is_put_in_force(api: httpx.AsyncClient, ask: Ask) -> None:
    await api.post("/faults", json={"limit": 1, "code": "Throttling.User", "retry_after_ms": "next-minute"})
    assert [(await ask()).status_code for _ in range(2)] == [200, 400]
    assert (await api.get("/faults")).json()["1"]["limit"] == 1


async def test_a_body_may_be_any_text(api: httpx.AsyncClient, ask: Ask) -> None:
    await api.post("/faults", json={"kind": "body", "body": "<html>é</html>", "content_type": "text/html"})
    assert (await ask()).content == "<html>é</html>".encode()


async def test_an_image_is_replaced_read_and_removed(api: httpx.AsyncClient, ask: Ask) -> None:
    put = await api.put("/images/cn-beijing/m-new****", json={"groups": ["all"], "accounts": 3})
    assert put.status_code == 200
    assert (await ask(RegionId="cn-beijing", ImageId="m-new****")).json()["TotalCount"] == 3
    got = (await api.get("/images/cn-beijing/m-new****")).json()
    assert (got["image_id"], got["groups"], len(got["accounts"])) == ("m-new****", ["all"], 3)
    assert (await api.delete("/images/cn-beijing/m-new****")).status_code == 200
    assert (await ask(RegionId="cn-beijing", ImageId="m-new****")).json()["Code"] == "InvalidImageId.NotFound"


async def test_what_is_read_can_be_put_back(api: httpx.AsyncClient, ask: Ask) -> None:
    data = (await api.get("/data")).content
    assert set(json.loads(data)["regions"]) == {"cn-hangzhou", "cn-qingdao"}
    assert (await api.put("/data", json={"regions": {"cn-beijing": []}})).json() == {"regions": 1}
    assert (await ask()).json()["Code"] == "InvalidRegionId.NotFound"
    assert (await api.put("/data", content=data)).json() == {"regions": 2}
    assert (await ask()).json()["TotalCount"] == 11


async def test_keys_come_and_go(api: httpx.AsyncClient, ask: Ask) -> None:
    made = await api.put("/keys/other", json={"secret": "s", "security_token": "t"})
    assert made.json() == {"keys": ["STS.testid", "other", "testid"]}
    assert (await ask(key_id="other", secret="s", token="t")).status_code == 200
    await api.delete("/keys/testid")
    assert (await ask()).json()["Code"] == "InvalidAccessKeyId.NotFound"


async def test_a_list_changes_between_pages(api: httpx.AsyncClient, ask: Ask) -> None:
    change = {"region": "cn-hangzhou", "image": "m-demo-11", "page": 2, "remove": ["1000000000000007"]}
    assert (await api.post("/changes", json=change)).status_code == 201
    assert (await api.get("/changes")).json()[0]["page"] == 2
    totals = [(await ask(PageNumber=number)).json()["TotalCount"] for number in (1, 2)]
    assert totals == [11, 10]
    await api.post("/changes", json={**change, "groups": ["everybody"]})
    assert (await api.delete("/changes")).json() == []
    assert (await ask(PageNumber=2)).json()["ShareGroups"]["ShareGroup"] == [{"Group": "all"}]


async def test_the_journal_is_read_and_cleared(api: httpx.AsyncClient, ask: Ask) -> None:
    await ask(PageNumber=1)
    await ask(PageNumber=2)
    entries = (await api.get("/journal")).json()
    assert [entry["page_number"] for entry in entries] == [1, 2]
    assert [e["page_number"] for e in (await api.get("/journal", params={"last": 1})).json()] == [2]
    assert (await api.get("/journal", params={"last": 0})).json() == []
    await api.delete("/journal")
    assert (await api.get("/journal")).json() == []


def commands_of_the_document() -> list[str]:
    text = (Path(__file__).parents[2] / "docs" / "fakeecs.md").read_text()
    block = text.partition("```sh\n")[2].partition("```")[0]
    return [command for command in re.split(r"\n(?=curl|#)", block) if command.startswith("curl")]


@pytest.mark.parametrize("command", commands_of_the_document())
async def test_the_commands_of_the_document_work(api: httpx.AsyncClient, command: str) -> None:
    parser = ArgumentParser()
    parser.add_argument("-X")
    parser.add_argument("-d", default="")
    parser.add_argument("url")
    given = parser.parse_args(shlex.split(command)[1:])
    method = given.X or ("POST" if given.d else "GET")
    path = given.url.removeprefix("127.0.0.1:8086")
    answer = await api.request(method, path, content=given.d)
    assert answer.is_success, answer.text


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "complaint"),
    [
        ("POST", "/faults", b"{", 400, "not JSON"),
        ("POST", "/faults", b"[]", 400, "fault"),
        ("POST", "/faults", b'{"kind": "flood"}', 400, "fault.kind: Input should be"),
        ("POST", "/faults", b'{"colour": "red"}', 400, "fault.colour: Unexpected keyword argument"),
        ("POST", "/faults", b'{"kind": "redirect"}', 400, "a redirect needs"),
        ("POST", "/faults", b'{"latency": ["uniform", 1]}', 400, "latency: Input should be seconds"),
        ("POST", "/faults", b'{"latency": ["exponential", 0]}', 400, "latency: Input should be seconds"),
        ("POST", "/faults", b'{"latency": -1}', 400, "latency: Input should be seconds"),
        (
            "POST",
            "/faults",
            b'{"probability": 50}',
            400,
            "probability: Input should be less than or equal to 1",
        ),
        ("POST", "/faults", b'{"times": 0}', 400, "fault.times: Input should be greater"),
        ("POST", "/faults", b'{"limit": -1}', 400, "window.limit: Input should be greater"),
        ("POST", "/fault", b"{}", 404, "GET / lists what there is"),
        ("PATCH", "/faults", b"{}", 405, "GET / lists what there is"),
        ("POST", "/faults", b'{"limit": "many"}', 400, "window.limit: Input should be a valid integer"),
        ("DELETE", "/faults/7", b"", 404, "there is no 7"),
        ("DELETE", "/faults/x", b"", 400, "'x' is not a number"),
        ("POST", "/changes", b"{}", 400, "change.region: Field required"),
        ("PUT", "/data", b"{}", 400, 'an object of "regions"'),
        ("PUT", "/images/cn-hangzhou/m-1", b"[]", 400, "image: "),
        ("PUT", "/images/cn-hangzhou/m-1", b'{"accounts": ["1", "1"]}', 400, "1 is there more than once"),
        ("GET", "/images/cn-hangzhou/m-nowhere", b"", 404, "there is no m-nowhere"),
        ("GET", "/images/cn-nowhere/m-1", b"", 404, "there is no cn-nowhere"),
        ("PUT", "/keys/k", b"{}", 400, "key.secret: Field required"),
        ("DELETE", "/keys/k", b"", 404, "there is no k"),
        ("GET", "/journal?last=x", b"", 400, "last: 'x' is not a number"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    api: httpx.AsyncClient, method: str, path: str, content: bytes, status: int, complaint: str
) -> None:
    answer = await api.request(method, path, content=content)
    error: dict[str, Any] = answer.json()
    assert answer.status_code == status
    assert complaint in error["error"]
