"""Types of bill by their beginnings: facility and care, without the frequency."""

from collections.abc import Iterable

from engine.codes import code36
from engine.columns import Bools, Ints, one_of


def bill_is_of(type_of_bill: Ints, beginnings: Iterable[str]) -> Bools:
    """Return which bills begin so, `013` being hospital outpatient; the fourth digit is free."""
    found: Bools = one_of(type_of_bill // 36, [code36(beginning) for beginning in beginnings])
    return found
