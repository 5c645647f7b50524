"""Lines of other claims that a finding rests on, or falls on: how evidence names them."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Ints
from engine.past import Past
from engine.rules.rule import Action, Certainty, Hits, Kind, Stake, Variant

EARLIER_EVIDENCE: Final = {"earlier_claim": Kind.EARLIER_CLAIM, "earlier_line": Kind.COUNT}
"""The id of the other claim, and the number of the line there."""

PAID_BEFORE: Final = Variant(action=Action.PEND, certainty=Certainty.ADVISE, stake=Stake.RECOVERY)
"""What should not be paid is a line of another claim that was: it may come back. Evidence has
`recovery_cents`, and the columns of `EARLIER_EVIDENCE`."""


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


def paid_before(
    batch: Batch,
    past: Past,
    line: Ints,
    earlier: Ints,
    *,
    rank: Ints,
    case: int,
    evidence: Mapping[str, NDArray[Any]],
) -> Hits:
    """Return one hit for each claim and line of another claim that should not have been paid.

    Args:
        batch: The pass.
        past: Its past.
        line: Rows of the lines that say so, shape (pairs,).
        earlier: Rows of the paid lines in `Past.lines`.
        rank: What makes a pair the one to show, lowest first.
        case: The rule's case for it.
        evidence: Columns over the pairs, but for those of `PAID_BEFORE`.
    """
    claim = batch.lines.claim[line]
    order = np.lexsort((line, rank, earlier, claim))
    key = claim[order].astype(np.int64) * max(len(past), 1) + earlier[order]
    _, lead, hit = np.unique(key, return_index=True, return_inverse=True)
    by_line = np.lexsort((line[order], hit))
    shown = order[lead]
    return Hits(
        claim=claim[shown],
        line_hit=hit[by_line],
        line=line[order][by_line],
        variant=np.full(len(shown), case),
        evidence={
            **{name: column[shown] for name, column in evidence.items()},
            **named(past, earlier[shown]),
            "recovery_cents": past.lines.charge_cents[earlier[shown]],
        },
    )
