"""From an endpoint's name to an address that an endpoint may have."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
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
    private addresses, so those pass. Each look-up has a thread of its own: those of the loop are few, and a
    name server that does not answer would keep them from everybody else. The threads are daemons, because
    those of an executor are waited for when the process exits.

    Args:
        threads: the most look-ups at a time, also those for which nobody waits any more.
        any_address: whether every address is accepted.
        look_up: asks for a name's addresses; blocking, called in a thread.
    """

    def __init__(self, *, threads: int, any_address: bool, look_up: LookUp) -> None:
        self._free = asyncio.Semaphore(threads)
        self._any_address = any_address
        self._look_up = look_up

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve as the system does.

        Raises:
            AddressRefused: an address is one that no endpoint has.
        """
        await self._free.acquire()
        found: asyncio.Future[Sequence[Found]] = asyncio.get_running_loop().create_future()
        asked = (found, host, port, family)
        threading.Thread(target=self._run, args=asked, name="resolver", daemon=True).start()
        return [self._checked(host, port, each) for each in await found]

    def _run(
        self, found: asyncio.Future[Sequence[Found]], host: str, port: int, family: socket.AddressFamily
    ) -> None:
        """Look up in this thread, and hand the outcome to the loop, if it still runs."""
        outcome: Callable[[], None]
        try:
            outcome = partial(found.set_result, self._look_up(host, port, family))
        except Exception as error:
            outcome = partial(found.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed
            found.get_loop().call_soon_threadsafe(self._took, found, outcome)

    def _took(self, found: asyncio.Future[Sequence[Found]], outcome: Callable[[], None]) -> None:
        """Tell who waits for a look-up, if anybody still does, that it has ended."""
        self._free.release()
        if not found.done():
            outcome()

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
        """Leave the look-ups that are still under way to themselves."""
