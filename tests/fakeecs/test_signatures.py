"""Every published example of both schemes, step by step."""

from dataclasses import dataclass

import pytest

from fakeecs.signatures import (
    acs3_authorization,
    acs3_canonical_request,
    acs3_signature,
    acs3_string_to_sign,
    canonical_headers,
    canonical_query,
    hash_payload,
    percent_encode,
    rpc_signature,
    rpc_string_to_sign,
)

EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def pairs(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (part.partition("=") for part in text.split(" "))]


ECS_EXAMPLE = pairs(
    "Action=DescribeRegions Format=XML Version=2014-05-26 AccessKeyId=testid SignatureMethod=HMAC-SHA1 "
    "SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf SignatureVersion=1.0 Timestamp=2016-02-23T12:46:24Z"
)
OURS = [
    *(pair for pair in ECS_EXAMPLE if pair[0] not in ("Action", "Format")),
    *pairs(
        "Action=DescribeImageSharePermission Format=JSON RegionId=cn-hangzhou "
        "ImageId=m-bp1caf3yicx5jlfl**** PageNumber=1 PageSize=50"
    ),
]
AWKWARD = [("ImageId", "m-测试 +*~/%") if name == "ImageId" else (name, value) for name, value in OURS]
GO_TEST = [
    ("Timestamp", "mock date"),
    *pairs(
        "Version= Action= Format=JSON SignatureMethod=HMAC-SHA1 SignatureVersion=1.0 SignatureType= "
        "SignatureNonce=MOCK_UUID AccessKeyId=accessKeyId RegionId=regionId"
    ),
]


@dataclass(frozen=True, kw_only=True)
class Rpc:
    name: str
    parameters: list[tuple[str, str]]
    signature: str
    method: str = "GET"
    secret: str = "testsecret"
    string_to_sign: str | None = None


RPC_VECTORS = [
    Rpc(
        name="the ECS page",
        parameters=ECS_EXAMPLE,
        string_to_sign="GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26"
        "SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26"
        "SignatureVersion%3D1.0%26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26",
        signature="OLeaidS1JvxuMvnyHOwuJ+uX5qY=",
    ),
    Rpc(
        name="the page on the RPC mechanism",
        parameters=pairs(
            "AccessKeyId=testid Action=DescribeDedicatedHosts Format=JSON RegionId=cn-beijing "
            "SignatureMethod=HMAC-SHA1 SignatureNonce=edb2b34af0af9a6d14deaf7c1a5315eb SignatureVersion=1.0 "
            "Timestamp=2023-03-13T08:34:30Z Version=2014-05-26"
        ),
        signature="9NaGiOspFP5UPcwX8Iwt2YJXXuk=",
    ),
    Rpc(
        name="the SMS page, with Chinese and braces",
        secret="testSecret",
        parameters=pairs(
            "AccessKeyId=testId Action=SendSms Format=XML OutId=123 PhoneNumbers=15300000001 "
            "RegionId=cn-hangzhou SignName=阿里云短信测试专用 SignatureMethod=HMAC-SHA1 "
            "SignatureNonce=45e25e9b-0a6f-4070-8c85-2956eda1b466 SignatureVersion=1.0 "
            'TemplateCode=SMS_71390007 TemplateParam={"customer":"test"} Timestamp=2017-07-12T02:42:19Z '
            "Version=2017-05-25"
        ),
        signature="zJDF+Lrzhj/ThnlvIToysFRq6t4=",
    ),
    Rpc(
        name="the Go SDK's test",
        secret="accessKeySecret",
        parameters=GO_TEST,
        signature="7loPmFjvDnzOVnQeQNj85S6nFGY=",
    ),
    Rpc(
        name="the Go SDK's test, with a token",
        secret="accessKeySecret",
        parameters=[*GO_TEST, ("SecurityToken", "accessKeyStsToken")],
        signature="5Nxdcler+ihqWqv0Hr2On4PsBf4=",
    ),
    Rpc(
        name="the Python SDK's test",
        secret="secret",
        parameters=pairs("query=test body=test"),
        signature="XlUyV4sXjOuX5FnjUz9IF9tm5rU=",
    ),
    Rpc(
        name="the newer Go SDK's test, without a method",
        method="",
        secret="accessKeySecret",
        parameters=pairs("test=ok"),
        signature="jHx/oHoHNrbVfhncHEvPdHXZwHU=",
    ),
    Rpc(
        name="the older Python SDK's test",
        secret="access_key_secret",
        parameters=pairs(
            "SignatureVersion=1.0 Format=JSON Timestamp=7e1c7d12-7551-4856-8abb-1938ccac6bcc "
            "AccessKeyId=access_key_id SignatureMethod=HMAC-SHA1 SignatureType= "
            "SignatureNonce=2018-12-04T04:03:12Z"
        ),
        signature="5AYPtZduFYvj3ETTIQlivGqL7Ic=",
    ),
    Rpc(name="this operation, GET", parameters=OURS, signature="6jsQBBMcGqfcHvi9EwzdF+LcEjA="),
    Rpc(
        name="this operation, POST", method="POST", parameters=OURS, signature="HkxxuSIjZ6TxLjxZBi+mVJkO8zc="
    ),
    Rpc(
        name="this operation, with a token",
        parameters=[*OURS, ("SecurityToken", "tok/en+==")],
        signature="o6N+xmSJfKtfauB2DngdkyrDH2E=",
    ),
    Rpc(name="this operation, awkward", parameters=AWKWARD, signature="nHZOk/0Ogq17P5CY9R0zgD59bJM="),
]


