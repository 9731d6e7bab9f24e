"""The resume token: where a stream was, in a form that any replica can read and nobody needs to store."""

import base64
import hashlib
import struct
from dataclasses import dataclass

from ecsgateway.errors import CallerError, Violation
from ecsgateway.mapping import Reason

_VERSION = 1
_VERIFY, _CHANGED = 1, 2
_FIELDS = struct.Struct(">BBBiii8s")
_CHECK_BYTES = 10  # makes the whole a multiple of three, which base64 writes without padding
_MOST = 2**30
"""No number in a token is as large: what is added to it still fits the messages' fields."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """What was delivered before a resumption.

    Attributes:
        page_size: the size of the upstream's pages.
        next_page: the first page that was not delivered.
        sent_pages: messages sent.
        sent_accounts: accounts sent.
        witness: the fingerprint of the last page that was delivered, or of the whole list if it was verified.
        verify: whether the list was verified before it was sent.
        changed: whether the list changed meanwhile, so that what was delivered is not a beginning of it.
    """

    page_size: int
    next_page: int
    sent_pages: int
    sent_accounts: int
    witness: bytes
    verify: bool = False
    changed: bool = False

    def token(self, region_id: str, image_id: str) -> str:
        """Return the token of this position in the list of an image: 44 characters, URL-safe."""
        flags = _VERIFY * self.verify | _CHANGED * self.changed
        fields = _FIELDS.pack(
            _VERSION,
            flags,
            self.page_size,
            self.next_page,
            self.sent_pages,
            self.sent_accounts,
            self.witness,
        )
        return base64.urlsafe_b64encode(fields + _check(fields, region_id, image_id)).decode()


def position_of(token: str, region_id: str, image_id: str, *, verify: bool) -> Position:
    """Read a token.

    Raises:
        CallerError: it is none of ours, or one of another region, image or mode.
    """
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
    except ValueError:
        data = b""
    fields, check = data[: _FIELDS.size], data[_FIELDS.size :]
    only_form = base64.urlsafe_b64encode(data).decode() == token
    if (
        not only_form
        or len(data) != _FIELDS.size + _CHECK_BYTES
        or check != _check(fields, region_id, image_id)
    ):
        raise _refused("is not one of this image and region")
    version, flags, page_size, next_page, sent_pages, sent_accounts, witness = _FIELDS.unpack(fields)
    counted = 1 <= page_size <= 100 and 2 <= next_page < _MOST
    if version != _VERSION or not counted or not (0 <= sent_pages < _MOST and 0 <= sent_accounts < _MOST):
        raise _refused("is of another version of the gateway")
    if bool(flags & _VERIFY) is not verify:
        raise _refused("was issued for another value of verify")
    return Position(
        page_size=page_size,
        next_page=next_page,
        sent_pages=sent_pages,
        sent_accounts=sent_accounts,
        witness=witness,
        verify=verify,
        changed=bool(flags & _CHANGED),
    )


def _check(fields: bytes, region_id: str, image_id: str) -> bytes:
    """Bind the fields to the image. Not a secret: a forged token harms only the stream that it resumes."""
    return hashlib.sha256(b"\0".join((fields, region_id.encode(), image_id.encode()))).digest()[:_CHECK_BYTES]


def _refused(why: str) -> CallerError:
    violation = Violation(field="resume_token", description=why, rule="RESUME_TOKEN")
    return CallerError(Reason.INVALID_RESUME_TOKEN, f"resume_token {why}", violations=[violation])
