"""Where everything meets: settings become a running server, which stops without losing a call."""

import asyncio
import socket
import ssl

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2_grpc

from ecsgateway.config import BadSetting, Settings
from ecsgateway.deadline import Deadline
from ecsgateway.ecs.client import EcsClient, Policy
from ecsgateway.ecs.credentials import CredentialSource
from ecsgateway.ecs.endpoints import endpoint_host
from ecsgateway.ecs.limiter import FairLimiter
from ecsgateway.ecs.transport import AiohttpTransport
from ecsgateway.pagination import Bounds
from ecsgateway.rpc.guard import Guard
from ecsgateway.rpc.health import SERVICE, Health
from ecsgateway.rpc.reflection import Reflection
from ecsgateway.rpc.service import ImageSharePermissionService
from ecsgateway.rpc.telemetry import logger
from ecsgateway.rpc.undecodable import Undecodable
from ecsgateway.translation import ACTION, VERSION
from ecsgateway.v1.image_share_permission_pb2_grpc import add_ImageSharePermissionServiceServicer_to_server

_PROBE_SECONDS = 10.0
_LAST_WORDS = 0.2
"""Seconds for the statuses of calls that are ended to reach their callers."""

OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share its calls
    ("grpc.max_receive_message_length", 64 * 1024),  # a request is below 2 KiB
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 1024),  # above the calls at a time: what gRPC refuses has no details
    ("grpc.keepalive_time_ms", 30_000),  # ask callers that are silent whether they are there
    ("grpc.http2.ping_timeout_ms", 10_000),  # without it, one whose machine vanished keeps its calls
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.max_connection_age_ms", 600_000),  # callers spread, and who reads nothing is not kept for ever
)


class Gateway:
    """A server that answers from ECS. Start it in the running loop; stop it once.

    Args:
        settings: all of them.
        credentials: where the keys come from.
        options: more of grpc's options; they win over ours.
    """

    def __init__(
        self, settings: Settings, credentials: CredentialSource, options: tuple[tuple[str, int], ...] = ()
    ) -> None:
        self._settings = settings
        self._log = logger()
        self._http = AiohttpTransport(
            connections=settings.max_requests, any_address=settings.endpoint is not None
        )
        self._ecs = EcsClient(
            self._http,
            credentials=credentials,
            endpoint=self._endpoint,
            limiter=FairLimiter(running=settings.max_requests, waiting=settings.max_waiting),
            policy=Policy(
                scheme=settings.signature,
                response_format=settings.format,
                attempt_timeout=settings.attempt_seconds,
                any_endpoint=settings.endpoint is not None,
            ),
        )
        self._health = Health(self._probe)
        self._guard = Guard(
            log=self._log,
            most_calls=settings.max_calls,
            longest=settings.max_seconds,
            on_outcome=self._health.learn,
        )
        bounds = (
            ("grpc.max_allowed_incoming_connections", settings.max_connections),
            ("grpc.max_connection_age_grace_ms", round((settings.max_seconds + 10) * 1000)),
        )
        chosen = tuple(dict((*OPTIONS, *bounds, *options)).items())  # of two of a name, grpc takes the first
        self._server = grpc.aio.server(interceptors=[Undecodable()], options=chosen)
        add_ImageSharePermissionServiceServicer_to_server(
            ImageSharePermissionService(
                ecs=self._ecs,
                guard=self._guard,
                bounds=Bounds(prefetch=settings.prefetch_pages, pages=settings.max_pages),
            ),
            self._server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, self._server)
        Reflection([SERVICE, "grpc.health.v1.Health"]).add_to(self._server)
        self.address = settings.listen

    async def start(self) -> None:
        """Serve; `address` tells where.

        Raises:
            BadSetting: the address cannot be had, or the certificate cannot be read.
        """
        check_free(self._settings.listen)
        try:
            port = self._bind()
        except RuntimeError:
            raise BadSetting(f"cannot listen on {self._settings.listen}") from None
        self.address = f"{self._settings.listen.rpartition(':')[0]}:{port}"
        await self._server.start()
        await self._health.start()
        self._log.info(
            "serving", address=self.address, upstream=self._settings.endpoint or "region's endpoint"
        )

    async def stop(self) -> None:
        """Stop: say so, let calls end, break what is left with a token to resume, and close everything.

        Calls go on for half of the grace; what still waits for ECS then is told to call again elsewhere.
        """
        grace = self._settings.grace_seconds
        self._log.info("stopping", calls=self._guard.calls, grace=grace)
        await self._health.drain()
        stopping = asyncio.create_task(self._server.stop(grace))
        await asyncio.wait((stopping,), timeout=grace / 2)
        if not stopping.done():
            self._log.info("draining", calls=self._guard.calls)
        self._guard.drain()
        await stopping
        await self._guard.finished()
        await self._http.aclose()
        self._log.info("stopped")

    @property
    def calls(self) -> int:
        """The calls that are under way."""
        return self._guard.calls

    async def abort(self) -> None:
        """End every call now, with its status; what `stop` waits for is then over."""
        self._guard.drain()
        await self._server.stop(_LAST_WORDS)

    def _bind(self) -> int:
        cert, key = self._settings.tls_cert, self._settings.tls_key
        if cert is None or key is None:
            return self._server.add_insecure_port(self._settings.listen)
        try:
            pair = (key.read_bytes(), cert.read_bytes())
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        except ssl.SSLError:
            raise BadSetting("--tls-cert and --tls-key are no certificate with its key") from None
        except OSError as error:
            raise BadSetting(f"cannot read {error.filename}: {error.strerror}") from None
        return self._server.add_secure_port(self._settings.listen, grpc.ssl_server_credentials([pair]))

    def _endpoint(self, region_id: str) -> str:
        if self._settings.endpoint is not None:
            return self._settings.endpoint
        return f"https://{endpoint_host(region_id, network=self._settings.network)}"

    async def _probe(self, refused: Message) -> object:
        """Ask ECS for the smallest page of what it refused to answer."""
        region_id, image_id = refused.region_id, refused.image_id  # type: ignore[attr-defined] # both requests have them
        return await self._ecs.call(
            ACTION,
            VERSION,
            {"RegionId": region_id, "ImageId": image_id, "PageNumber": "1", "PageSize": "1"},
            lambda fields: fields,
            region_id=region_id,
            deadline=Deadline.after(_PROBE_SECONDS),
            flow=self,
        )


def check_free(listen: str) -> None:
    """Find out before gRPC does, whose own complaint is many lines long.

    Raises:
        BadSetting: another process listens there, or the host is not ours.
    """
    host, _, port = listen.rpartition(":")
    try:
        family, kind, _, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise BadSetting(f"cannot listen on {listen}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeError:
        raise BadSetting(f"cannot listen on {listen}: not a host name") from None
