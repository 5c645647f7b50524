"""Places that rows of a listing allow or exclude."""

from typing import Final

import numpy as np

from engine.columns import Bools, Ints
from engine.tables.listing import Matches
from engine.tables.listings import PLACE_RULES

_ALLOWED: Final = PLACE_RULES.index("allowed")


def refused(found: Matches, place_of_service: Ints, count: int) -> Bools:
    """Return which of `count` places of `found` are excluded, or not among those allowed to them.

    Args:
        found: Rows with a rule and a place of service.
        place_of_service: Place of service of each row's line, shape (rows,).
        count: How many places were asked for.
    """
    same, allowing = found["place_of_service"] == place_of_service, found["rule"] == _ALLOWED
    excluded = found.where(same & ~allowing).found(count)
    limited, allowed = (found.where(m).found(count) for m in (allowing, same & allowing))
    denied: Bools = excluded | np.greater(limited, allowed)
    return denied
