"""One table of a part as one Parquet file: written, compared with the table, loaded again."""

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
import pyarrow as pa
from pyarrow import parquet

from loader.storage.arrow_rows import Columns, arrow_schema, arrow_table, postgres_rows
from loader.storage.manifest import ManifestError, TableFile, sha256_of
from loader.storage.month import Month

PARENTS: Final = ("claims", "claim_lines", "claim_results", "rule_hits")
"""Tables by month of service, each with those that stand for it while a month is on its way."""

_GROUP_ROWS: Final = 5_000
_COLUMNS: Final = """
SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_KEY: Final = """
SELECT a.attname FROM pg_index AS i
CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1::regclass AND i.indisprimary ORDER BY k.place
"""


def staged_name(parent: str, month: Month, part: int) -> str:
    """Return the table of schema `storage` that holds a part of a month of a table."""
    return f"{parent}_{month.year:04}_{month.number:02}_p{part}"


async def columns_of(connection: asyncpg.Connection, table: str) -> list[tuple[str, str]]:
    """Return names and SQL types of a table's columns."""
    return [(row["name"], row["type"]) for row in await connection.fetch(_COLUMNS, table)]


async def write_table(
    connection: asyncpg.Connection, parent: str, staged: str, folder: Path
) -> TableFile:
    """Write the rows of a staged table, sorted by its key, and have them on the disk."""
    columns = await columns_of(connection, f"public.{parent}")
    key = [row[0] for row in await connection.fetch(_KEY, f"public.{parent}")]
    path, rows, days = folder / f"{parent}.parquet", 0, []
    with parquet.ParquetWriter(path, arrow_schema(columns), compression="zstd") as writer:
        async for group in _groups(connection, staged, columns, key):
            writer.write_table(group, row_group_size=_GROUP_ROWS)
            rows += len(group)
            days += [group.column("service_from_date").to_pylist()]
    sync(path)
    first = min((min(each) for each in days), default=None)
    last = max((max(each) for each in days), default=None)
    return TableFile(
        table=parent,
        file=path.name,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        rows=rows,
        columns=columns,
        key=key,
        service_from_date_min=first,
        service_from_date_max=last,
    )


async def compare(
    connection: asyncpg.Connection, table: TableFile, staged: str, folder: Path
) -> None:
    """Read a file back and hold every value against the table.

    Raises:
        ManifestError: They differ.
    """
    rows = 0
    with parquet.ParquetFile(folder / table.file) as file:
        group_no = 0
        async for group in _groups(connection, staged, table.columns, table.key):
            if group_no >= file.num_row_groups or not file.read_row_group(group_no).equals(group):
                raise ManifestError(f"{folder / table.file} differs from {staged}; start again")
            group_no += 1
            rows += len(group)
        if group_no != file.num_row_groups or rows != table.rows:
            raise ManifestError(f"{folder / table.file} holds more than {staged}; start again")


async def load_table(
    connection: asyncpg.Connection, table: TableFile, staged: str, folder: Path
) -> None:
    """Load a file into an empty staged table."""
    names = [name for name, _ in table.columns]
    with parquet.ParquetFile(folder / table.file) as file:
        for group_no in range(file.num_row_groups):
            group = file.read_row_group(group_no)
            await connection.copy_records_to_table(
                staged,
                schema_name="storage",
                columns=names,
                records=postgres_rows(group, table.columns),
            )


async def _groups(
    connection: asyncpg.Connection, staged: str, columns: Columns, key: Sequence[str]
) -> AsyncIterator[pa.Table]:
    """Yield the rows of a staged table by their key, some thousand at a time."""
    names = ", ".join(f'"{name}"' for name, _ in columns)
    order = ", ".join(f'"{name}"' for name in key)
    query = f'SELECT {names} FROM storage."{staged}" ORDER BY {order}'  # noqa: S608  names of the catalog
    async with connection.transaction(readonly=True):
        cursor: Any = await connection.cursor(query)
        while rows := await cursor.fetch(_GROUP_ROWS):
            yield arrow_table(rows, columns)


def sync(path: Path) -> None:
    """Have a file or folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
