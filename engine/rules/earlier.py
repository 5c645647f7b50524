"""Lines of other claims that a finding rests on: how evidence names them."""

from typing import Final

import numpy as np

from engine.columns import Ints
from engine.past import Past
from engine.rules.rule import Kind

EARLIER_EVIDENCE: Final = {"earlier_claim": Kind.EARLIER_CLAIM, "earlier_line": Kind.COUNT}
"""The id of the other claim, and the number of the line there."""


def named(past: Past, earlier: Ints) -> dict[str, Ints]:
    """Return the columns of `EARLIER_EVIDENCE`.

    Args:
        past: The past of the pass.
        earlier: Rows of its lines, -1 for none.
    """
    if not len(past):
        return {name: np.full(len(earlier), -1, np.int64) for name in EARLIER_EVIDENCE}
    some = earlier >= 0
    return {
        "earlier_claim": np.where(some, past.lines.claim[earlier], -1),
        "earlier_line": np.where(some, past.lines.number[earlier], -1),
    }


def first_of_lines(line: Ints, earlier: Ints, lines: int) -> Ints:
    """Return for each of `lines` lines the first earlier line that it is paired with, -1 for none.

    Args:
        line: Rows of lines, shape (pairs,).
        earlier: The earlier line of each pair.
        lines: How many lines the pass has.
    """
    first = np.full(lines, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(first, line, earlier)
    return np.where(first == np.iinfo(np.int64).max, -1, first)
