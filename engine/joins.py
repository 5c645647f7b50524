"""Pairs of rows that belong together, without a loop over rows."""

import numpy as np

from engine.columns import Ints


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
    begin = np.searchsorted(ordered, probe)
    return in_runs(begin, np.searchsorted(ordered, probe, side="right") - begin)
