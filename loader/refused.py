"""What is done about a batch that the database refuses: bad rows are found, the rest goes on."""

import struct
from dataclasses import replace
from typing import Final

import asyncpg

from loader.batch import Batch, SinkError
from loader.failed.words import Category
from loader.fitness import faults
from loader.rows import FailedClaim

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
    unfit = [
        FailedClaim(item.leased, Category.DATA_REFUSED, "load", reasons, item.opened.claim())
        for item, reasons in found
        if reasons
    ]
    if not unfit:
        return []
    fit = [item for item, reasons in found if not reasons]
    return [replace(batch, claims=fit, failed=[*batch.failed, *unfit])]


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
    reason = {
        "field": _column(error),
        "code": type(error).__name__,
        "message": "the database refuses a value of this claim",
    }
    return [
        replace(
            batch,
            claims=[],
            failed=[
                *batch.failed,
                FailedClaim(
                    alone.leased, Category.DATA_REFUSED, "load", [reason], alone.opened.claim()
                ),
            ],
        )
    ]


def _column(error: Exception) -> str:
    """Return the column or constraint that an error names; its text may quote the value."""
    if isinstance(error, asyncpg.PostgresError):
        return error.column_name or error.constraint_name or ""
    return ""
