"""The tables of tenants, as the catalogue has them: what later migrations add is moved as well."""

from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final, NamedTuple

from loader.source import Connection, tenant_transaction

_TABLES: Final = """
SELECT c.relname AS name,
    (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
        AS columns,
    (SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index AS i
        CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE i.indrelid = c.oid AND i.indisprimary) AS key,
    (SELECT coalesce(array_agg(DISTINCT r.relname::text), '{}') FROM pg_constraint AS f
        JOIN pg_class AS r ON r.oid = f.confrelid
        WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> f.conrelid) AS needs
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT c.relispartition AND c.relname NOT IN ('shard_fences', 'alembic_version')
ORDER BY c.relname
"""


class MoveError(Exception):
    """A move that cannot be begun or gone on with as things are."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of tenants: its columns, and the rest of a key that starts with the tenant."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def listed(self) -> str:
        """The columns, as a statement lists them."""
        return names(self.columns)


def names(columns: tuple[str, ...]) -> str:
    """Return columns as a statement lists them."""
    return ", ".join(f'"{column}"' for column in columns)


async def tables_of(connection: Connection) -> list[Table]:
    """Return the tables of tenants, each behind those that it refers to.

    Raises:
        MoveError: A table has no key that starts with the tenant.
    """
    rows = {row["name"]: row for row in await connection.fetch(_TABLES)}
    order = TopologicalSorter({name: row["needs"] for name, row in rows.items()})
    tables = []
    for name in order.static_order():
        columns, key = rows[name]["columns"], rows[name]["key"] or [""]
        if key[0] != "tenant_id":
            raise MoveError(f"table {name} has no key that starts with tenant_id: it is not moved")
        tables.append(Table(name, tuple(columns), tuple(key[1:])))
    return tables


async def is_empty(connection: Connection, tenant: str) -> bool:
    """Tell whether a database has no row of a tenant."""
    async with tenant_transaction(connection, tenant):
        for table in await tables_of(connection):
            found = f'SELECT EXISTS (SELECT FROM "{table.name}" WHERE tenant_id = $1)'  # noqa: S608 - names of the catalogue
            if await connection.fetchval(found, tenant):
                return False
    return True


class Pair(NamedTuple):
    """The two databases of a shard, as the owner of their tables."""

    staging: Connection
    production: Connection
