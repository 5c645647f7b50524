"""What is done about a batch that the database refuses: bad rows are found, the rest goes on.

A text with NUL, at which COPY ends, is found before. Where a merge refuses a row, the transaction
goes on: claims that are known to be unfit are set aside, then those that a probe finds. It merges
the copied rows in parts, and the parts that are refused in halves, some 14 short statements for
each bad row. So a batch with bad rows is sent once, however many they are. What COPY refuses all
the same is found by loading halves.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import asyncpg

from loader.batch import Batch, SinkError
from loader.failed.words import Category
from loader.fitness import faults, suspects
from loader.rows import FailedClaim, LoadClaim, Reason
from loader.settled import Key, key_of
from loader.source import Connection

DATA_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    struct.error,  # an integer that its column cannot hold
)
"""What one bad row can raise; the batch is then cut until that row stands alone."""


class SetAside(Exception):  # noqa: N818 - what it says is no error: its load begins again
    """Claims are set aside, and the rest of their batch has to be loaded anew."""

    def __init__(self, failed: list[FailedClaim]) -> None:
        super().__init__(f"the database refuses {len(failed)} claims")
        self.failed = failed


class TryAgain(Exception):  # noqa: N818 - what it says is no error: a load of their own follows
    """Claims were refused by a load of this batch, and are to be tried again."""

    def __init__(self, claims: list[LoadClaim]) -> None:
        super().__init__(f"{len(claims)} claims of a batch that was loaded are to be tried again")
        self.claims = claims


def set_aside(batch: Batch, failed: Sequence[FailedClaim]) -> Batch:
    """Return the batch with some of its claims as failed ones."""
    gone = {id(each.leased) for each in failed}
    rest = [item for item in batch.claims if id(item.leased) not in gone]
    return replace(batch, claims=rest, failed=[*batch.failed, *failed])


def without(
    claims: list[LoadClaim], gone: Sequence[FailedClaim] | Sequence[LoadClaim]
) -> list[LoadClaim]:
    """Return the claims whose keys are not those of others."""
    keys = set(map(key_of, gone))
    return [item for item in claims if key_of(item) not in keys] if keys else claims


def without_nul(batch: Batch) -> Batch:
    """Return the batch with those claims set aside that have a NUL in a text: COPY ends at one."""
    suspects = [item for item in batch.claims if b"\0" in item.opened.payload]
    found = _unfit(suspects)
    return set_aside(batch, found) if found else batch


def without_unfit(batch: Batch) -> list[Batch]:
    """Return the batch with its unfit claims set aside; nothing where none is known to be unfit."""
    found = _unfit(batch.claims)
    return [set_aside(batch, found)] if found else []


async def find_unfit(_: Connection, claims: Sequence[LoadClaim]) -> list[FailedClaim]:
    """Return claims that are known to be unfit, without asking the database."""
    return _unfit(suspects(claims))


def _unfit(claims: Sequence[LoadClaim]) -> list[FailedClaim]:
    found = [(item, faults(item)) for item in claims]
    return [_failed(item, reasons) for item, reasons in found if reasons]


async def find_refused(
    connection: Connection, claims: Sequence[LoadClaim], *, merges: Mapping[str, str]
) -> list[FailedClaim]:
    """Merge the copied rows in parts, and take all of it back; return which claims are refused.

    Of several tables that refuse rows it is the first one that is looked at.

    Args:
        connection: Its temporary tables hold the rows, its transaction is open.
        claims: Whose rows they are.
        merges: The statement that takes a temporary table over, by its name.
    """
    taken_back = connection.transaction()
    await taken_back.start()
    refused: dict[Key, Exception] = {}
    for table, statement in merges.items():
        refused = refused or await _refused_by(connection, table, statement)
    await taken_back.rollback()
    return [
        _failed(item, faults(item) or [_reason(refused[key_of(item)])])
        for item in claims
        if key_of(item) in refused
    ]


async def _refused_by(connection: Connection, table: str, statement: str) -> dict[Key, Exception]:
    """Return which claims one merge refuses, and why."""
    rows = await connection.fetch(
        f"SELECT ctid, claim_id, claim_version FROM {table} ORDER BY ctid"  # noqa: S608  ours
    )
    part = f"{statement} WHERE ctid BETWEEN $1 AND $2"
    refused: dict[Key, Exception] = {}
    for first in range(0, len(rows), _PART_ROWS):
        for row, error in await _refused_of(connection, part, rows[first : first + _PART_ROWS]):
            refused.setdefault((row["claim_id"], row["claim_version"]), error)
    return refused


_PART_ROWS: Final = 128


async def _refused_of(
    connection: Connection, part: str, rows: Sequence[asyncpg.Record]
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
    alone = batch.claims[0]
    return [set_aside(batch, [_failed(alone, faults(alone) or [_reason(error)])])]


def _failed(item: LoadClaim, reasons: list[Reason]) -> FailedClaim:
    return FailedClaim(item.leased, Category.DATA_REFUSED, "load", reasons, item.opened.claim())


def _reason(error: Exception) -> Reason:
    """Return why the database refuses a claim, by column or constraint where it names one."""
    field = ""
    if isinstance(error, asyncpg.PostgresError):  # its text may quote the value
        field = error.column_name or error.constraint_name or ""
    return {
        "field": field or "claim",
        "code": type(error).__name__,
        "message": "the database refuses a value of this claim",
    }
