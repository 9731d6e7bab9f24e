"""The command line as people run it: real processes, real signals, real files."""

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from fakeecs import FakeEcs, Fault
from tests.conftest import REGION, Run, Running, Start, ended, line_with

KEYS = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "testid", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret"}
NO_METADATA = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that another socket listens on."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.mark.parametrize(
    ("arguments", "environment", "line"),
    [
        pytest.param(
            ["--listen", "bad"], {}, "ecsgateway: --listen: must be HOST:PORT, not 'bad'\n", id="listen"
        ),
        pytest.param(
            [],
            {"ECSGATEWAY_LISTEN": "bad"},
            "ecsgateway: ECSGATEWAY_LISTEN: must be HOST:PORT, not 'bad'\n",
            id="listen-env",
        ),
        pytest.param(
            ["--endpoint", "ftp://x"],
            {},
            "ecsgateway: --endpoint: must be http://HOST[:PORT] or https://HOST[:PORT], not 'ftp://x'\n",
            id="endpoint",
        ),
        pytest.param(
            ["--endpoint", "http://host:99999"],
            {},
            "ecsgateway: --endpoint: must be http://HOST[:PORT] or https://HOST[:PORT],"
            " not 'http://host:99999'\n",
            id="endpoint-port",
        ),
        pytest.param(
            ["--endpoint", "http://user:secret@host"],
            {},
            "ecsgateway: --endpoint: must be http://HOST[:PORT] or https://HOST[:PORT]\n",
            id="endpoint-with-a-password",
        ),
        pytest.param(
            ["--demo", "--endpoint", "http://127.0.0.1:1"],
            {},
            "ecsgateway: --demo has an upstream of its own: it does not go with --endpoint\n",
            id="demo-with-endpoint",
        ),
        pytest.param(
            ["--signature", "md5"],
            {},
            "ecsgateway: --signature: Input should be 'acs3-hmac-sha256' or 'hmac-sha1', not 'md5'\n",
            id="signature",
        ),
        pytest.param(["--nope"], {}, "ecsgateway: unrecognized arguments: --nope\n", id="unknown-flag"),
        pytest.param(
            ["--tls-cert", "x"], {}, "ecsgateway: --tls-cert and --tls-key go together\n", id="half-of-tls"
        ),
        pytest.param(
            ["--listen", "127.0.0.1:0", "--tls-cert", "absent.pem", "--tls-key", "absent.key"],
            KEYS,
            "ecsgateway: cannot read absent.key: No such file or directory\n",
            id="unreadable-key",
        ),
    ],
)
async def test_a_bad_setting_is_one_clear_line_and_exit_code_2(
    run: Run, arguments: list[str], environment: dict[str, str], line: str
) -> None:
    assert await ended(await run("serve", *arguments, **environment)) == (2, "", line)


async def test_a_taken_port_is_one_clear_line_and_exit_code_2(run: Run, taken: str) -> None:
    line = f"ecsgateway: cannot listen on {taken}: address already in use\n"
    assert await ended(await run("serve", "--listen", taken, **KEYS)) == (2, "", line)


async def test_missing_credentials_are_one_clear_line_and_exit_code_2(run: Run) -> None:
    code, out, err = await ended(await run("serve", "--listen", "127.0.0.1:0", **NO_METADATA))
    assert (code, out) == (2, "")
    assert err.startswith("ecsgateway: no credentials in Alibaba's default chain: EnvironmentVariable: ")
    assert err.count("\n") == 1


async def test_a_damaged_credentials_file_is_told_without_its_content(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "credentials.ini"
    file.write_text("[default]\ntype = access_key\naccess_key_secret  testsecret-in-a-bad-line\n")
    process = await run("serve", ALIBABA_CLOUD_CREDENTIALS_FILE=str(file), **NO_METADATA)
    code, out, err = await ended(process)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Profile: ParsingError" in err
    assert "testsecret" not in err


async def test_a_flag_wins_over_its_environment_variable(run: Run, taken: str) -> None:
    process = await run("serve", "--listen", "127.0.0.1:0", ECSGATEWAY_LISTEN=taken, **KEYS)
    assert "address=127.0.0.1:" in await line_with(process.stderr, "serving")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_signal_stops_the_server_with_exit_code_0(run: Run, number: int) -> None:
    process = await run("serve", "--listen", "127.0.0.1:0", **KEYS)
    await line_with(process.stderr, "serving")
    process.send_signal(number)
    code, _, err = await ended(process)
    assert code == 0
    assert "stopped" in err


async def test_the_demo_shows_every_account_of_five_pages_and_how_to_go_on(run: Run, fake: FakeEcs) -> None:
    process = await run("serve", "--demo", "--listen", "127.0.0.1:0")
    assert process.stdout is not None
    shown = ""
    while "ecsgateway list --target" not in shown:
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        assert line, "the demo ended"
        shown += line
    for account in fake.image(REGION, "m-demo-45").accounts:
        assert account.aliyun_id in shown
    assert "page 5 " in shown
    assert "grpcurl -plaintext -d" in shown


async def test_the_demo_needs_no_credentials_and_reads_none(run: Run) -> None:
    process = await run("serve", "--demo", "--listen", "127.0.0.1:0", "--log-format", "json")
    line = orjson.loads(await line_with(process.stderr, '"event": "call"'))
    assert (line["code"], line["accounts"], line["pages"]) == ("OK", 45, 5)


async def test_list_prints_a_line_for_each_group_and_account(run: Run, running: Running) -> None:
    code, out, err = await ended(
        await run(
            "list",
            "--target",
            running.gateway.address,
            "--region",
            REGION,
            "--image",
            "m-bp1caf3yicx5jlfl****",
        )
    )
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "page 1     group all",
        "page 1     1234567890            2023-01-01T12:05:00Z",
        "accounts: 1, pages: 1, single page",
    ]


