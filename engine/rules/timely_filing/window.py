"""Until when a claim may be filed, which lines are late, and what excuse is given."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.calendar import roll_to_business_day, same_day_next_year
from engine.codes import code36
from engine.columns import (
    INSTITUTIONAL,
    LOB_COMMERCIAL,
    LOB_MEDICAID,
    LOB_MEDICARE_ADVANTAGE,
    LOB_MEDICARE_FFS,
    LOB_OTHER,
    Batch,
    Bools,
    Dates,
    Ints,
    Table,
    one_of,
)
from engine.policy import Params

LINES_OF_BUSINESS: Final = {
    "medicare_ffs": LOB_MEDICARE_FFS,
    "medicare_advantage": LOB_MEDICARE_ADVANTAGE,
    "medicaid": LOB_MEDICAID,
    "commercial": LOB_COMMERCIAL,
    "other": LOB_OTHER,
}

WINDOW_PARAMS: Final[dict[str, Any]] = {
    "calendar_year_for": ("medicare_ffs", "medicare_advantage"),
    "days": 365,
    "corrected_days": 0,
}
"""Who counts a calendar year, the days of all others, and of corrections (0: the same window)."""

EXCUSE_PARAMS: Final[dict[str, Any]] = {
    "medicare_exceptions": (
        "administrative_error",
        "retroactive_entitlement",
        "retroactive_eligibility",
        "retroactive_medicaid_recoupment",
        "retroactive_disenrollment",
    ),
    "other_exceptions": (
        *("administrative_error", "retroactive_entitlement", "retroactive_eligibility"),
        *("retroactive_medicaid_recoupment", "retroactive_disenrollment"),
        *("cob_delay", "provider_appeal", "system_error"),
    ),
    "medicare_delay_reasons": ("8",),
    "other_delay_reasons": ("1", "3", "4", "7", "8", "9", "10", "15"),
}
"""Accepted reasons by word, and by X12 delay reason code (CLM20)."""

_CALENDAR_YEAR_DAYS_MIN: Final = 365
_CORRECTIONS: Final = (code36("7"), code36("8"))
_MEDICARE: Final = (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE)


@dataclass(frozen=True, slots=True)
class Windows(Table):
    """Filing windows of some lines. Shapes are (lines chosen,)."""

    line: Ints
    start: Dates
    end: Dates
    """Last day of the window, before it rolls to a business day."""
    deadline: Dates
    """Last day on which the claim may be received."""
    received: Dates

    @property
    def late(self) -> Bools:
        """Lines received after their deadline."""
        return self.received > self.deadline

    @property
    def length_days(self) -> Ints:
        """Days from the start to the end of the window."""
        return (self.end - self.start).astype(np.int64)

    @property
    def elapsed_days(self) -> Ints:
        """Days from the start to the receipt."""
        return (self.received - self.start).astype(np.int64)


def windows(batch: Batch, params: Params, share_e2: Ints) -> Windows:
    """Return the windows of the lines of which at least this share has passed, claim by claim.

    The clock starts on a professional line's first day, and on the last day of a facility's
    statement. Calendar arithmetic is done for these few lines only: most claims come within weeks.
    """
    claims, lines = batch.claims, batch.lines
    calendar_year, days = _lengths(batch, params)
    of_claim = claims.type == INSTITUTIONAL
    start = np.where(batch.of_line(of_claim), batch.of_line(claims.service_to), lines.service_from)
    received = batch.of_line(claims.received_date)
    elapsed = (received - start).astype(np.int64)
    known = ~np.isnat(received)
    line = np.flatnonzero(known & (elapsed * 100 >= batch.of_line(days * share_e2)))
    start, received, claim = start[line], received[line], lines.claim[line]
    by_year = calendar_year[claim]
    end = np.where(by_year, same_day_next_year(start), start + days[claim].astype("timedelta64[D]"))
    deadline = np.where(by_year, roll_to_business_day(end), end)
    return Windows(line, start, end, deadline, received)


def _lengths(batch: Batch, params: Params) -> tuple[Bools, Ints]:
    """Claims whose window is a calendar year, and the days of the window; a year has 365 here."""
    claims, corrected_days = batch.claims, params["corrected_days"]
    by_year = [LINES_OF_BUSINESS[name] for name in params.words("calendar_year_for")]
    corrected = one_of(claims.frequency, _CORRECTIONS) & (corrected_days > 0)
    calendar_year = np.isin(claims.line_of_business, by_year) & ~corrected
    days = np.where(corrected, corrected_days, params["days"])
    return calendar_year, np.where(calendar_year, _CALENDAR_YEAR_DAYS_MIN, days)


def excuse_given(batch: Batch) -> Bools:
    """Return which claims give a reason for late filing."""
    return (batch.claims.filing_exception != 0) | (batch.claims.delay_reason != 0)


def excuse_accepted(batch: Batch, params: Params) -> Bools:
    """Return which claims give a reason of the payer's list; it may still lack its evidence."""
    medicare = one_of(batch.claims.line_of_business, _MEDICARE)
    return np.where(
        medicare,
        _listed(batch, params.words("medicare_exceptions"), params.words("medicare_delay_reasons")),
        _listed(batch, params.words("other_exceptions"), params.words("other_delay_reasons")),
    )


def _listed(batch: Batch, exceptions: tuple[str, ...], delay_reasons: tuple[str, ...]) -> Bools:
    claims = batch.claims
    words = [number for word, number in batch.words.items() if _plain(word) in exceptions]
    return np.isin(claims.filing_exception, words) | np.isin(
        claims.delay_reason, [int(reason) for reason in delay_reasons]
    )


def _plain(word: str) -> str:
    return "_".join(word.lower().replace("-", " ").split())
