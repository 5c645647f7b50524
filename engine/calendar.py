"""Days as regulations count them: completed years, one year later, federal business days."""

from typing import Final

import numpy as np

from engine.columns import Dates, Ints

MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6

_YEARS: Final = (1986, 2102)
"""Years whose holidays are known: from the first Martin Luther King Day to the last deadline."""

_FIXED: Final = ((1, 1, 1986), (6, 19, 2021), (7, 4, 1986), (11, 11, 1986), (12, 25, 1986))
"""Holidays on a day of a month, with their first year (5 USC 6103)."""

_NTH_WEEKDAY: Final = (
    (1, MONDAY, 3),
    (2, MONDAY, 3),
    (9, MONDAY, 1),
    (10, MONDAY, 2),
    (11, THURSDAY, 4),
)
"""Holidays on the nth weekday of a month."""

_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday."""


def completed_years(birth: Dates, day: Dates) -> Ints:
    """Return the age in completed years; 29 February's children complete theirs on 1 March."""
    birth_month, month = birth.astype("datetime64[M]"), day.astype("datetime64[M]")
    before_birthday = (day - month) < (birth - birth_month)
    months: Ints = (month - birth_month).astype(np.int64) - before_birthday
    return months // 12


def same_day_next_year(day: Dates) -> Dates:
    """Return the same day of the next year; 28 February for 29 February."""
    month = day.astype("datetime64[M]")
    later = month + 12
    last = (later + 1).astype("datetime64[D]") - 1
    same: Dates = later.astype("datetime64[D]") + (day - month)
    return np.minimum(same, last)


def roll_to_business_day(day: Dates) -> Dates:
    """Return the day, or the next one that is neither a weekend nor a federal holiday; no NaT."""
    rolled: Dates = np.busday_offset(day, 0, roll="following", busdaycal=_BUSINESS_DAYS)
    return rolled


def federal_holidays(first_year: int, last_year: int) -> Dates:
    """Return the days on which the holidays of these years are observed, ascending.

    A holiday on a Saturday is observed on the Friday before, one on a Sunday on the Monday after.
    """
    years = np.arange(first_year - 1970, last_year - 1969).astype("datetime64[Y]")
    january: Dates = years.astype("datetime64[M]")
    fixed = [_fixed(january, *holiday) for holiday in _FIXED]
    moving = [_nth_weekday(january, *holiday) for holiday in _NTH_WEEKDAY]
    return np.sort(np.concatenate([*fixed, *moving, _last_monday_of_may(january)]))


def _fixed(january: Dates, month: int, day: int, first_year: int) -> Dates:
    months = january[january >= np.datetime64(f"{first_year}-01")] + (month - 1)
    days = months.astype("datetime64[D]") + (day - 1)
    weekday = _weekday(days)
    return _later(days, (weekday == SUNDAY).astype(np.int64) - (weekday == SATURDAY))


def _nth_weekday(january: Dates, month: int, weekday: int, nth: int) -> Dates:
    first = (january + (month - 1)).astype("datetime64[D]")
    return _later(first, (weekday - _weekday(first)) % 7 + 7 * (nth - 1))


def _last_monday_of_may(january: Dates) -> Dates:
    last = (january + 5).astype("datetime64[D]") - 1
    return _later(last, MONDAY - _weekday(last))


def _weekday(day: Dates) -> Ints:
    """Return 0 for Monday to 6 for Sunday."""
    return (day.astype(np.int64) + _EPOCH_WEEKDAY) % 7


def _later(day: Dates, days: Ints) -> Dates:
    later: Dates = day + days.astype("timedelta64[D]")
    return later


_BUSINESS_DAYS: Final = np.busdaycalendar(holidays=federal_holidays(*_YEARS))