async def test_list_json_prints_an_object_aline_with(run: Run, running: Running, fake: FakeEcs) -> None:
    code, out, _ = await ended(
        await run(
            "list",
            "--json",
            *("--target", running.gateway.address, "--region", REGION, "--image", "m-demo-11"),
            *("--page-size", "10"),
        )
    )
    lines = [orjson.loads(line) for line in out.splitlines()]
    assert code == 0
    assert lines[0] == {"group": "all"}
    held = [account.aliyun_id for account in fake.image(REGION, "m-demo-11").accounts]
    assert [line["aliyun_id"] for line in lines if "aliyun_id" in line] == held
    assert lines[-1] == {
        "page_count": 2,
        "account_count": 11,
        "duplicate_count": 0,
        "consistency": "NO_CHANGE_SEEN",
    }


@pytest.mark.parametrize(
    ("region", "image", "words"),
    [
        pytest.param(
            REGION,
            "m-none",
            [
                "error: NOT_FOUND IMAGE_NOT_FOUND: the gateway's account has no image m-none in cn-hangzhou",
                "  ECS answered HTTP 404 InvalidImageId.NotFound",
            ],
            id="unknown-image",
        ),
        pytest.param(
            "CN_",
            "",
            [
                "error: INVALID_ARGUMENT INVALID_REQUEST: ",
                "  region_id: must be lower-case letters, digits and inner hyphens",
                "  image_id: must be letters, digits and the characters _ . - *",
            ],
            id="both-fields",
        ),
    ],
)
async def test_list_tells_an_error_in_words_and_exits_with_1(
    run: Run, running: Running, region: str, image: str, words: list[str]
) -> None:
    process = await run("list", "--target", running.gateway.address, "--region", region, "--image", image)
    code, out, err = await ended(process)
    assert (code, out) == (1, "")
    for line in words:
        assert line in err


async def test_list_resumes_a_stream_that_broke(run: Run, running: Running, fake: FakeEcs) -> None:
    fake.faults.add(Fault(code="ServiceUnavailable", status=503, page=3, times=3))
    code, out, err = await ended(
        await run(
            "list",
            "--json",
            *("--target", running.gateway.address, "--region", REGION, "--image", "m-demo-45"),
            *("--page-size", "10"),
        )
    )
    held = [account.aliyun_id for account in fake.image(REGION, "m-demo-45").accounts]
    lines = [orjson.loads(line) for line in out.splitlines()]
    assert code == 0, err
    assert "resuming after 2 pages" in err
    assert [line["aliyun_id"] for line in lines if "aliyun_id" in line] == held


async def listing(run: Run, target: str, *arguments: str) -> Process:
    """Start a list of 45 accounts in 5 pages."""
    image = ("--region", REGION, "--image", "m-demo-45", "--page-size", "10")
    return await run("list", "--json", "--target", target, *image, *arguments)


def listed(out: str) -> list[str]:
    lines = [orjson.loads(line) for line in out.splitlines()]
    return [line["aliyun_id"] for line in lines if "aliyun_id" in line]


async def test_list_resumes_after_the_delay_that_the_status_tells(
    run: Run, running: Running, fake: FakeEcs
) -> None:
    fake.faults.add(Fault(code="ServiceUnavailable", page=3, times=3))
    code, _, err = await ended(await listing(run, running.gateway.address))
    asked = [entry for entry in fake.journal if entry.page == 3]
    told = re.match(r"resuming after 2 pages, in (\d+\.\d) s: ", err)
    assert code == 0, err
    assert told is not None
    assert asked[3].started - asked[2].started >= float(told[1]) - 0.05


async def test_list_does_not_resume_what_is_forbidden(run: Run, running: Running, fake: FakeEcs) -> None:
    fake.faults.add(Fault(code="Forbidden.RAM", page=3))
    code, out, err = await ended(await listing(run, running.gateway.address))
    assert (code, len(listed(out))) == (1, 20)
    assert err.startswith("error: PERMISSION_DENIED UPSTREAM_FORBIDDEN: ")
    assert [entry.page for entry in fake.journal].count(3) == 1


