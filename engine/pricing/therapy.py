"""Several units of therapy in one session: one is paid in full, each other with half the practice.

Domain E.5, indicator 5; each unit ranks by itself (L.24).
"""

from typing import Final

import numpy as np

from engine.pricing.beside import Beside, Reduced, Schedule
from engine.pricing.cents import times
from engine.pricing.ranking import ranks
from engine.pricing.steps import Step, change

THERAPY: Final = 5
UNIT_MILLI: Final = 1000
_E5_OF_MILLI: Final = 100


def reduce_therapy(beside: Beside, schedule: Schedule) -> Reduced:
    """Pay the unit with the highest practice expense in full, ties by the lower line."""
    lines = beside.take(beside.multiple == THERAPY)
    if not len(lines):
        return Reduced()
    values = schedule.values(lines.line, lines.row)
    rank = ranks(lines.group, -values.practice_e5, lines.line)
    full_milli = np.where(rank == 1, np.minimum(lines.units_milli, UNIT_MILLI), 0)
    rest_milli = lines.units_milli - full_milli
    changed = rest_milli > 0
    changes = change(
        Step.THERAPY,
        lines.line[changed],
        times(values.fee_cents, lines.sides_e5)[changed],
        full_milli[changed] * _E5_OF_MILLI,
        other_cents=times(values.half_practice_cents, lines.sides_e5)[changed],
        other_factor_e5=rest_milli[changed] * _E5_OF_MILLI,
    )
    return Reduced((changes,))
