"""A real server around an engine that knows no rules, and the real service as a process."""

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import structlog
from claimgate import resources
from claimgate.v1 import claim_pb2, score_pb2
from claimgate.v1 import reference_service_pb2 as reference_pb
from claimgate.v1.reference_service_pb2_grpc import ReferenceServiceServicer
from claimgate.v1.scoring_service_pb2 import MessageResult
from prometheus_client import CollectorRegistry

from engine.answers import Answer, Counts, Totals
from engine.columns import Violation
from engine.gathered import Gathered, ModelAnswer
from engine.messages import Message
from loader import embedded, migrate
from loader.service import free_address
from server.metrics import Metrics
from server.scorer import Judged
from server.service import Parts, Serving, serving
from server.settings import Settings
from server.telemetry import configure_logging

POISON = "poison"
"""Id of a claim that the engine fails on whatever it holds."""
FAULTY = "faulty"
"""Id of a claim that it fails on by something that the claim holds."""
MEMBER_TEXT = "bad member id 123-45-6789"


def answered(claim_ids: Sequence[str], view: int) -> Answer:
    """An answer that approves the claims but for faulty ones, and names the view."""
    message = MessageResult(
        results=[
            score_pb2.ClaimResult(
                claim_id=claim_id,
                decision=score_pb2.DECISION_REJECT
                if claim_id.startswith(FAULTY)
                else score_pb2.DECISION_APPROVE,
            )
            for claim_id in claim_ids
        ],
        provenance=score_pb2.Provenance(policy_version=score_pb2.View.Name(view)),
    )
    decisions = Counter(result.decision for result in message.results)
    return Answer(message.SerializeToString(), Totals(decisions, 0, 0, 0))


