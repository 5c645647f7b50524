"""What is done about a batch that the database refuses: bad rows are found, the rest goes on.

Where COPY refuses a value it is one that is known to be unfit, and found without the database.
Where a merge refuses a row, a probe finds all such rows before the transaction ends: it merges the
copied rows in parts, and the parts that are refused in halves, about 2 log2(n) short statements for
each bad row. So a batch with bad rows is sent two or three times, however many they are. What is
left is found by loading halves.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import asyncpg

from loader.batch import Batch, SinkError
from loader.failed.words import Category
from loader.fitness import faults
from loader.rows import FailedClaim, LoadClaim, Reason
from loader.settled import Key, key_of

DATA_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    struct.error,  # an integer that its column cannot hold
)
"""What one bad row can raise; the batch is then cut until that row stands alone."""


def without_unfit(batch: Batch) -> list[Batch]:
    """Return the batch with its unfit claims set aside; nothing where none is known to be unfit."""
    found = [(item, faults(item)) for item in batch.claims]
    unfit = [_set_aside(item, reasons) for item, reasons in found if reasons]
    if not unfit:
        return []
    fit = [item for item, reasons in found if not reasons]
    return [replace(batch, claims=fit, failed=[*batch.failed, *unfit])]


class Probed(Exception):  # noqa: N818  what it says is no error: it ends the probe's transaction
    """A probe came to its end; nothing of it is kept."""

    def __init__(self, refused: dict[Key, Exception]) -> None:
        super().__init__(f"the database refuses {len(refused)} claims")
        self.refused = refused


async def probe(connection: asyncpg.Connection, merges: Mapping[str, str]) -> dict[Key, Exception]:
    """Merge each table in parts, within the open transaction; return what is refused, and why.

    Args:
        connection: Its temporary tables hold the rows.
        merges: The statement that takes a temporary table over, by its name.
    """
    refused: dict[Key, Exception] = {}
    for table, statement in merges.items():
        rows = await connection.fetch(
            f"SELECT ctid, claim_id, claim_version FROM {table} ORDER BY ctid"  # noqa: S608  ours
        )
        part = f"{statement} WHERE ctid BETWEEN $1 AND $2"
        for row, error in await _refused_of(connection, part, rows) if rows else ():
            refused.setdefault((row["claim_id"], row["claim_version"]), error)
    return refused


async def _refused_of(
    connection: asyncpg.Connection, part: str, rows: Sequence[asyncpg.Record]
) -> list[tuple[asyncpg.Record, Exception]]:
    """Merge rows that lie side by side; where they are refused, each half by itself."""
    try:
        async with connection.transaction():  # a savepoint
            await connection.execute(part, rows[0]["ctid"], rows[-1]["ctid"])
    except DATA_REFUSED as error:
        if len(rows) == 1:
            return [(rows[0], error)]
        half = len(rows) // 2
        first = await _refused_of(connection, part, rows[:half])
        return first + await _refused_of(connection, part, rows[half:])
    return []


def without_refused(batch: Batch, refused: Mapping[Key, Exception]) -> Batch:
    """Return the batch with what a probe found set aside.

    Raises:
        SinkError: the database refused the whole, and nothing of it alone.
    """
    if not refused:
        raise SinkError("the database refuses a batch, but none of its rows alone; load again")
    failed = [
        _failed(item, refused[key_of(item)]) for item in batch.claims if key_of(item) in refused
    ]
    rest = [item for item in batch.claims if key_of(item) not in refused]
    return replace(batch, claims=rest, failed=[*batch.failed, *failed])


def _failed(item: LoadClaim, error: Exception) -> FailedClaim:
    """Return the failure of a claim that the database refuses, by the field where it is known."""
    reason = {
        "field": _column(error),
        "code": type(error).__name__,
        "message": "the database refuses a value of this claim",
    }
    return _set_aside(item, faults(item) or [reason])


def _set_aside(item: LoadClaim, reasons: list[Reason]) -> FailedClaim:
    return FailedClaim(item.leased, Category.DATA_REFUSED, "load", reasons, item.opened.claim())


def cut(batch: Batch, error: Exception) -> list[Batch]:
    """Return two halves of a refused batch, or a single refused claim as a failed one."""
    if len(batch.claims) > 1:
        half = len(batch.claims) // 2
        return [
            replace(batch, claims=batch.claims[:half]),
            replace(batch, claims=batch.claims[half:], failed=[]),
        ]
    if not batch.claims:
        raise SinkError(
            "the database refuses the failed claims themselves; see the cause"
        ) from error
    return [replace(batch, claims=[], failed=[*batch.failed, _failed(batch.claims[0], error)])]


def _column(error: Exception) -> str:
    """Return the column or constraint that an error names; its text may quote the value."""
    if not isinstance(error, asyncpg.PostgresError):
        return "claim"
    return error.column_name or error.constraint_name or "claim"
