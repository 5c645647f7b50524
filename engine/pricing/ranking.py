"""Places in a ranking: which of several lines is paid in full."""

import numpy as np
from numpy.typing import NDArray

from engine.columns import Bools, Ints


def ranks(group: Ints, *keys: Ints | Bools) -> NDArray[np.int64]:
    """Return each row's place in its group, from 1.

    Args:
        group: What is ranked together.
        keys: What the ranking goes by, most important first, smallest first.
    """
    order = np.lexsort((*reversed(keys), group))
    ordered = group[order]
    places = np.arange(len(group))
    starts = np.ones(len(group), np.bool_)
    starts[1:] = ordered[1:] != ordered[:-1]
    rank = np.empty(len(group), np.int64)
    rank[order] = places - np.maximum.accumulate(np.where(starts, places, 0)) + 1
    return rank


def best(place: Ints, score: Ints | Bools, count: int) -> NDArray[np.int64]:
    """Return where in `place` each of `count` places has its highest score, the first of equals.

    -1 where a place is not among them.
    """
    chosen = np.full(count, -1, np.int64)
    order = np.lexsort((-np.arange(len(place)), score))
    chosen[place[order]] = order
    return chosen


def in_company(group: Ints) -> Bools:
    """Return where a group has at least two rows."""
    _, inverse, count = np.unique(group, return_inverse=True, return_counts=True)
    shared: Bools = count[inverse] > 1
    return shared
