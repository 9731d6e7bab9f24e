"""The resume token: where a stream was, in a form that any replica can read and nobody needs to store."""

import base64
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from ecsgateway.errors import CallerError, Violation
from ecsgateway.mapping import Reason

_VERSION = 1
_VERIFY, _CHANGED = 1, 2
_FIELDS = struct.Struct(">BBBIIII8s")
_CHECK_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Position:
    """What was delivered before a resumption.

    Attributes:
        page_size: the size of the upstream's pages.
        next_page: the first page that was not delivered.
        total: the number of accounts that the upstream counted.
        sent_pages: messages sent.
        sent_accounts: accounts sent.
        witness: the fingerprint of the last page that was delivered, or of the whole list if it was verified.
        verify: whether the list was verified before it was sent.
        changed: whether the list changed meanwhile, so that what was delivered is not a beginning of it.
    """

    page_size: int
    next_page: int
    total: int
    sent_pages: int
    sent_accounts: int
    witness: bytes
    verify: bool = False
    changed: bool = False

    def token(self, region_id: str, image_id: str) -> str:
        """Return the token of this position in the list of an image: URL-safe text of 48 characters."""
        flags = _VERIFY * self.verify | _CHANGED * self.changed
        fields = _FIELDS.pack(
            _VERSION,
            flags,
            self.page_size,
            self.next_page,
            self.total,
            self.sent_pages,
            self.sent_accounts,
            self.witness,
        )
        return base64.urlsafe_b64encode(fields + _check(fields, region_id, image_id)).decode().rstrip("=")


def position_of(token: str, region_id: str, image_id: str, *, verify: bool) -> Position:
    """Read a token.

    Raises:
        CallerError: it is none of ours, or one of another region, image or mode.
    """
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        data = b""
    fields, check = data[: _FIELDS.size], data[_FIELDS.size :]
    if len(check) != _CHECK_BYTES or check != _check(fields, region_id, image_id):
        raise _refused("is not one of this image and region")
    version, flags, page_size, next_page, total, sent_pages, sent_accounts, witness = _FIELDS.unpack(fields)
    if version != _VERSION or not 1 <= page_size <= 100 or next_page < 2:
        raise _refused("is of another version of the gateway")
    if bool(flags & _VERIFY) is not verify:
        raise _refused("was issued for another value of verify")
    return Position(
        page_size=page_size,
        next_page=next_page,
        total=total,
        sent_pages=sent_pages,
        sent_accounts=sent_accounts,
        witness=witness,
        verify=verify,
        changed=bool(flags & _CHANGED),
    )


def fingerprint(ids: Iterable[str]) -> bytes:
    """Return eight bytes that differ when the ids or their order do."""
    return hashlib.sha256("\n".join(ids).encode()).digest()[:8]


def _check(fields: bytes, region_id: str, image_id: str) -> bytes:
    """Bind the fields to the image. Not a secret: a forged token harms only the stream that it resumes."""
    return hashlib.sha256(b"\0".join((fields, region_id.encode(), image_id.encode()))).digest()[:_CHECK_BYTES]


def _refused(why: str) -> CallerError:
    violation = Violation(field="resume_token", description=why, rule="RESUME_TOKEN")
    return CallerError(Reason.INVALID_RESUME_TOKEN, f"resume_token {why}", violations=[violation])
