"""Lines that stand together, and pairs of them: where rules about combinations start from."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.codes import code36
from engine.columns import Batch, Bools, Ints
from engine.joins import in_runs
from engine.rules.rule import Hits, NotEvaluated

PAIRS_MAX: Final = 1 << 20
"""About how many pairs a block holds: a facility bill of 999 lines makes a million by itself."""

_CODE_LIMIT: Final = code36("ZZZZZ") + 1


def codes_of_sessions(batch: Batch, rows: Ints, session: Ints) -> Ints:
    """Number the groups of equal code and session among some lines: by the row of the first."""
    key = session[rows].astype(np.int64) * _CODE_LIMIT + batch.lines.procedure[rows]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return rows[first][group]


def pairs_within(group: Ints, first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of different lines of one group, of `first` and of `second`.

    Args:
        group: Group of every line of the pass, from 0 and below the number of lines.
        first: Rows of the left lines.
        second: Rows of the right lines.
    """
    sizes = np.bincount(group[second], minlength=len(group))
    starts = np.cumsum(sizes) - sizes
    by_group = second[np.argsort(group[second], kind="stable")]
    run, at = in_runs(starts[group[first]], sizes[group[first]])
    left, right = first[run], by_group[at]
    different = left != right
    return left[different], right[different]


def pair_blocks(group: Ints, first: Ints, second: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield the same pairs in blocks of bounded size: one block for all but very long bills."""
    sizes = np.bincount(group[second], minlength=len(group))
    total = np.cumsum(sizes[group[first]])
    last = int(total[-1]) if len(total) else 0
    cuts = total.searchsorted(np.arange(PAIRS_MAX, last, PAIRS_MAX), side="right")
    for part in np.split(first, cuts):
        yield pairs_within(group, part, second)


def hits_on_pairs(
    batch: Batch,
    line: Ints,
    partner: Ints,
    *,
    rank: Ints,
    evidence: Mapping[str, NDArray[Any]],
    variant: Ints | None = None,
    not_evaluated: tuple[NotEvaluated, ...] = (),
    evaluated: Bools | None = None,
) -> Hits:
    """Return one hit for each line with all its partners; the pair of lowest rank is shown.

    Of pairs of one rank that within the claim is shown before one with a line of another claim.

    Args:
        batch: The pass.
        line: Rows of the lines on which the action falls, shape (pairs,).
        partner: Rows of their partners, -1 for a line of another claim, shape (pairs,).
        rank: What makes a pair the one to show, lowest first, shape (pairs,).
        evidence: Columns over the pairs.
        variant: Case of each pair; that of the pair to show decides.
        not_evaluated: What could not be judged.
        evaluated: Lines that were judged.
    """
    order = np.lexsort((partner, partner < 0, rank, line))
    rows, lead, hit = np.unique(line[order], return_index=True, return_inverse=True)
    here = partner[order] >= 0
    return Hits(
        claim=batch.lines.claim[rows],
        line_hit=np.arange(len(rows)),
        line=rows,
        partner_hit=hit[here],
        partner=partner[order][here],
        variant=None if variant is None else variant[order[lead]],
        evidence={name: column[order[lead]] for name, column in evidence.items()},
        not_evaluated=not_evaluated,
        evaluated=evaluated,
    )
