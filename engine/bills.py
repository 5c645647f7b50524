"""Types of bill of facilities."""

from typing import Final

import numpy as np

from engine.codes import text36
from engine.columns import Bools, Ints

_INPATIENT_BILLS: Final = frozenset({"11", "18", "21", "28", "41", "65", "66", "86"})
_BILLS_MAX: Final = 100_000


class _Inpatient(dict[int, bool]):
    """A bounded memory of which types of bill are inpatient ones."""

    def __missing__(self, bill: int) -> bool:
        inpatient = text36(bill)[1:3] in _INPATIENT_BILLS
        if len(self) < _BILLS_MAX:
            self[bill] = inpatient
        return inpatient


_INPATIENT: Final = _Inpatient()


def inpatient(bills: Ints) -> Bools:
    """Return which types of bill, given as codes, are those of inpatients."""
    return np.fromiter(map(_INPATIENT.__getitem__, bills.tolist()), np.bool_, len(bills))
