"""The gRPC server around a batcher: started front to back, stopped back to front."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import grpc
from claimgate.v1.claim_service_pb2_grpc import add_ClaimServiceServicer_to_server
from claimgate.v1.reference_service_pb2_grpc import (
    ReferenceServiceServicer,
    add_ReferenceServiceServicer_to_server,
)

from server.address import Address
from server.batcher import Batcher
from server.calls import Call
from server.claims import ClaimLifeServicer
from server.failed_claims import SERVICE as CLAIM_SERVICE
from server.failed_claims import ClaimServicer
from server.interceptors import Edge
from server.metrics import Metrics
from server.passes import Gather, Passes
from server.reference import SERVICE as REFERENCE_SERVICE
from server.schedule.terms import Limits
from server.scorer import CurrentScorer, EngineThread
from server.scoring import SCORE_BATCH, ScoringServicer
from server.scoring import SERVICE as SCORING_SERVICE
from server.settings import Settings
from server.standard import add_standard_services
from server.streams import StreamLimits

_DRAIN_NOTICE_S_MAX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service is made of."""

    scorer: CurrentScorer
    reference: ReferenceServiceServicer
    gather: Gather
    metrics: Metrics
    claims: ClaimServicer = field(default_factory=ClaimLifeServicer)


@dataclass(slots=True)
class Serving:
    """A service that answers calls."""

    address: str
    batcher: Batcher
    draining: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(
    settings: Settings, parts: Parts, *, share_port: bool = False
) -> AsyncIterator[Serving]:
    """Answer calls while the block runs; after it, end what was taken and take no more."""
    thread = EngineThread(parts.metrics.observe_stage)
    passes = Passes(parts.scorer, thread, parts.gather, parts.metrics)
    with ExitStack() as stack:
        stack.callback(thread.close)
        limits = _limits(settings)
        async with Batcher(passes.run, thread, limits, parts.metrics.queue) as batcher:
            service = Serving("", batcher)
            server = _server(settings, parts, batcher, share_port=share_port)
            _add_services(server, settings, parts, service, thread)
            health = add_standard_services(
                server, (SCORING_SERVICE, REFERENCE_SERVICE, CLAIM_SERVICE)
            )
            service.address = _listen(server, settings)
            await server.start()
            await health.serving()
            parts.metrics.dependency_up.labels("engine").set(1)
            try:
                yield service
            finally:
                parts.metrics.dependency_up.labels("engine").set(0)
                await health.draining()
                service.draining.set()
                await server.stop(settings.drain_ms / 1000)


def _server(
    settings: Settings, parts: Parts, batcher: Batcher, *, share_port: bool
) -> grpc.aio.Server:
    def check_room(call: Call) -> None:
        batcher.check_room(call.principal.tenant)

    return grpc.aio.server(
        interceptors=[Edge(parts.metrics, {SCORE_BATCH: check_room})],
        options=[
            ("grpc.max_receive_message_length", settings.message_bytes_max),
            ("grpc.max_concurrent_streams", settings.stream_count_max),
            ("grpc.so_reuseport", int(share_port)),
            ("grpc.max_metadata_size", 8 * 1024),
            # Clients may ping every 30 s; gRPC's own default is 5 min, and then GOAWAY.
            ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.handshake_timeout_ms", 10_000),
            # Long-lived clients connect again now and then, and so spread over added processes.
            ("grpc.max_connection_age_ms", 600_000),
            ("grpc.max_connection_age_grace_ms", 600_000),
        ],
    )


def _add_services(
    server: grpc.aio.Server,
    settings: Settings,
    parts: Parts,
    service: Serving,
    thread: EngineThread,
) -> None:
    limits = StreamLimits(
        claims_max=settings.message_claims_max,
        unacknowledged_max=settings.stream_unacknowledged_max,
        idle_s=settings.stream_idle_ms / 1000,
        drain_notice_s=min(_DRAIN_NOTICE_S_MAX, settings.drain_ms / 2000),
    )
    scoring = ScoringServicer(
        service.batcher,
        parts.scorer,
        thread,
        limits,
        settings.call_deadline_ms / 1000,
        service.draining,
        settings.message_entries_max,
    )
    scoring.add_to(server)
    add_ReferenceServiceServicer_to_server(parts.reference, server)
    parts.claims.draining = service.draining
    add_ClaimServiceServicer_to_server(parts.claims, server)


def _limits(settings: Settings) -> Limits:
    return Limits(
        claims_max=settings.batch_claims_max,
        claims_short=min(settings.batch_claims_short, settings.batch_claims_max),
        wait_s=settings.batch_wait_ms / 1000,
        interactive_memory_s=settings.interactive_memory_ms / 1000,
        bulk_wait_s=settings.bulk_wait_ms / 1000,
        queue_claims_max=settings.queue_claims_max,
        interactive_share=settings.queue_interactive_share,
        tenant_share=settings.queue_tenant_share,
        retry_s=settings.queue_retry_ms / 1000,
        retry_s_max=settings.queue_retry_ms_max / 1000,
        weights=settings.tenant_weights,
        quotas={
            tenant: quota.shared_by(settings.workers)
            for tenant, quota in settings.tenant_quotas.items()
        },
    )


def _listen(server: grpc.aio.Server, settings: Settings) -> str:
    """Open the port; gRPC says no more than that it could not, so the cause is named here."""
    address = settings.listen_address
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise OSError(
            f"cannot listen on {settings.listen}: {_why_not(address)}; choose "
            "another address with --listen or CLAIMGATE_LISTEN, or end the process that has it"
        ) from error
    return address.with_port(port)


def _why_not(address: Address) -> str:
    """Return the operating system's reason for not giving a port."""
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError as error:
        return error.strerror or type(error).__name__
    return "gRPC refused the address"
