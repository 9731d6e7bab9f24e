"""The HTTP transport: slots that survive cancellation, names, certificates, none of the environment."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import httpx
import pytest

from ecsgateway.ecs.resolver import Found, UpstreamResolver
from ecsgateway.ecs.transport import AiohttpTransport, NameUnknown, Untrusted
from tests.faults.hostile import Hostile, Wire, answer

SLOTS = 10


async def brief(wire: Wire) -> None:
    """Answer after a moment, so that some requests wait, some are sent and some are answered."""
    await asyncio.sleep(0.002)
    await wire.send(answer(b"{}"))


@asynccontextmanager
async def client(transport: httpx.AsyncBaseTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, timeout=1.0, trust_env=False) as http:
        yield http


async def churn(http: httpx.AsyncClient, url: str, *, calls: int, callers: int) -> int:
    """Send requests and cancel most of them at random moments; return how many were answered."""
    random, answered = Random(3), 0

    async def caller() -> None:
        nonlocal answered
        for _ in range(calls // callers):
            request = asyncio.create_task(http.post(url))
            await asyncio.sleep(random.random() ** 2 * 0.05)
            request.cancel()
            with suppress(asyncio.CancelledError, httpx.TransportError):
                await request
                answered += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return answered


async def usable(http: httpx.AsyncClient, upstream: Hostile) -> int:
    """Return how many of the slots serve a request at the same time."""
    together, most = 0, 0

    async def counting(wire: Wire) -> None:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await asyncio.sleep(0.2)
        together -= 1
        await wire.send(answer(b"{}"))

    upstream.scripts = [counting]
    await asyncio.gather(*(http.post(upstream.url) for _ in range(SLOTS)), return_exceptions=True)
    return most


async def test_no_slot_of_the_pool_is_lost_by_cancellation() -> None:
    """The same churn with httpx's own transport: docs/decisions/0004, and bench/churn.py that measures it."""
    async with Hostile() as upstream:
        upstream.scripts = [brief]
        async with client(AiohttpTransport(connections=SLOTS, any_address=True)) as http:
            answered = await churn(http, upstream.url, calls=1600, callers=2 * SLOTS)
            assert 0 < answered < 1600
            assert await usable(http, upstream) == SLOTS


def found(*addresses: str) -> Callable[[str, int, socket.AddressFamily], Sequence[Found]]:
    return lambda host, port, family: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
    ]


def failing(error: OSError) -> Callable[[str, int, socket.AddressFamily], Sequence[Found]]:
    def look_up(host: str, port: int, family: socket.AddressFamily) -> Sequence[Found]:
        raise error

    return look_up


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.8.8", "169.254.169.254", "100.100.100.200", "0.0.0.0", "::1", "fe80::1"]
)
async def test_u25_a_name_that_leads_to_an_inner_address_is_refused(address: str) -> None:
    async with Hostile() as upstream:
        transport = AiohttpTransport(connections=1, any_address=False, look_up=found("8.8.8.8", address))
        async with client(transport) as http:
            with pytest.raises(httpx.ConnectError) as raised:
                await http.post(f"http://ecs.cn-evil.aliyuncs.com:{upstream.port}/")
        assert address not in str(raised.value)
        assert upstream.connections == 0


async def test_u25_an_operators_own_endpoint_may_be_anywhere() -> None:
    async with Hostile() as upstream:
        upstream.scripts = [brief]
        transport = AiohttpTransport(connections=1, any_address=True, look_up=found("127.0.0.1"))
        async with client(transport) as http:
            assert (await http.post(f"http://ecs.inner:{upstream.port}/")).status_code == 200


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), NameUnknown),
        (socket.gaierror(socket.EAI_NODATA, "no address"), NameUnknown),
        (socket.gaierror(socket.EAI_AGAIN, "SERVFAIL"), httpx.ConnectError),
        (socket.gaierror(socket.EAI_FAIL, "failure"), httpx.ConnectError),
    ],
)
async def test_u25_only_a_name_that_does_not_exist_is_unknown(
    error: OSError, kind: type[httpx.ConnectError]
) -> None:
    async with client(AiohttpTransport(connections=1, any_address=True, look_up=failing(error))) as http:
        with pytest.raises(httpx.ConnectError) as raised:
            await http.post("http://ecs.nowhere.aliyuncs.com/")
    assert type(raised.value) is kind


