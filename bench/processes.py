"""The other processes of a benchmark: started on free ports, asked for their memory, stopped at the end."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

KEY_ID, SECRET = "testid", "testsecret"
_START_SECONDS = 30.0
_COMMAND = "import sys; from {package}.__main__ import main; sys.exit(main())"


class Process:
    """A running process."""

    def __init__(self, running: "subprocess.Popen[str]") -> None:
        self._running = running

    def resident(self) -> float:
        """Return the memory that it has in RAM, in MiB."""
        status = Path(f"/proc/{self._running.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found, "no VmRSS"
        return int(found[1]) / 1024

    def cpu(self) -> float:
        """Return the CPU time that it has used, in seconds."""
        fields = Path(f"/proc/{self._running.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Upstream(Process):
    """A fake ECS."""

    def __init__(self, running: "subprocess.Popen[str]", url: str, control: str) -> None:
        super().__init__(running)
        self.url = url
        self._control = control

    def delay(self, seconds: float) -> None:
        """Answer every request so much later."""
        self._post("/faults", {"latency": seconds})

    def _post(self, path: str, body: Any) -> None:
        request = Request(self._control + path, data=json.dumps(body).encode(), method="POST")
        build_opener(ProxyHandler({})).open(request, timeout=5).close()


class Gateway(Process):
    """A gateway."""

    def __init__(self, running: "subprocess.Popen[str]", address: str) -> None:
        super().__init__(running)
        self.address = address


@contextmanager
def upstream(data: Path) -> Iterator[Upstream]:
    """Run a fake ECS that serves a data file."""
    arguments = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--data", str(data)]
    with _run("fakeecs", *arguments, "--key-id", KEY_ID, "--secret", SECRET) as (running, said):
        yield Upstream(running, said(r"listens on (\S+)"), said(r"control API on (\S+)"))


@contextmanager
def gateway(endpoint: str, *arguments: str) -> Iterator[Gateway]:
    """Run a gateway to an endpoint."""
    fixed = ["--listen", "127.0.0.1:0", "--endpoint", endpoint, "--log-format", "json"]
    with _run("ecsgateway", "serve", *fixed, *arguments) as (running, said):
        yield Gateway(running, said(r'"address": ?"([^"]+)"'))


@contextmanager
def _run(package: str, *arguments: str) -> Iterator[Any]:
    """Start a command of one of our packages; gives the process, and a way to find what it said."""
    keys = {"ALIBABA_CLOUD_ACCESS_KEY_ID": KEY_ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET}
    running = subprocess.Popen(
        [sys.executable, "-c", _COMMAND.format(package=package), *arguments],
        env={**os.environ, **keys},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: SimpleQueue[str] = SimpleQueue()
    reader = threading.Thread(target=_read, args=(running, lines), daemon=True)
    reader.start()

    def said(pattern: str) -> str:
        while line := lines.get(timeout=_START_SECONDS):
            if found := re.search(pattern, line):
                return found[1]
        raise RuntimeError(f"{package} ended before it served")

    try:
        yield running, said
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        reader.join()


def _read(running: "subprocess.Popen[str]", lines: "SimpleQueue[str]") -> None:
    """Keep the pipe empty: a process that cannot log stands still."""
    assert running.stdout is not None
    for line in running.stdout:
        lines.put(line)
    lines.put("")
