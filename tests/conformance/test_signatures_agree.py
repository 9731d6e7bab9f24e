"""The fake's signatures and those of the vendor's own code, on any parameters in any encoding."""

from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from alibabacloud_tea_openapi.utils import Utils
from darabonba.request import DaraRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeecs.call import read
from fakeecs.signatures import (
    acs3_authorization,
    acs3_canonical_request,
    acs3_signature,
    acs3_string_to_sign,
    hash_payload,
    rpc_signature,
    rpc_string_to_sign,
)

FEW = settings(max_examples=40, deadline=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PARAMETERS = st.dictionaries(TEXT.filter(lambda name: name != "Signature"), TEXT, max_size=6)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@FEW
@given(parameters=PARAMETERS, secret=TEXT, method=st.sampled_from(["GET", "POST"]))
def test_signature_version_1_agrees(parameters: dict[str, str], secret: str, method: str) -> None:
    ours = rpc_signature(secret, rpc_string_to_sign(method, list(parameters.items())))
    assert ours == Utils.get_rpcsignature(parameters, method, secret)


@FEW
@given(
    # The vendor's code does not encode names here; all that exist are words.
    parameters=st.dictionaries(st.from_regex(r"[A-Za-z0-9.]{1,8}", fullmatch=True), TEXT, max_size=6),
    headers=st.dictionaries(st.from_regex(r"x-acs-[a-z]{1,8}", fullmatch=True), HEADER, max_size=4),
    body=st.binary(max_size=20),
    secret=TEXT,
)
def test_acs3_agrees(parameters: dict[str, str], headers: dict[str, str], body: bytes, secret: str) -> None:
    headers = {"host": "127.0.0.1", **headers}
    theirs = DaraRequest()
    theirs.method, theirs.pathname, theirs.query, theirs.headers = "POST", "/", parameters, headers
    fields = acs3_authorization(
        Utils.get_authorization(theirs, "ACS3-HMAC-SHA256", hash_payload(body), "testid", secret)
    )
    assert fields is not None
    ours = acs3_canonical_request(
        "POST",
        "/",
        list(parameters.items()),
        list(headers.items()),
        fields["SignedHeaders"].split(";"),
        payload_hash=hash_payload(body),
    )
    assert acs3_signature(secret, acs3_string_to_sign(ours)) == fields["Signature"]


def loose(text: str) -> str:
    """As little as a client may encode without changing the meaning."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "%&+#= " else quote(c) for c in text)


def lower(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


@pytest.mark.parametrize("encode", [quote, quote_plus, loose, lower], ids=lambda encode: encode.__name__)
@FEW
@given(parameters=PARAMETERS)
def test_the_encoding_of_the_client_does_not_matter(
    encode: Callable[[str], str], parameters: dict[str, str]
) -> None:
    query = "&".join(f"{encode(name)}={encode(value)}" for name, value in parameters.items())
    assert dict(read("GET", f"/?{query}", (), b"").query) == parameters
