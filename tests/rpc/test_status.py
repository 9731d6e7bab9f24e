"""Any error becomes a status within bounds, with an ErrorInfo that a program can read."""

from typing import Any

from google.rpc import error_details_pb2 as rpc
from google.rpc import status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsgateway.errors import (
    CallerError,
    GatewayError,
    GatewayFault,
    MalformedAnswer,
    NoAnswer,
    Refusal,
    UpstreamRefused,
    Violation,
)
from ecsgateway.mapping import ROWS, Reason
from ecsgateway.rpc.details import About
from ecsgateway.rpc.status import RichStatus, status_of
from ecsgateway.v1.error_details_pb2 import StreamInterruption

# Longer than what decoding, validation and the guard let through: the bounds are the status's own.
TEXT = st.text(max_size=600)
CODE = st.text(alphabet="abcXYZ._-09", max_size=64)
REFUSALS = st.builds(
    Refusal,
    code=CODE,
    http_status=st.integers(min_value=100, max_value=999),
    request_id=st.text(max_size=64),
    host_id=st.text(max_size=128),
    recommend=st.text(max_size=256),
    message=TEXT,
)
VIOLATIONS = st.lists(
    st.builds(Violation, field=st.text(max_size=40), description=TEXT, rule=CODE), max_size=9
)
AFTER = st.one_of(st.none(), st.floats(min_value=0, max_value=1e9))
ERRORS: st.SearchStrategy[GatewayError] = st.one_of(
    st.builds(CallerError, st.sampled_from(ROWS), TEXT, violations=VIOLATIONS),
    st.builds(UpstreamRefused, st.sampled_from(ROWS), REFUSALS, retry_after=AFTER),
    st.builds(NoAnswer, st.sampled_from(ROWS), TEXT, retry_after=AFTER),
    st.builds(GatewayFault, st.sampled_from(ROWS), TEXT, retry_after=AFTER),
    st.builds(MalformedAnswer, TEXT, st.sampled_from(ROWS)),
)
ABOUTS = st.builds(
    About,
    region_id=st.text(max_size=63),
    image_id=st.text(max_size=128),
    request_id=st.text(alphabet="abc._-", max_size=64),
    page=st.integers(min_value=0, max_value=2**31 - 1),
    interruption=st.one_of(
        st.none(),
        st.builds(
            StreamInterruption,
            resume_token=st.text(alphabet="abc_-", max_size=1024),
            sent_pages=st.integers(min_value=0, max_value=2**31 - 1),
        ),
    ),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(error=ERRORS, about=ABOUTS)
def test_every_status_is_small_and_says_why(error: GatewayError, about: About) -> None:
    made = status_of(error, about)
    status = unpacked(made)

    assert status.ByteSize() <= 4096
    assert sum(len(key) + len(value) for key, value in made.trailing_metadata) <= 4096
    assert len(made.details.encode()) <= 512
    assert (status.code, status.message) == (made.code.value[0], made.details)
    first = rpc.ErrorInfo()
    assert status.details[0].Unpack(first)
    assert first.reason in set(Reason)
    assert first.domain in ("ecs.aliyuncs.com", "ecsgateway")
    pushback = dict(made.trailing_metadata).get("grpc-retry-pushback-ms")
    assert pushback is None or -1 <= int(pushback) <= 65_000


def unpacked(made: RichStatus) -> Any:
    packed = dict(made.trailing_metadata)["grpc-status-details-bin"]
    assert isinstance(packed, bytes)
    return status_pb2.Status.FromString(packed)


def test_help_goes_first_when_there_is_no_room_and_then_the_list_is_cut() -> None:
    violations = [
        Violation(field=f"field_{number}", description="x" * 500, rule="RULE") for number in range(9)
    ]
    error = CallerError(Reason.INVALID_REQUEST, violations=violations)
    status = unpacked(status_of(error, About(region_id="cn-hangzhou")))
    bad = rpc.BadRequest()
    [detail] = [each for each in status.details if each.Unpack(bad)]
    assert detail
    assert 1 < len(bad.field_violations) < 9
    assert bad.field_violations[-1].description == f"... {10 - len(bad.field_violations)} more"


def test_where_to_resume_outlives_every_other_detail() -> None:
    interruption = StreamInterruption(resume_token="A" * 1024, sent_pages=7)
    refusal = Refusal(code="Forbidden.RAM", http_status=403, host_id="h" * 1200, recommend="r" * 1200)
    row = next(row for row in ROWS if row.reason is Reason.UPSTREAM_FORBIDDEN)
    about = About(region_id="r" * 63, image_id="镜" * 128, interruption=interruption)
    status = unpacked(status_of(UpstreamRefused(row, refusal), about))
    kept = StreamInterruption()
    assert any(each.Unpack(kept) for each in status.details)
    assert kept == interruption