@dataclass
class PlainEngine:
    """Approves every claim; fails on a poisoned one; waits while the gate is closed."""

    gate: threading.Event = field(default_factory=threading.Event)
    passes: list[list[list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def read(self, messages: Sequence[Message]) -> Any:
        ids = [[claim.claim_id for claim in message.rows().claims] for message in messages]
        self.passes.append(ids)
        if not self.gate.wait(20):
            raise TimeoutError("the test left the gate closed")
        if any(claim_id == POISON for message in ids for claim_id in message):
            raise ValueError(MEMBER_TEXT)
        sent = [claim for message in messages for claim in message.rows().claims]
        if any(claim.claim_id.startswith(FAULTY) and claim.facility_id for claim in sent):
            raise ValueError(MEMBER_TEXT)
        count = sum(map(len, ids))
        return SimpleNamespace(ids=ids, features=SimpleNamespace(values=np.zeros((count, 7))))

    def score(self, read: Any, _gathered: Gathered, views: Sequence[int]) -> Judged:
        answers = list(map(answered, read.ids, views))
        decisions = sum((Counter(each.totals.decisions) for each in answers), Counter())
        statuses = {score_pb2.MODEL_STATUS_DISABLED: decisions.total()}
        return Judged(answers, Counts(decisions, statuses, np.empty(0), {}, {}, {}))

    def validate(self, messages: Sequence[Message]) -> list[list[list[Violation]]]:
        return [
            [
                []
                if claim.facility_id
                else [Violation("facility_id", "V02", "missing: expected it")]
                for claim in message.rows().claims
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

    GetProcedure = GetRule = GetPolicy = UpdatePolicy = ListRules
    ListPolicyVersions = ComparePolicies = ListRules


async def no_model(_read: Any, _wanted: Any) -> Gathered:
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

    async def scorer(_tenant: str) -> PlainEngine:
        return started.engine

    parts = Parts(scorer, FaultyReference(), gather, metrics)
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


@pytest.fixture(scope="session")
def second_model() -> Callable[[Path], None]:
    """Write a second version of the shipped model into a folder: it thinks less of every claim."""

    def write(folder: Path) -> None:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        shipped = resources.find("model")
        model = schema.ModelT.InitFromPackedBuf((shipped / "model.tflite").read_bytes(), 0)
        [bias] = [each for each in model.subgraphs[0].tensors if each.name == b"add_2"]
        weight = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.float32) - 1
        model.buffers[bias.buffer].data = np.frombuffer(weight.tobytes(), np.uint8)
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        folder.mkdir()
        (folder / "model.tflite").write_bytes(builder.Output())
        card = json.loads((shipped / "card.json").read_text())
        card["version"] = int(folder.name)
        card["sha256"]["model.tflite"] = sha256(builder.Output()).hexdigest()
        (folder / "card.json").write_text(json.dumps(card))

    return write


@pytest.fixture
def two_versions(tmp_path: Path, second_model: Callable[[Path], None]) -> Path:
    """A folder with the shipped model as 1/ and another version of it as 2/."""
    folder = tmp_path / "versions"
    shutil.copytree(resources.find("model"), folder / "1")
    second_model(folder / "2")
    return folder


class MemcachedProcess:
    """A memcached on a port of its own, which it keeps when it is started again."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self.address = free_address()

    def start(self) -> None:
        host, port = self.address.split(":")
        command = [self._binary, "-l", host, "-p", port, "-m", "64", "-u", "nobody"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(500):
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                return
            time.sleep(0.01)
        pytest.fail("memcached does not listen")

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def memcached_process(skip_or_fail: Callable[[str], None]) -> Iterator[Callable[[], Any]]:
    """Start a real memcached, as often as it is called; all end with the test."""
    binary = shutil.which("memcached")
    if binary is None:
        skip_or_fail("no memcached: the Debian package memcached is not installed")
    started: list[MemcachedProcess] = []

    def start() -> MemcachedProcess:
        started.append(MemcachedProcess(str(binary)))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture
async def own_postgres():
    """A server that the test may stop."""
    folder = Path(tempfile.mkdtemp(prefix="claimgate-postgres-"))
    running = embedded.embedded_postgres(folder / "data")
    server = running.__enter__()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            running.__exit__(None, None, None)

    await embedded.create_databases(server)
    for database, name in ((embedded.STAGING, "staging"), (embedded.PRODUCTION, "production")):
        await migrate.upgrade(server.migrating_url(database), name)
    yield server, stop
    stop()
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Process:
    """A running service."""

    process: asyncio.subprocess.Process
    address: str
    lines: list[str]

    @property
    def children(self) -> dict[int, psutil.Process]:
        """Its child processes by id."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return {child.pid: child for child in found}

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged under a name so far."""
        records = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [record for record in records if record["event"] == event]

    async def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()


async def _launched(snapshot: Path, settings: dict[str, str]) -> asyncio.subprocess.Process:
    given = {
        "reference": str(snapshot),
        "listen": "127.0.0.1:0",
        "metrics_listen": "",
        "model_address": "disabled",
        **settings,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **{f"CLAIMGATE_{name.upper()}": text for name, text in given.items()}},
    )


@asynccontextmanager
async def _started(snapshot: Path, **settings: str) -> AsyncIterator[Process]:
    process = await _launched(snapshot, settings)
    lines: list[str] = []

    async def collect() -> None:
        async for line in process.stderr:
            lines.append(line.decode())  # noqa: PERF401 - to be read while the service runs

    collecting = asyncio.create_task(collect())
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        if not line.startswith("ready "):
            await collecting
            pytest.fail(f"not ready: {''.join(lines)}")
        yield Process(process, line.removeprefix("ready ").strip(), lines)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await collecting


@pytest.fixture
def started() -> Callable[..., AbstractAsyncContextManager[Process]]:
    """Run the service as a process, for as long as an `async with` block."""
    return _started


@pytest.fixture
def failed_start() -> Callable[..., Awaitable[tuple[int, str]]]:
    """Run a service that cannot start; gives its exit status and what it said."""

    async def run(snapshot: Path, **settings: str) -> tuple[int, str]:
        process = await _launched(snapshot, settings)
        _, errors = await process.communicate()
        return process.returncode, errors.decode()

    return run