async def test_list_does_not_wait_longer_than_its_deadline(run: Run, running: Running, fake: FakeEcs) -> None:
    fake.faults.add(Fault(code="Throttling", page=3, retry_after_ms=60_000))
    code, out, err = await ended(await listing(run, running.gateway.address, "--timeout", "20"))
    assert (code, len(listed(out))) == (1, 20)
    assert err.startswith("error: RESOURCE_EXHAUSTED UPSTREAM_THROTTLED: ")
    assert "  try again in 60 s\n" in err
    assert [entry.page for entry in fake.journal].count(3) == 1


async def test_list_has_one_deadline_however_often_it_resumes(
    run: Run, running: Running, fake: FakeEcs
) -> None:
    fake.faults.add(Fault(code="ServiceUnavailable", page=3))
    code, out, err = await ended(await listing(run, running.gateway.address, "--timeout", "4"))
    assert (code, len(listed(out))) == (1, 20)
    assert re.match(r"(resuming after 2 pages, .*\n)+error: ", err)
    assert fake.journal[-1].started - fake.journal[0].started < 4.0


async def test_list_goes_on_past_the_gateways_limit_of_pages(run: Run, start: Start, fake: FakeEcs) -> None:
    running = await start(max_pages=2)
    code, out, err = await ended(await listing(run, running.gateway.address))
    assert code == 0, err
    assert listed(out) == [account.aliyun_id for account in fake.image(REGION, "m-demo-45").accounts]
    assert [line[:24] for line in err.splitlines()] == [
        "resuming after 2 pages, ",
        "resuming after 4 pages, ",
    ]


async def test_list_says_to_start_again_when_the_list_changed(
    run: Run, running: Running, fake: FakeEcs
) -> None:
    fake.faults.add(Fault(code="ServiceUnavailable", page=3, times=3))
    process = await listing(run, running.gateway.address)
    await line_with(process.stderr, "resuming after 2 pages")
    del fake.image(REGION, "m-demo-45").accounts[0]
    code, _, err = await ended(process)
    assert code == 1
    assert err.startswith("error: ABORTED LISTING_CHANGED: ")
    assert "\n  what is listed above is void: start again\n" in err


async def test_list_resumes_when_the_gateway_was_killed(run: Run, fake: FakeEcs) -> None:
    async def serving(address: str) -> tuple[Process, str]:
        gateway = await run("serve", "--listen", address, "--endpoint", fake.url, **KEYS)
        line = await line_with(gateway.stderr, "serving")
        return gateway, line.partition("address=")[2].split()[0]

    fake.faults.add(Fault(page=3, latency=60.0))
    gateway, address = await serving("127.0.0.1:0")
    process = await listing(run, address)
    assert process.stdout is not None
    shown = b"".join([await asyncio.wait_for(process.stdout.readline(), 30) for _ in range(20)])
    gateway.kill()
    fake.faults.clear()
    await serving(address)
    code, out, err = await ended(process)
    assert code == 0, err
    assert err.startswith("resuming after 2 pages, in 1.0 s: ")
    held = [account.aliyun_id for account in fake.image(REGION, "m-demo-45").accounts]
    assert listed(shown.decode() + out) == held


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
async def test_list_ends_quietly_when_its_reader_has_enough(running: Running, form: list[str]) -> None:
    command = [sys.executable, "-m", "ecsgateway", "list", "--target", running.gateway.address, *form]
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", '{ "$0" "$@"; echo "exit code $?" >&2; } | head -n 1'),
        *(*command, "--region", REGION, "--image", "m-demo-2345"),
        stdout=PIPE,
        stderr=PIPE,
    )
    code, out, err = await ended(process)
    assert (code, out.count("\n"), err) == (0, 1, "exit code 1\n")


async def test_list_says_that_nobody_listens(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    process = await run(
        "list", "--target", f"127.0.0.1:{port}", "--region", REGION, "--image", "m-x", "--timeout", "3"
    )
    code, out, err = await ended(process)
    assert (code, out) == (1, "")
    assert err.startswith("error: UNAVAILABLE: ")


async def test_export_writes_what_a_client_needs(run: Run, tmp_path: Path) -> None:
    code, out, err = await ended(await run("export", str(tmp_path / "out")))
    assert (code, err) == (0, "")
    written = {Path(line).relative_to(tmp_path / "out").as_posix() for line in out.splitlines()}
    assert {
        "protos/ecsgateway/v1/image_share_permission.proto",
        "protos/ecsgateway/v1/error_details.proto",
        "protos/buf/validate/validate.proto",
        "descriptors.binpb",
        "service_config.json",
    } <= written
    compiler = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{tmp_path}/out/protos",
            "--descriptor_set_out=/dev/null",
        ),
        "ecsgateway/v1/image_share_permission.proto",
    )
    assert await compiler.wait() == 0
