"""Credentials from Alibaba's default chain, kept fresh away from the event loop."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

REFRESH_AFTER = 60.0
"""Seconds after which a snapshot is read anew, in the background."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """An access key, with its STS token if it is a temporary one. Secrets stay out of its repr."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)

    def words(self) -> tuple[str, ...]:
        """Return what must not appear in anything that others see."""
        return tuple(filter(None, (self.access_key_id, self.access_key_secret, self.security_token)))


class CredentialsMissing(Exception):
    """No provider of the chain has credentials. Its text is for the operator, and holds no secret."""


class CredentialSource:
    """Hands out one snapshot of id, secret and token; reads it anew in a thread of its own.

    However many calls wait for a new snapshot, one read is under way, and a caller that leaves does not
    stop it.

    Args:
        load: returns a snapshot; blocking, called in a thread. Raises CredentialsMissing.
        refresh_after: seconds until a snapshot is read anew while it is still handed out.
    """

    def __init__(
        self,
        load: Callable[[], Credentials],
        *,
        refresh_after: float = REFRESH_AFTER,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._load = load
        self._refresh_after = refresh_after
        self._clock = clock
        self._current: Credentials | None = None
        self._read_at = 0.0
        self._reading: asyncio.Future[Credentials] | None = None

    async def get(self) -> Credentials:
        """Return the snapshot, at once if there is one.

        Raises:
            CredentialsMissing: there has never been one, and the chain has none.
        """
        if self._current is None:
            return await asyncio.shield(self._read())
        if self._clock() - self._read_at >= self._refresh_after:
            self._read()
        return self._current

    async def replace(self, refused: Credentials) -> Credentials | None:
        """Return another snapshot than the one that ECS refused; None if the chain still has the same.

        Raises:
            CredentialsMissing: the chain has none at the moment.
        """
        if self._current is not None and self._current != refused:
            return self._current
        fresh = await asyncio.shield(self._read())
        return fresh if fresh != refused else None

    def _read(self) -> asyncio.Future[Credentials]:
        """Start reading a snapshot, or join the reading that is under way."""
        if self._reading is None:
            loop = asyncio.get_running_loop()
            self._reading = reading = loop.create_future()
            reading.add_done_callback(self._took)
            threading.Thread(target=self._run, args=(loop, reading), name="credentials", daemon=True).start()
        return self._reading

    def _run(self, loop: asyncio.AbstractEventLoop, reading: asyncio.Future[Credentials]) -> None:
        """Load in this thread, and hand the outcome to the loop, if it still runs."""
        outcome: Callable[[], None]
        try:
            outcome = partial(reading.set_result, self._load())
        except Exception as error:
            outcome = partial(reading.set_exception, _as_missing(error))
        if not loop.is_closed():
            loop.call_soon_threadsafe(outcome)

    def _took(self, reading: asyncio.Future[Credentials]) -> None:
        """Keep a new snapshot; after a failure the old one serves on until the next interval."""
        self._reading = None
        self._read_at = self._clock()
        if not reading.cancelled() and reading.exception() is None:
            self._current = reading.result()


def _as_missing(error: Exception) -> CredentialsMissing:
    return error if isinstance(error, CredentialsMissing) else CredentialsMissing(type(error).__name__)


class _Provider(Protocol):
    def get_credentials(self) -> Any: ...


class DefaultChain:
    """Alibaba's default chain: environment, OIDC, CLI profile, credentials file, ECS RAM role, URI.

    The chain is the vendor library's, provider by provider and in its order, but without the scheduler
    thread that its own assembly starts, and made anew when a file of it changes: it would not notice.

    Args:
        files: the files whose change means new credentials.

    Source: alibabacloud_credentials 1.0.12, provider/default.py.
    """

    def __init__(self, *, files: tuple[Path, ...] = ()) -> None:
        self._files = files
        self._seen: tuple[tuple[int, int] | None, ...] | None = None
        self._providers: list[_Provider] = []
        self._used: _Provider | None = None

    def patience(self) -> float:
        """Return how many seconds the first answer may take.

        Only a provider that is configured may be slow; without one, the link-local metadata service is left.
        """
        from alibabacloud_credentials.utils import auth_util

        configured = auth_util.enable_oidc_credential or auth_util.environment_credentials_uri
        return 20.0 if configured or any(_version(file) for file in self._files) else 0.7

    def __call__(self) -> Credentials:
        """Return the credentials of the first provider that has some, and keep to it from then on.

        Raises:
            CredentialsMissing: no provider has any.
        """
        seen = tuple(_version(file) for file in self._files)
        if seen != self._seen:
            self._seen, self._used, self._providers = seen, None, _providers()
        failures = []
        for provider in [self._used] if self._used else self._providers:
            try:
                found = provider.get_credentials()
            except Exception as error:  # each provider raises what its transport raises
                failures.append(f"{_name(provider)}: {_harmless(error)}")
                continue
            self._used = provider
            return Credentials(
                access_key_id=found.get_access_key_id(),
                access_key_secret=found.get_access_key_secret(),
                security_token=found.get_security_token() or None,
            )
        self._used = None
        raise CredentialsMissing("; ".join(failures)[:2000])


def _providers() -> list[_Provider]:
    """Make the providers. Imported here because the library reads the environment at import."""
    from alibabacloud_credentials import provider as chain
    from alibabacloud_credentials.utils import auth_util

    quiet = logging.getLogger("credentials")  # the library gives it a handler of its own
    quiet.handlers.clear()
    quiet.setLevel(logging.CRITICAL)
    providers: list[_Provider] = [chain.EnvironmentVariableCredentialsProvider()]
    if auth_util.enable_oidc_credential:
        providers.append(chain.OIDCRoleArnCredentialsProvider())
    providers += [chain.CLIProfileCredentialsProvider(), chain.ProfileCredentialsProvider()]
    if auth_util.environment_ecs_metadata_disabled.lower() != "true":
        providers.append(chain.EcsRamRoleCredentialsProvider(async_update_enabled=False))
    if auth_util.environment_credentials_uri:
        providers.append(chain.URLCredentialsProvider())
    return providers


def _name(provider: _Provider) -> str:
    return type(provider).__name__.removesuffix("CredentialsProvider")


def _harmless(error: Exception) -> str:
    """Return what may be shown of an error, on one line: other errors than the library's quote files."""
    from alibabacloud_credentials.exceptions import CredentialException

    if not isinstance(error, CredentialException):
        return type(error).__name__
    return " ".join(
        str(error).partition(" result")[0].replace("$", "").split()
    )  # what follows is a body, and may hold keys


def _version(file: Path) -> tuple[int, int] | None:
    """Return what changes when the file does: its inode and time of change; None without the file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