async def test_u25_a_name_server_that_hangs_costs_the_connect_timeout_and_no_thread_of_the_loop() -> None:
    release, looked_up = threading.Event(), list[str]()

    def hanging(host: str, port: int, family: socket.AddressFamily) -> Sequence[Found]:
        looked_up.append(host)
        release.wait(10)
        return []

    async with httpx.AsyncClient(
        transport=AiohttpTransport(connections=50, any_address=True, look_up=hanging),
        timeout=httpx.Timeout(5.0, connect=0.1),
    ) as http:
        asked = [http.post(f"http://ecs.{number}.aliyuncs.com/") for number in range(50)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(each) for each in outcomes} == {httpx.ConnectTimeout}
        assert len(set(looked_up)) == 50
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 0.5) == "free"
        release.set()


def test_u25_a_name_server_that_hangs_does_not_keep_the_process_from_exiting() -> None:
    program = (
        "import asyncio, threading, httpx\n"
        "from ecsgateway.ecs.transport import AiohttpTransport\n"
        "def hanging(*asked):\n"
        "    threading.Event().wait()\n"
        "async def ask():\n"
        "    transport = AiohttpTransport(connections=1, any_address=True, look_up=hanging)\n"
        "    async with httpx.AsyncClient(transport=transport, timeout=0.1) as http:\n"
        "        await http.post('http://ecs.nowhere.aliyuncs.com/')\n"
        "try:\n"
        "    asyncio.run(ask())\n"
        "except httpx.ConnectTimeout:\n"
        "    print('stopped', [each.name for each in threading.enumerate()])\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert told.stdout == "stopped ['MainThread', 'resolver']\n", told.stderr


async def test_u25_a_look_up_that_nobody_waits_for_any_more_counts_until_it_ends() -> None:
    release, looked_up = threading.Event(), list[str]()

    def hanging(host: str, port: int, family: socket.AddressFamily) -> Sequence[Found]:
        looked_up.append(host)
        release.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "SERVFAIL")

    resolver = UpstreamResolver(threads=1, any_address=True, look_up=hanging)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(resolver.resolve("a"), 0.05)
    second = asyncio.create_task(resolver.resolve("b"))
    await asyncio.wait([second], timeout=0.05)
    assert looked_up == ["a"]
    release.set()
    with pytest.raises(socket.gaierror):
        await second
    assert looked_up == ["a", "b"]


@asynccontextmanager
async def tls_server(certificate: Path, **changes: ssl.TLSVersion) -> AsyncIterator[str]:
    """A server that completes the handshake, if it is let, and answers one request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    for name, value in changes.items():
        setattr(context, name, value)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"{}"))
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}/"
    server.close()
    await asyncio.sleep(0.01)


def trusting(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate)
    return context


async def ask(url: str, trust: ssl.SSLContext | None = None) -> httpx.Response:
    transport = AiohttpTransport(connections=1, any_address=True, trust=trust, look_up=found("127.0.0.1"))
    async with client(transport) as http:
        return await http.post(url)


async def test_u26_a_certificate_that_is_trusted_is_accepted(certificate: Path) -> None:
    async with tls_server(certificate) as url:
        assert (await ask(url, trusting(certificate))).status_code == 200


async def test_u26_a_self_signed_certificate_is_not_trusted(certificate: Path) -> None:
    async with tls_server(certificate) as url:
        with pytest.raises(Untrusted) as raised:
            await ask(url)
        assert "localhost" not in str(raised.value)


async def test_u26_a_certificate_of_another_host_is_not_trusted(certificate: Path) -> None:
    async with tls_server(certificate) as url:
        with pytest.raises(Untrusted):
            await ask(url.replace("localhost", "ecs.cn-hangzhou.aliyuncs.com"), trusting(certificate))


async def test_u26_a_handshake_that_stalls_ends_with_the_connect_timeout(certificate: Path) -> None:
    async def silence(wire: Wire) -> None:
        await wire.silence()

    async with Hostile() as upstream:
        await upstream.greet(silence)
        with pytest.raises(httpx.ConnectTimeout):
            await ask(f"https://localhost:{upstream.port}/")


def test_u27_u28_the_environment_changes_neither_trust_nor_who_can_read(
    certificate: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.log"
    program = (
        "from ecsgateway.ecs.transport import AiohttpTransport\n"
        "trust = AiohttpTransport(connections=1, any_address=True)._trust\n"
        "print(trust.keylog_filename, len(trust.get_ca_certs()) > 50)\n"
    )
    environment = {**os.environ, "SSLKEYLOGFILE": str(keys), "SSL_CERT_FILE": str(certificate)}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert told.stdout == "None True\n", told.stderr
