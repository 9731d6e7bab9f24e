"""Resume tokens: what they hold, what they are bound to, and what is refused."""

import base64
import hashlib
import string
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsgateway.errors import CallerError
from ecsgateway.mapping import Reason
from ecsgateway.resume import Position, position_of

REGION, IMAGE = "cn-hangzhou", "m-1"
URL_SAFE = string.ascii_letters + string.digits + "-_"

POSITION = Position(
    page_size=50, next_page=8, sent_pages=7, sent_accounts=350, witness=bytes(range(8)), verify=False
)
TOKEN = POSITION.token(REGION, IMAGE)

positions = st.builds(
    Position,
    page_size=st.integers(1, 100),
    next_page=st.integers(2, 2**30 - 1),
    sent_pages=st.integers(0, 2**30 - 1),
    sent_accounts=st.integers(0, 2**30 - 1),
    witness=st.binary(min_size=8, max_size=8),
    verify=st.booleans(),
    changed=st.booleans(),
)


def reason_of(token: str, *, region: str = REGION, image: str = IMAGE, verify: bool = False) -> Reason:
    """The reason why a token is refused; the violation names its field."""
    with pytest.raises(CallerError) as raised:
        position_of(token, region, image, verify=verify)
    assert [violation.field for violation in raised.value.violations] == ["resume_token"]
    return raised.value.reason


@given(positions)
def test_a_token_gives_back_the_position_that_it_was_made_of(position: Position) -> None:
    token = position.token(REGION, IMAGE)

    assert position_of(token, REGION, IMAGE, verify=position.verify) == position
    assert set(token) <= set(URL_SAFE)
    assert len(token) == 44


@pytest.mark.parametrize(
    ("region", "image", "verify"),
    [
        pytest.param("cn-qingdao", IMAGE, False, id="another region"),
        pytest.param(REGION, "m-2", False, id="another image"),
        pytest.param(REGION, IMAGE, True, id="another mode"),
        pytest.param("cn-hangzho", "um-1", False, id="the same letters, cut elsewhere"),
    ],
)
def test_a_token_is_bound_to_what_it_was_issued_for(region: str, image: str, verify: bool) -> None:
    assert reason_of(TOKEN, region=region, image=image, verify=verify) is Reason.INVALID_RESUME_TOKEN


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_a_token_with_one_other_character_is_refused(place: int) -> None:
    for other in set(URL_SAFE) - {TOKEN[place]}:
        flipped = TOKEN[:place] + other + TOKEN[place + 1 :]
        assert reason_of(flipped) is Reason.INVALID_RESUME_TOKEN


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("x", id="too short"),
        pytest.param(TOKEN[:-1], id="cut"),
        pytest.param(TOKEN[:-4], id="cut by three bytes"),
        pytest.param(TOKEN + "AAAA", id="longer"),
        pytest.param(TOKEN + "====", id="padded"),
        pytest.param("A" * 44, id="zeros"),
        pytest.param("NextToken-of_somebody-else", id="foreign"),
        pytest.param("é" * 44, id="not ASCII"),
        pytest.param("A" * 1024, id="as long as a request may have it"),
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert reason_of(token) is Reason.INVALID_RESUME_TOKEN


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((2, 0, 50, 8, 7, 350), id="another version"),
        pytest.param((1, 0, 0, 8, 7, 350), id="no page size"),
        pytest.param((1, 0, 101, 8, 7, 350), id="page size too large"),
        pytest.param((1, 0, 50, 1, 7, 350), id="nothing delivered"),
        pytest.param((1, 0, 50, -8, 7, 350), id="negative page"),
        pytest.param((1, 0, 50, 2**31 - 1, 7, 350), id="a page whose successor is no int32"),
        pytest.param((1, 0, 50, 8, 2**31 - 1, 350), id="a count that overflows"),
        pytest.param((1, 0, 50, 8, 7, -1), id="negative count"),
    ],
)
def test_a_forged_token_whose_numbers_cannot_be_is_refused(fields: tuple[int, ...]) -> None:
    packed = struct.pack(">BBBiii8s", *fields, bytes(8))
    check = hashlib.sha256(b"\0".join((packed, REGION.encode(), IMAGE.encode()))).digest()[:10]

    assert reason_of(base64.urlsafe_b64encode(packed + check).decode()) is Reason.INVALID_RESUME_TOKEN


def test_a_token_that_differs_in_one_field_is_another_token() -> None:
    others = [
        replace(POSITION, next_page=9),
        replace(POSITION, page_size=51),
        replace(POSITION, sent_accounts=351),
        replace(POSITION, witness=bytes(8)),
        replace(POSITION, changed=True),
    ]

    assert len({each.token(REGION, IMAGE) for each in [POSITION, *others]}) == 6
