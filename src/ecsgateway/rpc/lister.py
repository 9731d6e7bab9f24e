"""The command `list`: a small client for people. It shows how any client resumes and reads error details."""

import asyncio
import sys
from importlib.resources import files
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar, cast

import grpc
import orjson
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ecsgateway.config import BadSetting
from ecsgateway.v1.error_details_pb2 import StreamInterruption, UpstreamError
from ecsgateway.v1.image_share_permission_pb2 import (
    Account,
    Consistency,
    StreamImageSharePermissionRequest,
    StreamImageSharePermissionResponse,
)
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub

D = TypeVar("D", bound=Message)

_RESUMPTIONS = 5
_DELAY = 1.0  # seconds; where no status tells, because the gateway is gone
_SERVICE_CONFIG = files("ecsgateway.clients") / "service_config.json"


async def list_accounts(
    *,
    target: str,
    region_id: str,
    image_id: str,
    page_size: int = 0,
    verify: bool = False,
    timeout: float = 60.0,  # noqa: ASYNC109 - the RPC's deadline
    as_json: bool = False,
    ca: Path | None = None,
) -> int:
    """Print the groups and accounts as their pages arrive; return the exit code.

    A stream that breaks is resumed where it broke, if that may help, within the one deadline.
    """
    deadline = monotonic() + timeout
    request = StreamImageSharePermissionRequest(
        region_id=region_id, image_id=image_id, page_size=page_size, verify=verify
    )
    show = _Json() if as_json else _Table()
    pages = resumptions = 0
    async with _channel(target, ca) as channel:
        stream = ImageSharePermissionServiceStub(channel).StreamImageSharePermission
        while True:
            try:
                with show:
                    async for message in stream(request, timeout=deadline - monotonic()):
                        show.message(message)
                        request.resume_token = message.resume_token
                        pages += 1
                return 0
            except grpc.aio.AioRpcError as error:
                status = rpc_status.from_call(cast("grpc.Call", error))  # it has what a call has
                delay = _delay(error.code(), status) if request.resume_token else None
                if delay is None or resumptions == _RESUMPTIONS or monotonic() + delay >= deadline:
                    sys.stderr.write(_in_words(error, status))
                    return 1
                if interruption := _detail(status, StreamInterruption()):
                    request.resume_token = interruption.resume_token
                sys.stderr.write(f"resuming after {pages} pages, in {delay:.1f} s: {error.details()}\n")
            resumptions += 1
            await asyncio.sleep(delay)


def _delay(code: grpc.StatusCode, status: status_pb2.Status | None) -> float | None:
    """Return the seconds after which resuming may help; None if it does not."""
    if retry := _detail(status, error_details_pb2.RetryInfo()):
        return float(retry.retry_delay.ToTimedelta().total_seconds())
    info = _detail(status, error_details_pb2.ErrorInfo())
    if info and info.reason == "STREAM_LIMIT_REACHED":
        return 0.0
    return _DELAY if code is grpc.StatusCode.UNAVAILABLE and status is None else None


def _channel(target: str, ca: Path | None) -> grpc.aio.Channel:
    options = (("grpc.service_config", _SERVICE_CONFIG.read_text()),)
    if ca is None:
        return grpc.aio.insecure_channel(target, options=options)
    try:
        credentials = grpc.ssl_channel_credentials(ca.read_bytes())
    except OSError as error:
        raise BadSetting(f"cannot read {ca}: {error.strerror}") from None
    return grpc.aio.secure_channel(target, credentials, options=options)


class _Json:
    """One JSON object a line: groups, accounts, and the summary at the end."""

    def __enter__(self) -> "_Json":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def message(self, message: StreamImageSharePermissionResponse) -> None:
        for group in message.page.share_groups:
            self._write({"group": group.group})
        for account in message.page.accounts:
            self._write({"aliyun_id": account.aliyun_id, "shared_time": _time(account) or None})
        if message.HasField("summary"):
            summary = message.summary
            self._write(
                {
                    "page_count": summary.page_count,
                    "account_count": summary.account_count,
                    "duplicate_count": summary.duplicate_count,
                    "consistency": Consistency.Name(summary.consistency).removeprefix("CONSISTENCY_"),
                }
            )
        sys.stdout.flush()

    def _write(self, line: dict[str, Any]) -> None:
        sys.stdout.write(orjson.dumps(line).decode() + "\n")


class _Table:
    """A line for each group and account, a progress bar on a terminal, and what the summary says."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._progress = Progress(
            TextColumn("page {task.fields[page]}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", page=0, total=None)

    def __enter__(self) -> "_Table":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def message(self, message: StreamImageSharePermissionResponse) -> None:
        page = message.page
        for group in page.share_groups:
            self._line(page.page_number, f"group {group.group}", "")
        for account in page.accounts:
            self._line(page.page_number, account.aliyun_id, _time(account))
        self._progress.update(
            self._task, page=page.page_number, total=page.total_count, advance=len(page.accounts)
        )
        if message.HasField("summary"):
            summary = message.summary
            consistency = Consistency.Name(summary.consistency).removeprefix("CONSISTENCY_")
            words = consistency.lower().replace("_", " ")
            self._console.print(f"accounts: {summary.account_count}, pages: {summary.page_count}, {words}")

    def _line(self, page: int, who: str, when: str) -> None:
        self._console.print(f"page {page:<4}  {who:<20}  {when}".rstrip(), markup=False, soft_wrap=True)


def _time(account: Account) -> str:
    return account.shared_time.ToJsonString() if account.HasField("shared_time") else ""


def _detail(status: status_pb2.Status | None, kind: D) -> D | None:
    """Return the detail of a kind, filled in, if the status has one."""
    for detail in status.details if status else ():
        if detail.Unpack(kind):
            return kind
    return None


def _in_words(error: grpc.aio.AioRpcError, status: status_pb2.Status | None) -> str:
    """Tell people what a program reads from the details."""
    info = _detail(status, error_details_pb2.ErrorInfo())
    reason = f" {info.reason}" if info else ""
    lines = [f"error: {error.code().name}{reason}: {error.details()}"]
    if info and info.reason == "LISTING_CHANGED":
        lines.append("  what is listed above is void: start again")
    if bad := _detail(status, error_details_pb2.BadRequest()):
        lines += [f"  {each.field or 'request'}: {each.description}" for each in bad.field_violations]
    if retry := _detail(status, error_details_pb2.RetryInfo()):
        lines.append(f"  try again in {retry.retry_delay.ToTimedelta().total_seconds():.0f} s")
    if upstream := _detail(status, UpstreamError()):
        lines.append(f"  ECS answered HTTP {upstream.http_status} {upstream.code}".rstrip())
    if request := _detail(status, error_details_pb2.RequestInfo()):
        lines.append(f"  request {request.request_id or '-'}, at ECS {request.serving_data or '-'}")
    if link := _detail(status, error_details_pb2.Help()):
        lines += [f"  {each.description}: {each.url}" for each in link.links]
    return "\n".join(lines) + "\n"
