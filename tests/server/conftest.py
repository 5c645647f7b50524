"""A real server around an engine that knows no rules: what is tested here is the server."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
import structlog
from claimgate.v1 import claim_pb2, score_pb2
from claimgate.v1 import reference_service_pb2 as reference_pb
from claimgate.v1.reference_service_pb2_grpc import ReferenceServiceServicer
from prometheus_client import CollectorRegistry

from engine.columns import Violation
from engine.gathered import Gathered, ModelAnswer
from server.metrics import Metrics
from server.scorer import Judged
from server.service import Parts, Serving, serving
from server.settings import Settings
from server.telemetry import configure_logging

POISON = "poison"
MEMBER_TEXT = "bad member id 123-45-6789"


@dataclass
class PlainAnswer:
    results: list[score_pb2.ClaimResult]
    provenance: score_pb2.Provenance


@dataclass
class PlainEngine:
    """Approves every claim; fails on a poisoned one; waits while the gate is closed."""

    gate: threading.Event = field(default_factory=threading.Event)
    passes: list[list[list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def read(self, messages: Sequence[score_pb2.ClaimBatch]) -> Any:
        ids = [[claim.claim_id for claim in message.claims] for message in messages]
        self.passes.append(ids)
        if not self.gate.wait(20):
            raise TimeoutError("the test left the gate closed")
        if any(claim_id == POISON for message in ids for claim_id in message):
            raise ValueError(MEMBER_TEXT)
        count = sum(map(len, ids))
        return SimpleNamespace(ids=ids, features=SimpleNamespace(values=np.zeros((count, 7))))

    def score(self, read: Any, _gathered: Gathered, views: Sequence[int]) -> Judged:
        return Judged(
            [
                PlainAnswer(
                    [
                        score_pb2.ClaimResult(
                            claim_id=claim_id, decision=score_pb2.DECISION_APPROVE
                        )
                        for claim_id in ids
                    ],
                    score_pb2.Provenance(policy_version=score_pb2.View.Name(view)),
                )
                for ids, view in zip(read.ids, views, strict=True)
            ]
        )

    def validate(self, messages: Sequence[score_pb2.ClaimBatch]) -> list[list[list[Violation]]]:
        return [
            [
                []
                if claim.facility_id
                else [Violation("facility_id", "V02", "missing: expected it")]
                for claim in message.claims
            ]
            for message in messages
        ]

    @property
    def scored_ids(self) -> list[str]:
        return [claim_id for each in self.passes for message in each for claim_id in message]


class FaultyReference(ReferenceServiceServicer):
    """A handler that raises what must never leave."""

    async def ListRules(self, _request, _context):  # noqa: N802
        raise ValueError(MEMBER_TEXT)

    async def ListReleases(self, _request, _context):  # noqa: N802
        return reference_pb.ListReleasesResponse(reference_release="r1")

    GetProcedure = GetRule = GetPolicy = ListRules


async def no_model(_read: Any) -> Gathered:
    return Gathered(ModelAnswer.disabled())


@dataclass
class Running:
    """A server under test."""

    service: Serving
    engine: PlainEngine
    registry: CollectorRegistry

    @property
    def address(self) -> str:
        return self.service.address

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


Start = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def running(gather: Any = no_model, **changes: Any) -> AsyncIterator[Running]:
    registry = CollectorRegistry()
    started = Running(None, PlainEngine(), registry)
    metrics = Metrics(registry, approval_threshold=0.8)
    parts = Parts(lambda: started.engine, FaultyReference(), gather, metrics)
    settings = Settings(
        **{
            "listen": "127.0.0.1:0",
            "reference": Path("unused"),
            "metrics_listen": "",
            "drain_ms": 5000,
            **changes,
        }
    )
    async with serving(settings, parts) as service:
        started.service = service
        yield started


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What is logged during the test, one dictionary per line."""
    root, stream = logging.getLogger(), StringIO()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    configure_logging("debug", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def start() -> Start:
    """Start a server with changed settings, in an `async with` block."""
    return running


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    """A server with the default settings."""
    async with running() as started:
        yield started


@pytest.fixture
async def channel(server: Running) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to the server."""
    async with grpc.aio.insecure_channel(server.address) as opened:
        yield opened


def claims(*claim_ids: str) -> score_pb2.ClaimBatch:
    """A batch of claims with these ids."""
    return score_pb2.ClaimBatch(
        claims=[claim_pb2.Claim(claim_id=claim_id, facility_id="F") for claim_id in claim_ids]
    )


@pytest.fixture
def batch() -> Callable[..., score_pb2.ClaimBatch]:
    return claims


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait until something holds; fails after 10 seconds."""

    async def wait(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)

    return wait
