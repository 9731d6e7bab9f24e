"""The command, as a process."""

import asyncio
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from fakeecs.cli import main

SignUrl = Callable[..., httpx.Request]


@asynccontextmanager
async def serving(*arguments: str) -> AsyncIterator[tuple[str, str, asyncio.subprocess.Process]]:
    """The fake's address, the control API's, and the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fakeecs", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        lines = [(await asyncio.wait_for(process.stdout.readline(), 20)).decode() for _ in range(2)]
        url, control = (re.findall(r"http://127\.0\.0\.1:\d+", line)[0] for line in lines)
        yield url, control, process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_it_serves_until_it_is_told_to_stop(
    http: httpx.AsyncClient, sign_url: SignUrl, number: signal.Signals
) -> None:
    async with serving("--edition", "2017", "--choose", "out-of-range=clamp") as (url, _, process):
        answer = await http.send(sign_url(url, PageSize=100))
        assert answer.json()["PageSize"] == 50
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_the_data_file_and_the_key_are_used(
    http: httpx.AsyncClient, sign_url: SignUrl, tmp_path: Path
) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"regions": {"cn-beijing": [{"image_id": "m-1", "accounts": ["7"]}]}}))
    arguments = ("--data", str(file), "--key-id", "me", "--secret", "mine", "--security-token", "t")
    async with serving(*arguments) as (url, control, _):
        how: dict[str, Any] = {"key_id": "me", "secret": "mine", "token": "t"}
        answer = await http.send(sign_url(url, RegionId="cn-beijing", ImageId="m-1", **how))
        assert answer.json()["Accounts"]["Account"] == [{"AliyunId": "7"}]
        refused = await http.send(sign_url(url))
        assert refused.json()["Code"] == "InvalidAccessKeyId.NotFound"
        assert len((await http.get(f"{control}/journal")).json()) == 2


def test_help_explains_the_data_file_and_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert '"image_id": "m-1"' in out
    assert "out-of-range=refuse|clamp" in out


@pytest.mark.parametrize("option", ["--listen", "--control"])
def test_a_port_that_is_taken_ends_with_one_clear_line(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status = main(["--listen", "127.0.0.1:0", option, f"127.0.0.1:{port}"])
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert err.startswith("fakeecs: cannot listen: ")
    assert f"{port}): address already in use" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--data", "{missing}"], 1, "missing.json: No such file or directory"),
        (["--data", "{bad}"], 1, "bad.json: regions.cn-hangzhou.0.image_id: Field required"),
        (["--listen", "here"], 2, "'here' is not HOST:PORT"),
        (["--secret", "mine"], 2, "belong to a --key-id"),
        (["--listen", "127.0.0.1:99999"], 2, "is not HOST:PORT"),
        (["--edition", "1999"], 2, "invalid choice"),
        (["--choose", "colour=red"], 2, "there is no choice 'colour', only out-of-range, "),
        (["--choose", "out-of-range=guess"], 2, "out-of-range is one of refuse, clamp"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_start_ends_with_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], status: int, complaint: str
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"regions": {"cn-hangzhou": [{}]}}')
    places = {"missing": tmp_path / "missing.json", "bad": bad}
    try:
        actual = main([argument.format(**places) for argument in arguments])
    except SystemExit as stopped:
        actual = cast("int", stopped.code)
    assert actual == status
    assert complaint in capsys.readouterr().err.splitlines()[-1]
