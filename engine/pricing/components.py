"""Several tests of one session: later technical and professional parts are paid in part."""

from typing import Final

import numpy as np

from engine.columns import Ints, rows_where
from engine.facts import MOD_26, MOD_TC
from engine.pricing.beside import Beside, Reduced, Schedule
from engine.pricing.cents import WHOLE_E5, Int64s
from engine.pricing.ranking import ranks
from engine.pricing.steps import Step, change

IMAGING: Final = 4
CARDIOVASCULAR: Final = 6
OPHTHALMOLOGY: Final = 7
IMAGING_FAMILY: Final = 88
"""Images of other families are not reduced."""

_SPLITTABLE, _PROFESSIONAL_ONLY, _TECHNICAL_ONLY = 1, 2, 3
"""PC/TC indicators."""

_STEP: Final = np.zeros(10, np.int64)
_TECHNICAL_E5: Final = np.full(10, WHOLE_E5)
_PROFESSIONAL_E5: Final = np.full(10, WHOLE_E5)
"""By multiple procedure indicator: the step, and what later parts of each sort are paid."""
for _indicator, _step, _technical_e5, _professional_e5 in (
    (IMAGING, Step.IMAGING, 50_000, 95_000),
    (CARDIOVASCULAR, Step.CARDIOVASCULAR, 75_000, WHOLE_E5),
    (OPHTHALMOLOGY, Step.OPHTHALMOLOGY, 80_000, WHOLE_E5),
):
    _STEP[_indicator] = _step
    _TECHNICAL_E5[_indicator] = _technical_e5
    _PROFESSIONAL_E5[_indicator] = _professional_e5


def reduce_components(beside: Beside, schedule: Schedule) -> Reduced:
    """Pay the highest part of each sort in full, the later ones by the factor of their kind."""
    lines = beside.take(_STEP[beside.multiple] > 0)
    if not len(lines):
        return Reduced()
    technical, professional = _parts(lines, schedule)
    technical_e5 = _by_rank(lines, technical, _TECHNICAL_E5[lines.multiple])
    professional_e5 = _by_rank(lines, professional, _PROFESSIONAL_E5[lines.multiple])
    known = (technical >= 0) & (professional >= 0)
    reduced = (technical_e5 < WHOLE_E5) | (professional_e5 < WHOLE_E5)
    changed = known & reduced
    changes = change(
        _STEP[lines.multiple[changed]],
        lines.line[changed],
        technical[changed],
        technical_e5[changed],
        other_cents=professional[changed],
        other_factor_e5=professional_e5[changed],
    )
    return Reduced((changes,), unknown=lines.line[reduced & ~known])


def _parts(lines: Beside, schedule: Schedule) -> tuple[Int64s, Int64s]:
    """Return the technical and the professional amount of each line, -1 where it has no rows."""
    component = schedule.facts.component[lines.line]
    pctc = schedule.reference.mpfs.pctc[lines.row]
    all_technical = (component == MOD_TC) | (pctc == _TECHNICAL_ONLY)
    all_professional = (component == MOD_26) | (pctc == _PROFESSIONAL_ONLY)
    technical = np.where(all_technical, lines.amount_cents, -1)
    professional = np.where(all_professional, lines.amount_cents, -1)
    technical[all_professional] = professional[all_technical] = 0
    split = rows_where((technical < 0) & (professional < 0) & (pctc == _SPLITTABLE))
    if len(split):
        technical[split], professional[split] = _split(lines, split, schedule)
    return technical, professional


def _split(lines: Beside, split: Ints, schedule: Schedule) -> Int64s:
    """Return the amounts of both parts of some lines, shape (2, lines); -1 for a part unknown."""
    both = lines.take(np.tile(split, 2))
    modifier = np.repeat((MOD_TC, MOD_26), len(split))
    unit = schedule.fee_cents(both.line, schedule.batch.lines.procedure[both.line], modifier)
    amount = np.where(unit < 0, -1, both.times_units(unit))
    return amount.reshape(2, len(split))


def _by_rank(lines: Beside, part: Int64s, later_e5: Int64s) -> Int64s:
    """Return the factor of each part: all of the highest, ties by line; unknown ones come last."""
    rank = ranks(lines.group, part == 0, -part, lines.line)
    return np.where((rank > 1) & (part != 0), later_e5, WHOLE_E5)
