"""The catalogue's transport faults, U1 to U30, on real sockets.

Left to others: U26's expired and wrong-host certificates and its old protocol (with the server's TLS), U31
(HTTP/2 is never offered). U2 is a listener whose backlog is full, which needs no root; U3's reset on connect
is what a closed port answers with, so it is U1.
"""

import asyncio
import os
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.calling import STREAM, UNARY
from tests.faults.conftest import Begin
from tests.faults.hostile import Hostile, Script, Wire, answer, page, well
from tests.faults.trial import until

Environment = Callable[..., None]

BOTH = pytest.mark.parametrize("way", [UNARY, STREAM])
HASTY = {"attempt_seconds": 0.2}

UNREACHABLE = ("UNAVAILABLE", "UPSTREAM_UNREACHABLE")
TIMEOUT = ("UNAVAILABLE", "UPSTREAM_TIMEOUT")
MALFORMED = ("INTERNAL", "UPSTREAM_MALFORMED_RESPONSE")
TOO_LARGE = ("INTERNAL", "UPSTREAM_RESPONSE_TOO_LARGE")
REDIRECT = ("INTERNAL", "UPSTREAM_REDIRECT")

BOMB = zlib.compress(bytes(64 << 20), 9, wbits=31)
"""64 MiB as gzip, which is 64 KiB; the first MiB of it is all that is ever made."""


def says(*parts: bytes) -> Script:
    """Send bytes and close in good order."""

    async def script(wire: Wire) -> None:
        await wire.send(*parts)
        wire.hang_up()

    return script


def then_silence(*parts: bytes) -> Script:
    """Send bytes and then nothing."""

    async def script(wire: Wire) -> None:
        await wire.send(*parts)
        await wire.silence()

    return script


def then_reset(*parts: bytes) -> Script:
    """Send bytes, let them arrive, and reset."""

    async def script(wire: Wire) -> None:
        await wire.send(*parts)
        await asyncio.sleep(0.01)
        wire.reset()

    return script


def dripping(head: bytes, drop: bytes, every: float) -> Script:
    """Send a head, and then a few bytes again and again."""

    async def script(wire: Wire) -> None:
        await wire.send(head)
        while not wire.reader.at_eof() and not wire.writer.is_closing():
            await wire.send(drop)
            await asyncio.sleep(every)

    return script


def flooding(head: bytes, chunk: bytes) -> Script:
    """Send a head, and then as much as is taken."""

    async def script(wire: Wire) -> None:
        await wire.send(head)
        while not wire.reader.at_eof() and not wire.writer.is_closing():
            await wire.send(chunk)

    return script


async def half_closes(wire: Wire) -> None:
    wire.writer.write_eof()
    await wire.silence()


async def answers_and_closes(wire: Wire) -> None:
    """A keep-alive connection that is closed right after the answer, without a word."""
    await well(wire)
    wire.hang_up()


async def with_more_than_a_gzip(wire: Wire) -> None:
    body = zlib.compress(page(wire.parameters), wbits=31) + b"more"
    await wire.send(answer(body, more="Content-Encoding: gzip\r\n"))


async def in_gzip(wire: Wire) -> None:
    body = zlib.compress(page(wire.parameters), wbits=31)
    await wire.send(answer(body, more="Content-Encoding: gzip\r\n"))


def head(length: object = "", more: str = "") -> bytes:
    lines = f"Content-Length: {length}\r\n" if length != "" else ""
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{lines}{more}\r\n".encode()