@pytest.mark.parametrize("vector", RPC_VECTORS, ids=lambda vector: vector.name)
def test_signature_version_1_signs_as_published(vector: Rpc) -> None:
    string_to_sign = rpc_string_to_sign(vector.method, vector.parameters)
    if vector.string_to_sign is not None:
        assert string_to_sign == vector.string_to_sign
    assert rpc_signature(vector.secret, string_to_sign) == vector.signature


@pytest.mark.parametrize("vector", RPC_VECTORS, ids=lambda vector: vector.name)
def test_the_signature_itself_and_the_order_sent_do_not_matter(vector: Rpc) -> None:
    shuffled = [*reversed(vector.parameters), ("Signature", vector.signature)]
    assert rpc_string_to_sign(vector.method, shuffled) == rpc_string_to_sign(vector.method, vector.parameters)


RUN_INSTANCES = [
    ("host", "ecs.cn-shanghai.aliyuncs.com"),
    ("x-acs-action", "RunInstances"),
    ("x-acs-content-sha256", EMPTY_HASH),
    ("x-acs-date", "2023-10-26T10:22:32Z"),
    ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
    ("x-acs-version", "2014-05-26"),
]
SIX = [name for name, _ in RUN_INSTANCES]
OURS_ACS3 = [
    ("host", "ecs-cn-hangzhou.aliyuncs.com"),
    ("x-acs-action", "DescribeImageSharePermission"),
    *RUN_INSTANCES[2:],
]
OUR_QUERY = pairs("RegionId=cn-hangzhou PageSize=50 PageNumber=1 ImageId=m-bp1caf3yicx5jlfl****")


@dataclass(frozen=True, kw_only=True)
class Acs3:
    name: str
    method: str
    query: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    signed: list[str]
    secret: str
    signature: str
    payload_hash: str = EMPTY_HASH
    canonical_query: str | None = None
    hashed_request: str | None = None


