"""Limited benefits that lines draw on: their periods, and how much is used before a claim."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.columns import Batch, Bools, Dates, Ints, Table
from engine.joins import equal_in
from engine.members import Accumulators, holds_on, rows_about
from engine.past import Past
from engine.tables.listing import ANY, NONE, Matches
from engine.tables.listings import MEASURES, PERIODS

UNITS, VISITS, CENTS = map(MEASURES.index, ("units", "visits", "cents"))
_PLAN_YEAR, _LIFETIME = map(PERIODS.index, ("plan_year", "lifetime"))
EVER: Final = np.datetime64("1900-01-01", "D"), np.datetime64("2199-12-31", "D")
_MONTHS: Final = 12
VISIT_MILLI: Final = 1000
MILLI_PER_CENT: Final = 10
"""Dollars are kept in thousandths, as units are."""


@dataclass(frozen=True, slots=True)
class Requests(Table):
    """Lines and the limited benefits that they draw on, in the order of the lines."""

    line: Ints
    row: Ints
    """Row of `benefit_limits`."""
    group: Ints
    """Number of the benefit of one claim in one period."""


@dataclass(frozen=True, slots=True)
class Groups(Table):
    """Benefits of claims in periods. Shapes are (groups,)."""

    line: Ints
    """The first line that draws on it."""
    row: Ints
    """Row of `benefit_limits`."""
    benefit: Ints
    period_from: Dates
    """The ends of EVER for lifetime."""
    period_to: Dates
    counted: Ints
    """What the accumulator says is used, in thousandths; 0 without one."""
    as_of: Dates
    """Claims received up to this day are in the accumulator."""
    has_accumulator: Bools


@dataclass(frozen=True, slots=True)
class Draws(Table):
    """What draws on groups beside the lines themselves: lines of the past."""

    group: Ints
    earlier: Ints
    """Row in `Past.lines`."""


def most_specific(found: Matches) -> Matches:
    """Of the rows on one benefit of a line keep the plan's, else those about all plans."""
    general = found["plan"] == ANY
    if not general.any() or general.all():
        return found
    key = numbered(found.place, found["benefit_key"])
    own = np.bincount(key[~general], minlength=key.max() + 1) > 0
    return found.where(~general | ~own[key])


def requests_of(
    batch: Batch, found: Matches, accumulators: Accumulators
) -> tuple[Requests, Groups]:
    """Group lines by claim, benefit and period, with what the accumulators say of each group."""
    lines, benefit = batch.lines, found["benefit_key"]
    claim, day = lines.claim[found.place], lines.service_from[found.place]
    first, last = _period(found, day)
    row = _accumulator(accumulators, batch.claims.member[claim], benefit, found["period"], day)
    there = row >= 0
    yearly = there & (found["period"] != _LIFETIME)
    own_first, own_last = accumulators.period_from[row[yearly]], accumulators.period_to[row[yearly]]
    # The accumulator knows the member's year better than the plan's first month does.
    first[yearly] = own_first
    last[yearly] = np.where(np.isnat(own_last), _year_after(own_first), own_last)
    group = numbered(claim, benefit, first.astype(np.int64))
    lead = np.empty(group.max() + 1, np.int64)
    lead[group[::-1]] = np.arange(len(group))[::-1]
    counted = np.zeros(len(found), np.int64)
    as_of = np.full(len(found), np.datetime64("NaT"), "datetime64[D]")
    counted[there], as_of[there] = (
        accumulators.used_milli[row[there]],
        accumulators.as_of[row[there]],
    )
    return (
        Requests(found.place, found.row, group),
        Groups(
            found.place[lead], found.row[lead], benefit[lead], first[lead], last[lead],
            counted[lead], as_of[lead], there[lead],
        ),
    )  # fmt: skip


