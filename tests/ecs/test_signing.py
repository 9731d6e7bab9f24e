import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

import pytest
from alibabacloud_tea_openapi.utils import Utils
from aliyunsdkcore.auth.composer.rpc_signature_composer import get_signed_url
from darabonba.request import DaraRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecsgateway.ecs.credentials import Credentials
from ecsgateway.ecs.signing import (
    Scheme,
    SignedRequest,
    acs3_canonical_request,
    acs3_signature,
    acs3_string_to_sign,
    canonical_query,
    hmac_sha1_signature,
    hmac_sha1_string_to_sign,
    new_nonce,
    sign,
)

LONG_TERM = Credentials(access_key_id="testid", access_key_secret="testsecret")
TEMPORARY = Credentials(access_key_id="testid", access_key_secret="testsecret", security_token="tok/en+==")
EMPTY_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def form_decoded(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    assert len(dict(pairs)) == len(pairs), "a parameter is there twice"
    return dict(pairs)


def common(nonce: str, timestamp: str, **parameters: str) -> dict[str, str]:
    return {
        "AccessKeyId": "testid",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": nonce,
        "Timestamp": timestamp,
        **parameters,
    }


DESCRIBE_REGIONS = common(
    "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
    "2016-02-23T12:46:24Z",
    Action="DescribeRegions",
    Format="XML",
    Version="2014-05-26",
)
DESCRIBE_HOSTS = common(
    "edb2b34af0af9a6d14deaf7c1a5315eb",
    "2023-03-13T08:34:30Z",
    Action="DescribeDedicatedHosts",
    Format="JSON",
    RegionId="cn-beijing",
    Version="2014-05-26",
)
SEND_SMS = {
    **common("45e25e9b-0a6f-4070-8c85-2956eda1b466", "2017-07-12T02:42:19Z"),
    "AccessKeyId": "testId",
    "Action": "SendSms",
    "Format": "XML",
    "OutId": "123",
    "PhoneNumbers": "15300000001",
    "RegionId": "cn-hangzhou",
    "SignName": "阿里云短信测试专用",
    "TemplateCode": "SMS_71390007",
    "TemplateParam": '{"customer":"test"}',
    "Version": "2017-05-25",
}
GO_SDK = {
    "Version": "",
    "Action": "",
    "Format": "JSON",
    "Timestamp": "mock date",
    "SignatureMethod": "HMAC-SHA1",
    "SignatureVersion": "1.0",
    "SignatureType": "",
    "SignatureNonce": "MOCK_UUID",
    "AccessKeyId": "accessKeyId",
    "RegionId": "regionId",
}
GO_SDK_STS = {**GO_SDK, "SecurityToken": "accessKeyStsToken"}
PYTHON_SDK = {
    "SignatureVersion": "1.0",
    "Format": "JSON",
    "Timestamp": "7e1c7d12-7551-4856-8abb-1938ccac6bcc",
    "AccessKeyId": "access_key_id",
    "SignatureMethod": "HMAC-SHA1",
    "SignatureType": "",
    "SignatureNonce": "2018-12-04T04:03:12Z",
}
OURS = {
    **DESCRIBE_REGIONS,
    "Action": "DescribeImageSharePermission",
    "Format": "JSON",
    "RegionId": "cn-hangzhou",
    "ImageId": "m-bp1caf3yicx5jlfl****",
    "PageNumber": "1",
    "PageSize": "50",
}
OURS_STS = {**OURS, "SecurityToken": "tok/en+=="}
OURS_AWKWARD = {**OURS, "ImageId": "m-测试 +*~/%"}

# From Alibaba's pages and the unit tests of its SDKs; "ours" were computed twice, by independent code.
HMAC_SHA1_VECTORS = {
    "ecs-page": ("GET", "testsecret", DESCRIBE_REGIONS, "OLeaidS1JvxuMvnyHOwuJ+uX5qY="),
    "rpc-page": ("GET", "testsecret", DESCRIBE_HOSTS, "9NaGiOspFP5UPcwX8Iwt2YJXXuk="),
    "sms-page": ("GET", "testSecret", SEND_SMS, "zJDF+Lrzhj/ThnlvIToysFRq6t4="),
    "go-sdk": ("GET", "accessKeySecret", GO_SDK, "7loPmFjvDnzOVnQeQNj85S6nFGY="),
    "go-sdk-sts": ("GET", "accessKeySecret", GO_SDK_STS, "5Nxdcler+ihqWqv0Hr2On4PsBf4="),
    "darabonba-python": ("GET", "secret", {"query": "test", "body": "test"}, "XlUyV4sXjOuX5FnjUz9IF9tm5rU="),
    "darabonba-go": ("", "accessKeySecret", {"test": "ok"}, "jHx/oHoHNrbVfhncHEvPdHXZwHU="),
    "python-core": ("GET", "access_key_secret", PYTHON_SDK, "5AYPtZduFYvj3ETTIQlivGqL7Ic="),
    "ours-get": ("GET", "testsecret", OURS, "6jsQBBMcGqfcHvi9EwzdF+LcEjA="),
    "ours-post": ("POST", "testsecret", OURS, "HkxxuSIjZ6TxLjxZBi+mVJkO8zc="),
    "ours-sts": ("GET", "testsecret", OURS_STS, "o6N+xmSJfKtfauB2DngdkyrDH2E="),
    "ours-awkward": ("GET", "testsecret", OURS_AWKWARD, "nHZOk/0Ogq17P5CY9R0zgD59bJM="),
}


@pytest.mark.parametrize(
    ("method", "secret", "parameters", "signature"), HMAC_SHA1_VECTORS.values(), ids=HMAC_SHA1_VECTORS
)
def test_hmac_sha1_gives_the_signature_of_the_vector(
    method: str, secret: str, parameters: dict[str, str], signature: str
) -> None:
    string_to_sign = hmac_sha1_string_to_sign(
        method=method, canonical_query=canonical_query(parameters=parameters)
    )
    assert hmac_sha1_signature(string_to_sign=string_to_sign, access_key_secret=secret) == signature


def test_hmac_sha1_gives_the_published_text_at_each_step() -> None:
    query = canonical_query(parameters=DESCRIBE_REGIONS)
    assert query == (
        "AccessKeyId=testid&Action=DescribeRegions&Format=XML&SignatureMethod=HMAC-SHA1"
        "&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&SignatureVersion=1.0"
        "&Timestamp=2016-02-23T12%3A46%3A24Z&Version=2014-05-26"
    )
    assert hmac_sha1_string_to_sign(method="GET", canonical_query=query) == (
        "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML"
        "%26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"
        "%26SignatureVersion%3D1.0%26Timestamp%3D2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26"
    )


RUN_INSTANCES = {
    "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
    "RegionId": "cn-shanghai",
}
RUN_INSTANCES_HEADERS = {
    "host": "ecs.cn-shanghai.aliyuncs.com",
    "x-acs-action": "RunInstances",
    "x-acs-content-sha256": EMPTY_BODY,
    "x-acs-date": "2023-10-26T10:22:32Z",
    "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
    "x-acs-version": "2014-05-26",
}
OURS_QUERY = {
    "ImageId": "m-bp1caf3yicx5jlfl****",
    "PageNumber": "1",
    "PageSize": "50",
    "RegionId": "cn-hangzhou",
}
OURS_HEADERS = {
    **RUN_INSTANCES_HEADERS,
    "host": "ecs-cn-hangzhou.aliyuncs.com",
    "x-acs-action": "DescribeImageSharePermission",
}


@dataclass(frozen=True, kw_only=True)
class Acs3Vector:
    method: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    hashed_payload: str = EMPTY_BODY
    secret: str

    def canonical_request(self) -> str:
        return acs3_canonical_request(
            method=self.method,
            canonical_query=canonical_query(parameters=self.parameters),
            headers=self.headers,
            hashed_payload=self.hashed_payload,
        )


ACS3_PAGE = Acs3Vector(
    method="POST",
    parameters=RUN_INSTANCES,
    headers=RUN_INSTANCES_HEADERS,
    secret="YourAccessKeySecret",
)
ACS3_DARABONBA = Acs3Vector(
    method="GET",
    parameters={"test": "ok", "empty": ""},
    headers={"x-acs-test": "http", "x-acs-TEST": "https"},
    hashed_payload="55e12e91650d2fec56ec74e1d3e4ddbfce2ef3a65890c2a19ecf88a307e76a23",
    secret="secret",
)
ACS3_OURS = Acs3Vector(method="POST", parameters=OURS_QUERY, headers=OURS_HEADERS, secret="testsecret")
ACS3_HASHES = {
    "v3-page": (ACS3_PAGE, "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259"),
    "ours-post": (ACS3_OURS, "076a309da5fa7c8f61de9245a48555c676787866754c198344652dcd6e21f845"),
}
ACS3_SIGNATURES = {
    "v3-page": (ACS3_PAGE, "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"),
    "darabonba-python": (ACS3_DARABONBA, "d16b30a7699ae9e43875b13195b2f81bcc3ed10c14a9b5eb780e51619aa50be1"),
    "darabonba-go": (
        replace(ACS3_DARABONBA, method=""),
        "4ab59fffe3c5738ff8a2729f90cc04fe18b02a4b15b2102cbaf92f9ff3df2ea3",
    ),
    "ours-post": (ACS3_OURS, "f4aa58b37d2468b643e438490ee4b0e61256c0968d3f5fb01d22a066d7173c75"),
    "ours-get": (
        replace(ACS3_OURS, method="GET"),
        "0baeff573a9e2280859590c6f4e2e741752633cecf6844dcf01dde5f26a4f4b8",
    ),
}


@pytest.mark.parametrize(("vector", "hashed_canonical_request"), ACS3_HASHES.values(), ids=ACS3_HASHES)
def test_acs3_hashes_the_canonical_request_to_the_string_to_sign_of_the_vector(
    vector: Acs3Vector, hashed_canonical_request: str
) -> None:
    string_to_sign = acs3_string_to_sign(canonical_request=vector.canonical_request())
    assert string_to_sign == f"ACS3-HMAC-SHA256\n{hashed_canonical_request}"


@pytest.mark.parametrize(("vector", "signature"), ACS3_SIGNATURES.values(), ids=ACS3_SIGNATURES)
def test_acs3_gives_the_signature_of_the_vector(vector: Acs3Vector, signature: str) -> None:
    string_to_sign = acs3_string_to_sign(canonical_request=vector.canonical_request())
    assert acs3_signature(string_to_sign=string_to_sign, access_key_secret=vector.secret) == signature


def test_the_canonical_request_has_the_lines_of_the_specification() -> None:
    assert ACS3_PAGE.canonical_request() == (
        "POST\n"
        "/\n"
        "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai\n"
        "host:ecs.cn-shanghai.aliyuncs.com\n"
        "x-acs-action:RunInstances\n"
        f"x-acs-content-sha256:{EMPTY_BODY}\n"
        "x-acs-date:2023-10-26T10:22:32Z\n"
        "x-acs-signature-nonce:3156853299f313e23d1673dc12e1703d\n"
        "x-acs-version:2014-05-26\n"
        "\n"
        "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version\n"
        f"{EMPTY_BODY}"
    )


def test_headers_of_one_name_are_merged_and_values_are_trimmed() -> None:
    canonical_request = acs3_canonical_request(
        method="GET",
        canonical_query="",
        headers={"x-acs-TEST": " https ", "X-Acs-Test": "http", "Host": "\tecs.aliyuncs.com"},
        hashed_payload=EMPTY_BODY,
    )
    assert canonical_request == (
        f"GET\n/\n\nhost:ecs.aliyuncs.com\nx-acs-test:http,https\n\nhost;x-acs-test\n{EMPTY_BODY}"
    )


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param({"A": ""}, "A=", id="empty-value"),
        pytest.param({"A": "azAZ09-_.~"}, "A=azAZ09-_.~", id="unreserved"),
        pytest.param({"A": " +*/%&="}, "A=%20%2B%2A%2F%25%26%3D", id="reserved"),
        pytest.param({"A": "'()!,;:@$#?[]"}, "A=%27%28%29%21%2C%3B%3A%40%24%23%3F%5B%5D", id="punctuation"),
        pytest.param({"A": "测é😀"}, "A=%E6%B5%8B%C3%A9%F0%9F%98%80", id="non-ascii"),
        pytest.param({"A": "\n\0\x7f"}, "A=%0A%00%7F", id="control"),
        pytest.param({"b": "1", "B": "2", "a": "3"}, "B=2&a=3&b=1", id="upper-case-first"),
        pytest.param({"A.10": "x", "A.2": "y", "A": "z"}, "A=z&A.10=x&A.2=y", id="indexed-keys"),
        pytest.param({"A~": "1", "A/": "2"}, "A%2F=2&A~=1", id="keys-are-encoded"),
        pytest.param({"A": "1", "A-": "2", "AB": "3"}, "A=1&A-=2&AB=3", id="prefix-first"),
        pytest.param({"A:": "1", "A5": "2"}, "A5=2&A%3A=1", id="sorted-before-encoding"),
    ],
)
def test_the_canonical_query_is_sorted_and_percent_encoded(parameters: dict[str, str], query: str) -> None:
    assert canonical_query(parameters=parameters) == query


