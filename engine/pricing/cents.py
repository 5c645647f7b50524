"""Exact arithmetic on cents: every rounding of a price is one of these."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Ints

Int64s = NDArray[np.int64]

WHOLE_E5: Final = 100_000
"""A factor of 1: factors have five decimals."""


def half_up(value: Ints, scale: int) -> Int64s:
    """Divide and round half up: the amounts are never negative."""
    rounded: Int64s = (value.astype(np.int64, copy=False) + scale // 2) // scale
    return rounded


def times(cents: Ints, factor_e5: Ints) -> Int64s:
    """Multiply by a factor and round half up.

    The whole part is multiplied by itself, so that the largest amounts do not overflow.
    """
    whole, rest = np.divmod(cents.astype(np.int64), WHOLE_E5)
    product: Int64s = whole * factor_e5 + half_up(rest * factor_e5, WHOLE_E5)
    return product
