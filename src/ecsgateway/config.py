"""Every setting, typed, in one place: the only reader of the gateway's environment."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ecsgateway.ecs.endpoints import Network
from ecsgateway.ecs.signing import Scheme

PREFIX = "ECSGATEWAY_"


class BadSetting(Exception):
    """A setting is wrong; the text names it, its environment variable, and what it must be."""


def address(value: str) -> str:
    """Check HOST:PORT. An IPv6 host stands in brackets.

    Raises:
        ValueError: it is none.
    """
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be HOST:PORT")
    return value


def _base_url(value: str) -> str:
    match = re.fullmatch(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?", value, re.ASCII)
    port = match and match[2]
    if not match or len(max(match[1].split("."), key=len)) > 63 or (port and int(port[1:]) > 65535):
        raise ValueError("must be http://HOST[:PORT] or https://HOST[:PORT]")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]


class Settings(BaseSettings):
    """The settings of `ecsgateway serve`. A flag wins over its environment variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    listen: Address = Field(
        "127.0.0.1:50051", description="HOST:PORT to serve on; port 0 picks one and logs it"
    )
    endpoint: BaseUrl | None = Field(
        None, description="URL of the upstream, instead of the region's endpoint; http:// is allowed"
    )
    signature: Scheme = Field(Scheme.ACS3_HMAC_SHA256, description="how requests are signed")
    format: Literal["json", "xml"] = Field("json", description="the format that ECS is asked for")
    network: Network = Field(Network.PUBLIC, description="which of a region's endpoints to use")
    demo: bool = Field(False, description="serve on an embedded fake upstream, and show one streamed call")
    prefetch_pages: int = Field(16, ge=1, le=256, description="the most pages that a stream fetches ahead")
    max_pages: int = Field(1000, ge=1, description="the most pages of one stream")
    max_seconds: float = Field(300, gt=0, description="the longest that any call may take")
    attempt_seconds: float = Field(10, gt=0, description="the longest that one HTTP request may take")
    max_calls: int = Field(1000, ge=1, description="the most calls at a time")
    max_connections: int = Field(1000, ge=1, description="the most connections of callers at a time")
    max_requests: int = Field(64, ge=1, description="the most HTTP requests at a time")
    max_waiting: int = Field(4096, ge=0, description="the most HTTP requests that may wait for their turn")
    grace_seconds: float = Field(20, ge=0, description="how long calls may go on after SIGTERM")
    log_format: Literal["text", "json"] = Field("text", description="the form of the log on standard error")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged"
    )
    tls_cert: Path | None = Field(
        None, description="PEM file of the server's certificate chain; with --tls-key"
    )
    tls_key: Path | None = Field(None, description="PEM file of the certificate's private key")


def load(flags: dict[str, Any]) -> Settings:
    """Read the settings from flags and the environment.

    Raises:
        BadSetting: one of them is wrong.
    """
    try:
        settings = Settings(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        source = flag(name) if name in flags else PREFIX + name.upper()
        message = first["msg"].removeprefix("Value error, ")
        given = "" if "@" in str(first["input"]) else f", not {first['input']!r}"  # it may hold a password
        raise BadSetting(f"{source}: {message}{given}") from None
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise BadSetting("--tls-cert and --tls-key go together")
    if settings.demo and settings.endpoint:
        raise BadSetting("--demo has an upstream of its own: it does not go with --endpoint")
    return settings


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.replace("_", "-")


def credential_files() -> tuple[Path, ...]:
    """Return the files that Alibaba's default credential chain reads.

    Source: alibabacloud_credentials 1.0.12, provider/cli_profile.py and provider/profile.py.
    """
    named = os.environ.get("ALIBABA_CLOUD_CREDENTIALS_FILE")
    token = os.environ.get("ALIBABA_CLOUD_OIDC_TOKEN_FILE")
    home = Path.home()
    profile = Path(named) if named else home / ".alibabacloud" / "credentials.ini"
    files = (home / ".aliyun" / "config.json", profile)
    return (*files, Path(token)) if token else files
