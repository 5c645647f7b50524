"""A month goes out of the database into files, and is never in neither.

The steps, each of which can be the last one before a crash:

1. `detach`: one transaction takes the four partitions of the month out of their tables, into the
   schema `storage`, and writes a row of `storage.archives`. From here on the claims are not seen.
2. `write`: files and manifest, in a folder beside the final one.
3. `verify`: every value of the files is read back and held against the tables.
4. `publish`: the folder gets its name.
5. `drop`: one transaction drops the tables and marks the part as archived.

What is run again goes on: with `detach` done, it writes anew.
"""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from loader.storage.manifest import FILE, Manifest, sha256_of
from loader.storage.month import Month
from loader.storage.owner import StorageError, with_tables_locked
from loader.storage.partitions import make_month
from loader.storage.summaries import count_rest, refresh, tenants
from loader.storage.table_files import PARENTS, compare, staged_name, sync, write_table

Step = Callable[[str], None]
"""Told the name of each step before it begins."""

Detached = Callable[[int], Awaitable[None]]
"""Done in the transaction that takes a month out, with the number of the part."""


def quietly(step: str) -> None:
    """Let a step pass."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a month outside the tables of claims, as `storage.archives` has it."""

    month: Month
    part: int
    tenant: str | None
    state: str
    folder: str
    claims: int | None
    rows: int | None
    manifest_sha256: str | None
    archive_id: UUID

    def place(self, folder: Path | None = None) -> Path:
        """Return the folder of its files."""
        return _place(folder or Path(self.folder), self.month, self.part)

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"month": str(self.month), "archive_id": str(self.archive_id)}


@dataclass(frozen=True, slots=True)
class Plan:
    """What archiving a month would take out of the database."""

    month: Month
    claims: int
    held: int
    in_default: int
    size_bytes: int
    under_way: str
    """State of a part whose way was interrupted; empty for none."""

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self) | {"month": str(self.month)}


_PARTS: Final = """
SELECT month, part, tenant_id AS tenant, state, folder, claims, rows, manifest_sha256,
    archive_id
FROM storage.archives WHERE $1::date IS NULL OR month = $1 ORDER BY month, part
"""
UNDER_WAY: Final = frozenset({"moving", "detached", "loading"})


async def parts(connection: asyncpg.Connection, month: Month | None = None) -> list[Part]:
    """Return the parts of a month, or of all months."""
    rows = await connection.fetch(_PARTS, month.first if month else None)
    return [Part(**{**row, "month": Month.of(row["month"])}) for row in rows]


_PLAN: Final = """
SELECT count(*) AS claims, count(*) FILTER (WHERE is_held(c)) AS held
FROM claims AS c WHERE service_from_date >= $1 AND service_from_date < $2
"""
_SIZE: Final = """
SELECT coalesce(sum(pg_table_size(to_regclass(name))), 0)::bigint
FROM (SELECT 'public.' || storage.partition_name(unnest(storage.parents()), $1) AS name) AS names
"""


async def plan(connection: asyncpg.Connection, month: Month) -> Plan:
    """Return what archiving a month would do."""
    [counted] = await connection.fetch(_PLAN, month.first, month.after(1).first)
    found = [part.state for part in await parts(connection, month) if part.state in UNDER_WAY]
    return Plan(
        month=month,
        claims=counted["claims"],
        held=counted["held"],
        in_default=await connection.fetchval("SELECT storage.rows_in_default($1)", month.first),
        size_bytes=await connection.fetchval(_SIZE, month.first),
        under_way="".join(found),
    )


async def archive(
    connection: asyncpg.Connection,
    month: Month,
    folder: Path,
    today: date,
    step: Step = quietly,
    detached: Detached | None = None,
    *,
    patience_s: float = 60.0,
) -> Part:
    """Archive all of a month, or go on where that was interrupted; return its newest part.

    Raises:
        StorageError: The month is not over, held, on another way, or has nothing to archive.
    """
    if month.after(1).first > today:
        raise StorageError(f"{month} is not over; archive months of the past")
    known = await parts(connection, month)
    under_way = next((part for part in known if part.state in UNDER_WAY), None)
    if under_way is None:
        found = await plan(connection, month)
        if not found.claims and not found.in_default:
            raise StorageError(_nothing(month, known))
        _refuse(found)
        need_room(folder, found.size_bytes)
        need_place(folder, month, 1 + max((part.part for part in known), default=0))
        step("detach")
        under_way = await _detach(connection, month, folder, detached, patience_s)
    elif under_way.state != "detached":
        raise StorageError(
            f"{month} is {under_way.state}; `claimgate storage restore {month}` goes on with that"
        )
    return await write_part(connection, under_way, folder, step)


