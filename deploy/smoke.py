"""Start the service on its embedded fake upstream, call it, end it. Runs inside the image, as its user."""

import os
import signal
import socket
import ssl
import subprocess
import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ecsgateway.v1 import image_share_permission_pb2, image_share_permission_pb2_grpc

ACCOUNTS = 45  # in the fake's image m-demo-45


def too_long(*_: object) -> None:
    """Give up, by way of the finally below, which ends the service."""
    raise TimeoutError("not done within a minute")


def await_health(channel: grpc.Channel, service: subprocess.Popen[bytes]) -> None:
    """Return once the service says that it serves."""
    stub: Any = health_pb2_grpc.HealthStub(channel)  # the stubs of its types have no methods
    deadline = time.monotonic() + 30
    seen: object = None
    while time.monotonic() < deadline:
        if service.poll() is not None:
            raise SystemExit(f"the service exited with {service.returncode}")
        try:
            seen = stub.Check(health_pb2.HealthCheckRequest(), timeout=1).status
        except grpc.RpcError as error:
            seen = error.code()
        if seen == health_pb2.HealthCheckResponse.SERVING:
            return
        time.sleep(0.2)
    raise SystemExit(f"the service's health is {seen} after 30 seconds")


def main() -> None:
    """Fail unless the service starts, answers, and ends well when told to."""
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(60)
    if os.getuid() == 0:
        raise SystemExit("the image's user is root")
    if not ssl.create_default_context().cert_store_stats()["x509_ca"]:
        raise SystemExit("the image has no CA certificates, so it could trust no upstream")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["ecsgateway", "serve", "--demo", "--listen", address]
    service = subprocess.Popen(  # noqa: S603 - only the port varies
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            await_health(channel, service)
            stub = image_share_permission_pb2_grpc.ImageSharePermissionServiceStub(channel)
            request = image_share_permission_pb2.StreamImageSharePermissionRequest(
                region_id="cn-hangzhou", image_id=f"m-demo-{ACCOUNTS}", page_size=10
            )
            received = sum(
                len(answer.page.accounts) for answer in stub.StreamImageSharePermission(request, timeout=20)
            )
        if received != ACCOUNTS:
            raise SystemExit(f"the service returned {received} accounts instead of {ACCOUNTS}")
        service.terminate()
        if service.wait(20) != 0:
            raise SystemExit(f"told to end, the service exited with {service.returncode}")
    finally:
        service.kill()


main()
