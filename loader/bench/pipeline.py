"""Staging to production on this machine, and the load step beside a bare COPY of the same rows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, Final, cast

import asyncpg
import psutil
from claimgate.v1 import claim_pb2

from loader.batch import Batch, Loaded
from loader.bench.databases import KEY, bench_databases
from loader.bench.machine import rss_mb
from loader.bench.workload import SEED
from loader.embedded import PRODUCTION, STAGING, EmbeddedPostgres
from loader.measure import LoadStep, measure_load_step
from loader.progress import Summary
from loader.run import run
from loader.service import Service, running_service
from loader.settings import LoaderSettings
from loader.source import Status, Submitted, stage_claims
from loader.synthetic import synthetic_claims

_WARM_UP_CLAIMS: Final = 5_000
_WHOLE_RUNS_MAX: Final = 3
_STEP_CLAIMS_MAX: Final = 50_000
_CONNECTIONS: Final = 2  # as the loader has by default


async def measure_pipeline(snapshot: Path, *, count: int, runs: int) -> dict[str, Any]:
    """Return claims a second from first lease to last commit, processor time, and the COPY ratio.

    Each run has a tenant of its own, so that nothing is there already, and begins after a
    checkpoint: what was written before is no part of it.

    Args:
        snapshot: Folder of the reference snapshot.
        count: Claims in each whole run.
        runs: Runs of the load step, and of the whole, there at most three; figures are medians.
    """
    # As bytes: a hundred thousand claims as messages would be most of this process's memory.
    workload = [claim.SerializeToString() for claim in synthetic_claims(count, seed=SEED)]
    async with _bench(snapshot) as bench:
        await bench.whole("warm-up", workload[:_WARM_UP_CLAIMS])
        whole = [
            await bench.whole(f"whole-{number}", workload)
            for number in range(min(runs, _WHOLE_RUNS_MAX))
        ]
        memory = rss_mb()
    # On databases of its own: those above are still being vacuumed, which neither way asked for.
    async with _bench(snapshot) as bench:
        batches = await bench.record("recorded", workload[:_STEP_CLAIMS_MAX])
        await bench.step("step-warm-up", batches)
        steps = [await bench.step(f"step-{number}", batches) for number in range(runs)]
    return {
        "claims_per_s": round(median(each.claims_per_s for each in whole)),
        "copy_ratio": round(median(step.ratio for step in steps), 4),
        "copy_processor_ratio": round(median(step.processor_ratio for step in steps), 4),
        "rows_per_s": round(median(step.rows / step.step.seconds for step in steps)),
        "bare_copy_rows_per_s": round(median(step.rows / step.bare.seconds for step in steps)),
        "rss_mb": memory,
        "cpu_us_per_claim": {
            name: round(median(each.cpu_us[name] for each in whole), 1) for name in whole[0].cpu_us
        },
        "claims": count,
        "runs": runs,
    }


@dataclass(frozen=True, slots=True)
class _Whole:
    """One run from staging to production."""

    claims_per_s: float
    cpu_us: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Keeps batches instead of loading them."""

    batches: list[Batch] = field(default_factory=list)

    async def load(self, batch: Batch) -> Loaded:
        """Keep a batch; its claims are as good as loaded."""
        self.batches.append(batch)
        kept: list[tuple[int, Status]] = [
            (item.leased.staging_id, item.status) for item in batch.claims
        ]
        return Loaded(outcomes=kept + [(item.leased.staging_id, "failed") for item in batch.failed])


@dataclass(frozen=True, slots=True)
class _Bench:
    """The databases and the service that all runs share."""

    server: EmbeddedPostgres
    postmaster: int
    service: Service

    async def whole(self, tenant: str, rows: Sequence[bytes]) -> _Whole:
        """Stage claims, then score and load them; only the latter is measured."""
        settings = await self._staged(tenant, rows)
        before = self._cpu_s()
        summary = await run(settings)
        after = self._cpu_s()
        _check(summary, len(rows))
        cpu_us = {name: (after[name] - before[name]) / len(rows) * 1e6 for name in before}
        return _Whole(summary.claims_per_s, cpu_us)

    async def record(self, tenant: str, rows: Sequence[bytes]) -> list[Batch]:
        """Score claims and return the batches that would be loaded."""
        recorder = _Recorder()
        await run(await self._staged(tenant, rows), open_sink=lambda _link, _tenant: recorder)
        return recorder.batches

    async def step(self, tenant: str, batches: Sequence[Batch]) -> LoadStep:
        """Load recorded batches for a new tenant, and COPY the same rows."""
        return await measure_load_step(
            batches,
            tenant=tenant,
            loading_url=self.server.loading_url(PRODUCTION),
            migrating_url=self.server.migrating_url(PRODUCTION),
            connections=_CONNECTIONS,
            processor_s=partial(_family_cpu_s, self.postmaster),
        )

    async def _staged(self, tenant: str, rows: Sequence[bytes]) -> LoaderSettings:
        """Put claims into staging; return a loader's settings for them."""
        settings = LoaderSettings(
            tenant=tenant,
            staging_url=self.server.loading_url(STAGING),
            production_url=self.server.loading_url(PRODUCTION),
            service_address=self.service.address,
            key_hex=cast("Any", KEY),
        )
        connection = await asyncpg.connect(settings.staging_url, timeout=30)
        try:
            claims = (Submitted(claim_pb2.Claim.FromString(row)) for row in rows)
            await stage_claims(connection, settings.vault(), tenant, claims)
        finally:
            await connection.close()
        await self._checkpoint()
        return settings

    async def _checkpoint(self) -> None:
        """Write to the disk what runs before have left to be written."""
        connection = await asyncpg.connect(self.server.superuser_url(STAGING), timeout=30)
        try:
            await connection.execute("CHECKPOINT", timeout=120)
        finally:
            await connection.close()

    def _cpu_s(self) -> dict[str, float]:
        """Return the processor seconds that each part has used so far."""
        return {
            "loader": process_time(),
            "service": _family_cpu_s(self.service.pid),
            "postgres": _family_cpu_s(self.postmaster),
        }


@asynccontextmanager
async def _bench(snapshot: Path) -> AsyncIterator[_Bench]:
    """Run databases and a service for a while."""
    async with (
        bench_databases() as (server, folder),
        running_service(snapshot, folder / "service.log", workers=1) as service,
    ):
        yield _Bench(server, _postmaster(folder / "postgres"), service)


def _postmaster(data: Path) -> int:
    """Return the id of the server's first process, which stands in its pid file."""
    return int((data / "postmaster.pid").read_text(encoding="ascii").split()[0])


def _check(summary: Summary, expected: int) -> None:
    done = summary.loaded + summary.failed + summary.tests
    if done != expected:
        raise RuntimeError(f"{expected} claims staged, {done} reached their end; see the log")


def _family_cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and its children, those that ended included."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    ended = own.children_user + own.children_system
    return own.user + own.system + ended + sum(map(_cpu_s, process.children(recursive=True)))


def _cpu_s(process: psutil.Process) -> float:
    """Return a process's seconds; one that has just ended counts with its parent's next time."""
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system)
