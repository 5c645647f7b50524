"""Monthly partitions: made ahead, listed, and filled from the default ones."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

import asyncpg

from loader.storage.month import Month
from loader.storage.owner import with_tables_locked

AHEAD_MAX: Final = 60
"""Most months that are made ahead."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of one table."""

    table: str
    partition: str
    month: str
    """Month of service; empty for the default partition."""
    rows: int
    """Counted in default partitions and on request, else as the planner last knew; -1: never."""
    size_bytes: int
    """With indexes and TOAST."""

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stray:
    """Rows of a month in the default partitions."""

    month: Month
    rows: int

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"month": str(self.month), "rows": self.rows}


async def make_ahead(connection: asyncpg.Connection, today: date, ahead: int) -> list[str]:
    """Make the missing partitions of this month and those after it; return their names."""
    first = Month.of(today)
    return await _make(connection, first, first.after(ahead))


async def missing_ahead(connection: asyncpg.Connection, today: date, ahead: int) -> list[str]:
    """Return the partitions that `make_ahead` would make."""
    first = Month.of(today)
    return [
        row["name"]
        for row in await connection.fetch(_MISSING, first.first, first.after(ahead).first)
    ]


async def _make(connection: asyncpg.Connection, first: Month, last: Month) -> list[str]:
    rows = await connection.fetch("SELECT make_partitions($1, $2)", first.first, last.first)
    return [row[0] for row in rows]


async def make_month(connection: asyncpg.Connection, month: Month) -> None:
    """Make those partitions of a month that are missing."""
    await _make(connection, month, month)


_MISSING: Final = """
SELECT storage.partition_name(parent, month::date) AS name
FROM unnest(storage.parents()) AS parent,
    generate_series($1::date, $2::date, interval '1 month') AS month
WHERE to_regclass('public.' || storage.partition_name(parent, month::date)) IS NULL
ORDER BY month, array_position(storage.parents(), parent)
"""
_LIST: Final = r"""
SELECT p.relname AS parent, c.relname AS name, c.reltuples::bigint AS rows,
    pg_total_relation_size(c.oid) AS size_bytes,
    replace(substring(c.relname FROM '_(\d{4}_\d\d)$'), '_', '-') AS month
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
JOIN pg_class AS p ON p.oid = i.inhparent
WHERE p.relnamespace = 'public'::regnamespace AND p.relname = ANY (storage.parents())
    AND c.relkind = 'r'
ORDER BY month NULLS LAST, array_position(storage.parents(), p.relname::text)
"""


async def partitions(connection: asyncpg.Connection, *, count: bool = False) -> list[Partition]:
    """Return every partition, oldest month first, the default ones last."""
    found = []
    for row in await connection.fetch(_LIST):
        rows = row["rows"]
        if count or row["month"] is None:
            rows = await connection.fetchval(f'SELECT count(*) FROM public."{row["name"]}"')  # noqa: S608  a name of the catalog
        found.append(
            Partition(row["parent"], row["name"], row["month"] or "", rows, row["size_bytes"])
        )
    return found


_STRAYS: Final = """
SELECT date_trunc('month', service_from_date)::date AS month, count(*) AS rows
FROM (
    SELECT service_from_date FROM claims_default
    UNION ALL SELECT service_from_date FROM claim_lines_default
    UNION ALL SELECT service_from_date FROM claim_results_default
    UNION ALL SELECT service_from_date FROM rule_hits_default
) AS strays
GROUP BY 1 ORDER BY 1
"""


async def strays(connection: asyncpg.Connection) -> list[Stray]:
    """Return the months of which rows are in default partitions."""
    return [Stray(Month.of(row["month"]), row["rows"]) for row in await connection.fetch(_STRAYS)]


async def adopt(connection: asyncpg.Connection, month: Month) -> int:
    """Move the rows of a month from the default partitions into its own; return how many.

    One transaction, under a lock that loads and readers wait for: all of it is done or nothing.
    """

    async def move() -> int:
        return await connection.fetchval("SELECT storage.adopt_month($1)", month.first)

    return await with_tables_locked(connection, move)
