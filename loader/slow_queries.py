"""Which statements cost a database most, where it counts them (pg_stat_statements)."""

from dataclasses import dataclass
from typing import Final

import asyncpg

_FIND_SCHEMA: Final = """
SELECT quote_ident(n.nspname) FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
_COSTLIEST: Final = """
SELECT s.calls, s.total_exec_time AS total_ms, s.mean_exec_time AS mean_ms,
    s.max_exec_time AS longest_ms, s.rows, s.query,
    s.shared_blks_hit + s.shared_blks_read AS blocks, s.shared_blks_read AS blocks_read
FROM {schema}.pg_stat_statements AS s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.mean_exec_time >= $1
ORDER BY s.total_exec_time DESC LIMIT $2
"""


class NotCountedError(Exception):
    """The database does not count its statements."""

    def __init__(self, cause: str) -> None:
        """Say what is missing."""
        super().__init__(
            f"this database does not count its statements ({cause}): add pg_stat_statements to "
            "shared_preload_libraries, start the server again, and run "
            "CREATE EXTENSION pg_stat_statements in this database as a superuser"
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, whatever the values it was called with."""

    query: str
    """Its text, with $1, $2 in the place of values."""
    calls: int
    total_ms: float
    mean_ms: float
    longest_ms: float
    rows: int
    blocks: int
    """Blocks of 8 kB that it looked at."""
    blocks_read: int
    """Those of them that were not in the server's memory."""


async def costliest(
    connection: asyncpg.Connection, *, limit: int, mean_ms_min: float = 0
) -> list[Statement]:
    """Return the statements of this database that took most time in all, the dearest first.

    A role sees the texts of its own statements; of all with pg_read_all_stats.

    Args:
        connection: The database.
        limit: Most statements.
        mean_ms_min: Only those that take at least so long at a time.

    Raises:
        NotCountedError: There is no pg_stat_statements.
    """
    schema = await connection.fetchval(_FIND_SCHEMA)
    if schema is None:
        raise NotCountedError("the extension is not there")
    try:
        rows = await connection.fetch(_COSTLIEST.format(schema=schema), mean_ms_min, limit)
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        raise NotCountedError("the library is not loaded") from error
    return [
        Statement(**{**row, "query": " ".join((row["query"] or "").split())})
        for row in map(dict, rows)
    ]
