"""What the vendor's clients really sent, byte for byte: accepted, and refused with one bit changed."""

import asyncio
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from fakeecs import Choices, FakeEcs, Image, Key, demo_data
from fakeecs.authentication import Authentication
from fakeecs.call import read
from fakeecs.claims import claim
from fakeecs.errors import Refused
from fakeecs.operation import check_envelope

REQUESTS = sorted((Path(__file__).parent.parent / "data" / "requests").glob("*.raw"))
AWKWARD = "m-测试 +*~/%&='()!,;:@$"


@dataclass(frozen=True)
class Raw:
    """A request in its parts."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def signed_headers(self) -> set[bytes]:
        """The names that the signature covers, and the header that carries it."""
        authorization = {name.lower(): value for name, value in self.headers}.get(b"authorization", b"")
        names = re.search(rb"SignedHeaders=([^,]*)", authorization)
        return {*names[1].split(b";"), b"authorization"} if names else set()

    def meaning(self) -> object:
        """What of the request is signed, however it is encoded: by the standard library, as an oracle."""
        path, _, query = self.target.partition(b"?")
        signed = self.signed_headers()
        headers = sorted((name.lower(), value) for name, value in self.headers if name.lower() in signed)
        return self.method, path, sorted(parse(query)), sorted(parse(self.body)), headers


def parse(query: bytes) -> list[tuple[str, str]]:
    text = query.decode("utf-8", "surrogateescape")
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", separator="&")


def parts(raw: bytes) -> Raw:
    top, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = top.split(b"\r\n")
    method, target, _ = first.split(b" ")
    headers = tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines))
    return Raw(method, target, headers, body)


def clock_of(raw: bytes) -> float:
    found = re.search(rb"(?:x-acs-date: |Timestamp=)([0-9T%:A-F-]{19,23}Z)", raw)
    assert found is not None
    return datetime.fromisoformat(found[1].replace(b"%3A", b":").decode()).timestamp()


def keys_for(raw: bytes) -> dict[str, Key]:
    return {"testid": Key("testsecret", "testtoken" if b"testtoken" in raw else None)}


def respelled(request: Raw) -> Raw:
    """The same request as another client would encode it."""
    target = re.sub(rb"%[0-9A-F]{2}", lambda found: found[0].lower(), request.target)
    headers = tuple((name.title(), b" " + value + b" ") for name, value in request.headers)
    return replace(request, target=target.replace(b"%20", b"+"), headers=headers)


@lru_cache  # all but one part of a changed request are those of the one before
def text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def believer(raw: bytes) -> Callable[[Raw], bool]:
    """Whether the fake believes a request at the time of the captured one, and as if it came alone."""
    keys, now = keys_for(raw), clock_of(raw)

    def believed(request: Raw) -> bool:
        headers = tuple([(text(name), text(value)) for name, value in request.headers])
        call = read(text(request.method), text(request.target), headers, request.body)
        try:
            check_envelope(call)
            Authentication(keys, lambda: now, Choices()).verify(claim(call))
        except Refused:
            return False
        return True

    return believed


def flips(value: bytes) -> Iterator[bytes]:
    for position, byte in enumerate(value):
        for bit in range(8):
            yield value[:position] + bytes([byte ^ 1 << bit]) + value[position + 1 :]


def one_bit_changed(request: Raw) -> Iterator[Raw]:
    """Every request that differs in one bit of what is signed."""
    yield from (replace(request, method=method) for method in flips(request.method))
    yield from (replace(request, target=target) for target in flips(request.target))
    yield from (replace(request, body=body) for body in flips(request.body))
    signed = request.signed_headers()
    for index, (name, value) in enumerate(request.headers):
        if name.lower() in signed:
            changed = [*((other, value) for other in flips(name)), *((name, other) for other in flips(value))]
            for header in changed:
                others = request.headers
                yield replace(request, headers=(*others[:index], header, *others[index + 1 :]))


async def exchange(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        raw.replace(b"Connection: keep-alive\r\n", b"").replace(
            b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1
        )
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.fixture(params=REQUESTS, ids=lambda path: path.stem)
def raw(request: pytest.FixtureRequest) -> bytes:
    path: Path = request.param
    return path.read_bytes()


def test_there_are_19_captured_requests() -> None:
    assert len(REQUESTS) == 19


async def test_a_captured_request_is_accepted_with_its_clock(raw: bytes) -> None:
    data = demo_data()
    data.add("cn-hangzhou", Image(AWKWARD))
    data.add("cn-hangzhou", Image("m-1 x~*"))
    now = clock_of(raw)
    fake = FakeEcs(data=data, keys=keys_for(raw), now=lambda: now, choices=Choices(out_of_range="clamp"))
    async with fake:
        answer = await exchange(fake.port, raw)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    assert fake.journal[0].image_id in answer.decode()


def test_a_captured_request_is_refused_with_one_bit_changed_anywhere_that_is_signed(raw: bytes) -> None:
    request = parts(raw)
    believed = believer(raw)
    believed_all_the_same = [changed for changed in one_bit_changed(request) if believed(changed)]
    # Some bits change nothing that is signed: `%2A` and `%2a` are the same character, `Host` and `host` the
    # same header.
    assert {changed.meaning() == request.meaning() for changed in believed_all_the_same} <= {True}


def test_a_captured_request_is_accepted_in_another_spelling(raw: bytes) -> None:
    assert believer(raw)(respelled(parts(raw)))


async def test_a_changed_request_is_refused_on_the_wire(raw: bytes) -> None:
    request = parts(raw)
    now = clock_of(raw)
    async with FakeEcs(keys=keys_for(raw), now=lambda: now) as fake:
        for changed in itertools.islice(one_bit_changed(request), 0, None, 401):
            if changed.meaning() == request.meaning():
                continue
            lines = [b"%b %b HTTP/1.1" % (changed.method, changed.target)]
            lines += [b"%b: %b" % header for header in changed.headers]
            answer = await exchange(fake.port, b"\r\n".join(lines) + b"\r\n\r\n" + changed.body)
            assert not answer.startswith(b"HTTP/1.1 200"), changed
