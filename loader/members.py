"""Loading member data: good rows in one commit, bad rows said one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg

from loader.lookup import MEMBER, Lookup
from loader.member_files import TABLES, MemberRow, MemberTable, Reject, read_rows
from loader.sink import LOCK_SEQUENCE
from loader.source import rows_of, tenant_transaction

Connection = asyncpg.Connection


@dataclass(frozen=True, slots=True)
class MembersLoaded:
    """What became of a file."""

    table: str
    rejects: list[Reject]
    commit_seq: int | None = None
    """Number of the commit; None where nothing was loaded."""
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


class _RefusedError(Exception):
    """The file has a bad row, and is to be loaded whole or not at all."""


async def load_members(
    connection: Connection,
    lookup: Lookup,
    tenant: str,
    table: MemberTable,
    path: Path,
    *,
    all_or_nothing: bool = False,
) -> MembersLoaded:
    """Bring what is on file up to what a file says; rows under other keys stay as they are.

    Args:
        connection: Production, as the loader.
        lookup: Finds members by their id.
        tenant: Whose file it is.
        table: What the file is about.
        path: The file.
        all_or_nothing: With a bad row nothing is loaded.

    Raises:
        MemberFileError: the file is refused whole.
    """
    started_at = datetime.now(UTC)
    good, rejects, digest = _read(table, path)
    if rejects and all_or_nothing:
        return MembersLoaded(table.name, rejects)
    records = [
        (row.row, row.remove, False, lookup.hash(tenant, MEMBER, row.member_id), *row.values)
        for row in good
    ]
    step = _Step(connection, tenant, table)
    try:
        async with tenant_transaction(connection, tenant):
            rejects += await step.stage(records)
            if all_or_nothing:
                _refuse_any(rejects)
            loaded = await step.merge(digest, started_at)
    except _RefusedError:
        return MembersLoaded(table.name, sorted(rejects))
    return MembersLoaded(table.name, sorted(rejects), **loaded)


def _read(table: MemberTable, path: Path) -> tuple[list[MemberRow], list[Reject], bytes]:
    good: list[MemberRow] = []
    rejects: list[Reject] = []
    for each in read_rows(table, path):
        good.append(each) if isinstance(each, MemberRow) else rejects.append(each)
    return good, rejects, sha256(path.read_bytes()).digest()


def _refuse_any(rejects: Sequence[Reject]) -> None:
    if rejects:
        raise _RefusedError


async def count_members(connection: Connection, tenant: str) -> dict[str, tuple[int, int] | None]:
    """Return rows and members of each table as of now; None for one that was never loaded."""
    counts: dict[str, tuple[int, int] | None] = {}
    async with tenant_transaction(connection, tenant):
        loaded = {row["name"] for row in await connection.fetch(_LOADED, tenant)}
        for table in TABLES.values():
            found = await connection.fetchrow(_COUNT.format(table=table.stored), tenant)
            counts[table.name] = tuple(found) if found and table.name in loaded else None
    return counts


_LOADED: Final = "SELECT name FROM member_tables WHERE tenant_id = $1"
_COUNT: Final = (
    "SELECT count(*), count(DISTINCT member_key) FROM {table} "
    "WHERE tenant_id = $1 AND valid_to_seq IS NULL"
)

# Names in braces are those of `member_files.TABLES`, never text of a file.
_STAGE: Final = """
CREATE TEMPORARY TABLE {incoming} ON COMMIT DROP AS
SELECT 0 AS row_no, false AS remove, false AS refused, member_key, {columns} FROM {table}
WITH NO DATA
"""
_LIFETIME: Final = "UPDATE {incoming} SET period_from = '-infinity' WHERE period_from IS NULL"
_INDEX: Final = "CREATE INDEX ON {incoming} (member_key); ANALYZE {incoming}"

# Rows of the file among themselves and with what stays on file. A row that is refused leaves what
# it was to replace on file, which may overlap in turn: asked until nothing is refused any more.
_OVERLAPS: Final = """
WITH proposed AS (
    SELECT row_no, member_key, {group}, {first} AS begins, coalesce({last}, 'infinity') AS ends
    FROM {incoming} WHERE NOT refused AND NOT remove AND {first} > '-infinity'
    UNION ALL
    SELECT NULL, member_key, {group}, {first}, coalesce({last}, 'infinity')
    FROM {table} AS t
    WHERE tenant_id = $1 AND valid_to_seq IS NULL AND {first} > '-infinity'
        AND member_key IN (SELECT member_key FROM {incoming})
        AND NOT EXISTS (SELECT FROM {incoming} AS i WHERE NOT i.refused AND {same_key})
), beside AS (
    SELECT row_no, begins, ends, max(ends) OVER earlier AS ends_before, lead(begins) OVER (
        PARTITION BY member_key, {group} ORDER BY begins, ends) AS begins_after
    FROM proposed
    WINDOW earlier AS (PARTITION BY member_key, {group} ORDER BY begins, ends
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
UPDATE {incoming} SET refused = true FROM beside
WHERE {incoming}.row_no = beside.row_no
    AND (beside.ends_before >= beside.begins OR beside.begins_after <= beside.ends)
RETURNING {incoming}.row_no
"""
_NOTHING_TO_REMOVE: Final = """
UPDATE {incoming} AS i SET refused = true
WHERE i.remove AND NOT EXISTS (
    SELECT FROM {table} AS t WHERE t.tenant_id = $1 AND t.valid_to_seq IS NULL AND {same_key}
)
RETURNING i.row_no
"""
_SAME: Final = """
DELETE FROM {incoming} AS i USING {table} AS t
WHERE t.tenant_id = $1 AND t.valid_to_seq IS NULL AND NOT i.refused AND NOT i.remove
    AND {same_key} AND (SELECT ROW({t_columns}) IS NOT DISTINCT FROM ROW({i_columns}))
"""
_END: Final = """
UPDATE {table} AS t SET valid_to_seq = $2 FROM {incoming} AS i
WHERE t.tenant_id = $1 AND t.valid_to_seq IS NULL AND NOT i.refused AND {same_key}
"""
_ADD: Final = """
INSERT INTO {table} (tenant_id, member_key, {columns}, valid_from_seq)
SELECT $1, member_key, {columns}, $2 FROM {incoming} WHERE NOT refused AND NOT remove
"""
_REMOVED: Final = "SELECT count(*) FROM {incoming} WHERE remove AND NOT refused"
_FIRST: Final = """
INSERT INTO member_tables (tenant_id, name, first_seq) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
_SEQUENCE: Final = "SELECT 1 + coalesce(max(commit_seq), 0) FROM batches WHERE tenant_id = $1"
_LEDGER: Final = """
INSERT INTO batches (tenant_id, batch_id, sha256, claim_count, row_count, commit_seq, started_at,
    content, receipt)
VALUES ($1, $2, $3, 0, $4, $5, $6, $7, jsonb_build_object('rows', $4::integer))
"""


@dataclass(frozen=True, slots=True)
class _Step:
    """One file's way into one table, within a transaction."""

    connection: Connection
    tenant: str
    table: MemberTable

    async def stage(self, records: Sequence[tuple[Any, ...]]) -> list[Reject]:
        """Send the rows over; return what is wrong with them beside what is on file."""
        await self.connection.execute("SET LOCAL synchronous_commit = on")
        # From here on no other load of the tenant commits in between.
        await self.connection.execute(LOCK_SEQUENCE, self.tenant)
        await self.connection.execute(self._sql(_STAGE))
        await self.connection.copy_records_to_table(self._incoming, records=records)
        if "period_from" in self.table.names:
            await self.connection.execute(self._sql(_LIFETIME))
        await self.connection.execute(self._sql(_INDEX))
        nothing = await self.connection.fetch(self._sql(_NOTHING_TO_REMOVE), self.tenant)
        rejects = [
            Reject(row["row_no"], "remove", "nothing is on file under its key", "a key on file")
            for row in nothing
        ]
        while found := await self.connection.fetch(self._sql(_OVERLAPS), self.tenant):
            rejects += [
                Reject(
                    row["row_no"],
                    self.table.span[0],
                    "the days overlap those of another row, of the file or on file",
                    "each day once for a key: " + ", ".join(("member_id", *self.table.group)),
                )
                for row in found
            ]
        return rejects

    async def merge(self, digest: bytes, started_at: datetime) -> dict[str, int]:
        """Take the rows over as one commit; return what was done."""
        execute, tenant = self.connection.execute, self.tenant
        unchanged = rows_of(await execute(self._sql(_SAME), tenant))
        seq: int = await self.connection.fetchval(_SEQUENCE, tenant)
        removed: int = await self.connection.fetchval(self._sql(_REMOVED))
        ended = rows_of(await execute(self._sql(_END), tenant, seq))
        added = rows_of(await execute(self._sql(_ADD), tenant, seq))
        await execute(_FIRST, tenant, self.table.name, seq)
        content = self.table.stored
        await execute(_LEDGER, tenant, uuid4(), digest, added, seq, started_at, content)
        changed = ended - removed
        return {
            "commit_seq": seq,
            "added": added - changed,
            "changed": changed,
            "removed": removed,
            "unchanged": unchanged,
        }

    @property
    def _incoming(self) -> str:
        # A name for each table: the driver remembers the columns of a name.
        return f"incoming_{self.table.name}"

    def _sql(self, statement: str) -> str:
        table = self.table
        first, last = table.span
        return statement.format(
            table=table.stored,
            incoming=self._incoming,
            columns=", ".join(table.names),
            t_columns=", ".join(f"t.{name}" for name in table.names),
            i_columns=", ".join(f"i.{name}" for name in table.names),
            group=", ".join(table.group),
            first=first,
            last=last,
            same_key=" AND ".join(f"t.{name} = i.{name}" for name in ("member_key", *table.key)),
        )
