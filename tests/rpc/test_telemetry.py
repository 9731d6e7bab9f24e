"""The log: harmless whatever is in it, and never waited for."""

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from logging.handlers import QueueListener
from typing import TextIO

import pytest
import structlog

from ecsgateway.rpc.telemetry import LogFormat, logger, start_logging

Start = Callable[[LogFormat, TextIO], QueueListener]


@pytest.fixture
def start() -> Iterator[Start]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda form, stream: start_logging(form, "debug", stream)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "value", ["a\nlevel=INFO b", "\x1b[2J", "\u2028", "\u202egnp", "a\x00b", "tab\t", "\udc80"], ids=ascii
)
def test_g21_a_value_stays_in_its_line_and_moves_no_cursor(start: Start, form: LogFormat, value: str) -> None:
    stream = io.StringIO()
    listener = start(form, stream)
    logger().info("call", region_id=value)
    listener.stop()
    [line] = stream.getvalue().splitlines()
    assert line.isprintable()


def test_s8_nobody_waits_for_a_log_that_nobody_reads(start: Start) -> None:
    class Blocked(io.StringIO):
        release = threading.Event()

        def write(self, text: str) -> int:
            self.release.wait(10)
            return super().write(text)

    stream = Blocked()
    listener = start("json", stream)
    before = time.monotonic()
    for number in range(12_000):
        logger().info("call", number=number)
    took = time.monotonic() - before
    stream.release.set()
    listener.stop()
    assert took < 5
    assert 10_000 <= len(stream.getvalue().splitlines()) < 12_000  # those beyond the queue are dropped


def test_s8_the_end_does_not_wait_for_ever_for_a_log_that_nobody_reads(start: Start) -> None:
    release = threading.Event()

    class Blocked(io.StringIO):
        def write(self, text: str) -> int:
            release.wait(10)
            return super().write(text)

    listener = start("json", Blocked())
    logger().info("call")
    before = time.monotonic()
    listener.stop()
    assert time.monotonic() - before < 3
    release.set()
