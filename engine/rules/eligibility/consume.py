"""Requests that draw on something limited, in the order in which they come."""

import numpy as np

from engine.columns import Bools, Ints, rows_where


def fitting(group: Ints, request: Ints, left: Ints) -> Bools:
    """Return which requests fit; one that does not fit takes nothing from what is left.

    Args:
        group: What each request draws on, a number from 0, shape (n,); those of one group come in
            their order.
        request: How much each asks for, shape (n,).
        left: How much each group has, shape (groups,).
    """
    fits = np.zeros(len(group), np.bool_)
    left = np.maximum(left, 0)
    waiting = np.argsort(group, kind="stable")
    while len(waiting):
        of, asked = group[waiting], request[waiting]
        over = _sums(of, asked) > left[of]
        blocked = _sums(of, over.astype(np.int64)) > 0
        taken = waiting[~blocked]
        fits[taken] = True
        left = left - np.bincount(of[~blocked], asked[~blocked], len(left)).astype(np.int64)
        # The first that is over fits no more, nor does any later one that asks for as much.
        waiting = waiting[blocked & (asked <= left[of])]
    return fits


def taken_before(group: Ints, request: Ints) -> Ints:
    """Return how much the earlier requests of its group ask for, for each in any grouping."""
    order = np.argsort(group, kind="stable")
    before = np.empty(len(group), np.int64)
    before[order] = _sums(group[order], request[order]) - request[order]
    return before


def _sums(group: Ints, values: Ints) -> Ints:
    """Running sums of each group; groups lie together."""
    running = np.cumsum(values)
    start = rows_where(np.diff(group, prepend=-1))
    before = (running - values)[start]
    width = np.diff(np.append(start, len(group)))
    return running - np.repeat(before, width)
