"""Several surgical procedures of one session: endoscopy families, then the ranking."""

from typing import Final

import numpy as np

from engine.columns import Bools, Ints
from engine.pricing.beside import Beside, Reduced, Schedule
from engine.pricing.cents import WHOLE_E5, Int64s
from engine.pricing.ranking import in_company, ranks
from engine.pricing.steps import Changes, Step, change
from engine.tables.keys import CODE_BITS

OLD_LADDER: Final = 1
STANDARD_LADDER: Final = 2
ENDOSCOPY: Final = 3

_RANKS_PAID: Final = 5
"""Procedures after these are priced from the report."""
_LADDERS_E5: Final = np.array([[100, 50, 25, 25, 25], [100, 50, 50, 50, 50]]) * 1000
"""By rank: the old ladder, then the standard one, which endoscopy families enter too."""


def reduce_surgeries(beside: Beside, schedule: Schedule) -> Reduced:
    """Pay the highest procedure of a session in full, the next four by the ladder (domain E.5)."""
    lines = beside.take(beside.multiple <= ENDOSCOPY)
    if not len(lines):
        return Reduced()
    procedure, is_base = _procedures(lines, schedule)
    families, value, known = _within_families(lines, schedule, procedure, is_base)
    rank, together = _rank_procedures(lines, procedure, value)
    paid = known & (value > 0) & together & (rank <= _RANKS_PAID)
    ladder = np.where(lines.multiple == OLD_LADDER, 0, 1)
    factor = _LADDERS_E5[ladder, np.minimum(rank, _RANKS_PAID) - 1]
    ranked = change(
        Step.MULTIPLE_PROCEDURES, lines.line[paid], value[paid], factor[paid], rank=rank[paid]
    )
    return Reduced(
        (*families, ranked), unknown=lines.line[~known], by_report=lines.line[rank > _RANKS_PAID]
    )


def _procedures(lines: Beside, schedule: Schedule) -> tuple[Ints, Bools]:
    """Number the procedures, an endoscopy family with its base as one; say which lines are bases.

    A base counts as one only beside another code of its family.
    """
    code = schedule.batch.lines.procedure[lines.line].astype(np.int64)
    base = schedule.reference.mpfs.endoscopy_base[lines.row]
    member = (lines.multiple == ENDOSCOPY) & (base > 0)
    family = (lines.group.astype(np.int64) << CODE_BITS) | np.where(member, base, code)
    is_base = ~member & np.isin(family, family[member])
    key = np.where(member | is_base, family, -1 - lines.line)
    _, procedure = np.unique(key, return_inverse=True)
    return procedure, is_base


def _within_families(
    lines: Beside, schedule: Schedule, procedure: Ints, is_base: Bools
) -> tuple[tuple[Changes, ...], Int64s, Bools]:
    """Pay the highest endoscopy of a family in full, of each other what it adds to the base.

    Return the changes, the amounts after them, and which amounts are known.
    """
    amount = lines.amount_cents
    other = (ranks(procedure, is_base, -amount, lines.line) > 1) & ~is_base
    base_cents = np.zeros(len(lines), np.int64)
    if other.any():
        base = schedule.reference.mpfs.endoscopy_base[lines.row[other]]
        base_cents[other] = schedule.fee_cents(lines.line[other], base, np.zeros_like(base))
    known = base_cents >= 0
    added = known & other
    changes = (
        change(Step.ENDOSCOPY, lines.line[is_base], amount[is_base], 0),
        change(
            Step.ENDOSCOPY,
            lines.line[added],
            amount[added],
            WHOLE_E5,
            other_cents=lines.take(added).times_units(base_cents[added]),
            other_factor_e5=-WHOLE_E5,
        ),
    )
    value = np.where(known, amount, 0)
    for each, changed in zip(changes, (is_base, added), strict=True):
        value[changed] = each["result_cents"]
    return changes, value, known


def _rank_procedures(lines: Beside, procedure: Ints, value: Int64s) -> tuple[Int64s, Bools]:
    """Rank procedures by what their lines come to, ties by the first line.

    Return the rank of each line's procedure, and whether its group has another procedure.
    """
    total = np.zeros(int(procedure.max()) + 1, np.int64)
    np.add.at(total, procedure, value)
    _, first = np.unique(procedure, return_index=True)
    group = lines.group[first]
    return ranks(group, -total, first)[procedure], in_company(group)[procedure]
