"""A gateway and the fake ECS behind it, as two processes of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "build" / "interop" / "bin"
PATIENCE = 20.0
"""Seconds that anything but a build may take."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where the gateway listens, and the control API of the fake behind it.

    Attributes:
        target: HOST:PORT of the gateway.
        control: URL of the fake's control API.
    """

    target: str
    control: str

    def reset(self) -> None:
        """Take back all trouble, and forget what happened."""
        self._ask("DELETE", "/faults")
        self._ask("DELETE", "/journal")

    def add_fault(self, **fault: Any) -> None:
        """Put trouble in force; see `fakeecs.trouble.Fault`."""
        self._ask("POST", "/faults", fault)

    def image(self, image_id: str) -> Any:
        """What the fake knows of an image of cn-hangzhou."""
        return self._ask("GET", f"/images/cn-hangzhou/{image_id}")

    @contextmanager
    def image_kept(self, image_id: str) -> Iterator[None]:
        """Let an image be changed, and put it back."""
        image = self.image(image_id)
        try:
            yield
        finally:
            self._ask("PUT", f"/images/cn-hangzhou/{image_id}", image)

    def remove_first_account(self, image_id: str) -> None:
        """Share an image of cn-hangzhou no longer with its first account."""
        image = self.image(image_id)
        del image["accounts"][0]
        self._ask("PUT", f"/images/cn-hangzhou/{image_id}", image)

    def journal(self) -> list[Any]:
        """The requests that the fake got."""
        entries: list[Any] = self._ask("GET", "/journal")
        return entries

    def eventually(self, holds: Callable[[list[Any]], bool]) -> list[Any]:
        """Wait until the journal is as it should be; give it as it is then, or when patience ends.

        The fake tells nobody when a client hangs up, so it is asked.
        """
        end = time.monotonic() + PATIENCE
        while not holds(entries := self.journal()) and time.monotonic() < end:
            time.sleep(0.02)
        return entries

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)


@contextmanager
def running_stage(log: Path) -> Iterator[Stage]:
    """Start both, on free ports of the loopback; stop them at the end."""
    commands = Path(sys.executable).parent
    fake = [commands / "fakeecs", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
    with _running(fake, log / "fakeecs.log") as said:
        upstream = said(r"listens on (http://\S+)")
        control = said(r"control API on (http://\S+)")
        gateway = [commands / "ecsgateway", "serve", "--listen", "127.0.0.1:0", "--endpoint", upstream]
        with _running(gateway, log / "ecsgateway.log") as said:
            yield Stage(target=said(r"serving.*address=(\S+)"), control=control)


@contextmanager
def _running(command: list[Any], log: Path) -> Iterator[Callable[[str], str]]:
    """Run a server; gives a function that waits for what it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECSGATEWAY_")}
    environment |= {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "testid",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        ) as server,
        log.open() as written,
    ):
        try:
            yield lambda pattern: _said(server, written, pattern)
        finally:
            server.terminate()
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()


def _said(server: "subprocess.Popen[bytes]", written: IO[str], pattern: str) -> str:
    """Wait for a line of a log that matches; give its group."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        written.seek(0)
        text = written.read()
        if found := re.search(pattern, text):
            return found[1]
        if server.poll() is not None:
            pytest.fail(f"{server.args!r} ended:\n{text}")
        time.sleep(0.02)
    pytest.fail(f"{server.args!r} did not say {pattern!r}")


def need(*programs: str) -> None:
    """Skip the test without these programs; in CI they must be there."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks {', '.join(missing)}")
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
