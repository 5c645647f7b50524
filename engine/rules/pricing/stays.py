"""The diagnosis related group of inpatient claims, and the day whose version of it holds."""

from dataclasses import dataclass

import numpy as np

from engine.columns import Batch, Dates, Ints, rows_where
from engine.tables.listing import Listing, Matches


@dataclass(frozen=True, slots=True)
class Stays:
    """Inpatient claims with a group. Shapes are (stays,)."""

    claim: Ints
    """Row of the claim."""
    group: Ints
    day: Dates
    """Day of discharge, else the last day of the bill: versions change on 1 October by it."""

    def rows(self, listing: Listing) -> Matches:
        """Return the rows about each stay's group; places are stays."""
        return listing.match(self.group, self.day)


def stays(batch: Batch) -> Stays:
    """Return the inpatient claims of a pass that name a group."""
    claims = batch.claims
    claim = rows_where(claims.inpatient & (claims.drg > 0))
    discharged = claims.discharge_date[claim]
    day = np.where(np.isnat(discharged), claims.service_to[claim], discharged)
    return Stays(claim, claims.drg[claim].astype(np.int64), day)
