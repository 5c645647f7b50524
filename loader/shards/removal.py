"""Rows of a tenant are removed from a database that its shard has left."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from loader.link import connect
from loader.shards.copying import writing
from loader.shards.directory import read_directory
from loader.shards.fence import read_fence
from loader.shards.tables import MoveError, Table, names, tables_of
from loader.source import Connection, rows_of, tenant_transaction

_ROWS_AT_ONCE: Final = 5_000


async def remove_left(file: Path, name: str, removed: Callable[[str, int], None]) -> None:
    """Remove what a shard still holds after it was moved away.

    Args:
        file: Directory of shards.
        name: The shard that was moved.
        removed: Told of each piece: the table, and its rows.

    Raises:
        MoveError: The shard owns buckets, or was not moved.
    """
    directory = read_directory(file)
    shard = directory.named(name)
    if shard.buckets:
        raise MoveError(f"{name} owns buckets; only what was moved away is removed")
    for kind in ("production", "staging"):
        field = f"owner_{kind}_url"
        connection = await connect(shard.url(field), f"{field} of shard {name}")
        try:
            for tenant in directory.tenants:
                fence = await read_fence(connection, tenant)
                if fence.state != "moved" or fence.source != name:
                    raise MoveError(f"the {kind} of {name} was not moved: it is {fence.state}")
                await remove_rows(connection, tenant, removed)
        finally:
            await connection.close()


async def remove_rows(
    connection: Connection, tenant: str, removed: Callable[[str, int], None]
) -> None:
    """Remove all rows of a tenant, in pieces; what broke off is gone on with by the same call.

    Args:
        connection: Database that nobody else writes to, as the owner of its tables.
        tenant: Whose rows.
        removed: Told of each piece: the table, and its rows.
    """
    for table in reversed(await tables_of(connection)):
        while rows := await _remove_piece(connection, tenant, table):
            removed(table.name, rows)


async def _remove_piece(connection: Connection, tenant: str, table: Table) -> int:
    """Remove the rows with the lowest keys; return how many."""
    key, last = names(table.key), None
    if key:
        async with tenant_transaction(connection, tenant):
            last = await connection.fetchrow(
                f'SELECT {key} FROM "{table.name}" WHERE tenant_id = $1 '  # noqa: S608 - names of the catalogue
                f"ORDER BY {key} LIMIT 1 OFFSET {_ROWS_AT_ONCE - 1}",
                tenant,
            )
    numbers = ", ".join(f"${number}" for number in range(2, len(last or ()) + 2))
    upto = f"AND ({key}) <= ({numbers})" if last else ""
    async with writing(connection, tenant, table):
        done = await connection.execute(
            f'DELETE FROM "{table.name}" WHERE tenant_id = $1 {upto}',  # noqa: S608 - the same
            tenant,
            *(last or ()),
        )
    return rows_of(done)
