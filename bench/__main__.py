"""Measures the stream beside the vendor's SDK, in one run: `make bench`. Fails if a bound is missed.

Gateway, upstream and clients are separate processes; the upstream answers each request after 20 ms. Each
figure is the median of several runs, each client's in turns with the others'.
"""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import grpc
from alibabacloud_ecs20140526.client import Client
from alibabacloud_ecs20140526.models import DescribeImageSharePermissionRequest
from alibabacloud_tea_openapi.models import Config

from bench.processes import KEY_ID, SECRET, Gateway, gateway, upstream
from ecsgateway.ecs.credentials import Credentials
from ecsgateway.ecs.signing import Scheme, new_nonce, sign
from ecsgateway.v1.image_share_permission_pb2 import StreamImageSharePermissionRequest
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub

REGION, PAGE_SIZE = "cn-hangzhou", 100
LATENCY = 0.020
SHORT, LONG = 100, 1000
"""Pages of the two lists."""
ROUNDS = 3
FIRST_MESSAGES = 30
PAUSE = 0.003
"""Seconds that the slow reader takes for a message."""


def main() -> int:
    """Measure, print, and return the exit code."""
    gc.freeze()  # the SDK's modules have thousands of classes: looking through them is nobody's time
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # the SDK sends even loopback traffic to a proxy
    with ExitStack() as stack:
        data = Path(stack.enter_context(TemporaryDirectory())) / "data.json"
        data.write_text(json.dumps({"regions": {REGION: [_image(SHORT), _image(LONG)]}}))
        ecs = stack.enter_context(upstream(data))
        ecs.delay(LATENCY)
        wide = stack.enter_context(gateway(ecs.url))
        narrow = stack.enter_context(gateway(ecs.url, "--prefetch-pages", "4"))
        return asyncio.run(_measure(ecs.url, wide, narrow))


def _image(pages: int) -> dict[str, Any]:
    return {"image_id": f"m-{pages}", "accounts": pages * PAGE_SIZE}


async def _measure(endpoint: str, wide: Gateway, narrow: Gateway) -> int:
    sdk = _sdk(endpoint)
    times: dict[str, list[float]] = {"sdk": [], "wide": [], "narrow": []}
    print(
        f"{SHORT} pages of {PAGE_SIZE} accounts, {LATENCY * 1000:.0f} ms each; load {os.getloadavg()[0]:.1f}"
    )
    for _ in range(ROUNDS):  # by turns; the first of each turn warms up and does not count
        times["sdk"] += [_seconds_of(lambda: _loop(sdk, SHORT)) for _ in range(3)][1:]
        times["wide"] += [await _seconds(_whole(wide, SHORT)) for _ in range(6)][1:]
        times["narrow"] += [await _seconds(_whole(narrow, SHORT)) for _ in range(4)][1:]
    first = [(await _first_message(wide), _bare_page(endpoint)) for _ in range(FIRST_MESSAGES)]
    before = wide.resident()
    peak = await _slow_reader(wide)
    wait = median(message for message, _ in first) - median(bare for _, bare in first)
    loop, fast, four = (median(times[name]) for name in ("sdk", "wide", "narrow"))
    print(f"  the SDK, page by page          {loop:7.3f} s")
    print(f"  the stream                     {fast:7.3f} s")
    print(f"  the stream, --prefetch-pages 4 {four:7.3f} s")
    print(f"  one page, a bare request       {median(bare for _, bare in first):7.4f} s")
    print(f"  the first message              {median(message for message, _ in first):7.4f} s")
    return _judge(
        [
            ("times as fast as the SDK", loop / fast, ">=", 10.0),
            ("times as fast, --prefetch-pages 4", loop / four, ">=", 3.5),
            ("ms until the first message, less a bare request's", wait * 1000, "<=", 5.0),
            (f"MiB more in memory, {LONG} pages to a slow reader", peak - before, "<=", 8.0),
        ]
    )


def _judge(results: list[tuple[str, float, str, float]]) -> int:
    """Print each figure beside its bound; 1 if one is missed."""
    missed = 0
    for name, value, relation, bound in results:
        good = value >= bound if relation == ">=" else value <= bound
        missed += not good
        print(f"  {value:7.2f} {name} ({relation} {bound:g}){'' if good else '  MISSED'}")
    return 1 if missed else 0


def _sdk(endpoint: str) -> Client:
    host = endpoint.removeprefix("http://")
    return Client(Config(access_key_id=KEY_ID, access_key_secret=SECRET, endpoint=host, protocol="HTTP"))


def _loop(sdk: Client, pages: int) -> None:
    """Read the list as the SDK's users do: it has no paginator."""
    accounts, number = [], 0
    while True:
        number += 1
        request = DescribeImageSharePermissionRequest(
            region_id=REGION, image_id=f"m-{pages}", page_number=number, page_size=PAGE_SIZE
        )
        body = sdk.describe_image_share_permission(request).body
        accounts += [account.aliyun_id for account in body.accounts.account]
        if len(accounts) >= body.total_count:
            break
    assert len(set(accounts)) == pages * PAGE_SIZE


async def _whole(of: Gateway, pages: int) -> None:
    """Read the list from the gateway."""
    async with grpc.aio.insecure_channel(of.address) as channel:
        stream = ImageSharePermissionServiceStub(channel).StreamImageSharePermission(_request(pages))
        accounts = [account.aliyun_id async for message in stream for account in message.page.accounts]
    assert len(set(accounts)) == pages * PAGE_SIZE


async def _first_message(of: Gateway) -> float:
    """Return the seconds from a call on a warm channel to its first message."""
    async with grpc.aio.insecure_channel(of.address) as channel:
        await channel.channel_ready()
        started = perf_counter()
        stream = ImageSharePermissionServiceStub(channel).StreamImageSharePermission(_request(SHORT))
        await stream.read()
        took = perf_counter() - started
        stream.cancel()
    return took


def _bare_page(endpoint: str) -> float:
    """Return the seconds from a signed request on a warm connection to its answer, and no client's work."""
    host = endpoint.removeprefix("http://")
    signed = sign(
        Scheme.ACS3_HMAC_SHA256,
        action="DescribeImageSharePermission",
        version="2014-05-26",
        parameters={"RegionId": REGION, "ImageId": f"m-{SHORT}", "PageNumber": "1", "PageSize": "100"},
        host=host,
        credentials=Credentials(access_key_id=KEY_ID, access_key_secret=SECRET),
        response_format="json",
        at=datetime.now(UTC),
        nonce=new_nonce(),
    )
    with closing(HTTPConnection(host)) as connection:
        connection.connect()
        started = perf_counter()
        connection.request("POST", f"/?{signed.query}", headers=dict(signed.headers))
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return perf_counter() - started


async def _slow_reader(of: Gateway) -> float:
    """Read the long list slowly; return the most memory that the gateway had meanwhile."""
    peak, read = 0.0, 0
    async with grpc.aio.insecure_channel(of.address) as channel:
        async for _ in ImageSharePermissionServiceStub(channel).StreamImageSharePermission(_request(LONG)):
            read += 1
            peak = max(peak, of.resident())
            await asyncio.sleep(PAUSE)
    assert read == LONG
    return peak


def _request(pages: int) -> StreamImageSharePermissionRequest:
    return StreamImageSharePermissionRequest(region_id=REGION, image_id=f"m-{pages}")


async def _seconds(reading: Coroutine[Any, Any, None]) -> float:
    started = perf_counter()
    await reading
    return perf_counter() - started


def _seconds_of(reading: Callable[[], None]) -> float:
    started = perf_counter()
    reading()
    return perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
