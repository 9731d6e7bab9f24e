"""How many requests a second the fake answers on one core: `python bench/fake_throughput.py`.

The server is a process on a core of its own; the requests are signed before the clock starts. Besides the
wall clock, which counts what else runs on the machine, it gives requests per second of the server's CPU time.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

from fakeecs.signatures import rpc_signature, rpc_string_to_sign

REQUESTS, CONNECTIONS = 20_000, 16
LENGTH = re.compile(rb"Content-Length: (\d+)\r\n")


def signed_requests(count: int, page_size: int) -> Iterator[bytes]:
    """Requests for pages of the demo image with 10,000 accounts."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in range(count):
        parameters = [
            ("AccessKeyId", "testid"),
            ("Action", "DescribeImageSharePermission"),
            ("Format", "JSON"),
            ("ImageId", "m-demo-10000"),
            ("PageNumber", str(number % (10_000 // page_size) + 1)),
            ("PageSize", str(page_size)),
            ("RegionId", "cn-hangzhou"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", f"{os.getpid()}-{number}"),
            ("SignatureVersion", "1.0"),
            ("Timestamp", now),
            ("Version", "2014-05-26"),
        ]
        parameters.append(("Signature", rpc_signature("testsecret", rpc_string_to_sign("GET", parameters))))
        yield f"GET /?{urlencode(parameters)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last is complete."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        """Send the next request if this was the end of an answer."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self._received
        self._received = b""
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(request)


async def send_all(port: int, requests: Iterator[bytes]) -> None:
    """Send the requests over all connections, and wait for the answers."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(requests), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(connection.done for _, connection in made))


def cpu_seconds(process: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, and print what was measured."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--page-size", type=int, default=100)
    page_size = parser.parse_args().page_size
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "fakeecs", "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().rpartition(":")[2])
        os.sched_setaffinity(server.pid, cores[:1])
        os.sched_setaffinity(0, cores[1:] or cores)
        requests = signed_requests(REQUESTS, page_size)
        asyncio.run(send_all(port, islice(requests, 1000)))  # warm up
        ready = iter(list(requests))
        count = REQUESTS - 1000
        used, started = cpu_seconds(server.pid), time.perf_counter()
        asyncio.run(send_all(port, ready))
        elapsed = time.perf_counter() - started
        used = cpu_seconds(server.pid) - used
    finally:
        server.terminate()
        server.wait()
    print(f"{count} requests for pages of {page_size} accounts over {CONNECTIONS} connections")
    print(f"{count / elapsed:8.0f} requests/s on one core")
    print(f"{count / used:8.0f} requests per second of the server's CPU time")


if __name__ == "__main__":
    main()
