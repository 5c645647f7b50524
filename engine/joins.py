"""Pairs of rows that belong together, without a loop over rows."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.columns import Dates, Ints

_SPAN_MAX: Final = 2**62


def in_runs(begin: Ints, width: Ints) -> tuple[Ints, Ints]:
    """Return every place of some runs, as (number of the run, place).

    Args:
        begin: Where each run begins, shape (runs,).
        width: How many places it has, 0 or more, shape (runs,).
    """
    width = width.astype(np.int64)
    run = np.repeat(np.arange(len(width)), width)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(width) - width - begin, width)


def equal_in(ordered: Ints, probe: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of equal values, as (place in the probe, place among the ordered).

    Args:
        ordered: Values, ascending.
        probe: Values in any order.
    """
    begin = ordered.searchsorted(probe)
    return in_runs(begin, ordered.searchsorted(probe, side="right") - begin)


def equal_rows(probe: Sequence[Ints | Dates], held: Sequence[Ints | Dates]) -> tuple[Ints, Ints]:
    """Return all pairs of rows equal in every column, as (row of the probe, row held).

    Args:
        probe: Columns of one table, each of shape (n,).
        held: The same columns of the other, each of shape (m,).
    """
    count = len(probe[0])
    rank, span = np.zeros(count + len(held[0]), np.int64), 1
    for one, other in zip(probe, held, strict=True):
        number, width = _numbered(np.concatenate([one, other]), _SPAN_MAX // span)
        if span > _SPAN_MAX // width:
            rank = np.unique(rank, return_inverse=True)[1]
            span = len(rank)
        rank, span = rank * width + number, span * width
    order = np.argsort(rank[count:], kind="stable")
    place, at = equal_in(rank[count:][order], rank[:count])
    return place, order[at]


def _numbered(values: Ints | Dates, most: int) -> tuple[Ints, int]:
    """Return numbers from 0 that are equal where values are, and how many there may be.

    Their distance from the least where that may not exceed `most`: numbering them costs a sort.
    """
    if not len(values):
        return np.empty(0, np.int64), 1
    number = values.astype(np.int64)
    low, high = int(number.min()), int(number.max())
    if high - low < most:
        return number - low, high - low + 1
    distinct, number = np.unique(number, return_inverse=True)
    return number, len(distinct)
