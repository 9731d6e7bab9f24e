"""From an endpoint's name to an address that an endpoint may have."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

_METADATA_SERVICE = ipaddress.ip_address("100.100.100.200")

Found = tuple[socket.AddressFamily, int, int, str, tuple[Any, ...]]
LookUp = Callable[[str, int, socket.AddressFamily], Sequence[Found]]
"""Returns the addresses of a name as socket.getaddrinfo does, and raises what it raises."""


def addresses(host: str, port: int, family: socket.AddressFamily) -> Sequence[Found]:
    """Ask the system for a name's addresses."""
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


class AddressRefused(OSError):
    """The endpoint's name resolves to an address that no ECS endpoint has."""


class UpstreamResolver(AbstractResolver):
    """Resolves endpoint names, and refuses addresses of this machine, its link and its metadata service.

    A name that an attacker controls could otherwise have signed requests sent there. A VPC's endpoints have
    private addresses, so those pass. The look-ups have threads of their own: those of the loop are few, and a
    name server that does not answer would keep them from everybody else.
    """

    def __init__(self, *, threads: int, any_address: bool, look_up: LookUp) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolver")
        self._any_address = any_address
        self._look_up = look_up

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve as the system does.

        Raises:
            AddressRefused: an address is one that no endpoint has.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._look_up, host, port, family)
        return [self._checked(host, port, each) for each in found]

    def _checked(self, host: str, port: int, found: Found) -> ResolveResult:
        family, _, protocol, _, where = found
        address = ipaddress.ip_address(where[0])
        inner = address.is_loopback or address.is_link_local or address.is_unspecified
        if not self._any_address and (inner or address == _METADATA_SERVICE):
            raise AddressRefused("the endpoint's name resolves to an address that no endpoint has")
        return ResolveResult(
            hostname=host,
            host=str(address),
            port=port,
            family=family,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )

    async def close(self) -> None:
        """Wait for no look-up that is still under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)
