"""Each part is killed in turn under load: no answer is lost, and what is degraded says so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
from claimgate import Client
from claimgate.v1 import score_pb2

from loader import embedded, run, source
from loader.fees import load_fees
from loader.places import prepared_snapshot
from loader.settings import LoaderSettings
from loader.synthetic import synthetic_claims
from tests.killable import ModelProcess, OwnPostgres, killable_databases

KEY = "7a" * 32
STREAMS, CALLERS = 2, 2
FEES = "code,setting,rate_kind,rate,net\n99213,any,cents_per_unit,77.00,no\n"


@pytest.fixture
async def postgres() -> AsyncIterator[OwnPostgres]:
    async with killable_databases() as own:
        yield own


@pytest.fixture
async def model() -> AsyncIterator[ModelProcess]:
    own = ModelProcess()
    await own.start()
    yield own
    own.kill()


@pytest.fixture(scope="module")
def messages() -> list[score_pb2.ClaimBatch]:
    """Messages of claims of the people whose earlier claims are committed."""
    rows = list(synthetic_claims(60, seed=71))
    for row in rows:
        row.claim_id += "-again"
        if row.lines:
            row.lines[0].procedure_code = "99213"
    return [score_pb2.ClaimBatch(claims=rows[n : n + 5]) for n in range(0, len(rows), 5)]


@dataclass
class Load:
    """Streams and callers that send the same messages over and over."""

    address: str
    messages: list[score_pb2.ClaimBatch]
    answers: list[tuple[int, list[score_pb2.ClaimResult]]] = field(default_factory=list)
    """Number of the message, and its results."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self) -> tuple[int, list[int]]:
        """How many messages were sent, and which were answered."""
        sent = 0

        async def sending() -> AsyncIterator[score_pb2.ClaimBatch]:
            nonlocal sent
            while not self.stopped.is_set():
                yield self.messages[sent % len(self.messages)]
                sent += 1
                await asyncio.sleep(0.01)

        answered = []
        async with Client(self.address) as client:
            async for answer in client.score(sending()):
                answered.append(answer.sequence)
                number = answer.sequence % len(self.messages)
                self.answers.append((number, list(answer.results)))
        return sent, answered

    async def call(self) -> None:
        """Score message by message; a call that fails fails the test."""
        async with Client(self.address) as client:
            while not self.stopped.is_set():
                for number, message in enumerate(self.messages):
                    response = await client.score_batch(message)
                    self.answers.append((number, list(response.results)))

    async def until_recent(self, holds: Callable[[set[str]], bool], answers: int = 60) -> None:
        """Wait until what the last answers are degraded by is as wished."""
        first = len(self.answers)
        async with asyncio.timeout(60):
            while (  # noqa: ASYNC110 - what is waited for has no event
                len(self.answers) < first + answers or not holds(self.outages(-answers))
            ):
                await asyncio.sleep(0.02)

    def outages(self, first: int) -> set[str]:
        """What answers from one on are degraded by."""
        return {
            each.partition(":")[0]
            for _, results in self.answers[first:]
            for result in results
            for each in result.degraded
        }


@asynccontextmanager
async def loaded(load: Load) -> AsyncIterator[list[asyncio.Task[tuple[int, list[int]]]]]:
    async with asyncio.TaskGroup() as tasks:
        streams = [tasks.create_task(load.stream()) for _ in range(STREAMS)]
        for _ in range(CALLERS):
            tasks.create_task(load.call())
        try:
            yield streams
        finally:
            load.stopped.set()


async def commit(settings: LoaderSettings) -> None:
    """Load the earlier claims of the same people, and a fee schedule."""
    staging = await asyncpg.connect(settings.staging_url)
    claims = [source.Submitted(claim) for claim in synthetic_claims(60, seed=71)]
    await source.stage_claims(staging, settings.vault(), settings.tenant, claims)
    await staging.close()
    await run.run(settings)


async def test_parts_that_are_killed_in_turn_lose_nothing_and_hide_nothing(
    postgres, model, messages, memcached_process, started, tmp_path, until
):
    node = memcached_process()
    production = postgres.server.loading_url(embedded.PRODUCTION)
    fees = tmp_path / "fees.csv"
    fees.write_text(FEES)
    connection = await asyncpg.connect(production)
    await load_fees(connection, "demo", fees)
    await connection.close()
    async with started(
        prepared_snapshot(),
        workers="2",
        production_url=production,
        key_hex=KEY,
        memcached=node.address,
        fees_cache_ttl_ms="50",
        model_address=model.address,
        model_retry_ms="200",
    ) as service:
        await commit(
            LoaderSettings(
                tenant="demo",
                staging_url=postgres.server.loading_url(embedded.STAGING),
                production_url=production,
                service_address=service.address,
                key_hex=KEY,
            )
        )
        async with Client(service.address) as client:
            truth = [list((await client.score_batch(each)).results) for each in messages]
        load = Load(service.address, messages)
        async with loaded(load) as streams:
            await load.until_recent(lambda out: not out)

            workers = [each for each in service.children.values() if "server" in each.cmdline()]
            serving = len(service.logged("serving"))
            workers[0].kill()
            await until(lambda: len(service.logged("serving")) > serving)
            node.stop()
            await load.until_recent(lambda out: not out)
            node.start()
            await load.until_recent(lambda out: not out)
            of_spares = load.outages(0)

            model.kill()
            await load.until_recent(lambda out: "model" in out)
            await model.start()
            await load.until_recent(lambda out: not out)

            postgres.kill()
            await load.until_recent(lambda out: "history" in out)
            await postgres.start()
            await load.until_recent(lambda out: not out)
        answered = [stream.result() for stream in streams]

    assert of_spares == set()
    for sent, sequences in answered:
        assert sent > 100
        assert sorted(sequences) == list(range(sent))
    for number, results in load.answers:
        for result, true in zip(results, truth[number], strict=True):
            assert result.degraded or result == true
    assert load.outages(0) <= {"model", "history", "fees"}
