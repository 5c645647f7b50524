"""How fast the load step is beside a bare COPY of the same rows: for the bench.

Both ways take bytes that are ready, so that neither waits for Python: how long rows take to encode
is part of the whole pipeline's figures. Both use as many connections, as many transactions, and
wait for each commit to be on disk. Both write the rows of all six tables that a claim has,
`claim_history` among them, with all columns and the primary key. What only the load step does is
the difference: row-level security, partitions, other indexes, checks, ledger, temporary tables and
merges, billers' months, outbox and commit number.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from time import perf_counter
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from loader.batch import Batch
from loader.link import Link
from loader.load_tables import ROWS, by_key, prepare, stream_rows
from loader.rows import LoadClaim, Owner
from loader.sink import Sink
from loader.source import rows_of, tenant_transaction

T = TypeVar("T")

_SCHEMA: Final = "claimgate_bare"
_OF_BATCH: Final = "SELECT * FROM {table} WHERE batch_id = $1"
_OF_ITS_CLAIMS: Final = (
    "SELECT {table}.* FROM {table} JOIN claims "
    "USING (tenant_id, service_from_date, claim_id, claim_version) WHERE claims.batch_id = $1"
)
_TABLES: Final = {
    "claim_keys": _OF_BATCH,
    "claims": _OF_BATCH,
    "claim_lines": _OF_ITS_CLAIMS,
    "claim_results": _OF_BATCH,
    "rule_hits": _OF_ITS_CLAIMS,
    "claim_history": _OF_BATCH,
}
"""The tables that hold a batch's rows, and how they are found."""


class Used(NamedTuple):
    """What one way took for all batches."""

    seconds: float
    processor_s: float
    """Of the database's processes, all together."""


@dataclass(frozen=True, slots=True)
class LoadStep:
    """Both ways with the same rows, each batch committed durably."""

    rows: int
    """Rows of production that each way wrote, without ledger, outbox and billers' months."""

    bare: Used
    """COPY into tables with the same columns and primary key: no policy, partition, other index."""

    step: Used
    """Ledger, COPY, merges, outbox, commit number, commit."""

    @property
    def ratio(self) -> float:
        """Share of a bare COPY's speed that the load step reaches."""
        return self.bare.seconds / self.step.seconds

    @property
    def processor_ratio(self) -> float:
        """The same of the database's processor time, which other work disturbs less."""
        return self.bare.processor_s / self.step.processor_s


async def measure_load_step(
    batches: Sequence[Batch],
    *,
    tenant: str,
    loading_url: str,
    migrating_url: str,
    connections: int,
    processor_s: Callable[[], float],
) -> LoadStep:
    """Load new batches into production, then COPY what arrived into plain tables beside it.

    Args:
        batches: Claims that production does not hold yet.
        tenant: Their tenant.
        loading_url: Production, as the loader.
        migrating_url: Production, as the role that owns the tables: it makes the plain ones.
        connections: Batches at a time, in both ways.
        processor_s: Tells the seconds that the database's processes have used so far.
    """
    step = await _step(batches, tenant, loading_url, connections, processor_s)
    rows, bare = await _bare(batches, tenant, migrating_url, connections, processor_s)
    return LoadStep(rows=rows, bare=bare, step=step)


async def _all_done(
    items: Iterable[T],
    steps: Sequence[Callable[[T], Awaitable[object]]],
    processor_s: Callable[[], float],
) -> Used:
    """Do all items, each by the next step that is free; return what that took."""
    waiting = iter(items)

    async def one_after_the_other(step: Callable[[T], Awaitable[object]]) -> None:
        for item in waiting:
            await step(item)

    used, started = processor_s(), perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for step in steps:
            tasks.create_task(one_after_the_other(step))
    return Used(perf_counter() - started, processor_s() - used)


# The load step. -----------------------------------------------------------------------------------


async def _step(
    batches: Sequence[Batch],
    tenant: str,
    url: str,
    connections: int,
    processor_s: Callable[[], float],
) -> Used:
    """Load batches, with rows that were encoded before."""
    ready = {}
    for batch in batches:
        owner = Owner.of(tenant, batch.batch_id())
        for table in ROWS:
            parts = [part async for part in stream_rows(table, by_key(batch.claims), owner)]
            ready[table, owner] = parts

    async def stream(
        table: str, _claims: Sequence[LoadClaim], owner: Owner
    ) -> AsyncIterator[bytes]:
        for part in ready[table, owner]:
            yield part

    async with AsyncExitStack() as stack:
        sinks = []
        for _ in range(connections):
            link = await stack.enter_async_context(Link(url, attempts=1))
            await link.run(prepare)  # once in a loader's life; the plain tables are there as well
            sinks.append(Sink(link, tenant, stream=stream))
        return await _all_done(batches, [sink.load for sink in sinks], processor_s)


# The bare COPY. -----------------------------------------------------------------------------------


async def _bare(
    batches: Sequence[Batch],
    tenant: str,
    url: str,
    connections: int,
    processor_s: Callable[[], float],
) -> tuple[int, Used]:
    """COPY the rows of batches into tables made for it; count them."""
    async with AsyncExitStack() as stack:
        first, *others = [
            await stack.enter_async_context(_connected(url)) for _ in range(connections)
        ]
        await stack.enter_async_context(_plain_tables(first))
        ready = [await _rows(first, tenant, batch.batch_id()) for batch in batches]
        copies = [_Copy(connection) for connection in (first, *others)]
        used = await _all_done(ready, [copy.copy for copy in copies], processor_s)
        return sum(copy.rows for copy in copies), used


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _plain_tables(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Keep, for a while, a plain table with the columns and the primary key of each table."""
    await connection.execute(f"CREATE SCHEMA {_SCHEMA}")
    try:
        for table in _TABLES:
            key = await connection.fetchval(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE conrelid = $1::text::regclass AND contype = 'p'",
                table,
            )
            await connection.execute(
                f"CREATE TABLE {_SCHEMA}.{table} (LIKE {table} INCLUDING STORAGE, {key})"
            )
        yield
    finally:
        await connection.execute(f"DROP SCHEMA {_SCHEMA} CASCADE")


async def _rows(connection: asyncpg.Connection, tenant: str, batch_id: UUID) -> dict[str, bytes]:
    """Return a batch's rows as COPY takes them, by table."""
    ready = {}
    async with tenant_transaction(connection, tenant):
        for table, query in _TABLES.items():
            rows = BytesIO()
            await connection.copy_from_query(
                query.format(table=table), batch_id, output=rows, format="binary"
            )
            ready[table] = rows.getvalue()
    return ready


class _Copy:
    """Copies batches over one connection, and counts their rows."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.rows = 0

    async def copy(self, ready: dict[str, bytes]) -> None:
        """Copy a batch's rows in one transaction."""
        async with self._connection.transaction():
            for table, rows in ready.items():
                done = await self._connection.copy_to_table(
                    table, schema_name=_SCHEMA, source=BytesIO(rows), format="binary"
                )
                self.rows += rows_of(done)
