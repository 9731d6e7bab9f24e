"""Every exception that is raised on purpose: whose fault, retryable or not, and the data of it.

GatewayError
├── CallerError       the request cannot be answered as it is; nothing was sent upstream
├── UpstreamRefused   ECS answered, and its answer is an error
├── NoAnswer          ECS gave no complete answer
├── MalformedAnswer   an answer came that is not one to the question
└── GatewayFault      the gateway cannot answer: its limits, credentials, deadline, shutdown
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ecsgateway.mapping import Reason, Row, row_for


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A field that breaks a rule: its path in the request, what it must be, the rule's name."""

    field: str
    description: str
    rule: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What ECS says of itself in an error answer. Cleaned: safe to log and to relay.

    Attributes:
        message: ECS's sentence; empty where it might tell the string to sign, a key or a token.
    """

    code: str
    http_status: int
    request_id: str = ""
    host_id: str = ""
    recommend: str = ""
    message: str = ""


class GatewayError(Exception):
    """A failure that has a status.

    Attributes:
        row: its line in the error model: status, whose fault, what to do.
        note: one harmless sentence of what exactly happened, for the log and for the caller.
        retry_after: seconds until it makes sense to try again, if that is known.
        upstream: what ECS said, if it answered.
        attempts: HTTP requests that were sent for this call.
        last: the failure of the attempt before the deadline ended the call.
        final: whether asking again cannot help, whatever the row says.
    """

    upstream: Refusal | None = None
    attempts: int = 0
    last: "GatewayError | None" = None
    final: bool = False

    def __init__(self, row: Row | Reason, note: str = "", *, retry_after: float | None = None) -> None:
        self.row = row_for(row) if isinstance(row, Reason) else row
        self.note = note
        self.retry_after = retry_after
        super().__init__(f"{self.row.reason}: {note or self.row.text}")

    @property
    def reason(self) -> Reason:
        """Why, as a program reads it."""
        return self.row.reason


class CallerError(GatewayError):
    """The request cannot be answered as it is; nothing was sent upstream."""

    def __init__(self, row: Row | Reason, note: str = "", *, violations: Sequence[Violation] = ()) -> None:
        self.violations = tuple(violations)
        super().__init__(row, note)


class UpstreamRefused(GatewayError):
    """ECS answered, and its answer is an error."""

    def __init__(self, row: Row, upstream: Refusal, *, retry_after: float | None = None) -> None:
        super().__init__(row, upstream.message if row.relay else "", retry_after=retry_after)
        self.upstream = upstream


class NoAnswer(GatewayError):
    """ECS gave no complete answer: unreachable, cut off, or too slow."""


class MalformedAnswer(GatewayError):
    """An answer came that is not one to the question."""

    def __init__(self, note: str, row: Row | Reason = Reason.UPSTREAM_MALFORMED_RESPONSE) -> None:
        super().__init__(row, note)


class GatewayFault(GatewayError):
    """The gateway cannot answer: its limits, credentials, deadline, shutdown."""