def encoded(body: bytes, encoding: str) -> Script:
    return says(answer(body, more=f"Content-Encoding: {encoding}\r\n"))


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the upstream does, the status, and the requests that reach it."""

    script: Script | None = None
    greeting: Script | None = None
    code: str
    reason: str
    requests: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def case(
    script: Script, ending: tuple[str, str], requests: int | None = None, settings: Any = None, at: str = ""
) -> Case:
    given = {"greeting": script} if at == "accept" else {"script": script}
    return Case(code=ending[0], reason=ending[1], requests=requests, settings=settings or {}, **given)


CASES = {
    "U4-closed-on-accept": case(says(), UNREACHABLE, at="accept"),
    "U4-closed-after-the-request": case(says(), UNREACHABLE, 3),
    "U3-reset-after-the-request": case(then_reset(), UNREACHABLE, 3),
    "U5-half-closed": case(half_closes, UNREACHABLE, 3, HASTY),
    "U5-silent": case(then_silence(), TIMEOUT, 3, HASTY),
    "U5-silent-after-the-head": case(then_silence(head(500)), TIMEOUT, 3, HASTY),
    "U6-reset-mid-body": case(then_reset(head(500), b'{"a": '), UNREACHABLE, 3),
    "U6-reset-mid-head": case(then_reset(b"HTTP/1.1 200 O"), UNREACHABLE, 3),
    "U7-short-of-its-length": case(says(head(500), b'{"a": '), UNREACHABLE, 3),
    "U8-no-last-chunk": case(
        says(head(more="Transfer-Encoding: chunked\r\n"), b"5\r\nabcde\r\n"), UNREACHABLE, 3
    ),
    "U8-bad-chunk": case(says(head(more="Transfer-Encoding: chunked\r\n"), b"zz\r\nabcde\r\n"), MALFORMED, 2),
    "U9-truncated-until-close": case(says(head(more="Connection: close\r\n"), b'{"a": '), MALFORMED, 2),
    "U11-bad-gzip": case(encoded(b"not gzip at all", "gzip"), MALFORMED, 2),
    "U11-half-a-gzip": case(encoded(zlib.compress(b'{"a": 1}', wbits=31)[:-4], "gzip"), MALFORMED, 2),
    "U11-more-than-a-gzip": case(with_more_than_a_gzip, MALFORMED, 2),
    "U12-gzip-bomb": case(encoded(BOMB, "gzip"), TOO_LARGE, 1),
    "U13-chained-encodings": case(encoded(b"x", "gzip, gzip, gzip, gzip, gzip"), MALFORMED, 2),
    "U13-unknown-encoding": case(encoded(b"x", "br"), MALFORMED, 2),
    "U14-ten-gigabytes-announced": case(then_silence(head(10 * 2**30)), TOO_LARGE, 1),
    "U14-length-of-5000-digits": case(then_silence(head("9" * 5000)), MALFORMED, 2),
    "U14-endless-until-close": case(flooding(head(), b" " * 65536), TOO_LARGE, 1),
    "U14-endless-chunks": case(
        flooding(head(more="Transfer-Encoding: chunked\r\n"), b"10000\r\n" + b" " * 65536 + b"\r\n"),
        TOO_LARGE,
        1,
    ),
    "U14-negative-length": case(then_silence(head(-1)), MALFORMED, 2),
    "U14-two-lengths": case(then_silence(head(5, "Content-Length: 6\r\n")), MALFORMED, 2),
    "U15-slow-body": case(dripping(head(500), b" ", 0.02), TIMEOUT, 3, HASTY),
    "U16-slow-head": case(dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", 0.02), TIMEOUT, 3, HASTY),
    "U16-endless-interim-answers": case(
        dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.01), TIMEOUT, 3, HASTY
    ),
    "U17-long-header": case(says(head(more=f"X-Long: {'x' * 300_000}\r\n")), MALFORMED, 2),
    "U17-endless-headers": case(
        flooding(b"HTTP/1.1 200 OK\r\n", b"X-Y: " + b"z" * 1000 + b"\r\n"), MALFORMED, 2
    ),
    "U19-garbage": case(says(b"I am not HTTP\r\n\r\n"), MALFORMED, 2),
    "U19-tls-on-the-plain-port": case(says(b"\x15\x03\x01\x00\x02\x02\x46"), MALFORMED, 2),
    "U19-http-0.9": case(says(b'{"a": 1}'), MALFORMED, 2),
    "U19-status-of-no-kind": case(says(answer(b'{"Code": "InternalError"}', status=600)), MALFORMED, 2),
    "U21-switching-protocols": case(
        then_silence(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), MALFORMED, 2
    ),
    "U22-no-content": case(says(b"HTTP/1.1 204 No Content\r\n\r\n"), MALFORMED, 2),
    "U22-empty-body": case(says(head(0)), MALFORMED, 2),
    "U22-other-success": case(says(answer(page({}), status=202)), MALFORMED, 2),
    "U24-no-location": case(says(answer(b"", status=302)), REDIRECT, 1),
    "U24-not-modified": case(says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), REDIRECT, 1),
}


@BOTH
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_transport_fault_becomes_its_status(begin: Begin, case: Case, way: str) -> None:
    trial = await begin(**case.settings)
    trial.upstream.scripts = [case.script or well]
    if case.greeting:
        await trial.upstream.greet(case.greeting)

    outcome = await trial.ask(way)

    assert (outcome.code.name, outcome.reason) == (case.code, case.reason)
    assert "127.0.0.1" not in outcome.text
    if case.requests is not None:
        assert len(trial.upstream.heads) == case.requests
        assert outcome.info.metadata["attempts"] == str(case.requests)


@BOTH
@pytest.mark.parametrize(
    "script",
    [
        says(),
        then_reset(),
        then_reset(head(500), b'{"a": '),
        says(head(500), b"{"),
        says(head(more="Connection: close\r\n"), b'{"a": '),
        says(b"I am not HTTP\r\n\r\n"),
    ],
    ids=["U4-closed", "U4-reset", "U6", "U7", "U9", "U19"],
)
async def test_one_transport_fault_is_made_good_by_the_next_attempt(
    begin: Begin, script: Script, way: str
) -> None:
    trial = await begin()
    trial.upstream.scripts = [script, well]

    outcome = await trial.ask(way)

    assert outcome.code.name == "OK"
    assert len(trial.upstream.heads) == 2


@BOTH
async def test_u1_a_closed_port_is_unreachable(begin: Begin, way: str) -> None:
    trial = await begin()
    await trial.upstream.close_port()

    outcome = await trial.ask(way)

    assert (outcome.code.name, outcome.reason) == UNREACHABLE
    assert outcome.info.metadata["attempts"] == "3"
    assert str(trial.upstream.port) not in outcome.text


@BOTH
async def test_u2_a_black_hole_is_unreachable_and_a_nearer_deadline_wins(begin: Begin, way: str) -> None:
    trial = await begin(attempt_seconds=0.2)
    await trial.upstream.close_port()

    with black_hole(trial.upstream.port):
        patient = await trial.ask(way)
        hurried = await trial.ask(way, timeout=0.08)

    assert (patient.code.name, patient.reason) == UNREACHABLE
    assert hurried.code.name == "DEADLINE_EXCEEDED"


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """Listen, accept nobody, and fill the backlog, so that the system drops every further SYN."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield


