"""How an amount changes after the fee: each change is a sum of two products, kept for the trace."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Ints
from engine.pricing.cents import WHOLE_E5, times


class Step(IntEnum):
    """What changed the amount, in the order of the steps (domain E.2 steps 8 to 11)."""

    BILATERAL = 1
    """Both sides, modifier 50."""
    ENDOSCOPY = 2
    """Another endoscopy of the same family."""
    MULTIPLE_PROCEDURES = 3
    """Several surgical procedures, by rank."""
    IMAGING = 4
    """Several images in one session."""
    CARDIOVASCULAR = 5
    """Several cardiovascular tests."""
    OPHTHALMOLOGY = 6
    """Several ophthalmological tests."""
    THERAPY = 7
    """Several units of therapy."""
    SURGICAL_ROLE = 8
    """Assistant, co-surgeon, or a part of the care around the operation."""
    ANESTHESIA_ROLE = 9
    """Anesthesia that two divide by medical direction."""
    CONTRACT = 10
    """A contract's share of the fee."""


Changes = NDArray[np.void]
"""Records of `CHANGE`: `cents` x factor + `other_cents` x other factor, not below 0."""

CHANGE: Final = np.dtype(
    [
        ("line", np.int64),  # row of the line
        ("step", np.int64),  # Step
        ("cents", np.int64),
        ("factor_e5", np.int64),  # five decimals
        ("other_cents", np.int64),
        ("other_factor_e5", np.int64),
        ("rank", np.int64),  # place among what was ranked together, from 1; 0 for no ranking
        ("result_cents", np.int64),
    ]
)


def change(
    step: Step | Ints,
    line: Ints,
    cents: Ints,
    factor_e5: Ints | int,
    *,
    other_cents: Ints | int = 0,
    other_factor_e5: Ints | int = WHOLE_E5,
    rank: Ints | int = 0,
) -> Changes:
    """Compute one change of some lines' amounts; each product is rounded to cents by itself.

    Args:
        step: What changes them, for all or line by line.
        line: Rows of the lines.
        cents: The amount, or its first part.
        factor_e5: What it is multiplied by.
        other_cents: The second part, or what is taken off.
        other_factor_e5: What that is multiplied by.
        rank: Place of each line among what it was ranked with.
    """
    changes = np.empty(len(line), CHANGE)
    if not len(line):
        return changes
    given = (line, step, cents, factor_e5, other_cents, other_factor_e5, rank)
    for name, values in zip(CHANGE.names or (), given, strict=False):
        changes[name] = values
    first = times(changes["cents"], changes["factor_e5"])
    second = times(changes["other_cents"], changes["other_factor_e5"])
    changes["result_cents"] = np.maximum(first + second, 0)
    return changes


def no_changes() -> Changes:
    """Return no change at all."""
    return np.empty(0, CHANGE)


def joined(parts: Sequence[Changes]) -> Changes:
    """Return the changes of all parts, one after the other."""
    # As plain integers: numpy compares the fields of records first, which takes ten times as long.
    together: Changes = np.concatenate([part.view(np.int64) for part in parts]).view(CHANGE)
    return together


def of_line(changes: Changes, line: int) -> Changes:
    """Return the changes of one line, in the order in which they were made."""
    return changes[changes["line"] == line]


UNITS: Final = np.dtype(
    [
        ("line", np.int64),  # row of the line
        ("base", np.int64),
        ("minutes_milli", np.int64),
        ("time_e1", np.int64),  # time in units, one decimal
        ("risk", np.int64),  # units of physical status and qualifying circumstances
        ("factor_e4", np.int64),  # dollars per unit
    ]
)
Units = NDArray[np.void]
"""Records of `UNITS`: what the price of each line was made of, kept for the trace."""


def no_units() -> Units:
    """Return no record at all."""
    return np.empty(0, UNITS)