@dataclass(frozen=True, kw_only=True)
class Captured:
    """A request as one of the official clients sent it, form-decoded."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    body: bytes

    @classmethod
    def read(cls, path: Path) -> "Captured":
        head, _, body = path.read_bytes().partition(b"\r\n\r\n")
        request_line, *lines = head.decode("ascii").split("\r\n")
        method, target, _ = request_line.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        is_form = headers.get("content-type") == "application/x-www-form-urlencoded"
        return cls(
            method=method,
            headers=headers,
            query=form_decoded(urlsplit(target).query),
            form=form_decoded(body.decode("ascii")) if is_form else {},
            body=body,
        )


CAPTURED = {
    path.stem: Captured.read(path)
    for path in sorted((Path(__file__).parents[1] / "data" / "requests").glob("*.raw"))
}
CAPTURED_ACS3 = [
    pytest.param(request, id=name) for name, request in CAPTURED.items() if "authorization" in request.headers
]
CAPTURED_HMAC_SHA1 = [
    pytest.param(request, id=name) for name, request in CAPTURED.items() if "Signature" in request.query
]


def test_every_captured_request_is_signed_with_one_of_the_schemes() -> None:
    assert (len(CAPTURED), len(CAPTURED_ACS3), len(CAPTURED_HMAC_SHA1)) == (19, 8, 11)


@pytest.mark.parametrize("request_", CAPTURED_ACS3)
def test_acs3_gives_the_signature_that_an_official_client_sent(request_: Captured) -> None:
    algorithm, _, rest = request_.headers["authorization"].partition(" ")
    authorization = dict(part.split("=", 1) for part in rest.split(","))
    hashed_payload = hashlib.sha256(request_.body).hexdigest()
    canonical_request = acs3_canonical_request(
        method=request_.method,
        canonical_query=canonical_query(parameters=request_.query),
        headers={name: request_.headers[name] for name in authorization["SignedHeaders"].split(";")},
        hashed_payload=hashed_payload,
    )
    string_to_sign = acs3_string_to_sign(canonical_request=canonical_request)

    assert (algorithm, authorization["Credential"]) == ("ACS3-HMAC-SHA256", "testid")
    assert request_.headers["x-acs-content-sha256"] == hashed_payload
    signature = acs3_signature(string_to_sign=string_to_sign, access_key_secret="testsecret")
    assert signature == authorization["Signature"]


@pytest.mark.parametrize("request_", CAPTURED_HMAC_SHA1)
def test_hmac_sha1_gives_the_signature_that_an_official_client_sent(request_: Captured) -> None:
    parameters = {**request_.query, **request_.form}
    signature = parameters.pop("Signature")
    string_to_sign = hmac_sha1_string_to_sign(
        method=request_.method, canonical_query=canonical_query(parameters=parameters)
    )
    assert hmac_sha1_signature(string_to_sign=string_to_sign, access_key_secret="testsecret") == signature


COMMON_PARAMETERS = {*OURS, "SecurityToken", "Signature", "SignatureType"}
keys = st.from_regex(r"[A-Za-z][A-Za-z0-9.]{0,11}", fullmatch=True).filter(
    lambda key: key not in COMMON_PARAMETERS
)
values = st.text(
    st.one_of(st.sampled_from("*~+/ %&=-_.:'()!\"\n测é😀"), st.characters(codec="utf-8")), max_size=20
)
some_parameters = st.dictionaries(keys, values, max_size=8)
secrets = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=40)
tokens = st.none() | st.text("abcXYZ019+/=", min_size=1, max_size=60)
zones = [UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=3, minutes=30))]
moments = st.builds(datetime.fromtimestamp, st.floats(0, 4e9), st.sampled_from(zones))
formats: st.SearchStrategy[Literal["json", "xml"]] = st.sampled_from(["json", "xml"])
methods = st.sampled_from(["GET", "POST"])


def official_authorization(
    method: str, query: Mapping[str, str], headers: Mapping[str, str], credentials: Credentials
) -> str:
    request = DaraRequest()
    request.method, request.pathname = method, "/"
    request.query, request.headers = dict(query), dict(headers)
    authorization: str = Utils.get_authorization(
        request, "ACS3-HMAC-SHA256", EMPTY_BODY, credentials.access_key_id, credentials.access_key_secret
    )
    return authorization


@settings(deadline=None)
@given(method=methods, parameters=some_parameters, form=some_parameters, secret=secrets)
def test_hmac_sha1_agrees_with_the_legacy_sdk(
    method: str, parameters: dict[str, str], form: dict[str, str], secret: str
) -> None:
    url, official_string_to_sign = get_signed_url(dict(parameters), "testid", secret, "JSON", method, form)
    sent = form_decoded(urlsplit(url).query)
    signature = sent.pop("Signature")

    string_to_sign = hmac_sha1_string_to_sign(
        method=method, canonical_query=canonical_query(parameters={**sent, **form})
    )
    assert string_to_sign == official_string_to_sign
    assert hmac_sha1_signature(string_to_sign=string_to_sign, access_key_secret=secret) == signature


NONCE = "3156853299f313e23d1673dc12e1703d"
NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def signed(
    scheme: Scheme,
    *,
    parameters: Mapping[str, str] = OURS_QUERY,
    credentials: Credentials = LONG_TERM,
    response_format: Literal["json", "xml"] = "json",
    at: datetime = NOON,
    nonce: str = NONCE,
) -> SignedRequest:
    return sign(
        scheme,
        action="DescribeImageSharePermission",
        version="2014-05-26",
        parameters=parameters,
        host="ecs-cn-hangzhou.aliyuncs.com",
        credentials=credentials,
        response_format=response_format,
        at=at,
        nonce=nonce,
    )


def test_an_acs3_request_has_these_headers_and_this_query() -> None:
    request = sign(
        Scheme.ACS3_HMAC_SHA256,
        action="RunInstances",
        version="2014-05-26",
        parameters=RUN_INSTANCES,
        host="ecs.cn-shanghai.aliyuncs.com",
        credentials=Credentials(access_key_id="YourAccessKeyId", access_key_secret="YourAccessKeySecret"),
        response_format="json",
        at=datetime(2023, 10, 26, 10, 22, 32, tzinfo=UTC),
        nonce=NONCE,
    )
    assert request.query == (
        "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai"
    )
    assert request.headers == {
        **RUN_INSTANCES_HEADERS,
        "accept": "application/json",
        "authorization": "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,"
        "SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
    }


def test_an_hmac_sha1_request_has_these_headers_and_this_query() -> None:
    request = signed(
        Scheme.HMAC_SHA1,
        at=datetime(2016, 2, 23, 12, 46, 24, tzinfo=UTC),
        nonce="3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
    )
    assert form_decoded(request.query) == {**OURS, "Signature": "HkxxuSIjZ6TxLjxZBi+mVJkO8zc="}
    assert request.headers == {"host": "ecs-cn-hangzhou.aliyuncs.com", "accept": "application/json"}


@settings(deadline=None)
@given(parameters=some_parameters, secret=secrets, token=tokens, at=moments, response_format=formats)
def test_an_acs3_request_is_what_the_official_sdk_would_sign(
    parameters: dict[str, str],
    secret: str,
    token: str | None,
    at: datetime,
    response_format: Literal["json", "xml"],
) -> None:
    credentials = Credentials(access_key_id="testid", access_key_secret=secret, security_token=token)
    request = signed(
        Scheme.ACS3_HMAC_SHA256,
        parameters=parameters,
        credentials=credentials,
        at=at,
        response_format=response_format,
    )
    headers = dict(request.headers)

    assert form_decoded(request.query) == parameters
    assert headers.pop("accept") == f"application/{response_format}"
    assert headers.pop("authorization") == official_authorization(
        "POST", form_decoded(request.query), headers, credentials
    )
    assert headers.pop("x-acs-security-token", None) == token
    assert headers.pop("x-acs-accesskey-id", None) == ("testid" if token else None)
    assert headers == {
        **OURS_HEADERS,
        "x-acs-date": f"{at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z",
    }


@settings(deadline=None)
@given(parameters=some_parameters, secret=secrets, token=tokens, at=moments, response_format=formats)
def test_an_hmac_sha1_request_is_what_the_official_sdk_would_sign(
    parameters: dict[str, str],
    secret: str,
    token: str | None,
    at: datetime,
    response_format: Literal["json", "xml"],
) -> None:
    request = signed(
        Scheme.HMAC_SHA1,
        parameters=parameters,
        credentials=Credentials(access_key_id="testid", access_key_secret=secret, security_token=token),
        at=at,
        response_format=response_format,
    )
    sent = form_decoded(request.query)

    assert sent.pop("Signature") == Utils.get_rpcsignature(sent, "POST", secret)
    assert sent.pop("SecurityToken", None) == token
    assert sent == {
        **parameters,
        "Action": "DescribeImageSharePermission",
        "Version": "2014-05-26",
        "Format": {"json": "JSON", "xml": "XML"}[response_format],
        "AccessKeyId": "testid",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": NONCE,
        "Timestamp": f"{at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z",
    }
    assert request.headers == {
        "host": "ecs-cn-hangzhou.aliyuncs.com",
        "accept": f"application/{response_format}",
    }


@pytest.mark.parametrize("scheme", Scheme)
def test_the_query_goes_out_in_its_canonical_form(scheme: Scheme) -> None:
    query = signed(scheme, parameters={"ImageId": "m-测试 +*~/%&='()!,;:@$", "OwnerAccount": ""}).query
    assert canonical_query(parameters=form_decoded(query)) == query


def test_a_parameter_cannot_replace_a_common_one() -> None:
    hostile = {**OURS_QUERY, "Action": "DeleteImage", "AccessKeyId": "somebody", "Timestamp": "never"}
    assert signed(Scheme.HMAC_SHA1, parameters=hostile) == signed(Scheme.HMAC_SHA1)


@pytest.mark.parametrize("scheme", Scheme)
def test_an_sts_token_is_signed(scheme: Scheme) -> None:
    other = Credentials(access_key_id="testid", access_key_secret="testsecret", security_token="another")
    assert signature_of(signed(scheme, credentials=TEMPORARY)) != signature_of(
        signed(scheme, credentials=other)
    )


@pytest.mark.parametrize("token", [None, ""], ids=["no-token", "empty-token"])
@pytest.mark.parametrize("scheme", Scheme)
def test_without_an_sts_token_nothing_of_it_is_sent(scheme: Scheme, token: str | None) -> None:
    request = signed(
        scheme,
        credentials=Credentials(access_key_id="testid", access_key_secret="testsecret", security_token=token),
    )
    assert "SecurityToken" not in form_decoded(request.query)
    assert not {"x-acs-security-token", "x-acs-accesskey-id"} & request.headers.keys()


def test_acs3_signs_the_host_and_every_acs_header_and_nothing_that_a_proxy_rewrites() -> None:
    headers = signed(Scheme.ACS3_HMAC_SHA256, credentials=TEMPORARY).headers
    names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert names == sorted(headers.keys() - {"accept", "authorization"})
    assert set(names) == {
        "host",
        "x-acs-accesskey-id",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-security-token",
        "x-acs-signature-nonce",
        "x-acs-version",
    }


def signature_of(request: SignedRequest) -> str:
    authorization = request.headers.get("authorization", "")
    return authorization.partition("Signature=")[2] or form_decoded(request.query)["Signature"]


@pytest.mark.parametrize("scheme", Scheme)
def test_another_attempt_has_another_signature(scheme: Scheme) -> None:
    first = signature_of(signed(scheme))
    assert signature_of(signed(scheme, nonce="another")) != first
    assert signature_of(signed(scheme, at=NOON + timedelta(seconds=1))) != first


@pytest.mark.parametrize("scheme", Scheme)
def test_signing_is_a_function_of_its_arguments_alone(scheme: Scheme) -> None:
    assert signed(scheme) == signed(scheme)


@pytest.mark.parametrize("scheme", Scheme)
def test_the_parameters_are_left_as_they_were(scheme: Scheme) -> None:
    parameters = dict(OURS_QUERY)
    signed(scheme, parameters=parameters)
    assert parameters == OURS_QUERY


@pytest.mark.parametrize("scheme", Scheme)
def test_a_time_without_a_zone_is_refused(scheme: Scheme) -> None:
    with pytest.raises(ValueError, match="time zone"):
        signed(scheme, at=NOON.replace(tzinfo=None))


@pytest.mark.parametrize("scheme", Scheme)
def test_a_time_of_another_zone_is_sent_as_utc(scheme: Scheme) -> None:
    shanghai = timezone(timedelta(hours=8))
    assert signed(scheme, at=NOON.astimezone(shanghai)) == signed(scheme, at=NOON)


@pytest.mark.parametrize("show", [repr, str, "{}".format], ids=["repr", "str", "format"])
@pytest.mark.parametrize("scheme", Scheme)
def test_no_secret_is_shown(scheme: Scheme, show: Callable[[object], str]) -> None:
    request = signed(scheme, credentials=TEMPORARY)
    shown = show(request)
    for secret in ("testid", "testsecret", "tok", NONCE, signature_of(request)):
        assert secret not in shown


def test_nonces_do_not_repeat() -> None:
    nonces = {new_nonce() for _ in range(10_000)}
    assert len(nonces) == 10_000
    assert {len(nonce) for nonce in nonces} == {32}
