"""How fast the load step is beside a bare COPY of the same rows: for the bench."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import asyncpg

from loader.batch import Batch
from loader.link import Link
from loader.sink import Sink

_TABLES: Final = ("claim_keys", "claims", "claim_lines", "claim_results", "rule_hits")
_SCHEMA: Final = "claimgate_bare"


@dataclass(frozen=True, slots=True)
class LoadStep:
    """Both ways with the same rows, each batch committed durably."""

    rows: int
    """Rows of production that each way wrote, without ledger and outbox."""

    bare_s: float
    """COPY into tables with the same columns and primary key: no policy, partition, other index."""

    step_s: float
    """Ledger, COPY, merges, outbox, commit number, commit."""

    @property
    def ratio(self) -> float:
        """Times that the load step takes as long."""
        return self.step_s / self.bare_s


async def measure_load_step(
    batches: Sequence[Batch], *, tenant: str, loading_url: str, migrating_url: str
) -> LoadStep:
    """Load new batches into production, then COPY what arrived into plain tables beside it.

    Args:
        batches: Claims that production does not hold yet.
        tenant: Their tenant.
        loading_url: Production, as the loader.
        migrating_url: Production, as the role that owns the tables: it makes the plain ones.
    """
    async with Link(loading_url, attempts=1) as link:
        sink = Sink(link, tenant)
        started = perf_counter()
        for batch in batches:
            await sink.load(batch)
        step_s = perf_counter() - started
    rows, bare_s = await _bare(len(batches), tenant, migrating_url)
    return LoadStep(rows=rows, bare_s=bare_s, step_s=step_s)


async def _bare(parts: int, tenant: str, url: str) -> tuple[int, float]:
    """COPY a tenant's rows, in as many transactions, into tables made for it; count and time."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        await _make_tables(connection)
        rows = {table: await _rows(connection, table, tenant) for table in _TABLES}
        started = perf_counter()
        for part in range(parts):
            async with connection.transaction():
                for table, records in rows.items():
                    await connection.copy_records_to_table(
                        table, schema_name=_SCHEMA, records=_part(records, part, parts)
                    )
        return sum(map(len, rows.values())), perf_counter() - started
    finally:
        await connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
        await connection.close()


async def _make_tables(connection: asyncpg.Connection) -> None:
    """Make a plain table with the columns and the primary key of each table."""
    await connection.execute(f"CREATE SCHEMA {_SCHEMA}")
    for table in _TABLES:
        key = await connection.fetchval(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = $1::text::regclass AND contype = 'p'",
            table,
        )
        await connection.execute(f"CREATE TABLE {_SCHEMA}.{table} (LIKE {table}, {key})")


async def _rows(connection: asyncpg.Connection, table: str, tenant: str) -> list[Sequence[object]]:
    """Return a tenant's rows."""
    async with connection.transaction():
        await connection.execute("SELECT set_config('claimgate.tenant', $1, true)", tenant)
        query = f"SELECT * FROM {table}"  # noqa: S608 - our own names
        return [tuple(row) for row in await connection.fetch(query)]


def _part(records: list[Sequence[object]], part: int, parts: int) -> list[Sequence[object]]:
    """Return one of about equal parts, so that all parts together are all records."""
    return records[len(records) * part // parts : len(records) * (part + 1) // parts]
