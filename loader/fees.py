"""Loading a tenant's fee schedule: a file is a new version as a whole, or nothing is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg

from loader.fee_files import COLUMNS, KEY, FeeFileError, FeeRow, read_rows
from loader.member_files import Reject
from loader.source import rows_of, tenant_transaction

Connection = asyncpg.Connection

REJECTS_MAX: Final = 10_000
"""After so many faults a file is read no further."""


@dataclass(frozen=True, slots=True)
class FeesLoaded:
    """What became of a file."""

    rejects: list[Reject]
    version: int | None = None
    """The version in use since; None where nothing was loaded and nothing is on file."""
    rows: int = 0
    added: int = 0
    ended: int = 0

    @property
    def changed(self) -> bool:
        """Whether the file made a new version."""
        return bool(self.added or self.ended)


@dataclass(frozen=True, slots=True)
class FeeVersion:
    """A version of a fee schedule."""

    version: int
    rows: int
    added: int
    """Rows that the version before did not have."""
    ended: int
    """Rows of the version before that this one has no more."""
    loaded_at: datetime


class _RefusedError(Exception):
    """The file has a bad row."""


async def load_fees(connection: Connection, tenant: str, path: Path) -> FeesLoaded:
    """Put a file in the place of a tenant's fee schedule, as its next version.

    A file that says what is on file already makes no version.

    Args:
        connection: Production, as the loader.
        tenant: Whose fee schedule.
        path: The whole schedule.

    Raises:
        FeeFileError: the file is refused whole: another header, no CSV, no row.
    """
    rejects: list[Reject] = []
    try:
        async with tenant_transaction(connection, tenant):
            return await _load(connection, tenant, path, rejects)
    except _RefusedError:
        return FeesLoaded(sorted(rejects))


async def fee_versions(connection: Connection, tenant: str) -> list[FeeVersion]:
    """Return the versions of a tenant's fee schedule, newest first."""
    async with tenant_transaction(connection, tenant):
        rows = await connection.fetch(_VERSIONS, tenant)
    return [FeeVersion(**row) for row in rows]


_VERSIONS: Final = """
SELECT version, rows, added, ended, loaded_at FROM fee_schedules
WHERE tenant_id = $1 ORDER BY version DESC
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('claimgate.fees|' || $1, 0))"
_STAGE: Final = """
CREATE TEMPORARY TABLE incoming_fees ON COMMIT DROP AS
SELECT 0::bigint AS row_no, {columns} FROM fee_rates WITH NO DATA
"""
_INDEX: Final = (
    "ALTER TABLE incoming_fees ADD COLUMN kept boolean NOT NULL DEFAULT false; "
    "CREATE INDEX ON incoming_fees ({key}, effective); ANALYZE incoming_fees"
)
_OVERLAPS: Final = """
SELECT row_no FROM (
    SELECT row_no, effective, coalesce(deletion, 'infinity') AS ends,
        max(coalesce(deletion, 'infinity')) OVER earlier AS ends_before,
        lead(effective) OVER (PARTITION BY {key} ORDER BY effective, row_no) AS begins_after
    FROM incoming_fees
    WINDOW earlier AS (PARTITION BY {key} ORDER BY effective, row_no
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS beside
WHERE ends_before >= effective OR begins_after <= ends
ORDER BY row_no LIMIT $1
"""
_KEEP: Final = """
UPDATE incoming_fees AS i SET kept = true FROM fee_rates AS t
WHERE t.tenant_id = $1 AND t.to_version IS NULL AND {same_key}
    AND (t.rate_kind, t.rate, t.net) = (i.rate_kind, i.rate, i.net)
    AND t.deletion IS NOT DISTINCT FROM i.deletion
"""
_END: Final = """
UPDATE fee_rates AS t SET to_version = $2
WHERE t.tenant_id = $1 AND t.to_version IS NULL
    AND NOT EXISTS (SELECT FROM incoming_fees AS i WHERE i.kept AND {same_key})
"""
_ADD: Final = """
INSERT INTO fee_rates (tenant_id, {columns}, from_version)
SELECT $1, {columns}, $2 FROM incoming_fees WHERE NOT kept
"""
_LAST: Final = "SELECT coalesce(max(version), 0) FROM fee_schedules WHERE tenant_id = $1"
_VERSION: Final = """
INSERT INTO fee_schedules (tenant_id, version, stamp, sha256, rows, added, ended)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def _load(
    connection: Connection, tenant: str, path: Path, rejects: list[Reject]
) -> FeesLoaded:
    execute = connection.execute
    await execute("SET LOCAL synchronous_commit = on")
    # From here on no other load of the tenant's schedule commits in between.
    await execute(_LOCK, tenant)
    await execute(_sql(_STAGE))
    await connection.copy_records_to_table("incoming_fees", records=_records(path, rejects))
    await execute(_sql(_INDEX))
    rejects += await _overlaps(connection)
    if rejects:
        raise _RefusedError
    rows: int = await connection.fetchval("SELECT count(*) FROM incoming_fees")
    if not rows:
        raise FeeFileError(
            f"{path.name} holds no row; a schedule that ends has rows with effective_to"
        )
    last: int = await connection.fetchval(_LAST, tenant)
    await execute(_sql(_KEEP), tenant)
    ended = rows_of(await execute(_sql(_END), tenant, last + 1))
    added = rows_of(await execute(_sql(_ADD), tenant, last + 1))
    if not (added or ended):
        return FeesLoaded([], last, rows)
    digest = _digest(path)
    await execute(_VERSION, tenant, last + 1, uuid4().hex[:12], digest, rows, added, ended)
    return FeesLoaded([], last + 1, rows, added, ended)


def _records(path: Path, rejects: list[Reject]) -> Iterator[tuple[Any, ...]]:
    """Yield the good rows of a file and collect what is wrong with the others."""
    for each in read_rows(path):
        if isinstance(each, FeeRow):
            yield each.row, *each.values
            continue
        rejects.append(each)
        if len(rejects) >= REJECTS_MAX:
            return


async def _overlaps(connection: Connection) -> list[Reject]:
    found = await connection.fetch(_sql(_OVERLAPS), REJECTS_MAX)
    return [
        Reject(
            row["row_no"],
            "effective_from",
            "the days overlap those of another row",
            "each day once for a key: " + ", ".join(KEY),
        )
        for row in found
    ]


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()


def _sql(statement: str) -> str:
    """Fill in the names of columns, which are those of `fee_files`, never text of a file."""
    return statement.format(
        columns=", ".join(COLUMNS),
        key=", ".join(KEY),
        same_key=" AND ".join(f"t.{name} = i.{name}" for name in (*KEY, "effective")),
    )