@BOTH
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_u23_a_redirect_is_never_followed(begin: Begin, way: str, status: int) -> None:
    trial = await begin()
    async with Hostile() as elsewhere:
        trial.upstream.scripts = [
            says(answer(b"", status=status, more=f"Location: {elsewhere.url}/?a=b\r\n"))
        ]
        outcome = await trial.ask(way)
        assert (elsewhere.connections, elsewhere.heads) == (0, [])
    assert (outcome.code.name, outcome.reason) == REDIRECT
    assert outcome.trailers["grpc-retry-pushback-ms"] == "-1"


@BOTH
async def test_u27_proxies_and_netrc_of_the_environment_are_ignored(
    begin: Begin, way: str, environment: Environment, tmp_path: Path
) -> None:
    async with Hostile() as proxy:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password canary-netrc\n")
        names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        environment(NETRC=str(netrc), **dict.fromkeys(names, proxy.url))
        trial = await begin()
        outcome = await trial.ask(way)
        assert proxy.connections == 0
    assert outcome.code.name == "OK"
    assert not any("Basic" in sent for sent in trial.upstream.heads)


@pytest.fixture
def environment() -> Iterator[Environment]:
    """Sets variables of this process, for one test."""
    before = dict(os.environ)
    yield lambda **variables: os.environ.update(variables)
    os.environ.clear()
    os.environ.update(before)


@BOTH
async def test_u29_calls_that_find_no_slot_in_time_are_told_that_the_gateway_is_overloaded(
    begin: Begin, way: str
) -> None:
    trial = await begin(attempt_seconds=1.0, max_waiting=1)
    trial.upstream.scripts = [then_silence()]

    calls = [asyncio.create_task(trial.ask(way, timeout=0.4)) for _ in range(3)]
    await until(lambda: len(trial.upstream.heads) == 2)
    await asyncio.sleep(0.02)
    refused = await trial.ask(way)
    await asyncio.gather(*calls)

    assert (refused.code.name, refused.reason) == ("UNAVAILABLE", "GATEWAY_OVERLOADED")
    assert refused.trailers["grpc-retry-pushback-ms"] == "1000"
    assert refused.seconds < 0.1


@BOTH
async def test_u11_gzip_that_nobody_asked_for_is_read_all_the_same(begin: Begin, way: str) -> None:
    trial = await begin()
    trial.upstream.scripts = [in_gzip]
    assert (await trial.ask(way)).code.name == "OK"


@BOTH
async def test_u30_a_connection_that_was_closed_after_its_answer_is_replaced_unnoticed(
    begin: Begin, way: str
) -> None:
    trial = await begin()
    trial.upstream.scripts = [answers_and_closes]
    outcomes = [await trial.ask(way) for _ in range(5)]
    assert {each.code.name for each in outcomes} == {"OK"}
