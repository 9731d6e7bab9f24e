"""Decoding: whatever bytes come, they are a page or a declared error. Each file of tests/corpus is a case."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecsgateway.ecs.decoding import MAX_BODY, decode
from ecsgateway.errors import GatewayError, MalformedAnswer, UpstreamRefused
from ecsgateway.mapping import Reason
from ecsgateway.translation import to_page
from ecsgateway.v1.image_share_permission_pb2 import (
    DescribeImageSharePermissionRequest,
    ImageSharePermissionPage,
)

OPERATION = "DescribeImageSharePermission"
REQUEST = DescribeImageSharePermissionRequest(region_id="cn-hangzhou", image_id="m-1", page_size=10)
CORPUS = Path(__file__).parents[1] / "corpus"
KINDS = ["application/json;charset=utf-8", "text/xml", "text/html", "", "application/xml; charset=gbk"]


def read(body: bytes, *, status: int = 200, kind: str = KINDS[0], **headers: str) -> ImageSharePermissionPage:
    fields = decode(
        status=status,
        headers={"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}},
        body=body,
        operation=OPERATION,
        secrets=("canary",),
    )
    return to_page(fields, REQUEST)


def failure(body: bytes, **how: Any) -> GatewayError | None:
    """Return the declared error that a body is; None if it is a page."""
    try:
        read(body, **how).SerializeToString()
    except GatewayError as error:
        return error
    return None


def outcome(body: bytes, **how: Any) -> str:
    """Return the reason of the failure, or OK."""
    error = failure(body, **how)
    if error is None:
        return "OK"
    assert "canary" not in f"{error!r} {error} {error.note} {error.upstream}"
    return error.reason


QUICK = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
ANY_STATUS = st.one_of(st.just(200), st.integers(min_value=100, max_value=999))
ANY_ENCODING = st.sampled_from(["", "identity", "gzip", "GZIP", "deflate", "br", "gzip, gzip"])


@QUICK
@given(body=st.binary(max_size=300), status=ANY_STATUS, kind=st.sampled_from(KINDS), encoding=ANY_ENCODING)
def test_any_bytes_give_only_declared_errors(body: bytes, status: int, kind: str, encoding: str) -> None:
    assert outcome(body, status=status, kind=kind, content_encoding=encoding) in {"OK", *Reason}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["cn-hangzhou", "m-1", "1", "10", "2023-01-01T12:05:00Z", "canary", "-1", "1e9"]),
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        *("RegionId", "ImageId", "PageNumber", "PageSize", "TotalCount", "RequestId", "ShareGroups"),
        *("Accounts", "Account", "ShareGroup", "Group", "AliyunId", "SharedTime", "Code", "Message"),
        *("HostId", "Recommend"),
    ]
)
NEARLY = st.dictionaries(
    NAMES,
    st.one_of(ANY_JSON, st.dictionaries(NAMES, st.lists(st.dictionaries(NAMES, SCALARS), max_size=3))),
    max_size=10,
)


@QUICK
@given(body=st.one_of(ANY_JSON, NEARLY), status=ANY_STATUS)
def test_any_json_gives_only_declared_errors(body: Any, status: int) -> None:
    assert outcome(orjson.dumps(body), status=status) in {"OK", *Reason}


GOOD = {
    "RegionId": "cn-hangzhou",
    "ImageId": "m-1",
    "PageNumber": 1,
    "PageSize": 10,
    "TotalCount": 2,
    "RequestId": "1C488B66-B819-4D14-8711-C4EAAA13AC01",
    "ShareGroups": {"ShareGroup": [{"Group": "all"}]},
    "Accounts": {"Account": [{"AliyunId": "1", "SharedTime": "2023-01-01T12:05Z"}, {"AliyunId": 2}]},
}


@QUICK
@given(name=st.sampled_from(sorted(GOOD)), value=ANY_JSON)
def test_one_odd_field_gives_a_page_or_a_malformed_answer(name: str, value: Any) -> None:
    assert outcome(orjson.dumps({**GOOD, name: value})) in ("OK", Reason.UPSTREAM_MALFORMED_RESPONSE)


@QUICK
@given(data=st.data())
def test_no_part_of_an_answer_is_taken_for_the_whole(data: st.DataObject) -> None:
    whole = orjson.dumps(GOOD)
    cut = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))
    assert outcome(whole[:cut]) == Reason.UPSTREAM_MALFORMED_RESPONSE


def elements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    names = st.one_of(NAMES, st.sampled_from([f"{OPERATION}Response", "Error", "a:b", "1", ""]))
    return st.builds(lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", names, st.lists(inner))


ANY_XML = st.recursive(
    st.one_of(st.text(max_size=8), st.sampled_from(["1", "cn-hangzhou", "m-1", "&x;", "<!--", "]]>"])),
    elements,
    max_leaves=12,
)


@QUICK
@given(text=ANY_XML, root=st.booleans(), status=ANY_STATUS)
def test_any_xml_gives_only_declared_errors(text: str, root: bool, status: int) -> None:
    name = f"{OPERATION}Response" if status == 200 else "Error"
    body = f"<{name}>{text}</{name}>" if root else text
    kind = "text/xml; charset=utf-8"
    assert outcome(body.encode("utf-8", "surrogatepass"), status=status, kind=kind) in {"OK", *Reason}


@QUICK
@given(
    code=st.one_of(st.text(max_size=70), st.just("InvalidParameter")),
    message=st.text(max_size=5000),
    status=st.integers(min_value=400, max_value=599),
    after=st.one_of(st.text(max_size=12), st.integers().map(str)),
)
def test_any_refusal_is_cleaned(code: str, message: str, status: int, after: str) -> None:
    body = orjson.dumps({"Code": code, "Message": message}, default=str)
    error = failure(body, status=status, x_acs_retry_after=after, retry_after=after)
    assert error is not None
    assert error.reason in Reason
    assert error.retry_after is None or 0 <= error.retry_after <= 9999
    if isinstance(error, UpstreamRefused):
        assert error.upstream is not None
        assert len(error.upstream.message) <= 256
        assert error.upstream.message.isprintable()
        assert len(error.upstream.code) <= 64


def test_both_formats_say_the_same() -> None:
    xml = (
        f"<{OPERATION}Response><RegionId>cn-hangzhou</RegionId><ImageId>m-1</ImageId>"
        "<PageNumber>1</PageNumber><PageSize>10</PageSize><TotalCount>2</TotalCount>"
        "<RequestId>1C488B66-B819-4D14-8711-C4EAAA13AC01</RequestId>"
        "<ShareGroups><ShareGroup><Group>all</Group></ShareGroup></ShareGroups><Accounts>"
        "<Account><AliyunId>1</AliyunId><SharedTime>2023-01-01T12:05Z</SharedTime></Account>"
        f"<Account><AliyunId>2</AliyunId></Account></Accounts></{OPERATION}Response>"
    )
    assert read(xml.encode(), kind="text/xml") == read(orjson.dumps(GOOD))


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_is_not_inflated() -> None:
    padded = orjson.dumps(GOOD).ljust(MAX_BODY)
    assert outcome(zlib.compress(padded, wbits=31), content_encoding="gzip") == "OK"
    more = zlib.compress(padded + b" ", wbits=31)
    assert outcome(more, content_encoding="gzip") == Reason.UPSTREAM_RESPONSE_TOO_LARGE


@dataclass(frozen=True)
class Sample:
    """A file of the corpus: its name says what it must become: `<status>.<reason or OK>.<name>.<kind>`."""

    path: Path

    @property
    def parts(self) -> list[str]:
        return self.path.name.split(".")


SAMPLES = [Sample(path) for path in sorted(CORPUS.iterdir()) if path.name != "README.md"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path.name)
def test_a_sample_of_the_corpus_becomes_what_its_name_says(sample: Sample) -> None:
    status, expected, _, kind = sample.parts
    types = {"json": "application/json", "xml": "text/xml", "html": "text/html"}
    assert outcome(sample.path.read_bytes(), status=int(status), kind=types[kind]) == expected


def test_the_corpus_has_samples_of_every_kind() -> None:
    kinds = {path.suffix for path in CORPUS.iterdir()}
    assert {".json", ".xml", ".html"} <= kinds


def test_a_malformed_answer_never_shows_what_came() -> None:
    with pytest.raises(MalformedAnswer) as raised:
        read(b'{"canary": ')
    assert "canary" not in str(raised.value)
