"""The contract: what the issue of names fixes, and that a break of it is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import MethodOptions

from ecsgateway.mapping import Reason
from ecsgateway.v1 import error_details_pb2, image_share_permission_pb2
from ecsgateway.v1.error_details_pb2 import ErrorReason

ROOT = Path(__file__).parents[1]

FIELDS = {
    "DescribeImageSharePermissionRequest": ["region_id", "image_id", "page_number", "page_size"],
    "DescribeImageSharePermissionResponse": ["page"],
    "StreamImageSharePermissionRequest": ["region_id", "image_id", "page_size", "resume_token", "verify"],
    "StreamImageSharePermissionResponse": ["page", "resume_token", "summary"],
    "ImageSharePermissionPage": [
        *("region_id", "image_id", "page_number", "page_size", "total_count"),
        *("share_groups", "accounts", "request_id"),
    ],
    "ShareGroup": ["group"],
    "Account": ["aliyun_id", "shared_time"],
    "StreamSummary": ["page_count", "account_count", "duplicate_count", "consistency"],
    "UpstreamError": ["code", "http_status", "request_id", "host_id", "recommend"],
    "StreamInterruption": ["resume_token", "sent_pages", "sent_accounts"],
}
MESSAGES = {
    **image_share_permission_pb2.DESCRIPTOR.message_types_by_name,
    **error_details_pb2.DESCRIPTOR.message_types_by_name,
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_message_has_its_fields_at_their_numbers(name: str) -> None:
    fields = {field.number: field.name for field in MESSAGES[name].fields}
    assert fields == dict(enumerate(FIELDS[name], start=1))


def test_there_are_no_other_messages() -> None:
    assert set(MESSAGES) == set(FIELDS)


def test_both_methods_have_no_side_effects() -> None:
    service = image_share_permission_pb2.DESCRIPTOR.services_by_name["ImageSharePermissionService"]
    levels = {method.name: method.GetOptions().idempotency_level for method in service.methods}
    assert levels == {
        "DescribeImageSharePermission": MethodOptions.NO_SIDE_EFFECTS,
        "StreamImageSharePermission": MethodOptions.NO_SIDE_EFFECTS,
    }


def test_the_reasons_are_those_of_the_proto() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - not a dict
    assert names - {"UNSPECIFIED"} == set(Reason)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("int32 total_count = 5;", "int64 total_count = 5;", id="type"),
        pytest.param("int32 total_count = 5;", "int32 count = 5;", id="name"),
        pytest.param("  CONSISTENCY_VERIFIED = 4;\n", "", id="enum-value"),
        pytest.param("returns (stream Stream", "returns (Stream", id="streaming"),
        pytest.param("string resume_token = 2;", "string resume_token = 9;", id="number"),
    ],
)
def test_a_break_of_the_contract_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    for path in ("protos", "buf.yaml"):
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        copy(ROOT / path, tmp_path / path)
    proto = tmp_path / "protos/ecsgateway/v1/image_share_permission.proto"
    assert old in proto.read_text()
    assert _breaking(tmp_path) == 0
    proto.write_text(proto.read_text().replace(old, new))
    assert _breaking(tmp_path) == 100


def _breaking(folder: Path) -> int:
    buf = Path(sys.executable).with_name("buf")
    return subprocess.run(
        [buf, "breaking", "--against", "protos/released.binpb"], cwd=folder, capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize("name", ["google/rpc/code", "google/rpc/status", "google/rpc/error_details"])
def test_a_vendored_proto_is_the_published_one(name: str) -> None:
    import google.rpc.status_pb2

    published = Path(google.rpc.status_pb2.__file__).parents[2] / f"{name}.proto"
    assert (ROOT / f"protos/{name}.proto").read_text() == published.read_text()
