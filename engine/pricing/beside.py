"""Lines whose price depends on the lines beside them: same claim, day, provider and role."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from engine.columns import Batch, Ints, Table
from engine.facts import Facts
from engine.pricing.cents import Int64s, half_up, times
from engine.pricing.fees import Values, capped_cents, has_fee, own_factors_e4
from engine.pricing.steps import Changes
from engine.reference import Reference


@dataclass(frozen=True, slots=True)
class Beside(Table):
    """Columns over those lines alone, in the order of the pass."""

    line: Ints
    """Row of the line."""
    group: Ints
    """Equal for lines that are ranked together: by session, role and kind of reduction."""
    row: Ints
    """Row of the fee schedule."""
    multiple: Ints
    """Which reduction the row is subject to."""
    sides_e5: Ints
    units_milli: Ints
    amount_cents: Ints
    """After both sides and units: what the reductions start from."""

    def times_units(self, unit_cents: Ints) -> Int64s:
        """Return an amount per unit times the line's sides and units, rounded after each."""
        return half_up(times(unit_cents, self.sides_e5) * self.units_milli, 1000)


def _no_lines() -> Ints:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Reduced:
    """What a reduction came to."""

    changes: tuple[Changes, ...] = ()
    unknown: Ints = field(default_factory=_no_lines)
    """Rows of the lines that it cannot be computed for: the tables lack what it needs."""
    by_report: Ints = field(default_factory=_no_lines)
    """Rows of the lines that it leaves to a person."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The fee schedule as it holds for the lines of a pass."""

    batch: Batch
    reference: Reference
    facts: Facts
    factor_e4: Ints | None = None
    """Conversion factor of who renders each line, 0 where it is the fee schedule's."""

    @classmethod
    def of(cls, batch: Batch, reference: Reference, facts: Facts) -> Self:
        """Return the fee schedule with the conversion factors that providers have of their own."""
        lines = batch.lines
        own = own_factors_e4(reference, lines.rendering_npi, lines.service_from)
        return cls(batch, reference, facts, own)

    def values(self, line: Ints, row: Ints) -> Values:
        """Return the values of a row of the fee schedule where and how each line was rendered."""
        facts = self.facts
        values = Values.local(self.reference, row, facts.facility[line], facts.locality[line])
        return values if self.factor_e4 is None else values.by_factor(self.factor_e4[line])

    def fee_cents(self, line: Ints, code: Ints, component: Ints) -> Int64s:
        """Return the capped fee of one unit of another code or component.

        For the day, setting and locality of each line; -1 where the schedule has none.
        """
        facts, mpfs = self.facts, self.reference.mpfs
        day, facility = self.batch.lines.service_from[line], facts.facility[line]
        row = mpfs.rows(code, component, day)
        fee = capped_cents(
            self.reference,
            self.values(line, row).fee_cents,
            code,
            component,
            facility,
            facts.locality[line],
            day,
        )
        return np.where(has_fee(mpfs, row, facility) & (fee > 0), fee, -1)
