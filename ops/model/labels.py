"""The synthetic labels: a stochastic process says which claims are finally approved as billed.

Nobody adjudicated these claims. The log-odds of approval are a sum of hidden factors, partly
visible in the seven features, plus an effect of the practice and a noise of the claim; the label
is drawn from them. Half of what moves a label cannot be seen by the model, on purpose.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BASE: Final = 3.3
CHARGE_RATIO: Final = -1.0
"""For each multiple of the typical fee above 1.2; five multiples at most."""
LINES: Final = -0.20
"""For each line above five."""
COMPLEXITY: Final = -0.60
"""For each point of complexity above three."""
SURGERY: Final = -0.70
HIGH_CHARGE: Final = -10.0
"""For each point of total_charges_norm above 0.62, which is 5,250 dollars."""
WEEK: Final = -0.25
"""For each week of service beyond the first day."""
VERY_OLD: Final = -0.15
"""Above 80 years."""
INSURANCE: Final = (0.0, 0.10, -0.20, -0.15, 0.0, 0.10, -0.30, -0.30, -0.20, -0.10)
"""By insurance code."""
PRACTICE_DEVIATION: Final = 0.40
CLAIM_DEVIATION: Final = 0.60

DESCRIPTION: Final = (
    f"log-odds of approval = {BASE} {CHARGE_RATIO} x (charge / typical fee above 1.2, at most 5) "
    f"{LINES} x (lines above 5) {COMPLEXITY} x (complexity above 3) {SURGERY} x surgery "
    f"{HIGH_CHARGE} x (charges_norm above 0.62) {WEEK} x weeks {VERY_OLD} above 80 years "
    f"+ insurance {INSURANCE} + practice N(0, {PRACTICE_DEVIATION}) + claim N(0, {CLAIM_DEVIATION})"
)


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the label process sees of each claim beyond the features. Shapes are (claims,)."""

    charge_ratio: Floats
    """Total charge over the typical fee of what was billed; 1 where no line has a fee."""
    practice: NDArray[np.int64]
    """Number of the billing practice, from 0."""


def draw_labels(
    features: NDArray[np.float32], hidden: Hidden, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return 1 for each claim that is approved in the end, else 0."""
    charges, lines, age, insurance, days, surgery, complexity = features.astype(np.float64).T
    practices = random.normal(0, PRACTICE_DEVIATION, int(hidden.practice.max()) + 1)
    odds = (
        BASE
        + CHARGE_RATIO * np.clip(hidden.charge_ratio - 1.2, 0, 5)
        + LINES * np.maximum(lines - 5, 0)
        + COMPLEXITY * np.maximum(complexity - 3, 0)
        + SURGERY * surgery
        + HIGH_CHARGE * np.maximum(charges - 0.62, 0)
        + WEEK * (days - 1) / 7
        + VERY_OLD * (age > 80)
        + np.array(INSURANCE)[insurance.astype(int)]
        + practices[hidden.practice]
        + random.normal(0, CLAIM_DEVIATION, len(features))
    )
    approved = random.random(len(features)) < 1 / (1 + np.exp(-odds))
    return approved.astype(np.float32)
