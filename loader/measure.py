"""How much the load step costs over a bare COPY of the same rows: for the bench."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import asyncpg

from loader.link import Link
from loader.rows import CLAIM_COLUMNS, HIT_COLUMNS, LINE_COLUMNS, Row
from loader.sink import Batch, Sink

_SCHEMA = "claimgate_bare"
_BARE = {"bare_claims": CLAIM_COLUMNS, "bare_lines": LINE_COLUMNS, "bare_hits": HIT_COLUMNS}


@dataclass(frozen=True, slots=True)
class LoadStep:
    """Both ways with the same rows, each batch committed durably."""

    rows: int
    """Rows sent; the load step writes keys and results besides."""

    bare_s: float
    """COPY into plain tables without index, key or policy."""

    step_s: float
    """Ledger, COPY, merges, outbox, commit number, commit."""

    @property
    def ratio(self) -> float:
        """Times that the load step takes as long."""
        return self.step_s / self.bare_s


async def measure_load_step(
    batches: Sequence[Batch], *, tenant: str, loading_url: str, migrating_url: str
) -> LoadStep:
    """Load new batches into production, and COPY the same rows into plain tables beside it.

    Args:
        batches: Claims that production does not hold yet.
        tenant: Their tenant.
        loading_url: Production, as the loader.
        migrating_url: Production, as the role that owns the tables: it makes the plain ones.
    """
    bare_s = await _bare(batches, migrating_url)
    async with Link(loading_url, attempts=1) as link:
        sink = Sink(link, tenant)
        started = perf_counter()
        for batch in batches:
            await sink.load(batch)
        step_s = perf_counter() - started
    rows = sum(len(part) for batch in batches for part in _rows(batch).values())
    return LoadStep(rows=rows, bare_s=bare_s, step_s=step_s)


async def _bare(batches: Sequence[Batch], url: str) -> float:
    """COPY the rows into tables that are made for it and dropped again; return the seconds."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        await connection.execute(f"CREATE SCHEMA {_SCHEMA}")
        for table, columns in _BARE.items():
            await connection.execute(f"CREATE TABLE {_SCHEMA}.{table} ({columns})")
        started = perf_counter()
        for batch in batches:
            async with connection.transaction():
                for table, rows in _rows(batch).items():
                    await connection.copy_records_to_table(table, schema_name=_SCHEMA, records=rows)
        return perf_counter() - started
    finally:
        await connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
        await connection.close()


def _rows(batch: Batch) -> dict[str, list[Row]]:
    """Return the rows of a batch by table."""
    return {
        "bare_claims": [item.claim for item in batch.claims],
        "bare_lines": [row for item in batch.claims for row in item.lines],
        "bare_hits": [row for item in batch.claims for row in item.hits],
    }
