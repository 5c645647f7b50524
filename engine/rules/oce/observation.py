"""Hours of observation of a claim."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import INSTITUTIONAL, Batch, Bools, Ints, rows_where
from engine.rules.rule import Kind

OBSERVATION_EVIDENCE: Final = {
    "hours": Kind.COUNT,
    "hours_limit": Kind.COUNT,
    "lines_counted": Kind.COUNT,
}
OBSERVATION_CITES: Final = (
    "Medicare Benefit Policy Manual ch. 6 s. 20.6; Medicare Claims Processing Manual ch. 4 s. 290"
)

_BY_THE_HOUR: Final = code36("G0378")
_OBSERVATION: Final = code36("0762")
_UNITS: Final = code36("UN")
_MILLI: Final = 1000


@dataclass(frozen=True, slots=True)
class Observation:
    """Observation by claim. Shapes are (claims,)."""

    hours: Ints
    """Whole hours over all lines of the claim; a begun hour does not count."""
    lines: Ints
    """How many lines were counted."""
    documented: Bools
    """The claim, or one of those lines, has documentation."""


def observation(batch: Batch) -> Observation | None:
    """Return the observation of outpatient bills, None where no claim of the pass has any.

    G0378 counts under any revenue code; 0762 counts where it stands without a code, for beside
    another code, such as the direct admission G0379, its unit is no hour. 0760 never counts.
    """
    lines, claims = batch.lines, batch.claims
    without_code = (lines.revenue == _OBSERVATION) & (lines.procedure == 0)
    hourly = (lines.procedure == _BY_THE_HOUR) | without_code
    if not hourly.any():
        return None
    outpatient = (claims.type == INSTITUTIONAL) & ~claims.inpatient
    row = rows_where(hourly & (lines.unit_basis == _UNITS) & batch.of_line(outpatient))
    claim, count = lines.claim[row], len(claims)
    milli = np.bincount(claim, lines.units_milli[row], count).astype(np.int64)
    documented = claims.has_documentation.copy()
    documented[claim[lines.has_documentation[row]]] = True
    return Observation(milli // _MILLI, np.bincount(claim, minlength=count), documented)
