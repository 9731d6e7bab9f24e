"""One signed call to ECS: a decoded answer, or the error that it is after the retries that it allows."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, Generic, Literal, TypeVar

import httpx

from ecsgateway.deadline import Deadline
from ecsgateway.ecs.credentials import Credentials, CredentialsMissing, CredentialSource
from ecsgateway.ecs.decoding import decode
from ecsgateway.ecs.exchange import exchange
from ecsgateway.ecs.limiter import FairLimiter
from ecsgateway.ecs.retry import MAX_ATTEMPTS, Backoff, RetryBudget
from ecsgateway.ecs.signing import Scheme, new_nonce, sign
from ecsgateway.errors import GatewayError, GatewayFault, Refusal
from ecsgateway.mapping import Reason, Retry

_HEADERS = {"accept-encoding": "identity", "user-agent": "ecsgateway"}
_LARGEST_OFFSET = timedelta(days=3650)
_SHORTEST_ATTEMPT = 0.01
"""Seconds; with less than this left, an attempt is not started."""


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[T]):
    """What an answer was read as, and the HTTP requests that it took."""

    content: T
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How requests are made.

    Attributes:
        attempt_timeout: seconds for one attempt, from the connection to the last byte.
        queue_timeout: seconds that an attempt may wait for its turn.
        any_endpoint: whether the operator named the endpoint, so that a bad name is not the region's fault.
    """

    scheme: Scheme = Scheme.ACS3_HMAC_SHA256
    response_format: Literal["json", "xml"] = "json"
    attempt_timeout: float = 10.0
    queue_timeout: float = 5.0
    any_endpoint: bool = False
    backoff: Backoff = field(default_factory=Backoff)


