"""How often a service was given before: the limits of each line, and what counts towards them."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Dates, Ints, rows_where
from engine.facts import Facts
from engine.joins import equal_in
from engine.members import Members, rows_about
from engine.past import Past
from engine.reference import Reference
from engine.rules.billers import month_of
from engine.rules.listed import rows_of_lines
from engine.tables.listing import ANY, Listing, Matches
from engine.tables.listings import COUNTED, WINDOWS
from engine.words import word_key

UNIT_MILLI: Final = 1000
LIFETIME: Final = WINDOWS.index("lifetime")
_ROLLING: Final = WINDOWS.index("rolling_months")
_CALENDAR: Final = WINDOWS.index("calendar_year")
_UNITS: Final = COUNTED.index("units")
_NO_CLAIM: Final = -1
_LONG_AGO: Final = np.timedelta64(40_000, "D")


@dataclass(frozen=True, slots=True)
class Before:
    """Services of a limit's code group before a line. Shapes are (services,)."""

    at: Ints
    """Place among the limits."""
    day: Dates
    units_milli: Ints
    claim: Ints
    """Row of an earlier claim in `Past.claims`; -1 for a line of the same claim."""

    def where(self, mask: Bools) -> "Before":
        """Keep the services of the mask."""
        return Before(self.at[mask], self.day[mask], self.units_milli[mask], self.claim[mask])


def limits_of_lines(batch: Batch, reference: Reference, facts: Facts) -> Matches:
    """Return the limits that hold for each line, by its line of business; places are lines."""
    found = rows_of_lines(reference.listing("frequency_limits"), batch, facts)
    if not len(found):
        return found
    business = batch.of_line(batch.claims.line_of_business)[found.place]
    return found.where(_of_business(found, business))


def services_before(batch: Batch, facts: Facts, past: Past, limits: Matches) -> Before:
    """Return the services before each line that its limits count together with it.

    They are lines of earlier claims up to the line's day, and of its own claim those of an earlier
    day, or of the same day with a lower number.
    """
    parts = [_of_claim(batch, facts, limits), _of_past(batch, past, limits)]
    at, code, day, units, claim = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Before(at, day, units, claim).where(_of_group(batch, limits, at, code))


def last_before(before: Before) -> Before:
    """Return the last service before of each limit that has one."""
    order = np.lexsort((before.claim, before.day, before.at))
    at = before.at[order]
    last = np.ones(len(at), np.bool_)
    last[:-1] = at[1:] != at[:-1]
    kept = order[last]
    return Before(before.at[kept], before.day[kept], before.units_milli[kept], before.claim[kept])


def in_window(batch: Batch, limits: Matches, before: Before) -> Bools:
    """Services before a line that are in the window of its limit."""
    on = batch.lines.service_from[limits.place[before.at]]
    window, months = limits["window"][before.at], limits["months"][before.at]
    same_year = on.astype("datetime64[Y]") == before.day.astype("datetime64[Y]")
    since = _months_earlier(on, np.maximum(months, 0))
    inside: Bools = (
        (window == LIFETIME)
        | ((window == _CALENDAR) & same_year)
        | ((window == _ROLLING) & (before.day > since))
    )
    return inside


def amounts_milli(limits: Matches, at: Ints, units_milli: Ints) -> Ints:
    """Return what services count: their units, or one occurrence each."""
    return np.where(limits["counted"][at] == _UNITS, units_milli, UNIT_MILLI)


def used_for_life(
    batch: Batch, limits: Matches, members: Members
) -> tuple[Ints, NDArray[np.datetime64]]:
    """Return what accumulators say was used for good of each limit, and the day they count to.

    NaT where none says anything, or where one counts all that was committed.
    """
    used, as_of = np.zeros(len(limits), np.int64), np.full(len(limits), "NaT", "datetime64[D]")
    for_life = rows_where(limits["window"] == LIFETIME)
    table = members.accumulators
    if table is None or not len(for_life):
        return used, as_of
    member = batch.of_line(batch.claims.member)[limits.place[for_life]]
    place, row = rows_about(table.member, member)
    names = _words(limits["code_group"][for_life])
    same = np.isnat(table.period_from[row]) & (table.benefit[row] == names[place])
    place, row = for_life[place[same]], row[same]
    np.add.at(used, place, table.used_milli[row])
    as_of[place] = table.as_of[row]
    return used, as_of


def full_months(batch: Batch, limits: Matches, before: Before) -> Ints:
    """Return how many whole calendar months lie between each service before and its line."""
    on = batch.lines.service_from[limits.place[before.at]]
    return month_of(on) - month_of(before.day) - 1


def _of_claim(batch: Batch, facts: Facts, limits: Matches) -> tuple[NDArray[Any], ...]:
    lines = batch.lines
    covered = limits.listing.covers(facts.distinct_codes)[facts.distinct_code]
    candidates = rows_where(covered)
    owner = lines.claim[candidates]
    asked = lines.claim[limits.place]
    at, place = equal_in(owner, asked)
    other, line = candidates[place], limits.place[at]
    earlier = lines.service_from[other] < lines.service_from[line]
    earlier |= (lines.service_from[other] == lines.service_from[line]) & (other < line)
    at, other = at[earlier], other[earlier]
    none = np.full(len(at), _NO_CLAIM, np.int64)
    return (
        at,
        lines.procedure[other].astype(np.int64),
        lines.service_from[other],
        lines.units_milli[other],
        none,
    )


def _of_past(batch: Batch, past: Past, limits: Matches) -> tuple[NDArray[Any], ...]:
    line, where = np.unique(limits.place, return_inverse=True)
    on = batch.lines.service_from[line]
    pairs = past.counted(past.pairs(batch, line, on - _LONG_AGO, on))
    order = np.argsort(where, kind="stable")
    asked = line.searchsorted(pairs.line)
    pair, place = equal_in(where[order], asked)
    at, earlier = order[place], pairs.earlier[pair]
    lines = past.lines
    return (
        at,
        lines.procedure[earlier].astype(np.int64),
        lines.service_from[earlier],
        lines.units_milli[earlier].astype(np.int64),
        lines.claim[earlier].astype(np.int64),
    )


def _of_group(batch: Batch, limits: Matches, at: Ints, code: Ints) -> Bools:
    """Services whose code belongs to the group of the limit, on the day of the limited line."""
    listing: Listing = limits.listing
    found = listing.match(code, batch.lines.service_from[limits.place[at]])
    limit = at[found.place]
    business = batch.of_line(batch.claims.line_of_business)[limits.place[limit]]
    same = (found["code_group"] == limits["code_group"][limit]) & _of_business(found, business)
    return found.where(same).found(len(at))


def _of_business(found: Matches, business: Ints) -> Bools:
    stated = found["line_of_business"]
    fits: Bools = (stated == ANY) | (stated == business)
    return fits


def _months_earlier(day: Dates, months: Ints) -> Dates:
    """Return the same day of an earlier month, its last day where it is shorter."""
    month = day.astype("datetime64[M]")
    into = day - month.astype("datetime64[D]")
    first = (month - months.astype("timedelta64[M]")).astype("datetime64[D]")
    last = (month - months.astype("timedelta64[M]") + 1).astype("datetime64[D]") - 1
    return np.minimum(first + into, last)


def _words(texts: NDArray[np.bytes_]) -> Ints:
    distinct, place = np.unique(texts, return_inverse=True)
    words = [word_key(each.decode("ascii")) for each in distinct.tolist()]
    return np.array(words, np.int64)[place]
