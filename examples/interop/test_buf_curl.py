"""buf curl, by the gateway's reflection."""

# ruff: noqa: D103 - names of tests are sentences

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from examples.interop.stage import PATIENCE, Stage

SERVICE = "ecsgateway.v1.ImageSharePermissionService"
BUF = Path(sys.executable).with_name("buf")

BufCurl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def buf_curl(stage: Stage) -> BufCurl:
    """Runs it against the gateway: a path or an option, and the fields of the request."""

    def run(argument: str, **request: object) -> "subprocess.CompletedProcess[str]":
        address = f"http://{stage.target}"
        rest = ["-d", json.dumps(request), f"{address}/{argument}"] if request else [argument, address]
        return subprocess.run(
            [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *rest],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


def test_it_lists_the_methods(buf_curl: BufCurl) -> None:
    assert f"{SERVICE}/StreamImageSharePermission" in buf_curl("--list-methods").stdout.split()


def test_the_unary_call(buf_curl: BufCurl) -> None:
    answer = buf_curl(
        f"{SERVICE}/DescribeImageSharePermission", regionId="cn-hangzhou", imageId="m-bp1caf3yicx5jlfl****"
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["page"]["accounts"][0]["aliyunId"] == "1234567890"


def test_the_stream(buf_curl: BufCurl) -> None:
    answer = buf_curl(f"{SERVICE}/StreamImageSharePermission", regionId="cn-hangzhou", imageId="m-demo-2345")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count('"aliyunId"') == 2345
    assert '"accountCount": 2345' in answer.stdout


def test_error_details_have_their_types(buf_curl: BufCurl) -> None:
    answer = buf_curl(f"{SERVICE}/DescribeImageSharePermission", regionId="cn-hangzhou", imageId="m-unknown")
    error = json.loads(answer.stderr)
    assert error["code"] == "not_found"
    kinds = [detail["type"] for detail in error["details"]]
    assert kinds[0] == "google.rpc.ErrorInfo"
    assert "ecsgateway.v1.UpstreamError" in kinds
    info = ErrorInfo.FromString(base64.b64decode(error["details"][0]["value"] + "=="))
    assert info.reason == "IMAGE_NOT_FOUND"
