"""What one unit of a fee schedule row costs in a setting and a locality."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from engine.columns import Bools, Dates, Ints, Table
from engine.pricing.cents import Int64s, half_up
from engine.pricing.ranking import best
from engine.reference import Reference
from engine.tables.fees import FeeSchedule

CONVERSION_FACTORS: Final = "conversion_factors"
"""The listing of factors that providers have of their own."""

_ONE_GPCI_E3: Final = 1000
_CENTS_SCALE: Final = 10**7
"""RVU (2 decimals) x GPCI (3) x conversion factor (4) is dollars with 9 decimals: cents with 7."""
_PAYABLE: Final = np.isin(np.arange(256), [ord(letter) for letter in "ART"])
"""Status letters that the schedule pays by, by ASCII."""


@dataclass(frozen=True, slots=True)
class Values(Table):
    """Relative values in a setting and a locality: two decimals of RVU, three of index."""

    work_e5: Ints
    practice_e5: Ints
    malpractice_e5: Ints
    factor_e4: Ints
    """Conversion factor, dollars per unit."""

    @classmethod
    def local(cls, reference: Reference, row: Ints, facility: Bools, place: Ints) -> Self:
        """Return the values of rows of the fee schedule in places of the geographic indices."""
        mpfs, places = reference.mpfs, reference.localities
        return cls(
            mpfs.work_e2[row].astype(np.int64) * places.work_e3[place],
            _practice_e2(mpfs, row, facility) * places.pe_e3[place],
            mpfs.malpractice_e2[row].astype(np.int64) * places.mp_e3[place],
            mpfs.conversion_factor_e4[row].astype(np.int64),
        )

    @classmethod
    def simple(cls, reference: Reference, row: Ints, facility: Bools, factor_e4: int) -> Self:
        """Return the values with indices of 1 and one conversion factor for all."""
        mpfs = reference.mpfs
        return cls(
            mpfs.work_e2[row].astype(np.int64) * _ONE_GPCI_E3,
            _practice_e2(mpfs, row, facility) * _ONE_GPCI_E3,
            mpfs.malpractice_e2[row].astype(np.int64) * _ONE_GPCI_E3,
            np.full(len(row), factor_e4, np.int64),
        )

    def by_factor(self, factor_e4: Ints) -> Self:
        """Return the values with other conversion factors where they are not 0."""
        return replace(self, factor_e4=np.where(factor_e4 > 0, factor_e4, self.factor_e4))

    @property
    def total_e5(self) -> Int64s:
        """All relative values together."""
        total: Int64s = self.work_e5 + self.practice_e5 + self.malpractice_e5
        return total

    @property
    def fee_cents(self) -> Int64s:
        """The published fee: rounded once, at the end."""
        return half_up(self.total_e5 * self.factor_e4, _CENTS_SCALE)

    @property
    def half_practice_cents(self) -> Int64s:
        """The fee with half the practice expense."""
        twice_e5 = self.total_e5 + self.work_e5 + self.malpractice_e5
        return half_up(twice_e5 * self.factor_e4, 2 * _CENTS_SCALE)


def _practice_e2(mpfs: FeeSchedule, row: Ints, facility: Bools) -> Int64s:
    practice = np.where(facility, mpfs.facility_pe_e2[row], mpfs.non_facility_pe_e2[row])
    return practice.astype(np.int64)


def own_factors_e4(reference: Reference, npi: Ints, day: Dates) -> Int64s | None:
    """Return the conversion factor that each provider has of its own on its day, 0 for none.

    None where no provider has one.
    """
    listing = reference.listing(CONVERSION_FACTORS)
    if not listing.loaded:
        return None
    matches = listing.match(npi, day)
    factor = np.zeros(len(npi), np.int64)
    at = best(matches.place, matches["tenant"] != b"", len(npi))
    factor[at >= 0] = matches["conversion_factor"][at[at >= 0]]
    return factor


def not_applicable(mpfs: FeeSchedule, row: Ints, facility: Bools) -> Bools:
    """Return where a row of the fee schedule has no price in the setting."""
    return np.where(facility, mpfs.facility_na[row], mpfs.non_facility_na[row])


def has_fee(mpfs: FeeSchedule, row: Ints, facility: Bools) -> Bools:
    """Return where a row of the fee schedule is paid by its values in the setting."""
    payable: Bools = _PAYABLE[mpfs.status[row]] & ~mpfs.not_for_payment[row]
    return payable & ~not_applicable(mpfs, row, facility)


def capped_cents(
    reference: Reference,
    fee_cents: Int64s,
    code: Ints,
    component: Ints,
    facility: Bools,
    place: Ints,
    day: Dates,
) -> Int64s:
    """Return the fees, not above the outpatient price where the cap lists one (domain L.23)."""
    if not reference.opps_cap.loaded or not len(code):
        return fee_cents
    in_facility, elsewhere = reference.opps_cap.prices(code, component, place, day)
    cap = np.where(facility, in_facility, elsewhere)
    return np.where(cap >= 0, np.minimum(fee_cents, cap), fee_cents)
