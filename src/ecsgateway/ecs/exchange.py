"""One HTTP request and its whole answer, within a time and a size; or the error that there is none."""

import asyncio
from collections.abc import Mapping

import httpx

from ecsgateway.ecs.decoding import MAX_BODY
from ecsgateway.ecs.transport import NameUnknown, Untrusted
from ecsgateway.errors import CallerError, MalformedAnswer, NoAnswer, Refusal
from ecsgateway.mapping import Reason

Reply = tuple[int, Mapping[str, str], bytes]
"""The status, the headers and the body."""


async def exchange(
    http: httpx.AsyncBaseTransport, request: httpx.Request, *, seconds: float, any_endpoint: bool
) -> Reply:
    """Send a request and read the whole answer.

    Args:
        seconds: for all of it, from the connection to the last byte.
        any_endpoint: whether the operator named the endpoint, so that a bad name is not the region's fault.

    Raises:
        NoAnswer: no complete answer came.
        MalformedAnswer: what came is not HTTP, or larger than any true answer.
        CallerError: there is no such region.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _read(http, request)
    except httpx.ConnectTimeout as error:
        raise NoAnswer(Reason.UPSTREAM_UNREACHABLE, str(error)) from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise NoAnswer(Reason.UPSTREAM_TIMEOUT) from error
    except NameUnknown as error:
        if not any_endpoint:
            raise CallerError(Reason.REGION_NOT_FOUND, "its endpoint has no address") from error
        raise NoAnswer(Reason.UPSTREAM_UNREACHABLE, "the endpoint has no address") from error
    except Untrusted as error:
        untrusted = NoAnswer(Reason.UPSTREAM_UNREACHABLE, "the endpoint's certificate is not trusted")
        untrusted.final = True
        raise untrusted from error
    except httpx.RemoteProtocolError as error:
        raise MalformedAnswer("what came is not HTTP") from error
    except httpx.TransportError as error:
        raise NoAnswer(Reason.UPSTREAM_UNREACHABLE, str(error)) from error


async def _read(http: httpx.AsyncBaseTransport, request: httpx.Request) -> Reply:
    response = await http.handle_async_request(request)
    try:
        body = bytearray()
        announced = response.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > MAX_BODY:
            raise _too_large(response)
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BODY:
                raise _too_large(response)
        return response.status_code, response.headers, bytes(body)
    finally:
        await response.aclose()


def _too_large(response: httpx.Response) -> MalformedAnswer:
    error = MalformedAnswer(f"more than {MAX_BODY} bytes", Reason.UPSTREAM_RESPONSE_TOO_LARGE)
    error.upstream = Refusal(code="", http_status=response.status_code)
    return error
