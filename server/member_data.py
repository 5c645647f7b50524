"""What a tenant keeps on file about the members of a pass, as of one commit."""

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Bools, Dates, Ints, Table
from engine.members import (
    Accumulators,
    Authorizations,
    Coverages,
    Documents,
    EligibilitySpans,
    Members,
    rows_about,
)

if TYPE_CHECKING:
    from server.database import Connection

_TABLES: Final[Mapping[str, type[Table]]] = {
    "eligibility": EligibilitySpans,
    "accumulators": Accumulators,
    "authorizations": Authorizations,
    "coverages": Coverages,
    "documents": Documents,
}
_TYPES: Final[Mapping[Any, str]] = {Ints: "int64", Bools: "bool", Dates: "datetime64[D]"}
_OPEN: Final = "period_from"
"""The one first day that may be open: it stands as -infinity, since it is part of a key."""

_LOADED: Final = "SELECT name FROM member_tables WHERE tenant_id = $1 AND first_seq <= $2"
# Names in braces are those of `engine.members`. A row that is on file at the watermark was brought
# by then and not yet ended.
_ROWS: Final = """
SELECT array_agg(person), {lists} FROM (
    SELECT asked.person, found.*
    FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (member_key, person)
    CROSS JOIN LATERAL (
        SELECT {columns} FROM member_{name}
        WHERE tenant_id = $1 AND member_key = asked.member_key AND valid_from_seq <= $3
            AND (valid_to_seq IS NULL OR valid_to_seq > $3)
        OFFSET 0
    ) AS found
    ORDER BY asked.person, {names}
) AS rows
"""


async def read_members(
    connection: "Connection", tenant: str, keys: list[bytes], person: Ints, watermark: int
) -> Members:
    """Return what is on file; None for a table that the tenant has loaded nothing into.

    Args:
        connection: Within a transaction of the tenant, as of the watermark or later.
        tenant: Whose members.
        keys: Keyed hash of each person.
        person: Place of each member's person among them, -1 for none; shape (members,).
        watermark: The last commit that counts.
    """
    loaded = [row["name"] for row in await connection.fetch(_LOADED, tenant, watermark)]
    found: dict[str, Any] = {}
    for name in loaded:
        [row] = await connection.fetch(_QUERIES[name], tenant, keys, watermark)
        found[name] = _table(_TABLES[name], row, person)
    return Members(**found)


def _table(table: Any, row: Any, person: Ints) -> Any:
    """Return the rows of persons as rows of members: two members may be one person."""
    number = np.array(row[0] or (), np.int64) - 1
    member, at = rows_about(number, person)
    columns = (_column(each, row[place] or ())[at] for place, each in enumerate(_stored(table), 1))
    return table(member, *columns)


def _stored(table: type[Table]) -> list[Field[Any]]:
    return [each for each in fields(table) if each.name != "member"]


def _column(each: Field[Any], values: Any) -> NDArray[Any]:
    return np.array(values, _TYPES[each.type])


def _query(name: str, table: type[Table]) -> str:
    names = [each.name for each in _stored(table)]
    return _ROWS.format(
        name=name,
        names=", ".join(names),
        lists=", ".join(f"array_agg({each})" for each in names),
        columns=", ".join(
            f"nullif({each}, '-infinity') AS {each}" if each == _OPEN else each for each in names
        ),
    )


_QUERIES: Final = {name: _query(name, table) for name, table in _TABLES.items()}
