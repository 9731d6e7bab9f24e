"""The log: one line for each call, written away from the event loop. The only place that logs."""

import logging
import queue
import sys
import threading
from logging.handlers import QueueHandler, QueueListener
from typing import Literal, TextIO

import structlog

LogFormat = Literal["text", "json"]
Logger = structlog.typing.FilteringBoundLogger

_QUEUE = 10_000
_LAST_LINES = 1.0
"""Seconds that the end of the process waits for its last lines to be written."""


class _Dropping(QueueHandler):
    """Hands lines to the writer's thread; drops them when it does not keep up, so that nobody waits."""

    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


class _Leaving(QueueListener):
    """Writes the lines; at the end it waits a while for the reader of the log, and not for ever."""

    def __init__(self, lines: queue.Queue[logging.LogRecord | None], writer: logging.Handler) -> None:
        super().__init__(lines, writer)
        self._lines = lines

    def enqueue_sentinel(self) -> None:
        self._lines.put(None)  # the base class raises when there is no room

    def stop(self) -> None:
        stopping = threading.Thread(target=super().stop, daemon=True)
        stopping.start()
        stopping.join(_LAST_LINES)


def start_logging(form: LogFormat, level: str, stream: TextIO = sys.stderr) -> QueueListener:
    """Send the log to a stream, as text for people or as one JSON object a line. Stop the listener to flush.

    Libraries' loggers are kept to warnings: at INFO, HTTP clients log URLs, which hold signatures.
    """
    lines: queue.Queue[logging.LogRecord | None] = queue.Queue(_QUEUE)
    render: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if form == "json"
        else [_printable, structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0)]
    )
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    writer = logging.StreamHandler(stream)
    writer.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [_Dropping(lines)]
    root.setLevel(logging.WARNING)
    logging.getLogger("ecsgateway").setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    listener = _Leaving(lines, writer)
    listener.start()
    return listener


def _printable(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape what could forge a line or move a terminal's cursor; JSON escapes by itself."""
    return {
        key: value.encode("unicode_escape").decode()
        if isinstance(value, str) and not value.isprintable()
        else value
        for key, value in event.items()
    }


def logger() -> Logger:
    """Return the gateway's logger."""
    return structlog.get_logger("ecsgateway")  # type: ignore[no-any-return]
