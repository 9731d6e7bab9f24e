"""The service's two methods."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from ecsgateway.ecs.client import EcsClient
from ecsgateway.pagination import Bounds, Listing, Part
from ecsgateway.prefetch import Fetched
from ecsgateway.resume import position_of
from ecsgateway.rpc.call import Call
from ecsgateway.rpc.guard import Guard
from ecsgateway.translation import ACTION, VERSION, to_page, to_parameters
from ecsgateway.v1.error_details_pb2 import StreamInterruption
from ecsgateway.v1.image_share_permission_pb2 import (
    DescribeImageSharePermissionRequest,
    DescribeImageSharePermissionResponse,
    StreamImageSharePermissionRequest,
    StreamImageSharePermissionResponse,
)
from ecsgateway.v1.image_share_permission_pb2_grpc import ImageSharePermissionServiceServicer

STREAM_PAGE_SIZE = 100
"""The page size of a stream that asks for none: the fewest upstream calls."""


class ImageSharePermissionService(ImageSharePermissionServiceServicer):
    """Answers from ECS."""

    def __init__(self, *, ecs: EcsClient, guard: Guard, bounds: Bounds) -> None:
        self._ecs = ecs
        self._guard = guard
        self._bounds = bounds

    async def DescribeImageSharePermission(  # noqa: N802 - grpc's name
        self,
        request: DescribeImageSharePermissionRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> DescribeImageSharePermissionResponse:
        """Return one page."""
        return await self._guard.answer(request, context, self._describe)

    async def StreamImageSharePermission(  # type: ignore[override] # noqa: N802 - writes by itself, is no iterator
        self,
        request: StreamImageSharePermissionRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Send every page."""
        await self._guard.answer(request, context, self._stream)

    async def _describe(
        self, request: DescribeImageSharePermissionRequest, call: Call
    ) -> DescribeImageSharePermissionResponse:
        async with self._guard.waiting():
            fetched = await self._page(request, call)
        return DescribeImageSharePermissionResponse(page=fetched.page)

    async def _stream(self, request: StreamImageSharePermissionRequest, call: Call) -> None:
        """Send the parts of the listing. Until the first has come, nothing is sent."""

        async def fetch(number: int, size: int) -> Fetched:
            asked = DescribeImageSharePermissionRequest(
                region_id=request.region_id, image_id=request.image_id, page_number=number, page_size=size
            )
            return await self._page(asked, call)

        call.page, resume = 1, None
        if request.resume_token:
            resume = position_of(
                request.resume_token, request.region_id, request.image_id, verify=request.verify
            )
            call.page = resume.next_page
        listing = Listing(
            fetch,
            page_size=request.page_size or STREAM_PAGE_SIZE,
            deadline=call.deadline,
            verify=request.verify,
            resume=resume,
            bounds=self._bounds,
        )
        async with aclosing(listing.parts()) as parts:
            while (part := await self._next(parts)) is not None:
                token = part.position.token(request.region_id, request.image_id)
                # Before it is sent: a message that a write was begun for goes out before any status.
                call.page = part.page.page_number + 1
                call.interruption = StreamInterruption(
                    resume_token=token,
                    sent_pages=part.position.sent_pages,
                    sent_accounts=part.position.sent_accounts,
                )
                call.told |= {"pages": part.position.sent_pages, "accounts": part.position.sent_accounts}
                await call.send(
                    StreamImageSharePermissionResponse(
                        page=part.page, resume_token=token, summary=part.summary
                    )
                )

    async def _next(self, parts: AsyncGenerator[Part]) -> Part | None:
        """Wait for the next part; None after the last."""
        async with self._guard.waiting():
            return await anext(parts, None)

    async def _page(self, request: DescribeImageSharePermissionRequest, call: Call) -> Fetched:
        """Fetch one page from ECS."""
        answer = await self._ecs.call(
            ACTION,
            VERSION,
            to_parameters(request),
            lambda fields: to_page(fields, request),
            region_id=request.region_id,
            deadline=call.deadline,
            flow=call,
        )
        call.attempts += answer.attempts
        call.told["upstream_request_id"] = answer.content.request_id
        return Fetched(page=answer.content, attempts=answer.attempts)
