"""Sessions, the lines of one claim, one day and one provider: where combinations are sought."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Ints, rows_where


def sessions(batch: Batch) -> Ints:
    """Number the sessions: equal for the lines of one claim, one day and one provider.

    The number is the row of the session's first line.
    """
    lines = batch.lines
    starts = np.ones(len(lines), np.bool_)
    starts[1:] = (
        (lines.claim[1:] != lines.claim[:-1])
        | (lines.service_from[1:] != lines.service_from[:-1])
        | (lines.provider[1:] != lines.provider[:-1])
    )
    session = np.maximum.accumulate(np.where(starts, np.arange(len(lines)), 0))
    # Most claims are one run of one day and one provider; only the others can return to a session.
    runs = np.bincount(lines.claim[starts], minlength=len(batch.claims))
    mixed = rows_where(runs[lines.claim] > 1)
    order = mixed[
        np.lexsort((lines.provider[mixed], lines.service_from[mixed], lines.claim[mixed]))
    ]
    session[order] = _first_of_equal(
        order, lines.claim[order], lines.service_from[order], lines.provider[order]
    )
    return session


def _first_of_equal(rows: Ints, *keys: NDArray[Any]) -> Ints:
    """Return for each row the first row of its run of equal keys."""
    starts = np.ones(len(rows), np.bool_)
    starts[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return rows[np.maximum.accumulate(np.where(starts, np.arange(len(rows)), 0))]