class EcsClient:
    """Calls operations of ECS. Every attempt is signed anew: the service refuses a nonce that it has seen.

    Args:
        http: sends requests: a transport and no client, which would add cookies, redirects and proxies;
            the caller closes it.
        credentials: where the keys come from.
        endpoint: returns the base URL for a region: scheme and host, without a path.
        limiter: bounds the concurrent requests.
        budget: bounds the retries of all calls together.
        now: the wall clock, for signatures.
    """

    def __init__(
        self,
        http: httpx.AsyncBaseTransport,
        *,
        credentials: CredentialSource,
        endpoint: Callable[[str], str],
        limiter: FairLimiter,
        policy: Policy,
        budget: RetryBudget | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._endpoint = endpoint
        self._limiter = limiter
        self._policy = policy
        self._budget = budget or RetryBudget()
        self._now = now
        self._sleep = sleep
        self._clock_offset = timedelta(0)
        longest = policy.attempt_timeout
        self._timeout = httpx.Timeout(longest, connect=min(5.0, longest / 2)).as_dict()

    async def call(
        self,
        action: str,
        version: str,
        parameters: Mapping[str, str],
        read: Callable[[dict[str, Any]], T],
        *,
        region_id: str,
        deadline: Deadline,
        flow: Hashable,
    ) -> Answer[T]:
        """Call an operation, within the deadline.

        Args:
            read: turns the answer's fields, in the vendor's names, into what the caller wants; raises
                MalformedAnswer if they are no answer to the question.
            flow: requests of one flow share its turns at the limiter.

        Raises:
            GatewayError: any of its kinds; its `attempts` tells how many requests were sent.
        """
        call = _Call(action=action, version=version, parameters=parameters, region_id=region_id, flow=flow)
        limit = asyncio.timeout(deadline.left())
        try:
            async with limit:
                return await self._with_retries(call, read, deadline)
        except TimeoutError:
            if not limit.expired():
                raise
            error = GatewayFault(Reason.DEADLINE_EXCEEDED)
            error.attempts, error.last = call.attempts, call.last
            raise error from call.last

    async def _with_retries(
        self, call: "_Call", read: Callable[[dict[str, Any]], T], deadline: Deadline
    ) -> Answer[T]:
        self._budget.earn()
        credentials = await self._keys(call, deadline)
        while credentials is not None:
            try:
                content = read(await self._attempt(call, credentials, deadline))
                return Answer(content=content, attempts=call.attempts)
            except GatewayError as error:
                error.attempts = call.attempts
                error.upstream = error.upstream or call.upstream
                if error.reason is Reason.DEADLINE_EXCEEDED:
                    error.last = call.last
                    raise
                call.last = error
                credentials = await self._prepare_retry(error, call, credentials, deadline)
                if credentials is None:
                    raise
        raise AssertionError("there were credentials")

    async def _prepare_retry(
        self, error: GatewayError, call: "_Call", credentials: Credentials, deadline: Deadline
    ) -> Credentials | None:
        """Do what the error needs before another attempt and return its credentials; None to give up."""
        if call.attempts >= MAX_ATTEMPTS:
            return None
        match error.row.retry:
            case Retry.CREDENTIALS if Retry.CREDENTIALS not in call.remedies:
                call.remedies.add(Retry.CREDENTIALS)
                return await self._keys(call, deadline, refused=credentials)
            case Retry.CLOCK if Retry.CLOCK not in call.remedies:
                call.remedies.add(Retry.CLOCK)
                self._correct_clock(call.upstream_clock)
                return credentials
        delay = self._policy.backoff.delay(error, call.attempts)
        if error.row.retry is Retry.ONCE:
            delay = None if Retry.ONCE in call.remedies else delay
            call.remedies.add(Retry.ONCE)
        if delay is None or delay + _SHORTEST_ATTEMPT >= deadline.left() or not self._budget.spend():
            if error.retry_after is None:
                error.retry_after = self._policy.backoff.advice()
            return None
        await self._sleep(delay)
        return credentials

    def _correct_clock(self, upstream: datetime | None) -> None:
        """Sign by the upstream's clock from now on, unless what it told cannot be its time."""
        offset = upstream - self._now() if upstream else timedelta(0)
        if abs(offset) <= _LARGEST_OFFSET:
            self._clock_offset = offset

    async def _keys(
        self, call: "_Call", deadline: Deadline, *, refused: Credentials | None = None
    ) -> Credentials | None:
        """Return the current credentials, or others than the refused ones; None if there are no others.

        Raises:
            GatewayFault: the chain has none at the moment.
        """
        for attempt in count(1):
            try:
                if refused is None:
                    return await self._credentials.get()
                return await self._credentials.replace(refused)
            except CredentialsMissing:
                fault = GatewayFault(Reason.GATEWAY_CREDENTIALS_REFRESHING, retry_after=5.0)
                fault.attempts, fault.upstream, fault.last = call.attempts, call.upstream, call.last
                delay = self._policy.backoff.delay(fault, attempt)
                if delay is None or delay >= deadline.left():
                    raise fault from None
            await self._sleep(delay)
        raise AssertionError("it ends above")

    async def _attempt(self, call: "_Call", credentials: Credentials, deadline: Deadline) -> dict[str, Any]:
        """Send one request and decode its answer."""
        async with self._limiter.slot(call.flow, patience=self._policy.queue_timeout):
            left = deadline.left()
            if left < _SHORTEST_ATTEMPT:
                raise GatewayFault(Reason.DEADLINE_EXCEEDED)
            request = self._signed(call, credentials)
            call.attempts += 1
            call.upstream = None
            status, headers, body = await exchange(
                self._http,
                request,
                seconds=min(self._policy.attempt_timeout, left + 1.0),
                any_endpoint=self._policy.any_endpoint,
            )
        call.upstream_clock = _date(headers.get("date", ""))
        call.upstream = Refusal(code="", http_status=status)
        try:
            return decode(
                status=status,
                headers=headers,
                body=body,
                operation=call.action,
                secrets=credentials.words(),
            )
        except GatewayError as error:
            if error.row.retry is Retry.WINDOW and error.retry_after is None:
                error.retry_after = self._policy.backoff.until_next_window(call.upstream_clock or self._now())
            raise

    def _signed(self, call: "_Call", credentials: Credentials) -> httpx.Request:
        base = self._endpoint(call.region_id)
        signed = sign(
            self._policy.scheme,
            action=call.action,
            version=call.version,
            parameters=call.parameters,
            host=base.partition("://")[2],
            credentials=credentials,
            response_format=self._policy.response_format,
            at=self._now() + self._clock_offset,
            nonce=new_nonce(),
        )
        return httpx.Request(
            "POST",
            f"{base}/?{signed.query}",
            headers={**_HEADERS, **signed.headers},
            extensions={"timeout": self._timeout},
        )


@dataclass(kw_only=True)
class _Call:
    """What one call asks, and what its attempts have shown so far."""

    action: str
    version: str
    parameters: Mapping[str, str]
    region_id: str
    flow: Hashable
    attempts: int = 0
    last: GatewayError | None = None
    remedies: set[Retry] = field(default_factory=set)
    upstream_clock: datetime | None = None
    upstream: Refusal | None = None


def _date(value: str) -> datetime | None:
    """Read the `Date` header; None if there is none or it is no date."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
