"""The vendor's Python clients, as shipped, against a fake in a thread, since they block."""

import asyncio
import concurrent.futures
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_ecs20140526.client import Client
from alibabacloud_ecs20140526.models import DescribeImageSharePermissionRequest
from alibabacloud_tea_openapi.utils_models import Config
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from aliyunsdkecs.request.v20140526.DescribeImageSharePermissionRequest import (
    DescribeImageSharePermissionRequest as CoreRequest,
)
from darabonba.core import DaraCore

from fakeecs import FakeEcs
from fakeecs.loading import load

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A call to make: whose, and what for. `extra` configures the client."""

    port: int
    key: Mapping[str, str]
    request: Mapping[str, Any]
    extra: Mapping[str, Any]

    @property
    def credentials(self) -> tuple[str, str, str | None]:
        return self.key.get("id", "testid"), self.key.get("secret", "testsecret"), self.key.get("token")

    @property
    def parameters(self) -> dict[str, Any]:
        wanted = {"region": "cn-hangzhou", "image": "m-demo-11", **self.request}
        return {name: value for name, value in wanted.items() if value is not None}


Make = Callable[[Wish], Any]
"""Gives the answer's members, or raises what the client raises."""


def tea(signature: str | None, *, is_async: bool = False) -> Make:
    def call(wish: Wish) -> Any:
        key_id, secret, token = wish.credentials
        config = Config(
            access_key_id=key_id,
            access_key_secret=secret,
            security_token=token,
            region_id="cn-hangzhou",
            endpoint=f"127.0.0.1:{wish.port}",
            protocol="http",
            **({"signature_algorithm": signature} if signature else {}),
            **wish.extra,
        )
        names = {"region": "region_id", "image": "image_id", "page": "page_number", "size": "page_size"}
        request = DescribeImageSharePermissionRequest(
            **{names.get(name, name): value for name, value in wish.parameters.items()}
        )
        if is_async:
            # In a thread of its own: the loop of the tests must not wait for itself.
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                coroutine = Client(config).describe_image_share_permission_async(request)
                return pool.submit(asyncio.run, coroutine).result().body.to_map()
        return Client(config).describe_image_share_permission(request).body.to_map()

    return call


def core(method: str) -> Make:
    def call(wish: Wish) -> Any:
        parameters = wish.parameters
        request = CoreRequest()
        request.set_endpoint("127.0.0.1")
        request.set_protocol_type("http")
        request.set_method(method)
        for name, setter in (("image", "ImageId"), ("page", "PageNumber"), ("size", "PageSize")):
            if name in parameters:
                getattr(request, f"set_{setter}")(parameters[name])
        return answer_of_core(wish, request)

    return call


def core_common(wish: Wish) -> Any:
    """Parameters in a form, the rest in the query."""
    request = CommonRequest(
        domain="127.0.0.1",
        version="2014-05-26",
        action_name="DescribeImageSharePermission",
        product="Ecs",
    )
    request.set_protocol_type("http")
    request.set_method("POST")
    names = {"image": "ImageId", "page": "PageNumber", "size": "PageSize"}
    for name, value in wish.parameters.items():
        if name in names:
            request.add_body_params(names[name], str(value))
    return answer_of_core(wish, request)


def answer_of_core(wish: Wish, request: Any) -> Any:
    key_id, secret, token = wish.credentials
    how = (
        {"credential": StsTokenCredential(key_id, secret, token)}
        if token
        else {"ak": key_id, "secret": secret}
    )
    region = wish.parameters["region"]
    client = AcsClient(region_id=region, port=wish.port, **{"auto_retry": False, **how, **wish.extra})
    with client.session:  # left alone, it closes whenever the client is collected
        return json.loads(client.do_action_with_exception(request))


CLIENTS: dict[str, Make] = {
    "tea ACS3": tea(None),
    "tea HMAC-SHA1": tea("v2"),
    "tea ACS3 async": tea(None, is_async=True),
    "tea HMAC-SHA1 async": tea("v2", is_async=True),
    "core POST": core("POST"),
    "core GET": core("GET"),
    "core form": core_common,
}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def call(fake: FakeEcs) -> Callable[..., Any]:
    def make(
        client: str, *, port: int | None = None, key: Any = None, request: Any = None, **extra: Any
    ) -> Any:
        wish = Wish(port=port or fake.port, key=key or {}, request=request or {}, extra=extra)
        return CLIENTS[client](wish)

    return make


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeEcs]:
    with FakeEcs(data=load(HERE / "data.json")).in_thread() as fake:
        yield fake
    for session in DaraCore._sessions.values():  # the client keeps them for ever
        session.close()
    DaraCore._sessions.clear()


@pytest.fixture
def fake(shared: FakeEcs) -> Iterator[FakeEcs]:
    yield shared
    shared.faults.clear()
    shared.journal.clear()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clients send even 127.0.0.1 to a proxy, whatever NO_PROXY says."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
