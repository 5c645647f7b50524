"""Rows of one tenant from one database to another: in pieces, and a copy that broke off goes on.

Pieces are taken in the order of the key and committed whole, and nobody else writes at either end.
So the highest key at the target says how far a copy has come, and nothing else has to remember it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from io import BytesIO
from typing import Any, Final

from loader.shards.tables import MoveError, Table, names
from loader.source import Connection, rows_of, tenant_transaction

ROWS_AT_ONCE: Final = 5_000
_SAME_TEXT: Final = (
    "SET datestyle = ISO; SET timezone = UTC; SET intervalstyle = postgres; "
    "SET bytea_output = hex; SET extra_float_digits = 1; SET jit = off"
)
_SEQUENCES: Final = (
    "SELECT sequencename AS name, last_value FROM pg_sequences "
    "WHERE schemaname = 'public' AND last_value IS NOT NULL"
)
_MONTHS: Final = """
SELECT substring(c.relname FROM '_(\\d{4}_\\d{2})$') AS month
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'claims'::regclass AND c.relname ~ '_\\d{4}_\\d{2}$'
"""
# A sum does not depend on the order of rows, nor the text of a row on the server's version.
_DIGEST: Final = """
SELECT count(*) AS rows, coalesce(sum(('x' || substr(hash, 1, 15))::bit(60)::bigint), 0)::text
    || '.' || coalesce(sum(('x' || substr(hash, 16, 15))::bit(60)::bigint), 0)::text AS digest
FROM (
    SELECT encode(sha256(convert_to(ROW({columns})::text, 'UTF8')), 'hex') AS hash
    FROM "{table}" WHERE tenant_id = $1
) AS hashed
"""


async def copy_table(
    source: Connection,
    target: Connection,
    tenant: str,
    table: Table,
    copied: Callable[[int], None],
    *,
    rows_at_once: int = ROWS_AT_ONCE,
) -> None:
    """Copy a tenant's rows of a table that the target does not have yet.

    Args:
        source: Database whose fence is shut.
        target: Database that nobody else writes to.
        tenant: Whose rows.
        table: The table.
        copied: Told of each piece that was committed.
        rows_at_once: Most rows in one piece.
    """
    await target.execute('DROP TABLE IF EXISTS pg_temp."moved_rows"')
    like = f'SELECT {table.listed} FROM "{table.name}" WITH NO DATA'  # noqa: S608 - names of the catalogue
    await target.execute(f"CREATE TEMPORARY TABLE moved_rows ON COMMIT DELETE ROWS AS {like}")
    while rows := await _piece(source, target, tenant, table, rows_at_once):
        copied(rows)
        if rows < rows_at_once:
            break


async def _piece(
    source: Connection, target: Connection, tenant: str, table: Table, rows_at_once: int
) -> int:
    """Copy the next piece; return its rows."""
    last = await _last_key(target, tenant, table)
    if last is not None and not table.key:
        return 0  # one row a tenant, and it is there
    after, key = "", names(table.key)
    if last is not None:
        numbers = ", ".join(f"${number}" for number in range(2, len(last) + 2))
        after = f"AND ({key}) > ({numbers})"
    order = f"ORDER BY {key}" if key else ""
    query = (
        f'SELECT {table.listed} FROM "{table.name}" '  # noqa: S608 - names of the catalogue
        f"WHERE tenant_id = $1 {after} {order} LIMIT {rows_at_once}"
    )
    piece = BytesIO()
    async with tenant_transaction(source, tenant):
        await source.copy_from_query(query, tenant, *(last or ()), output=piece, format="binary")
    piece.seek(0)
    async with writing(target, tenant, table):
        done = await target.copy_to_table(
            "moved_rows", source=piece, columns=table.columns, format="binary"
        )
        merged = await target.execute(
            f'INSERT INTO "{table.name}" ({table.listed}) OVERRIDING SYSTEM VALUE '  # noqa: S608 - the same
            f"SELECT {table.listed} FROM moved_rows"
        )
        if rows_of(merged) != rows_of(done):
            raise MoveError(f"{table.name}: {rows_of(done)} rows were sent, {merged}; move again")
    return rows_of(done)


@asynccontextmanager
async def writing(connection: Connection, tenant: str, table: Table) -> AsyncIterator[None]:
    """Run a transaction of the owner that writes rows as they are: no trigger adds to them.

    The table is locked for it; the triggers are back before anybody else can write.
    """
    async with tenant_transaction(connection, tenant):
        await connection.execute(f'ALTER TABLE "{table.name}" DISABLE TRIGGER USER')
        yield
        await connection.execute(f'ALTER TABLE "{table.name}" ENABLE TRIGGER USER')


async def _last_key(connection: Connection, tenant: str, table: Table) -> tuple[Any, ...] | None:
    """Return the highest key of a tenant; None where it has no row."""
    key = names(table.key)
    falling = ", ".join(f'"{column}" DESC' for column in table.key)
    order = f"ORDER BY {falling}" if key else ""
    async with tenant_transaction(connection, tenant):
        row = await connection.fetchrow(
            f'SELECT {key} FROM "{table.name}" WHERE tenant_id = $1 {order} LIMIT 1',  # noqa: S608 - the same
            tenant,
        )
    return None if row is None else tuple(row)


async def make_months(source: Connection, target: Connection) -> None:
    """Make the monthly partitions that the source has."""
    for row in await source.fetch(_MONTHS):
        first = date.fromisoformat(row["month"].replace("_", "-") + "-01")
        await target.execute("SELECT make_partitions($1, $1)", first)


async def advance_sequences(source: Connection, target: Connection) -> None:
    """Let the target number its new rows behind those that were copied."""
    reached = {row["name"]: row["last_value"] for row in await target.fetch(_SEQUENCES)}
    for row in await source.fetch(_SEQUENCES):
        value = max(row["last_value"], reached.get(row["name"], 0))
        await target.execute("SELECT setval(format('public.%I', $1::text)::regclass, $2)",
            row["name"], value)  # fmt: skip


async def differing(
    source: Connection, target: Connection, tenant: str, tables: list[Table]
) -> dict[str, tuple[int, int]]:
    """Return the tables whose rows are not the same at both ends, with both row counts."""
    for connection in (source, target):
        await connection.execute(_SAME_TEXT)
    found = {}
    for table in tables:
        here, there = await asyncio.gather(
            _digest(source, tenant, table), _digest(target, tenant, table)
        )
        if here != there:
            found[table.name] = (here[0], there[0])
    return found


async def _digest(connection: Connection, tenant: str, table: Table) -> tuple[int, str]:
    """Return how many rows a tenant has, and a hash of all that stands in them."""
    query = _DIGEST.format(columns=table.listed, table=table.name)
    async with tenant_transaction(connection, tenant):
        row = await connection.fetchrow(query, tenant)
    assert row is not None  # an aggregate has a row  # noqa: S101
    return row["rows"], row["digest"]
