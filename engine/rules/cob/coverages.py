"""Other coverages of a member that are active for a claim."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Dates, Ints
from engine.members import BASES, Coverages, holds_on, rows_about

EMPLOYMENT: Final = code36("EM")
AUTO: Final = code36("AA")
WORKERS_COMPENSATION: Final = BASES.index("workers_compensation")
AUTO_LIABILITY: Final = BASES.index("auto_liability")


@dataclass(frozen=True, slots=True)
class ClaimCoverages:
    """Coverages that are active for claims, as pairs of a claim and a row."""

    claim: Ints
    row: Ints
    own_rank: Ints
    """Rank of each claim's own payer, shape (claims,); 0 where it has none on file."""


def other_coverages(batch: Batch, coverages: Coverages) -> ClaimCoverages:
    """Return the coverages of other payers that each claim's member has on the day.

    Workers' compensation and auto insurance cover an injury, not a person: they count on claims
    that name such an accident only.
    """
    claims = batch.claims
    claim, row = rows_about(coverages.member, claims.member)
    active = holds_on(coverages.effective[row], coverages.termination[row], day_of(batch)[claim])
    claim, row = claim[active], row[active]
    own = coverages.payer[row] == claims.payer[claim]
    own_rank = _lowest(claim[own], coverages.rank[row[own]], len(claims))
    accident, basis = claims.accident_type[claim], coverages.basis[row]
    concerned = (basis != WORKERS_COMPENSATION) | (accident == EMPLOYMENT)
    concerned &= (basis != AUTO_LIABILITY) | (accident == AUTO)
    other = ~own & concerned
    return ClaimCoverages(claim[other], row[other], own_rank)


def day_of(batch: Batch) -> Dates:
    """Return the day on which the order of payers counts: admission, else the first day."""
    claims = batch.claims
    admitted = claims.inpatient & ~np.isnat(claims.admission_date)
    return np.where(admitted, claims.admission_date, claims.service_from)


_UNRANKED: Final = np.iinfo(np.int64).max


def _lowest(claim: Ints, rank: Ints, claims: int) -> Ints:
    """Lowest rank of each claim; 0 where there is none."""
    lowest = np.full(claims, _UNRANKED)
    np.minimum.at(lowest, claim[rank > 0], rank[rank > 0])
    return np.where(lowest == _UNRANKED, 0, lowest)
