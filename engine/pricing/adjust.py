"""From the fee of a unit to the price of a line: sides, units, the lines beside it, roles."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.columns import Bools, Ints, rows_where
from engine.pricing.beside import Beside, Reduced, Schedule
from engine.pricing.cents import WHOLE_E5, Int64s, half_up
from engine.pricing.components import (
    CARDIOVASCULAR,
    IMAGING,
    IMAGING_FAMILY,
    OPHTHALMOLOGY,
    reduce_components,
)
from engine.pricing.modifiers import (
    ASSISTING,
    ROLES,
    Effect,
    Effects,
    by_report,
    effects_of,
    role_e3,
    sides_e5,
    split_e2,
)
from engine.pricing.ranking import in_company
from engine.pricing.steps import Changes, Step, change, joined, no_changes
from engine.pricing.surgery import reduce_surgeries
from engine.pricing.therapy import THERAPY, UNIT_MILLI, reduce_therapy
from engine.tables.fees import GLOBAL_ZZZ

_SURGERY: Final = 1
_KIND: Final = np.array(
    [0, _SURGERY, _SURGERY, _SURGERY, IMAGING, THERAPY, CARDIOVASCULAR, OPHTHALMOLOGY, 0, 0]
)
"""What is ranked together, by multiple procedure indicator: surgery as one; 0 is not reduced."""
_KINDS: Final = 8
_APART: Final = np.array([0, 1, 2, 2, 0, 0, 0, 0, 0, 0])
"""Which reduction is left of each where the unit is no fee of the schedule."""


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Amounts of the lines that have a fee, and what stands in the way of a price."""

    amount_cents: Int64s
    """After both sides and units, in the order of the lines."""
    final_cents: Int64s
    """After the lines beside it and the roles, in the order of the lines."""
    by_report: Ints
    """Rows of the lines that a person prices."""
    unknown: Ints
    """Rows of the lines whose reduction needs what the tables do not have."""
    changes: Changes


def unadjusted(line: Ints, unit_cents: Int64s, units_milli: Ints) -> Adjusted:
    """Return units times the fee and nothing else."""
    amount = half_up(unit_cents * units_milli[line], 1000)
    return Adjusted(amount, amount, line[:0], line[:0], no_changes())


def adjust(
    schedule: Schedule, line: Ints, unit_cents: Int64s, apart: Bools | None = None
) -> Adjusted:
    """Return the amounts after each of the steps 7 to 11 (domain E.2) of the lines with a fee.

    Lines priced from the report keep their place in a ranking: it counts all lines (domain L.6).

    Args:
        schedule: The tables.
        line: Rows of the lines.
        unit_cents: What a unit of each costs.
        apart: Among all lines those whose unit is no fee of the schedule: they are ranked with
            other surgery, and have no parts or base that a reduction could take.
    """
    lines = schedule.batch.lines
    cents = np.zeros(len(lines), np.int64)
    cents[line] = unit_cents
    effects = effects_of(lines.modifiers, line)
    sides = _both_sides(schedule, effects, cents)
    cents[sides["line"]] = sides["result_cents"]
    amount = half_up(cents[line] * lines.units_milli[line], 1000)
    cents[line] = amount
    reduced = _reduce(_beside(schedule, line, effects, amount, apart), schedule)
    reductions = [changes for each in reduced for changes in each.changes]
    for changes in reductions:
        cents[changes["line"]] = changes["result_cents"]
    roles, undivided = _roles(schedule, effects, cents)
    cents[roles["line"]] = roles["result_cents"]
    return Adjusted(
        amount,
        cents[line],
        np.concatenate([by_report(effects, schedule.facts), *(each.by_report for each in reduced)]),
        np.concatenate([undivided, *(each.unknown for each in reduced)]),
        joined([sides, *reductions, roles]),
    )


def _both_sides(schedule: Schedule, effects: Effects, cents: Int64s) -> Changes:
    line, effect = effects.having(Effect.BOTH_SIDES)
    indicator = schedule.reference.mpfs.bilateral[schedule.facts.mpfs[line]]
    return change(Step.BILATERAL, line, cents[line], sides_e5(effect, indicator))


def _beside(
    schedule: Schedule, line: Ints, effects: Effects, amount: Int64s, apart: Bools | None
) -> Beside:
    """Return the lines that are subject to a reduction: in company, or of several therapy units.

    Assistants are ranked separately, add-on procedures not at all.
    """
    facts, mpfs, units = schedule.facts, schedule.reference.mpfs, schedule.batch.lines.units_milli
    multiple = mpfs.multiple[facts.mpfs[line]]
    if apart is not None:
        multiple = np.where(apart[line], _APART[multiple], multiple)
    kind = _KIND[multiple]
    at = rows_where(kind)
    kind, row = kind[at], facts.mpfs[line[at]]
    exempt = ((kind == _SURGERY) & (mpfs.global_days[row] == GLOBAL_ZZZ)) | (
        (kind == IMAGING) & (mpfs.imaging_family[row] != IMAGING_FAMILY)
    )
    assists = (effects.by_line[line[at]] & ASSISTING) > 0
    group = (facts.session[line[at]].astype(np.int64) * 2 + assists) * _KINDS + kind
    several = (kind == THERAPY) & (units[line[at]] > UNIT_MILLI)
    group[exempt] = -1
    subject = (in_company(group) | several) & ~exempt
    at, group, row = at[subject], group[subject], row[subject]
    effect = effects.by_line[line[at]]
    return Beside(
        line=line[at],
        group=group,
        row=row,
        multiple=multiple[at],
        sides_e5=sides_e5(effect, mpfs.bilateral[row]),
        units_milli=units[line[at]],
        amount_cents=amount[at],
    )


def _reduce(beside: Beside, schedule: Schedule) -> tuple[Reduced, ...]:
    """Apply every reduction; a line is subject to one of them at most."""
    return (
        reduce_surgeries(beside, schedule),
        reduce_components(beside, schedule),
        reduce_therapy(beside, schedule),
    )


def _roles(schedule: Schedule, effects: Effects, cents: Int64s) -> tuple[Changes, Ints]:
    """Return the changes by role and split care, and the lines whose care has no shares."""
    line, effect = effects.having(ROLES)
    split = split_e2(effect, schedule.reference.mpfs, schedule.facts.mpfs[line])
    factor_e5 = role_e3(effect) * split
    changed = (split >= 0) & (factor_e5 != WHOLE_E5)
    roles = change(Step.SURGICAL_ROLE, line[changed], cents[line[changed]], factor_e5[changed])
    return roles, line[split < 0]
