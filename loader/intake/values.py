"""Amounts, quantities, days and composites of an 837 as exact integers, ISO dates and components.

Each kind is a memory: one file repeats the same values thousands of times, and a dictionary look-up
costs a tenth of the conversion. What cannot be converted gives None, so that the caller can say
where it stood.
"""

from datetime import date
from typing import Final

_ENTRIES_MAX: Final = 50_000
_REMEMBERED_LENGTH_MAX: Final = 40
_WHOLE_DIGITS_MAX: Final = 12


class Scaled(dict[str, int | None]):
    """Decimal text to an integer of its smallest decimals; None for anything else."""

    def __init__(self, places: int) -> None:
        """Set the number of decimals; text with more is not rounded but refused."""
        super().__init__()
        self.places = places

    def __missing__(self, text: str) -> int | None:
        """Convert a text that was not seen yet."""
        value = _scaled(text, self.places)
        if len(self) < _ENTRIES_MAX and len(text) <= _REMEMBERED_LENGTH_MAX:
            self[text] = value
        return value


class Days(dict[str, str | None]):
    """A day as CCYYMMDD to its ISO date; None for anything else."""

    def __missing__(self, text: str) -> str | None:
        """Convert a text that was not seen yet."""
        day = _iso(text)
        if len(self) < _ENTRIES_MAX and len(text) <= _REMEMBERED_LENGTH_MAX:
            self[text] = day
        return day


class Composites(dict[str, tuple[str, ...]]):
    """A composite element to its components in upper case."""

    def __init__(self, separator: str) -> None:
        """Set what separates the components."""
        super().__init__()
        self.separator = separator

    def __missing__(self, text: str) -> tuple[str, ...]:
        """Split a text that was not seen yet."""
        parts = tuple(text.upper().split(self.separator))
        if len(self) < _ENTRIES_MAX and len(text) <= _REMEMBERED_LENGTH_MAX:
            self[text] = parts
        return parts


CENTS: Final = Scaled(2)
"""Money to cents."""

MILLI: Final = Scaled(3)
"""Quantities to thousandths."""

DAYS: Final = Days()
"""D8 days to ISO dates."""


def span(form: str, text: str) -> tuple[str, str] | None:
    """Return the first and last day of a D8 or RD8 text; None where it is neither."""
    if form == "D8":
        day = DAYS[text]
        return None if day is None else (day, day)
    if form == "RD8":
        first, _, last = text.partition("-")
        first_day, last_day = DAYS[first], DAYS[last]
        return None if first_day is None or last_day is None else (first_day, last_day)
    return None


def hour(text: str) -> str | None:
    """Return the hour of an HHMM text as two digits; None where it is not a time of day."""
    if not (text.isascii() and text.isdecimal() and len(text) in {2, 4}):
        return None
    return text[:2] if int(text[:2]) < 24 and int(text[2:] or "0") < 60 else None


def _scaled(text: str, places: int) -> int | None:
    negative = text.startswith("-")
    whole, _, fraction = text[negative:].partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdecimal()):
        return None
    if len(whole) > _WHOLE_DIGITS_MAX or len(fraction) > places:
        return None
    value = int(digits) * int(10 ** (places - len(fraction)))
    return -value if negative else value


def _iso(text: str) -> str | None:
    if len(text) != 8 or not (text.isascii() and text.isdecimal()):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        return None