def _period(found: Matches, day: Dates) -> tuple[Dates, Dates]:
    """First and last day of the period that each line falls into."""
    first_month = np.where(
        (found["period"] == _PLAN_YEAR) & (found["plan_year_month"] != NONE),
        found["plan_year_month"] - 1,
        0,
    )
    month = day.astype("datetime64[M]").astype(np.int64)
    begin = (month - first_month) // _MONTHS * _MONTHS + first_month
    first = begin.astype("datetime64[M]").astype("datetime64[D]")
    last = (begin + _MONTHS).astype("datetime64[M]").astype("datetime64[D]") - 1
    ever = found["period"] == _LIFETIME
    return np.where(ever, EVER[0], first), np.where(ever, EVER[1], last)


def _year_after(first: Dates) -> Dates:
    """Last day of the year that begins on a day."""
    month = first.astype("datetime64[M]")
    return (month + _MONTHS).astype("datetime64[D]") + (first - month) - 1


def _accumulator(
    accumulators: Accumulators, member: Ints, benefit: Ints, period: Ints, day: Dates
) -> Ints:
    """Row of the accumulator of each member's benefit that holds the day; -1 for none."""
    place, row = rows_about(accumulators.member, member)
    first, last = accumulators.period_from[row], accumulators.period_to[row]
    ever = np.isnat(first)
    own = (accumulators.benefit[row] == benefit[place]) & (ever == (period[place] == _LIFETIME))
    own &= ever | holds_on(first, last, day[place])
    place, row = place[own], row[own]
    # Of several the one that began last, and of these the fullest: assigned last.
    order = np.lexsort((accumulators.used_milli[row], accumulators.period_from[row]))
    rows = np.full(len(member), -1, np.int64)
    rows[place[order]] = row[order]
    return rows


def draws_of(batch: Batch, past: Past, groups: Groups, plan: Ints, limits: Matches) -> Draws:
    """Return the lines of the past that draw on groups, first come first.

    Args:
        batch: The pass.
        past: What its claims see.
        groups: Benefits of claims.
        plan: Plan of every line of the pass.
        limits: Any rows of `benefit_limits`, for the listing itself.
    """
    line, at = np.unique(groups.line, return_inverse=True)
    first, last = np.full(len(line), EVER[1]), np.full(len(line), EVER[0])
    np.minimum.at(first, at, groups.period_from)
    np.maximum.at(last, at, groups.period_to)
    pairs = past.counted(past.pairs(batch, line, first, last))
    # Every line of the past with every group of the line that sees it.
    order = np.argsort(groups.line, kind="stable")
    pair, place = equal_in(groups.line[order], pairs.line)
    earlier, group = pairs.earlier[pair], order[place]
    day = past.lines.service_from[earlier]
    within = (groups.period_from[group] <= day) & (day <= groups.period_to[group])
    within &= _not_counted_yet(past, groups, group, earlier)
    group, earlier = group[within], earlier[within]
    drawn = limits.listing.match(
        past.lines.procedure[earlier], past.lines.service_from[earlier], plan[groups.line[group]]
    )
    same = drawn.where(drawn["benefit_key"] == groups.benefit[group[drawn.place]])
    kept = same.found(len(group))
    group, earlier = group[kept], earlier[kept]
    claim = past.lines.claim[earlier]
    order = np.lexsort((past.lines.number[earlier], past.claim_ordinal[claim], group))
    return Draws(group[order], earlier[order])


def _not_counted_yet(past: Past, groups: Groups, group: Ints, earlier: Ints) -> Bools:
    """Lines that the accumulator does not hold: of the same message, or received after it."""
    claim = past.lines.claim[earlier]
    committed = past.claim_message[claim] < 0
    later: Bools = past.claims.received_date[claim] > groups.as_of[group]
    return ~committed | ~groups.has_accumulator[group] | later


def numbered(*columns: Ints) -> Ints:
    """Number equal rows alike, from 0."""
    order = np.lexsort(columns)
    differs = np.zeros(len(order), np.bool_)
    for column in columns:
        differs[1:] |= column[order[1:]] != column[order[:-1]]
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(differs)
    return number
