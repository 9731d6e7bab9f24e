"""grpcurl, built from its Go module, explains the gateway without any file of it."""

# ruff: noqa: D103 - names of tests are sentences

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.interop.stage import PATIENCE, Stage

SERVICE = "ecsgateway.v1.ImageSharePermissionService"
EXPECTED = Path(__file__).with_name("expected")
RESOURCE_EXHAUSTED, NOT_FOUND, INVALID_ARGUMENT = 8, 5, 3

Grpcurl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def grpcurl(grpcurl_program: Path, stage: Stage) -> Grpcurl:
    """Runs it against the gateway: its options, then what follows the address."""

    def run(*arguments: str, **request: object) -> "subprocess.CompletedProcess[str]":
        data = ["-d", json.dumps(request)] if request else []
        return subprocess.run(
            [grpcurl_program, "-plaintext", *data, stage.target, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


def test_list_names_the_services(grpcurl: Grpcurl) -> None:
    assert grpcurl("list").stdout.split() == [
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


def test_list_names_the_methods(grpcurl: Grpcurl) -> None:
    assert grpcurl("list", SERVICE).stdout.split() == [
        f"{SERVICE}.DescribeImageSharePermission",
        f"{SERVICE}.StreamImageSharePermission",
    ]


@pytest.mark.parametrize(
    ("symbol", "kind", "comment"),
    [
        (SERVICE, "a service", "Tells with whom a custom image of Alibaba Cloud ECS is shared."),
        (SERVICE, "a service", "Costs one upstream call. A page_number past the end of the list returns a"),
        (
            f"{SERVICE}.StreamImageSharePermission",
            "a method",
            "Returns the whole list: every page in order, every account once.",
        ),
        ("ecsgateway.v1.Account", "a message", "An Alibaba Cloud account that an image is shared with."),
        ("ecsgateway.v1.Account", "a message", "The account's id: decimal digits, kept as text."),
        ("ecsgateway.v1.Account.aliyun_id", "a field", "The account's id: decimal digits, kept as text."),
        ("ecsgateway.v1.Consistency", "an enum", "One upstream call returned the whole list: a snapshot."),
        (
            "ecsgateway.v1.CONSISTENCY_VERIFIED",
            "an enum value",
            "Two passes over the whole list agreed, and the answer is what both held.",
        ),
        ("ecsgateway.v1.StreamInterruption", "a message", "Where a stream broke."),
    ],
    ids=lambda value: value if "." in value[:13] else None,
)
def test_describe_shows_the_comments(grpcurl: Grpcurl, symbol: str, kind: str, comment: str) -> None:
    described = grpcurl("describe", symbol).stdout
    assert re.search(rf"^\S+ is {kind}:$", described, re.MULTILINE)
    assert f"// {comment}" in described


@pytest.mark.parametrize("name", ["ErrorInfo", "RetryInfo", "BadRequest", "QuotaFailure", "RequestInfo"])
def test_describe_knows_the_error_details(grpcurl: Grpcurl, name: str) -> None:
    assert f"google.rpc.{name} is a message:" in grpcurl("describe", f"google.rpc.{name}").stdout


def test_the_unary_call(grpcurl: Grpcurl) -> None:
    answer = grpcurl(
        f"{SERVICE}/DescribeImageSharePermission",
        region_id="cn-hangzhou",
        image_id="m-bp1caf3yicx5jlfl****",
    )
    assert answer.returncode == 0, answer.stderr
    page = json.loads(answer.stdout)["page"]
    assert page["accounts"] == [{"aliyunId": "1234567890", "sharedTime": "2023-01-01T12:05:00Z"}]
    assert page["shareGroups"] == [{"group": "all"}]


def test_the_stream(grpcurl: Grpcurl, stage: Stage) -> None:
    answer = grpcurl(
        f"{SERVICE}/StreamImageSharePermission", region_id="cn-hangzhou", image_id="m-demo-45", page_size=20
    )
    assert answer.returncode == 0, answer.stderr
    messages = [
        json.loads(text) for text in re.findall(r"^\{$.*?^\}$", answer.stdout, re.MULTILINE | re.DOTALL)
    ]
    ids = [account["aliyunId"] for message in messages for account in message["page"]["accounts"]]
    assert ids == [account["aliyun_id"] for account in stage.image("m-demo-45")["accounts"]]
    assert ["summary" in message for message in messages] == [False, False, True]


def test_health(grpcurl: Grpcurl) -> None:
    answer = grpcurl("grpc.health.v1.Health/Check", service=SERVICE)
    assert json.loads(answer.stdout) == {"status": "SERVING"}


@pytest.mark.parametrize(
    ("method", "request_", "code", "expected"),
    [
        (
            "DescribeImageSharePermission",
            {"region_id": "cn-hangzhou", "image_id": "m-unknown"},
            NOT_FOUND,
            "not_found.txt",
        ),
        (
            "DescribeImageSharePermission",
            {"region_id": "CN!", "image_id": "m unknown", "page_size": 101},
            INVALID_ARGUMENT,
            "invalid_argument.txt",
        ),
        (
            "StreamImageSharePermission",
            {"region_id": "cn-hangzhou", "image_id": "m-demo-11", "page_size": 10},
            RESOURCE_EXHAUSTED,
            "resource_exhausted.txt",
        ),
    ],
    ids=["unknown image", "three bad fields", "stream throttled at page 2"],
)
def test_error_details_are_readable(
    grpcurl: Grpcurl, stage: Stage, method: str, request_: dict[str, object], code: int, expected: str
) -> None:
    stage.add_fault(image="m-demo-11", page=2, code="Throttling", retry_after_ms=150)
    answer = grpcurl(f"{SERVICE}/{method}", **request_)
    assert masked(answer.stderr) == (EXPECTED / expected).read_text()
    assert answer.returncode == 64 + code


def masked(text: str) -> str:
    """Hide what differs at each call."""
    text = re.sub(r"\b[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\b", "<upstream id>", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "<gateway id>", text)
    return re.sub(r'("resumeToken": )"[A-Za-z0-9_-]+"', r'\1"<token>"', text)
