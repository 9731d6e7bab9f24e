"""Prints the accounts that an ECS image is shared with, page by page, through ecsgateway."""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from ecsgateway.v1.error_details_pb2 import StreamInterruption
from ecsgateway.v1.image_share_permission_pb2 import (
    Consistency,
    ImageSharePermissionPage,
    StreamImageSharePermissionRequest,
    StreamSummary,
)
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceStub

SERVICE_CONFIG = Path(__file__).with_name("service_config.json").read_text()
MAX_RESUMPTIONS = 5
DEFAULT_DELAY = 1.0
Detail = TypeVar("Detail", bound=Message)


class Failure:
    """What a status and its details say; a status that the client made itself has no details."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        status = rpc_status.from_call(error) or Status()
        info = find(status, ErrorInfo)
        retry = find(status, RetryInfo)
        bad_request = find(status, BadRequest)
        interruption = find(status, StreamInterruption)
        self.code = error.code()
        self.message = error.details() or ""
        self.reason = info.reason if info else "-"
        violations = bad_request.field_violations if bad_request else ()
        self.fields = [f"{each.field}: {each.description}" for each in violations]
        self.retry_after = retry.retry_delay.ToTimedelta().total_seconds() if retry else None
        self.resume_token = interruption.resume_token if interruption else ""

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later."""
        unavailable = self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
        return unavailable or self.retry_after is not None

    def __str__(self) -> str:
        """One line: what scripts read first, then what people read."""
        parts = [self.message, *self.fields]
        if self.retry_after is not None:
            parts.append(f"retry in {self.retry_after * 1000:.0f} ms")
        return f"{self.code.name} {self.reason} {'; '.join(parts)}"


def find(status: Status, kind: type[Detail]) -> Detail | None:
    """Return the first detail of a kind."""
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            return message
    return None


async def list_shares(stub: ImageSharePermissionServiceStub, options: argparse.Namespace) -> StreamSummary:
    """Print the whole list; resume it where it breaks, within the deadline.

    Raises:
        grpc.aio.AioRpcError: it cannot be read.
    """
    deadline = time.monotonic() + options.timeout
    request = StreamImageSharePermissionRequest(
        region_id=options.region, image_id=options.image, page_size=options.page_size
    )
    resumptions = 0
    while True:
        summary = None
        try:
            async for answer in stub.StreamImageSharePermission(request, timeout=deadline - time.monotonic()):
                show(answer.page)
                request.resume_token = answer.resume_token
                summary = answer.summary if answer.HasField("summary") else None
            return summary or sys.exit("error DATA_LOSS - the stream ended without its summary")
        except grpc.aio.AioRpcError as error:
            failure = Failure(error)
            delay = DEFAULT_DELAY if failure.retry_after is None else failure.retry_after
            if resumptions == MAX_RESUMPTIONS or time.monotonic() + delay >= deadline:
                raise
            if failure.reason == "LISTING_CHANGED":
                print("restart LISTING_CHANGED: the lines above are void", flush=True)
                request.resume_token = ""
            elif request.resume_token and failure.passing:
                print(f"resume {failure}", file=sys.stderr)
                request.resume_token = failure.resume_token or request.resume_token
            else:
                raise
        resumptions += 1
        await asyncio.sleep(delay)


def show(page: ImageSharePermissionPage) -> None:
    """Print a page as soon as it is there."""
    for group in page.share_groups:
        print("group", group.group)
    for account in page.accounts:
        shared = account.shared_time.ToJsonString() if account.HasField("shared_time") else "-"
        print("account", account.aliyun_id, shared)
    sys.stdout.flush()


async def run(options: argparse.Namespace) -> None:
    """Connect, list, and say how sure the list is."""
    channel_options = [("grpc.service_config", SERVICE_CONFIG)]
    async with grpc.aio.insecure_channel(options.target, options=channel_options) as channel:
        summary = await list_shares(ImageSharePermissionServiceStub(channel), options)
    print(
        f"summary pages={summary.page_count} accounts={summary.account_count}"
        f" duplicates={summary.duplicate_count} consistency={Consistency.Name(summary.consistency)}"
    )


def main() -> int:
    """Run the command; gives its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, metavar="HOST:PORT")
    parser.add_argument("--region", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for the whole list")
    parser.add_argument("--page-size", type=int, default=0, metavar="N", help="accounts per upstream call")
    try:
        asyncio.run(run(parser.parse_args()))
    except grpc.aio.AioRpcError as error:
        print("error", Failure(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # asyncio has cancelled the call
        print("error CANCELLED - interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
