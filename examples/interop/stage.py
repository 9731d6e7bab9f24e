"""A gateway and the fake ECS behind it, as two processes of their own."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "build" / "interop" / "bin"
COMMANDS = Path(sys.executable).parent
PATIENCE = 20.0
"""Seconds that anything but a build may take."""


class Stage:
    """A gateway that can be killed, and the fake behind it with its control API."""

    def __init__(self, fake: "Server", logs: Path) -> None:
        upstream = fake.said(r"listens on (http://\S+)")
        self._control = fake.said(r"control API on (http://\S+)")
        self.serve = [f"{COMMANDS}/ecsgateway", "serve", "--endpoint", upstream, "--listen"]
        self._logs = (logs / f"ecsgateway-{number}.log" for number in itertools.count(1))
        self.target = "127.0.0.1:0"
        self.start_gateway()

    def start_gateway(self) -> None:
        """Start it at the address that it had before."""
        self.gateway = Server([*self.serve, self.target], next(self._logs))
        self.target = self.gateway.said(r"serving.*address=(\S+)")

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
        request = urllib.request.Request(self._control + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)


class Server:
    """A server in a process of its own, and what it says."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ECSGATEWAY_")
        }
        environment |= {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "testid",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "testsecret",
            "NO_COLOR": "1",
        }
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment
            )

    def said(self, pattern: str) -> str:
        """Wait for a line that matches; give its group."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            text = self._log.read_text()
            if found := re.search(pattern, text):
                return found[1]
            if self._process.poll() is not None:
                pytest.fail(f"{self._process.args!r} ended:\n{text}")
            time.sleep(0.02)
        self.kill()
        pytest.fail(f"{self._process.args!r} did not say {pattern!r}")

    def kill(self) -> None:
        """End it without any notice."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running_stage(logs: Path) -> Iterator[Stage]:
    """Start both, on free ports of the loopback; end them at the end."""
    command = [f"{COMMANDS}/fakeecs", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
    fake = Server(command, logs / "fakeecs.log")
    with ExitStack() as running:
        running.callback(fake.kill)
        stage = Stage(fake, logs)
        running.callback(lambda: stage.gateway.kill())
        yield stage


def need(*programs: str) -> None:
    """Skip the test without these programs; in CI they must be there."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks {', '.join(missing)}")
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
