"""httpx over aiohttp's connection pool.

httpx's own pool loses slots for good when requests are cancelled, which is what a gateway does all day
(encode/httpcore#1093), and is an order of magnitude slower under load. See docs/decisions/0004.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache

import aiohttp
import certifi
import httpx
from yarl import URL

from ecsgateway.ecs.resolver import LookUp, UpstreamResolver, addresses

_UNSENT_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@cache
def _usual_trust() -> ssl.SSLContext:
    """Trust the authorities that httpx does, whatever the environment says.

    Not ssl.create_default_context: that writes the connections' keys where SSLKEYLOGFILE says.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    return context


class NameUnknown(httpx.ConnectError):
    """The endpoint's name has no address: there is no such endpoint."""


class Untrusted(httpx.ConnectError):
    """The endpoint cannot prove that it is the endpoint. Asking again would not change that."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends what httpx built, byte for byte: no redirects, cookies, proxies, extra headers, decompression.

    Each request is sent once. aiohttp sends a POST never again by itself, so no nonce is used twice.

    Args:
        connections: the most connections at a time.
        any_address: whether names may resolve to any address; for endpoints that the operator named.
        trust: which certificates prove an endpoint; the usual authorities' if None.
        look_up: asks for a name's addresses; blocking.
    """

    def __init__(
        self,
        *,
        connections: int,
        any_address: bool,
        trust: ssl.SSLContext | None = None,
        look_up: LookUp = addresses,
    ) -> None:
        self._connections = connections
        self._any_address = any_address
        self._trust = trust or _usual_trust()
        self._look_up = look_up
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        """Open the session on first use: it belongs to the running loop."""
        if self._session is None:
            resolver = UpstreamResolver(
                threads=self._connections, any_address=self._any_address, look_up=self._look_up
            )
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections,
                    ttl_dns_cache=30,
                    keepalive_timeout=15,
                    resolver=resolver,
                    ssl=self._trust,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=_UNSENT_HEADERS,
                read_bufsize=2**16,
            )
        return self._session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and return the answer's head; its body streams.

        Raises:
            httpx.ConnectError: no connection: name, address, TLS; NameUnknown and Untrusted are kinds of it.
            httpx.TimeoutException: a phase of the exchange took longer than its timeout.
            httpx.RemoteProtocolError: what came is not HTTP.
            httpx.ReadError: the connection broke.
        """
        timeout = request.extensions["timeout"]
        with _errors_of_httpx():
            answer = await self._open().request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=request.content or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(connect=timeout["connect"], sock_read=timeout["read"]),
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


class _Body(httpx.AsyncByteStream):
    """An answer's body as it arrives. Closed early, it closes the connection."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for chunk in self._answer.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise httpx's exceptions for aiohttp's. Their texts may hold the URL: nobody may show them."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout("no connection in time") from error
    except (aiohttp.ServerTimeoutError, TimeoutError) as error:
        raise httpx.ReadTimeout("silence") from error
    except aiohttp.ClientConnectorDNSError as error:
        unknown = error.os_error.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
        raise (NameUnknown if unknown else httpx.ConnectError)("the name was not resolved") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise Untrusted("certificate") from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError("no connection") from error
    except aiohttp.ClientConnectionError as error:
        raise httpx.ReadError("the connection broke") from error
    except aiohttp.ClientPayloadError as error:
        raise httpx.ReadError("the body is not complete") from error
    except aiohttp.ClientError as error:
        raise httpx.RemoteProtocolError(type(error).__name__) from error