def _nothing(month: Month, known: list[Part]) -> str:
    archived = [str(part.part) for part in known if part.state == "archived"]
    what = f"; already archived: part {', '.join(archived)}" if archived else ""
    return f"the database has no claims of {month}{what}"


def _refuse(found: Plan) -> None:
    if found.held:
        raise StorageError(
            f"{found.held} claims of {found.month} are under a legal hold; release it "
            "(`claimgate storage holds release`), or let `claimgate storage retention apply` "
            "leave them behind"
        )
    if found.in_default:
        raise StorageError(
            f"{found.in_default} rows of {found.month} are in default partitions; run "
            f"`claimgate storage partitions adopt {found.month}` first"
        )


def need_room(folder: Path, size_bytes: int) -> None:
    """Make the folder, and refuse one without room before anything is taken out of the database.

    Raises:
        StorageError: Fewer bytes are free there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise StorageError(f"{folder} has {free:,} bytes free; {size_bytes:,} may be needed")


def need_place(folder: Path, month: Month, part: int) -> None:
    """Refuse a folder that holds this part already: of another database, or of another past.

    Raises:
        StorageError: It does.
    """
    place = _place(folder, month, part)
    if place.exists():
        raise StorageError(f"{place} is there and not of this archive; name another folder")


def _place(folder: Path, month: Month, part: int) -> Path:
    return folder / str(month) / f"part-{part}"


async def _detach(
    connection: asyncpg.Connection,
    month: Month,
    folder: Path,
    detached: Detached | None,
    patience_s: float,
) -> Part:
    await make_month(connection, month)
    # What leaves has to be counted before; nearly all of it without the lock.
    for tenant in await tenants(connection):
        await refresh(connection, tenant)

    async def take_out() -> None:
        await count_rest(connection)
        part = await connection.fetchval(
            "SELECT storage.detach_month($1, $2)", month.first, absolute(folder)
        )
        if detached:
            await detached(part)

    await with_tables_locked(connection, take_out, patience_s=patience_s)
    return (await parts(connection, month))[-1]


_ARCHIVED: Final = """
UPDATE storage.archives SET state = 'archived', archived_at = clock_timestamp(), folder = $3,
    manifest_sha256 = $4, claims = $5, rows = $6
WHERE month = $1 AND part = $2
"""


async def write_part(
    connection: asyncpg.Connection, part: Part, folder: Path, step: Step = quietly
) -> Part:
    """Write a part that is in staged tables to files, and drop the tables once these are proved."""
    place, month = part.place(folder), part.month
    if place.exists() and Manifest.read(place).archive_id != part.archive_id:
        need_place(folder, month, part.part)
    written = place.with_name(f"{place.name}.partial")
    # Whatever lies there is of a run that was interrupted: the rows are still in the tables.
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir(mode=0o700, parents=True)
    step("write")
    tables = [
        await write_table(connection, parent, staged_name(parent, month, part.part), written)
        for parent in PARENTS
    ]
    manifest = Manifest(
        archive_id=part.archive_id,
        month=str(month),
        part=part.part,
        tenant_id=part.tenant,
        schema_revision=await connection.fetchval("SELECT version_num FROM alembic_version"),
        written_at=datetime.now(UTC),
        tables=tables,
    )
    manifest.write(written)
    step("verify")
    for table in tables:
        staged = staged_name(table.table, month, part.part)
        await compare(connection, table, staged, written)
    step("publish")
    _sync_files(written)
    _publish(written, place)
    Manifest.read(place).check_files(place)
    step("drop")
    async with connection.transaction():
        await connection.execute("SELECT storage.drop_staged($1, $2)", month.first, part.part)
        await connection.execute(
            _ARCHIVED, month.first, part.part, absolute(folder), sha256_of(place / FILE),
            manifest.claims, manifest.rows,
        )  # fmt: skip
    step("done")
    return next(each for each in await parts(connection, month) if each.part == part.part)


def absolute(folder: Path) -> str:
    """Return a folder as `storage.archives` keeps it."""
    return str(folder.resolve())


def _publish(written: Path, place: Path) -> None:
    """Give a folder its name; what an interrupted run left there goes in one step too."""
    former = place.with_name(f"{place.name}.former")
    shutil.rmtree(former, ignore_errors=True)
    if place.exists():
        place.rename(former)
    written.rename(place)
    sync(place.parent)
    sync(place.parent.parent)
    shutil.rmtree(former, ignore_errors=True)


def _sync_files(folder: Path) -> None:
    """Have what is in a folder on the disk, and readable by its owner alone."""
    for path in folder.iterdir():
        path.chmod(0o600)
        sync(path)
    sync(folder)
