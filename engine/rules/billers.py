"""What a biller has billed in the months before a claim."""

from typing import Final

import numpy as np

from engine.columns import Batch, Dates, Ints, rows_where
from engine.history import ProviderMonths
from engine.joins import equal_in

MONTHS_MAX: Final = 12


def month_of(day: Dates) -> Ints:
    """Return the number of the month of each day."""
    return day.astype("datetime64[M]").astype(np.int64)


def months_before(batch: Batch, claim: Ints, months: ProviderMonths) -> tuple[Ints, Ints]:
    """Return (claim, row of months) for the twelve months before each claim's own.

    Args:
        batch: The pass.
        claim: Rows of claims, shape (n,).
        months: What their billers have billed.
    """
    left, row = _of_biller(batch, claim, months)
    apart = month_of(batch.claims.service_from[left]) - month_of(months.month[row])
    before = (apart >= 1) & (apart <= MONTHS_MAX)
    return left[before], row[before]


def current_month(batch: Batch, claim: Ints, months: ProviderMonths) -> tuple[Ints, Ints]:
    """Return (claim, row of months) for each claim's own month of service."""
    left, row = _of_biller(batch, claim, months)
    same = month_of(batch.claims.service_from[left]) == month_of(months.month[row])
    return left[same], row[same]


def _of_biller(batch: Batch, claim: Ints, months: ProviderMonths) -> tuple[Ints, Ints]:
    order = np.argsort(months.billing_npi, kind="stable")
    npis, npi = months.billing_npi[order], batch.claims.billing_npi[claim]
    known = rows_where(npi > 0)
    place, at = equal_in(npis, npi[known])
    return claim[known[place]], order[at]
