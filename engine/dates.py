"""Date texts as days. Three forms are read; an ambiguous or impossible date is never guessed."""

from datetime import date
from typing import Final

ABSENT_DAY: Final = -(2**63)
"""NaT as an integer: the text is blank, or no date between 1900 and 2100."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_YEARS: Final = range(1900, 2101)


def parse_day(text: str) -> int:
    """Return days since 1970-01-01 of `YYYY-MM-DD`, `YYYYMMDD` or `MM/DD/YYYY`.

    ABSENT_DAY for anything else.
    """
    match len(text), text[4:5], text[2:3]:
        case 10, "-", _ if text[7] == "-":
            year, month, day = text[:4], text[5:7], text[8:]
        case 8, _, _:
            year, month, day = text[:4], text[4:6], text[6:]
        case 10, _, "/" if text[5] == "/":
            year, month, day = text[6:], text[:2], text[3:5]
        case _:
            return ABSENT_DAY
    digits = year + month + day
    if not (digits.isascii() and digits.isdigit()) or int(year) not in _YEARS:
        return ABSENT_DAY
    try:
        return date(int(year), int(month), int(day)).toordinal() - _EPOCH
    except ValueError:
        return ABSENT_DAY


class Days(dict[str, int]):
    """A memory of date texts seen. Two centuries have 73,414 days, so it is bounded by nature."""

    def __missing__(self, text: str) -> int:
        """Read a date that was not seen yet."""
        day = parse_day(text.strip())
        if day != ABSENT_DAY:
            self[text] = day
        return day


DAYS: Final = Days({"": ABSENT_DAY})
"""Dates seen by this process."""
