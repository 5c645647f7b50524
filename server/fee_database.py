"""Tenants' fee schedules in production Postgres: which version is in use, and its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import numpy as np

from engine.tenant_fees import FEE, NO_DAY, Fees
from server.database import Database
from server.fee_values import FeeVersion

_COLUMNS: Final = tuple(FEE.names or ())
_EPOCH: Final = "DATE '1970-01-01'"
_DAYS: Final = {
    "effective": f"CASE WHEN effective > '-infinity' THEN effective - {_EPOCH} END",
    "deletion": f"deletion - {_EPOCH}",
}
# The plan must not depend on what the planner believes of a tenant's size: codes are found by the
# key, for some hundred of them.
_PLAN: Final = "SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)"
# One row comes back, however many rates there are. A row is of the version if it was brought by
# then and not yet ended.
_ROWS: Final = f"""
SELECT {", ".join(f"array_agg({name})" for name in _COLUMNS)} FROM (
    SELECT asked.code, found.* FROM unnest($2::bigint[]) AS asked (code)
    CROSS JOIN LATERAL (
        SELECT {", ".join(_DAYS.get(name, name) + f" AS {name}" for name in _COLUMNS[1:])}
        FROM fee_rates
        WHERE tenant_id = $1 AND code = asked.code AND from_version <= $3
            AND (to_version IS NULL OR to_version > $3)
        OFFSET 0
    ) AS found
    ORDER BY {", ".join(_COLUMNS)}
) AS rows
"""  # noqa: S608 - the names are those of the record
_NEWEST: Final = """
SELECT version, stamp FROM fee_schedules
WHERE tenant_id = $1 AND ($2::bigint IS NULL OR version = $2) ORDER BY version DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class FeeDatabase:
    """Reads versions and rows, each in a transaction that sees one tenant."""

    database: Database

    async def check(self) -> None:
        """Refuse to start on a database that has no place for fee schedules yet.

        Raises:
            SettingsError: says which migration is missing.
        """
        await self.database.require("fee_schedules", "fee schedules")

    async def version(self, tenant: str, number: int | None = None) -> FeeVersion | None:
        """Return a version by its number, or the one in use; None where there is none."""
        async with self.database.transaction(tenant, readonly=True) as connection:
            row = await connection.fetchrow(_NEWEST, tenant, number)
        return FeeVersion(row["version"], row["stamp"]) if row else None

    async def rows(self, tenant: str, version: int, codes: Sequence[int]) -> dict[int, bytes]:
        """Return the records of each code at a version; none for a code without rows."""
        async with self.database.transaction(tenant, readonly=True) as connection:
            await connection.execute(_PLAN)
            [row] = await connection.fetch(_ROWS, tenant, codes, version)
        records = _records(row)
        ends = np.searchsorted(records["code"], codes, side="right")
        begins = np.searchsorted(records["code"], codes, side="left")
        return {
            code: records[begin:end].tobytes()
            for code, begin, end in zip(codes, begins.tolist(), ends.tolist(), strict=True)
        }


def _records(row: asyncpg.Record) -> Fees:
    """Return an answer as records, by code."""
    records = np.empty(len(row[0] or ()), FEE)
    for place, name in enumerate(_COLUMNS):
        values: Sequence[Any] = row[place] or ()
        if name in _DAYS:
            values = [NO_DAY if day is None else day for day in values]
        records[name] = values
    return records
