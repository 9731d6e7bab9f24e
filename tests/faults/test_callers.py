"""The catalogue's faults on the caller's side, G1 to G31.

G22 and G25 are in test_floods.py. Left to others: G8 (a host that vanishes: the keepalive finds it after 40
seconds), G26 to G29 (TLS, identities, reflection's access), G32 (the clients' examples and `list`).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from google.rpc import error_details_pb2 as rpc

from ecsgateway.v1.image_share_permission_pb2 import (
    DescribeImageSharePermissionRequest,
    StreamImageSharePermissionRequest,
)
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub
from tests.calling import STREAM, UNARY, ask
from tests.conftest import IMAGE, REGION
from tests.faults.conftest import OPTIONS, Begin
from tests.faults.hostile import Wire, listing
from tests.faults.trial import Trial, until

BOTH = pytest.mark.parametrize("way", [UNARY, STREAM])
DEADLINE = ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
REFUSED = ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def silent(wire: Wire) -> None:
    await wire.silence()


def call(trial: Trial, way: str) -> grpc.aio.Call:
    if way == UNARY:
        request = DescribeImageSharePermissionRequest(region_id=REGION, image_id=IMAGE)
        return trial.stub.DescribeImageSharePermission(request)
    wanted = StreamImageSharePermissionRequest(region_id=REGION, image_id=IMAGE, page_size=5)
    return trial.stub.StreamImageSharePermission(wanted)


@BOTH
async def test_g2_a_caller_that_leaves_before_the_first_message_ends_the_request_upstream(
    begin: Begin, way: str
) -> None:
    trial = await begin()
    trial.upstream.scripts = [silent]
    leaving = call(trial, way)
    await until(lambda: len(trial.upstream.heads) == 1)
    before = trial.upstream.open

    leaving.cancel()

    await until(lambda: trial.upstream.open < before, seconds=0.1)


async def test_g1_a_caller_that_leaves_in_the_middle_ends_the_requests_upstream(begin: Begin) -> None:
    trial = await begin()
    held = [str(number) for number in range(100)]
    pages = listing(held)

    async def silent_from_page_4(wire: Wire) -> None:
        await (silent if int(wire.parameters["PageNumber"]) >= 4 else pages)(wire)

    trial.upstream.scripts = [silent_from_page_4]
    stream = call(trial, STREAM)
    for _ in range(3):
        await stream.read()  # type: ignore[attr-defined] # a stream's
    await until(lambda: len(trial.upstream.heads) >= 4)
    before = trial.upstream.open

    stream.cancel()

    await until(lambda: trial.upstream.open < before, seconds=0.1)


@BOTH
async def test_g3_a_deadline_that_is_over_costs_no_upstream_request(begin: Begin, way: str) -> None:
    trial = await begin()
    trial.upstream.scripts = [silent]
    for timeout in (0.0, 0.001, -1.0):
        assert (await trial.ask(way, timeout=timeout)).code.name == "DEADLINE_EXCEEDED"
    await asyncio.sleep(0.02)
    assert trial.upstream.heads == []


@BOTH
@pytest.mark.parametrize("given", [None, 10 * 365 * 86400.0], ids=["G4-none", "G5-ten-years"])
async def test_g4_g5_a_call_without_a_near_deadline_gets_the_servers(
    begin: Begin, way: str, given: float | None
) -> None:
    trial = await begin(max_seconds=0.3)
    trial.upstream.scripts = [silent]
    outcome = await trial.ask(way, timeout=given)
    assert (outcome.code.name, outcome.reason) == DEADLINE
    assert 0.25 <= outcome.seconds <= 0.4


@BOTH
@pytest.mark.parametrize("seconds", [0.3, 0.5])
async def test_i6_the_status_comes_with_its_reason_before_the_deadline(
    begin: Begin, way: str, seconds: float
) -> None:
    trial = await begin()
    trial.upstream.scripts = [silent]
    outcome = await trial.ask(way, timeout=seconds)
    assert (outcome.code.name, outcome.reason) == DEADLINE
    assert outcome.info.metadata["attempts"] == "1"


async def test_g6_a_reader_who_takes_nothing_stops_the_reading_upstream(begin: Begin) -> None:
    trial = await begin(max_seconds=1.0)
    held = [f"{number:01000}" for number in range(20_000)]
    pages = listing(held)
    trial.upstream.scripts = [pages]
    wanted = StreamImageSharePermissionRequest(region_id=REGION, image_id=IMAGE)
    stream = trial.stub.StreamImageSharePermission(wanted)
    await stream.read()

    asked = -1
    while asked < len(trial.upstream.heads):
        asked = len(trial.upstream.heads)
        await asyncio.sleep(0.2)

    assert asked < 100  # of 200: the transport's windows hold 4 MiB, the gateway one window of pages
    await until(lambda: '"DEADLINE_EXCEEDED"' in trial.log.getvalue(), seconds=2.0)  # its place is free
    stream.cancel()


@asynccontextmanager
async def relay(target: str) -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """A TCP relay to a gateway, whose connections can be cut."""
    host, _, port = target.rpartition(":")
    writers: list[asyncio.StreamWriter] = []
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        writers.extend((writer, back))
        pumps.update((asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", writers
    server.close()
    for writer in writers:
        writer.transport.abort()
    if pumps:
        await asyncio.wait(pumps)
    await server.wait_closed()


@BOTH
async def test_g7_a_caller_whose_connection_dies_ends_the_request_upstream(begin: Begin, way: str) -> None:
    trial = await begin()
    trial.upstream.scripts = [silent]
    async with relay(trial.address) as (address, writers):
        channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        stub = ImageSharePermissionServiceStub(channel)
        dying = asyncio.create_task(ask(stub, way))
        await until(lambda: len(trial.upstream.heads) == 1)
        before = trial.upstream.open

        for writer in writers:
            writer.transport.abort()

        await until(lambda: trial.upstream.open < before, seconds=0.2)
        outcome = await dying
        assert outcome.code is grpc.StatusCode.UNAVAILABLE
        await channel.close()


async def test_g9_a_thousand_streams_at_a_time_all_end_well(begin: Begin) -> None:
    trial = await begin(max_requests=8)
    # With gRPC's own repetition of streams that the server refused unseen, as every client has by default.
    async with grpc.aio.insecure_channel(trial.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = ImageSharePermissionServiceStub(channel)
        outcomes = await asyncio.gather(*(ask(stub, STREAM, timeout=30.0) for _ in range(1000)))
    assert {(each.code.name, each.reason, each.text) for each in outcomes} == {("OK", "", "")}
    assert all(tuple(each.accounts) == trial.held for each in outcomes)


@BOTH
async def test_g10_over_the_limit_of_calls_the_answer_is_quick_and_health_is_spared(
    begin: Begin, way: str
) -> None:
    trial = await begin(max_calls=2)
    trial.upstream.scripts = [silent]
    waiting = [asyncio.create_task(trial.ask(way, timeout=0.5)) for _ in range(2)]
    await until(lambda: len(trial.upstream.heads) == 2)

    refused = min([await trial.ask(way) for _ in range(5)], key=lambda each: each.seconds)
    assert (refused.code.name, refused.reason) == ("UNAVAILABLE", "GATEWAY_OVERLOADED")
    assert refused.detail(rpc.RetryInfo).retry_delay.ToMilliseconds() == 1000
    assert refused.seconds < 0.01
    assert await trial.health() == "SERVING"
    await asyncio.gather(*waiting)


@BOTH
async def test_g11_metadata_beyond_the_limit_never_reaches_a_handler(begin: Begin, way: str) -> None:
    trial = await begin()
    outcome = await trial.ask(way, metadata=(("x-big", "x" * 70_000),))
    assert outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trial.upstream.heads == []


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_g12_a_message_beyond_the_limit_never_reaches_a_handler(
    begin: Begin, compression: grpc.Compression
) -> None:
    trial = await begin()
    large = StreamImageSharePermissionRequest(region_id=REGION, image_id=IMAGE, resume_token="A" * (32 << 20))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in trial.stub.StreamImageSharePermission(large, compression=compression):
            pass
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trial.upstream.heads == []


async def test_g14_unknown_fields_are_ignored(begin: Begin) -> None:
    trial = await begin()
    known = DescribeImageSharePermissionRequest(region_id=REGION, image_id=IMAGE)
    request = DescribeImageSharePermissionRequest.FromString(known.SerializeToString() + b"\xa2\x06\x03abc")
    assert (await trial.stub.DescribeImageSharePermission(request)).page.accounts


@BOTH
async def test_g14_an_empty_request_names_both_fields(begin: Begin, way: str) -> None:
    trial = await begin()
    outcome = await trial.ask(way, region="", image="")
    fields = [each.field for each in outcome.detail(rpc.BadRequest).field_violations]
    assert fields == ["region_id", "image_id"]


ODD_REGIONS = [
    *("cn-hangzhou.evil.com/", "x@evil.com/", "cn-hangzhou.evil.com#", "cn-hangzhou?", "127.0.0.1:8080/"),
    *("169.254.169.254/latest/meta-data#", "evil。com/", "@evil", "..", "%2e", "\\", " ", "a b"),
    *("ｃｎ-hangzhou", "cn-hаngzhou", "cn\x00", "cn\r\nX: y", "cn-hangzhou\n", "a" * 64, "a" * 10_240),  # noqa: RUF001
    *("-cn", "cn-", "CN-HANGZHOU", "cn_hangzhou", "cn.hangzhou", "[::1]", "localhost:1", "cn-hangzhou:443"),
]
ODD_IMAGES = [
    *("m-1&Action=DeleteImage", "m-1%26Action=DeleteImage", "../", "m-1\r\nX: y", "m-1\n", "m-1 ", " m-1"),
    *("m-1+2", "m-1~", "m-镜像", "m-1#", "m-1?", "m/1", "m-1\x00", "‮m-1", "x" * 129, "m-1'", 'm-1"', "{m}"),
]


@pytest.mark.parametrize("region", ODD_REGIONS, ids=lambda text: ascii(text)[:24])
async def test_g15_g16_an_odd_region_never_leaves_the_gateway(begin: Begin, region: str) -> None:
    trial = await begin()
    for way in (UNARY, STREAM):
        outcome = await trial.ask(way, region=region)
        assert (outcome.code.name, outcome.reason) == REFUSED
        assert [each.field for each in outcome.detail(rpc.BadRequest).field_violations] == ["region_id"]
    assert trial.upstream.connections == 0


@pytest.mark.parametrize("image", ODD_IMAGES, ids=lambda text: ascii(text)[:24])
async def test_g17_g18_an_odd_image_never_leaves_the_gateway(begin: Begin, image: str) -> None:
    trial = await begin()
    for way in (UNARY, STREAM):
        outcome = await trial.ask(way, image=image)
        assert (outcome.code.name, outcome.reason) == REFUSED
        assert [each.field for each in outcome.detail(rpc.BadRequest).field_violations] == ["image_id"]
    assert trial.upstream.connections == 0


@BOTH
@pytest.mark.parametrize("size", [-1, 101, 2**31 - 1, -(2**31)])
async def test_g19_a_page_size_out_of_range_never_leaves_the_gateway(
    begin: Begin, way: str, size: int
) -> None:
    trial = await begin()
    outcome = await trial.ask(way, page_size=size)
    assert (outcome.code.name, outcome.reason) == REFUSED
    assert trial.upstream.heads == []


@BOTH
async def test_g20_odd_metadata_changes_nothing(begin: Begin, way: str) -> None:
    trial = await begin()
    odd = (
        *((f"x-key-{number}", "v") for number in range(100)),
        ("x-forwarded-for", "169.254.169.254"),
        ("x-client-id", "admin"),
        ("x-request-id", "a b; level=INFO"),
        ("authorization", "Bearer canary-jwt"),
    )
    outcome = await trial.ask(way, metadata=odd)
    assert outcome.code.name == "OK"
    assert "canary-jwt" not in trial.log.getvalue() + "".join(trial.upstream.heads)
    assert "a b" not in trial.log.getvalue()


INJECTIONS = ["\n2026-11-21 level=INFO admin login", "\x1b[31mred\x1b[0m", "\u2028", "‮gnp.exe", '","x":"y']


@BOTH
@pytest.mark.parametrize("injection", INJECTIONS, ids=ascii)
async def test_g21_a_field_cannot_forge_a_line_of_the_log(begin: Begin, way: str, injection: str) -> None:
    trial = await begin()
    outcome = await trial.ask(way, region=f"cn{injection}", image=f"m{injection}")
    assert (outcome.code.name, outcome.reason) == REFUSED
    assert outcome.text.isprintable()
    await until(lambda: '"INVALID_ARGUMENT"' in trial.log.getvalue())
    lines = trial.log.getvalue().splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    last = json.loads(lines[-1])
    assert (last["region_id"], last["code"]) == (f"cn{injection}", "INVALID_ARGUMENT")


async def test_g24_connections_that_say_nothing_or_nonsense_do_not_disturb_the_others(begin: Begin) -> None:
    trial = await begin()
    host, _, port = trial.address.rpartition(":")
    mute = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
    for _, writer in mute[:50]:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await trial.ask(UNARY)).code.name == "OK"
    for _, writer in mute:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_g30_an_unknown_method_is_unimplemented(begin: Begin) -> None:
    trial = await begin()
    for path in ("/ecsgateway.v1.ImageSharePermissionService/Nothing", "/no.such.Service/Nothing"):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await trial.channel.unary_unary(path, request_serializer=bytes)(b"")
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_g31_a_call_that_its_caller_forgot_ends_at_the_servers_limit(begin: Begin) -> None:
    trial = await begin(max_seconds=0.3)
    trial.upstream.scripts = [silent]
    forgotten = call(trial, STREAM)
    await until(lambda: len(trial.upstream.heads) == 1)
    before = trial.upstream.open
    await until(lambda: trial.upstream.open < before, seconds=0.5)
    assert await forgotten.code() is grpc.StatusCode.DEADLINE_EXCEEDED
