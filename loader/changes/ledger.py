"""Changes of one tenant, by the commit numbers of its ledger: they need no privilege."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from loader.changes.change import COLUMNS, Change, Position, PositionError
from loader.source import tenant_transaction

_ROWS_AT_ONCE: Final = 1_000
_NEXT: Final = """
SELECT commit_seq, batch_id FROM batches
WHERE tenant_id = $1 AND commit_seq >= $2 AND content = 'claims'
ORDER BY commit_seq LIMIT 1
"""
_RESULTS: Final = f"""
SELECT {", ".join(COLUMNS)} FROM claim_results
WHERE tenant_id = $1 AND batch_id = $2
ORDER BY claim_id, claim_version, result_no
"""  # noqa: S608 - our own names


class LedgerChanges:
    """Reads the ledger of one tenant: commits have numbers without gaps, in their order."""

    def __init__(self, connection: asyncpg.Connection, tenant: str) -> None:
        """Name the production database and the tenant."""
        self._connection = connection
        self._tenant = tenant

    async def read(self, after: Position | None) -> AsyncIterator[Change]:
        """Yield what was committed after a position, commit by commit."""
        if after is not None and after.in_log:
            raise PositionError(
                f"{after} is a place in the log; without --slot positions are commit numbers (42)"
            )
        commit = after.commit if after else 0
        while found := await self._next(commit):
            number, batch_id = found
            taken = after.taken if after and number == after.commit else 0
            async for change in self._results(number, batch_id, taken):
                yield change
            commit = number + 1

    async def confirm(self, position: Position) -> None:
        """Nothing is held for a reader: the ledger stays."""

    async def _next(self, commit: int) -> tuple[int, UUID] | None:
        """Return the first commit from a number on, as it is now."""
        async with tenant_transaction(self._connection, self._tenant):
            row = await self._connection.fetchrow(_NEXT, self._tenant, commit)
        return (row["commit_seq"], row["batch_id"]) if row else None

    async def _results(self, commit: int, batch_id: UUID, taken: int) -> AsyncIterator[Change]:
        """Yield the results of one commit but for the first ones, which were taken before."""
        held: Change | None = None
        number = 0
        async with tenant_transaction(self._connection, self._tenant):
            rows = self._connection.cursor(_RESULTS, self._tenant, batch_id, prefetch=_ROWS_AT_ONCE)
            async for row in rows:
                number += 1
                if number <= taken:
                    continue
                if held:
                    yield held
                values = {name: as_json(row[name]) for name in COLUMNS}
                held = Change(Position(commit, number), values, last=False)
        if held:
            yield Change(held.position, held.values, last=True)


def as_json(value: Any) -> Any:
    """Return a value of a column as JSON has it."""
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
