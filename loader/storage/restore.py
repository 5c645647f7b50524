"""An archived month comes back: from files into tables, and these into the tables of claims.

The steps: `check` the files, `load` them into tables of the schema `storage`, `verify` every
value, `attach`. The files stay. What is run again starts the loading anew, until `attach` is done,
which is one transaction. A part whose archiving was interrupted comes back from its tables, without
files.
"""

from pathlib import Path
from typing import Final

import asyncpg

from loader.storage.archive import UNDER_WAY, Part, Step, parts, quietly
from loader.storage.manifest import FILE, Manifest, ManifestError, sha256_of
from loader.storage.month import Month
from loader.storage.owner import StorageError, with_tables_locked
from loader.storage.table_files import PARENTS, columns_of, compare, load_table, staged_name

_IN_TABLES: Final = frozenset({"detached", "moving"})


async def to_restore(connection: asyncpg.Connection, month: Month) -> list[Part]:
    """Return the parts of a month that are not back; what was interrupted first.

    Raises:
        StorageError: There is none.
    """
    found = [part for part in await parts(connection, month) if part.state != "restored"]
    if not found:
        raise StorageError(f"no part of {month} is archived; see `claimgate storage archives`")
    return sorted(found, key=lambda part: part.state not in UNDER_WAY)


async def restore(
    connection: asyncpg.Connection, month: Month, folder: Path | None, step: Step = quietly
) -> list[Part]:
    """Bring all parts of a month back, in order; `folder` in the place of that of the archive.

    Raises:
        StorageError: No part is archived, or the tables have changed in a way that does not fit.
        ManifestError: Files are missing or are not those that were written.
    """
    found = await to_restore(connection, month)
    for part in found:
        if part.state not in _IN_TABLES:
            await _load(connection, part, part.place(folder), step)
        await _attach(connection, part, step)
    step("done")
    back = {part.part for part in found}
    return [part for part in await parts(connection, month) if part.part in back]


def check_files(part: Part, place: Path) -> Manifest:
    """Return the manifest of a part's files, which are those that were written.

    Raises:
        ManifestError: They are not.
    """
    manifest = Manifest.read(place)
    if sha256_of(place / FILE) != part.manifest_sha256:
        raise ManifestError(
            f"{place / FILE} is not the manifest that was written; use another copy"
        )
    manifest.check_files(place)
    return manifest


_LOADING: Final = "UPDATE storage.archives SET state = 'loading' WHERE month = $1 AND part = $2"


async def _load(connection: asyncpg.Connection, part: Part, place: Path, step: Step) -> None:
    step("check")
    manifest = check_files(part, place)
    for table in manifest.tables:
        now = set(await columns_of(connection, f"public.{table.table}"))
        if gone := [name for name, sql_type in table.columns if (name, sql_type) not in now]:
            raise StorageError(
                f"{table.table} was archived under revision {manifest.schema_revision} and has "
                f"no column {', '.join(gone)} of that type any more; restore it into a database "
                "of that revision"
            )
    step("load")
    async with connection.transaction():
        await connection.execute(_LOADING, part.month.first, part.part)
        await connection.execute("SELECT storage.make_staged($1, $2)", part.month.first, part.part)
    staged = {
        table.table: staged_name(table.table, part.month, part.part) for table in manifest.tables
    }
    for table in manifest.tables:
        await load_table(connection, table, staged[table.table], place)
    step("verify")
    for table in manifest.tables:
        await compare(connection, table, staged[table.table], place)


_PARTITIONS: Final = """
SELECT count(to_regclass('public.' || storage.partition_name(parent, $1)))
FROM unnest(storage.parents()) AS parent
"""


async def _attach(connection: asyncpg.Connection, part: Part, step: Step) -> None:
    """Put staged tables back: as partitions, or their rows into those of claims that came late."""
    month, number = part.month.first, part.part
    await connection.execute("SELECT storage.constrain($1, $2)", month, number)
    step("attach")
    merges = await connection.fetchval(_PARTITIONS, month) == len(PARENTS)

    async def put_back() -> None:
        await connection.execute("SELECT storage.attach_month($1, $2)", month, number)

    # Rows go into partitions that are there without a lock that others would wait for.
    if merges:
        await put_back()
    else:
        await with_tables_locked(connection, put_back)
