"""The temporary tables of a load: rows are copied into them, and taken over from there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from loader.batch import CountMismatchError
from loader.copy_format import HEADER, TRAILER
from loader.history_rows import HISTORY_COLUMNS, history_rows
from loader.rows import (
    CLAIM_COLUMNS,
    HIT_COLUMNS,
    LINE_COLUMNS,
    RESULT_COLUMNS,
    FailedClaim,
    LoadClaim,
    Owner,
)
from loader.rows_native import claim_rows, hit_rows, line_rows, result_rows
from loader.source import Connection, rows_of

# COPY does not go into tables with row-level security: it goes into tables of the same columns, and
# merges take the rows over.
_PREPARE: Final = """
CREATE TEMPORARY TABLE load_claims (LIKE claims INCLUDING DEFAULTS INCLUDING STORAGE)
    ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE load_lines (LIKE claim_lines) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE load_results (LIKE claim_results INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE load_history (LIKE claim_history INCLUDING STORAGE) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE load_hits (LIKE rule_hits) ON COMMIT DELETE ROWS;
-- A day that is missing is refused by the merge, which names its row.
ALTER TABLE load_claims ALTER service_from_date DROP NOT NULL, ALTER service_to_date DROP NOT NULL,
    ALTER received_date DROP NOT NULL;
ALTER TABLE load_lines ALTER service_from_date DROP NOT NULL, ALTER service_date DROP NOT NULL,
    ALTER service_to_date DROP NOT NULL;
ALTER TABLE load_results ALTER service_from_date DROP NOT NULL;
ALTER TABLE load_hits ALTER service_from_date DROP NOT NULL;
ALTER TABLE load_history ALTER service_from_date DROP NOT NULL,
    ALTER service_to_date DROP NOT NULL;
"""


async def prepare(connection: Connection) -> None:
    """Make the temporary tables of this connection, once."""
    if await connection.fetchval("SELECT to_regclass('pg_temp.load_hits')") is None:
        await connection.execute(_PREPARE)


@dataclass(frozen=True, slots=True)
class Rows:
    """What goes into a temporary table: its columns, the rows of some claims, and their number."""

    columns: tuple[str, ...]
    encode: Callable[[Sequence[LoadClaim], Owner], bytes]
    count: Callable[[Sequence[LoadClaim]], int]
    at_once: int = 500
    """Claims that are encoded without a turn for the other tasks."""
    order: Callable[[LoadClaim], bytes] | None = None
    """The order of the rows, where it is not that of the claims."""


def by_key(claims: Iterable[LoadClaim]) -> list[LoadClaim]:
    """Return claims in the order of the tables' keys: each row's place is near that of the last."""
    return sorted(claims, key=attrgetter("key"))


def _member(item: LoadClaim) -> bytes:
    return item.leased.member_key


def lines_of(claims: Sequence[LoadClaim]) -> int:
    """Count the lines of claims."""
    return sum([item.lines for item in claims])


def hits_of(claims: Sequence[LoadClaim]) -> int:
    """Count the findings of claims."""
    return sum([item.hits for item in claims])


ROWS: Final = {
    "load_claims": Rows(CLAIM_COLUMNS, claim_rows, len),
    "load_lines": Rows(LINE_COLUMNS, line_rows, lines_of),
    "load_results": Rows(RESULT_COLUMNS, result_rows, len),
    "load_hits": Rows(HIT_COLUMNS, hit_rows, hits_of),
    # Read into columns first, and the more at once the cheaper.
    # Read by member: a member's claims lie side by side.
    "load_history": Rows(HISTORY_COLUMNS, history_rows, len, at_once=1_000, order=_member),
}


Stream = Callable[[str, Sequence[LoadClaim], Owner], AsyncIterator[bytes]]
"""Gives the rows of some claims for a temporary table, as COPY takes them."""


async def copy(
    connection: Connection, stream: Stream, table: str, claims: Sequence[LoadClaim], owner: Owner
) -> None:
    """Send the rows of claims to one temporary table, and count them."""
    rows = ROWS[table]
    done = await connection.copy_to_table(
        table, source=stream(table, claims, owner), columns=rows.columns, format="binary"
    )
    expected = rows.count(claims)
    if rows_of(done) != expected:
        raise CountMismatchError(table, expected, rows_of(done))


async def stream_rows(
    table: str, claims: Sequence[LoadClaim], owner: Owner
) -> AsyncIterator[bytes]:
    """Yield the rows of some claims at a time; between them the other tasks have their turn."""
    rows = ROWS[table]
    if rows.order:
        claims = sorted(claims, key=rows.order)
    yield HEADER
    for first in range(0, len(claims), rows.at_once):
        yield rows.encode(claims[first : first + rows.at_once], owner)
        await asyncio.sleep(0)
    yield TRAILER


_DROP: Final = """
DELETE FROM {table} WHERE (claim_id, claim_version) IN (
    SELECT * FROM unnest($1::text[], $2::integer[]))
"""


async def drop(connection: Connection, claims: Sequence[LoadClaim | FailedClaim]) -> None:
    """Take claims out of the temporary tables."""
    if claims:
        ids = [item.leased.claim_id for item in claims]
        versions = [item.leased.claim_version for item in claims]
        for table in ROWS:
            await connection.execute(_DROP.format(table=table), ids, versions)