ACS3_VECTORS = [
    Acs3(
        name="the page on the signature",
        method="POST",
        query=pairs("RegionId=cn-shanghai ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
        headers=RUN_INSTANCES,
        signed=SIX,
        secret="YourAccessKeySecret",
        canonical_query="ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
        hashed_request="7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
        signature="06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
    ),
    Acs3(
        name="the Python SDK's test, with a header sent twice",
        method="GET",
        query=pairs("test=ok empty="),
        headers=[("x-acs-test", "http"), ("x-acs-TEST", "https")],
        signed=["x-acs-test"],
        secret="secret",
        payload_hash="55e12e91650d2fec56ec74e1d3e4ddbfce2ef3a65890c2a19ecf88a307e76a23",
        canonical_query="empty=&test=ok",
        signature="d16b30a7699ae9e43875b13195b2f81bcc3ed10c14a9b5eb780e51619aa50be1",
    ),
    Acs3(
        name="the Go SDK's test, without a method",
        method="",
        query=pairs("test=ok empty="),
        headers=[("x-acs-test", "http"), ("x-acs-TEST", "https")],
        signed=["x-acs-test"],
        secret="secret",
        payload_hash="55e12e91650d2fec56ec74e1d3e4ddbfce2ef3a65890c2a19ecf88a307e76a23",
        signature="4ab59fffe3c5738ff8a2729f90cc04fe18b02a4b15b2102cbaf92f9ff3df2ea3",
    ),
    Acs3(
        name="this operation, POST",
        method="POST",
        query=OUR_QUERY,
        headers=OURS_ACS3,
        signed=SIX,
        secret="testsecret",
        canonical_query="ImageId=m-bp1caf3yicx5jlfl%2A%2A%2A%2A&PageNumber=1&PageSize=50&RegionId=cn-hangzhou",
        hashed_request="076a309da5fa7c8f61de9245a48555c676787866754c198344652dcd6e21f845",
        signature="f4aa58b37d2468b643e438490ee4b0e61256c0968d3f5fb01d22a066d7173c75",
    ),
    Acs3(
        name="this operation, GET",
        method="GET",
        query=OUR_QUERY,
        headers=OURS_ACS3,
        signed=SIX,
        secret="testsecret",
        signature="0baeff573a9e2280859590c6f4e2e741752633cecf6844dcf01dde5f26a4f4b8",
    ),
]


@pytest.mark.parametrize("vector", ACS3_VECTORS, ids=lambda vector: vector.name)
def test_acs3_signs_as_published(vector: Acs3) -> None:
    if vector.canonical_query is not None:
        assert canonical_query(vector.query) == vector.canonical_query
    canonical = acs3_canonical_request(
        vector.method, "/", vector.query, vector.headers, vector.signed, payload_hash=vector.payload_hash
    )
    if vector.hashed_request is not None:
        assert hash_payload(canonical.encode()) == vector.hashed_request
    string_to_sign = acs3_string_to_sign(canonical)
    assert string_to_sign == f"ACS3-HMAC-SHA256\n{hash_payload(canonical.encode())}"
    assert acs3_signature(vector.secret, string_to_sign) == vector.signature


def test_the_hash_of_an_empty_body_is_the_documented_one() -> None:
    assert hash_payload(b"") == EMPTY_HASH


def test_canonical_headers_end_with_a_line_break_so_that_an_empty_line_follows() -> None:
    headers = [("Host", " a "), ("X-Acs-Date", "now"), ("Other", "x")]
    assert canonical_headers(headers, ["x-acs-date", "host"]) == "host:a\nx-acs-date:now\n"


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("AZaz09-_.~", "AZaz09-_.~"),
        (" ", "%20"),
        ("*", "%2A"),
        ("+/=", "%2B%2F%3D"),
        ("测", "%E6%B5%8B"),
        ("\udcff", "%FF"),
    ],
    ids=["unreserved", "space", "star", "base64", "utf-8", "a byte that is no utf-8"],
)
def test_only_unreserved_characters_stay(text: str, encoded: str) -> None:
    assert percent_encode(text) == encoded


@pytest.mark.parametrize(
    "text",
    [
        "ACS3-HMAC-SHA256",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=,Signature=b",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=b,Extra=c",
    ],
)
def test_a_malformed_authorization_is_none(text: str) -> None:
    assert acs3_authorization(text) is None
