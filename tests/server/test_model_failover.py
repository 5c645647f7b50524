"""Real model servers are killed under a real service: what answers say, and how it ends."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from time import monotonic

import pytest
from claimgate import Client
from claimgate.v1 import claim_pb2, score_pb2

from loader.places import prepared_snapshot
from loader.synthetic import synthetic_claims

OK, OUT = score_pb2.MODEL_STATUS_OK, score_pb2.MODEL_STATUS_UNAVAILABLE
PROGRAM = "from server.commands import model_server; model_server(listen={!r})"


class ModelProcess:
    """A model server as a process of its own, at one address all its lives."""

    def __init__(self) -> None:
        self.address = "127.0.0.1:0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM.format(self.address)),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            ready = (await self._process.stdout.readline()).decode().split()
        self.address = ready[1]

    async def kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


@pytest.fixture
async def servers() -> AsyncIterator[list[ModelProcess]]:
    found = [ModelProcess(), ModelProcess()]
    async with AsyncExitStack() as stack:
        for each in found:
            stack.push_async_callback(each.kill)
            await each.start()
        yield found


@pytest.fixture(scope="module")
def claims() -> list[claim_pb2.Claim]:
    return [
        claim for claim in synthetic_claims(60, seed=11) if claim.service_from_date and claim.lines
    ][:20]


class Load:
    """Callers who score the same claims over and over."""

    def __init__(self, address: str, claims: list[claim_pb2.Claim]) -> None:
        self._address = address
        self._claims = claims
        self.answers: list[tuple[int, tuple[str, ...], float]] = []
        """Of each call: status of the model, what was out, and how long it took."""

    async def call(self, client: Client) -> None:
        started = monotonic()
        response = await client.score_batch(self._claims)
        [first, *_] = [each for each in response.results if not each.violations]
        took = monotonic() - started
        self.answers.append((first.model_status, tuple(first.degraded), took))

    async def run(self) -> None:
        async with Client(self._address) as client:
            while True:
                await self.call(client)


@asynccontextmanager
async def loaded(address: str, claims: list[claim_pb2.Claim]) -> AsyncIterator[Load]:
    load = Load(address, claims)
    async with asyncio.TaskGroup() as tasks:
        callers = [tasks.create_task(load.run()) for _ in range(3)]
        try:
            yield load
        finally:
            for caller in callers:
                caller.cancel()


async def until_seen(load: Load, status: int, calls: int = 10) -> None:
    """Wait until the next calls, so many in a row, are all of one status."""
    first = len(load.answers)
    async with asyncio.timeout(60):
        while True:
            new = load.answers[first:]
            if len(new) >= calls and all(each[0] == status for each in new[-calls:]):
                return
            await asyncio.sleep(0.01)


async def test_servers_die_under_load_and_come_back(servers, claims, started):
    one, two = servers
    settings = {
        "model_address": f"{one.address},{two.address}",
        "model_retry_ms": "200",
        "model_deadline_ms": "2000",
    }
    async with (
        started(Path(prepared_snapshot()), **settings) as service,
        loaded(service.address, claims) as load,
    ):
        await until_seen(load, OK)
        await one.kill()
        await until_seen(load, OK, calls=30)
        of_one = len(load.answers)
        assert {each[:2] for each in load.answers} == {(OK, ())}

        await two.kill()
        await until_seen(load, OUT, calls=30)
        of_both = load.answers[of_one:]
        open_breaker = load.answers[-20:]
        assert {status for status, *_ in of_both} <= {OK, OUT}
        assert all(degraded for status, degraded, _ in of_both if status == OUT)
        assert {each[1] for each in open_breaker} == {("model: circuit_open",)}
        assert median(each[2] for each in open_breaker) < 1.0

        await one.start()
        await until_seen(load, OK)
        await two.start()
        await one.kill()
        await until_seen(load, OK, calls=30)


async def test_embedded_server_that_dies_is_asked_again(claims, started):
    settings = {"model_address": "embedded", "model_retry_ms": "100"}
    async with (
        started(Path(prepared_snapshot()), **settings) as service,
        loaded(service.address, claims) as load,
    ):
        await until_seen(load, OK)
        [child] = service.children.values()
        child.kill()
        await until_seen(load, OUT, calls=3)
        await until_seen(load, OK)
