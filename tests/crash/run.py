"""Kill everything, everywhere, and compare: `python -m tests.crash [--seed N]`.

The last line is a JSON object of the kills, the claims, and those that were lost or doubled. The
exit status is 1 where one is, or where a row is otherwise than it has to be.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import stamina.instrumentation

from loader import embedded
from loader.failpoints import FAILPOINTS
from loader.places import prepared_snapshot
from loader.service import running_service
from tests.crash import databases, faults, loaders, memory, replays
from tests.crash.audit import Audit
from tests.crash.world import World, served
from tests.killable import OwnPostgres, killable_databases
from tests.loader.conftest import KEY, Scorer


@dataclass(frozen=True)
class Amounts:
    """How much of everything."""

    hits: int = 20
    """Kills of a loader at each place."""
    hits_with_service: int = 1
    """The same before the real service."""
    tenants: int = 4
    """Tenants whose loaders are killed side by side."""
    postgres_kills: int = 100
    acknowledged: int = 10_000
    """Claims that are acknowledged at least while Postgres is killed."""
    replayed_batches: int = 10
    lossy_claims: int = 8_000
    lossy_model_claims: int = 3_000
    memory_claims: int = 50_000


@dataclass
class Report:
    """What was done, and what came of it."""

    kills: int = 0
    audit: Audit = field(default_factory=Audit)
    told: list[str] = field(default_factory=list)

    def add(self, what: str, audit: Audit | None = None, *, well: bool = True) -> None:
        """Note a part: what it did, what its audit found, and whether its own figures are right."""
        self.told.append(what)
        print(what, flush=True)
        if audit is not None:
            self.audit.add(audit)
            if not audit.clean:
                print(audit.told(), flush=True)
        if not well:
            self.audit.wrong.append(what)

    def summary(self) -> dict[str, Any]:
        return {
            "kills": self.kills,
            "claims": self.audit.claims,
            "lost": len(self.audit.lost),
            "doubled": len(self.audit.doubled),
            "wrong": len(self.audit.wrong),
        }


@dataclass
class Suite:
    """Everything that a part needs."""

    postgres: OwnPostgres
    seed: int
    amounts: Amounts
    report: Report
    name: str = "crash"
    """Begins the names of the tenants."""

    def world(self, part: str, address: str, sizes: dict[str, Any]) -> World:
        return World(self.postgres.server, address, f"{self.name}-{part}", dict(sizes))


async def loaders_killed(suite: Suite) -> None:
    """Loaders are killed at every place."""
    amounts = suite.amounts
    async with served(Scorer()) as scorer:
        worlds = [
            suite.world(f"loader-{number}", scorer.address, loaders.SIZES)
            for number in range(amounts.tenants)
        ]
        killed = await loaders.kill_everywhere(worlds, amounts.hits, suite.seed)
    audit = Audit()
    for world in worlds:
        audit.add(await world.audit())
    suite.report.kills += killed.total()
    suite.report.add(
        f"loader: {killed.total()} kills at {len(killed)} places, {audit.claims} claims",
        audit,
        well=set(killed) == set(FAILPOINTS) and min(killed.values()) >= amounts.hits,
    )


async def loaders_killed_before_the_service(suite: Suite) -> None:
    """The same before the real service, with history."""
    environment = {
        "CLAIMGATE_PRODUCTION_URL": suite.postgres.server.loading_url(embedded.PRODUCTION),
        "CLAIMGATE_KEY_HEX": KEY.hex(),
    }
    killed = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        async with running_service(prepared_snapshot(), log, environment=environment) as service:
            world = suite.world("service", service.address, loaders.SIZES)
            hits = suite.amounts.hits_with_service
            killed = await loaders.kill_everywhere([world], hits, suite.seed)
    audit = await world.audit(judged=False)
    suite.report.kills += killed.total()
    suite.report.add(
        f"loader before the real service: {killed.total()} kills, {audit.claims} claims", audit
    )


async def postgres_killed(suite: Suite) -> None:
    """Postgres is killed under load."""
    amounts = suite.amounts
    async with served(Scorer()) as scorer:
        world = suite.world("postgres", scorer.address, databases.SIZES)
        outcome = await databases.kill_postgres(
            world, suite.postgres, amounts.postgres_kills, amounts.acknowledged, suite.seed
        )
    suite.report.kills += outcome.kills
    suite.report.add(
        f"Postgres: {outcome}",
        await world.audit(),
        well=outcome.kills >= amounts.postgres_kills
        and outcome.acknowledged >= amounts.acknowledged
        and outcome.lost_acknowledged == 0,
    )


async def replayed(suite: Suite) -> None:
    """The same batch is loaded by many at once."""
    world = suite.world("replays", "", {})
    outcome = await replays.replay(world, suite.amounts.replayed_batches)
    suite.report.add(
        f"replays: {outcome}",
        await world.audit(staged=False),
        well=outcome.receipts == outcome.batches and outcome.refused == outcome.replays,
    )


async def answers_lost(suite: Suite) -> None:
    """Answers of both databases and the service are lost, one in twenty."""
    answers = faults.Losses(random.Random(suite.seed))
    commits = faults.Losses(random.Random(suite.seed + 1))
    claims = suite.amounts.lossy_claims
    async with served(faults.LossyScorer(losses=answers)) as scorer:
        world = suite.world("lossy", scorer.address, faults.SIZES)
        outcome = await faults.load_over_lossy_lines(world, scorer, commits, claims)
    suite.report.add(
        f"lost answers: {outcome}",
        await world.audit(),
        well=outcome.commits_lost > 0 and outcome.answers_lost > 0,
    )


async def model_answers_lost(suite: Suite) -> None:
    """Answers of the model are lost, one in twenty."""
    world = suite.world("model", "", faults.SIZES)
    claims = suite.amounts.lossy_model_claims
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        outcome = await faults.load_over_a_lossy_model(world, claims, suite.seed, log)
    suite.report.add(
        f"lost answers of the model: {outcome.model_answers_lost}, {outcome.degraded} claims say "
        f"so, {outcome.hidden} do not",
        await world.audit(judged=False),
        well=outcome.model_answers_lost > 0 and outcome.degraded > 0 and outcome.hidden == 0,
    )


async def memory_flat(suite: Suite) -> None:
    """A loader of four times as many claims needs no more memory."""
    claims = suite.amounts.memory_claims
    async with served(Scorer()) as scorer:
        world = suite.world("memory", scorer.address, memory.SIZES)
        few, low_mb = await memory.peak_mb(world, claims)
        many, high_mb = await memory.peak_mb(world, claims * memory.TIMES)
    suite.report.add(
        f"memory: {low_mb:.0f} MB for {few} loaded claims, {high_mb:.0f} MB for {many}",
        await world.audit(),
        well=high_mb - low_mb < memory.GROWTH_MB_MAX,
    )


PARTS: Final[dict[str, Callable[[Suite], Awaitable[None]]]] = {
    "loaders": loaders_killed,
    "service": loaders_killed_before_the_service,
    "postgres": postgres_killed,
    "replays": replayed,
    "answers": answers_lost,
    "model": model_answers_lost,
    "memory": memory_flat,
}


def quiet() -> None:
    """Say nothing of what is expected here: retries, and processes beside gRPC."""
    stamina.instrumentation.set_on_retry_hooks([])


async def run(parts: list[str], amounts: Amounts, seed: int) -> Report:
    """Run the parts, one after the other, on a server of their own."""
    quiet()
    report = Report()
    async with killable_databases() as postgres:
        for part in parts:
            begun = time.monotonic()
            await PARTS[part](Suite(postgres, seed, amounts, report))
            print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; repeatable")
    parser.add_argument("--hits", type=int, default=Amounts.hits, help="kills at each place")
    given = parser.parse_args()
    print(f"seed {given.seed}: python -m tests.crash --seed {given.seed}", flush=True)
    amounts = Amounts(hits=given.hits)
    report = asyncio.run(run(given.part or list(PARTS), amounts, given.seed))
    print(json.dumps(report.summary()))
    sys.exit(0 if report.audit.clean else 1)
