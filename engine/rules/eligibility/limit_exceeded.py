"""More of a benefit than the plan covers in a period."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.columns import Batch, Bools, Dates, Ints, Table, rows_where
from engine.facts import Facts
from engine.members import Members
from engine.past import Past
from engine.pricing import Allowed
from engine.reference import Reference
from engine.rules.eligibility.consume import fitting, taken_before
from engine.rules.eligibility.limits import (
    CENTS,
    EVER,
    MILLI_PER_CENT,
    UNITS,
    VISIT_MILLI,
    VISITS,
    Draws,
    Groups,
    Requests,
    draws_of,
    most_specific,
    numbered,
    requests_of,
)
from engine.rules.eligibility.plans import plans_of_lines, rows_by_plan
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Stake,
    Variant,
    claim_before,
    example,
    line,
    rule,
)
from engine.tables.listing import Matches

_MEASURES: Final = ("units", "visits", "dollars")
"""In the order of MEASURES; what dollars are counted in is the table's affair."""
_WHOLE, _IN_PART, _ESTIMATED = range(3)

_A: Final[Mapping[str, Any]] = {"insurance_plan_id": "SAMPLE-PLAN-A"}
_B: Final[Mapping[str, Any]] = {"insurance_plan_id": "SAMPLE-PLAN-B"}
_YEAR: Final = {"period_from": "2025-01-01", "period_to": "2025-12-31"}


def _used(benefit: str, units: float, **period: str) -> dict[str, list[dict[str, Any]]]:
    row = {"benefit": benefit, "used_milli": round(units * 1000), **(period or _YEAR)}
    return {"accumulators": [row]}


@rule(
    id="ELIGIBILITY_LIMIT_EXCEEDED",
    category=Category.ELIGIBILITY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="119",
    cites="plan terms",
    stake=Stake.EXCESS,
    variants={
        "beyond_limit": Variant(),
        "in_part": Variant(action=Action.PEND),
        "estimated": Variant(certainty=Certainty.ADVISE),
    },
    datasets=("benefit_limits",),
    evidence={
        "benefit": Kind.TEXT,
        "measure": Kind.NAME,
        "period_from": Kind.DATE,
        "period_to": Kind.DATE,
        "limit": Kind.UNITS,
        "used": Kind.UNITS,
        "taken_before": Kind.UNITS,
        "requested": Kind.UNITS,
        "beyond": Kind.UNITS,
        "excess_cents": Kind.CENTS,
    },
    names={"measure": _MEASURES},
    uses_history=True,
    caveat=(
        "`used` is the accumulator, with paid claims that were received after its day; "
        "`taken_before` is what earlier claims of the message and earlier lines of the claim take. "
        "What is beyond the limit takes nothing. All lines of a benefit on one day with one biller "
        "are one visit. Limits in dollars are compared with the price, or the charge where there "
        "is none, and of earlier claims with the charge: while something is left the answer is "
        "advice. A claim that replaces one in the accumulator comes on top of it. Where a plan "
        "splits, a person pays the part of a line that is within."
    ),
    examples=[
        example("20 visits a year, 20 used", line("98940"), **_A,
            on_file=_used("spinal manipulation", 20), hit=True, hit_lines=(1,),
            variant="beyond_limit"),
        example("19 used", line("98940"), **_A, on_file=_used("spinal manipulation", 19)),
        example("19 used, and two days on the claim", line("98940", day="2025-10-14"),
            line("98940", day="2025-10-15"), **_A, on_file=_used("spinal manipulation", 19),
            hit=True, hit_lines=(2,)),
        example("two codes of the benefit on one day are one visit", line("98940"), line("98943"),
            **_A, on_file=_used("spinal manipulation", 19)),
        example("an earlier claim of the message took the last visit", line("98940"), **_A,
            earlier=[claim_before(line("98940", day="2025-10-01"), **_A)],
            on_file={"accumulators": [
                {"benefit": "spinal manipulation", "used_milli": 19_000, **_YEAR,
                 "as_of": "2025-10-10"}]}, hit=True),
        example("an earlier claim of the same day and biller is the same visit", line("98943"),
            **_A, earlier=[claim_before(line("98940"), **_A)],
            on_file={"accumulators": [
                {"benefit": "spinal manipulation", "used_milli": 19_000, **_YEAR,
                 "as_of": "2025-10-10"}]}),
        example("an earlier claim of the year before", line("98940"), **_A,
            earlier=[claim_before(line("98940", day="2024-12-30"), received="2025-10-18", **_A)],
            on_file=_used("spinal manipulation", 19)),
        example("an earlier claim of another benefit", line("98940"), **_A,
            earlier=[claim_before(line("99213", day="2025-10-01"), **_A)],
            on_file=_used("spinal manipulation", 19)),
        example("nothing is on file for the member: nothing is used", line("98940"), **_A,
            on_file={"accumulators": []}),
        example("the accumulator is last year's", line("98940"), **_A,
            on_file=_used("spinal manipulation", 20, period_from="2024-01-01",
                period_to="2024-12-31")),
        example("a plan year from July on", line("V2020"), **_A,
            on_file=_used("glasses", 1, period_from="2025-07-01", period_to="2026-06-30"),
            hit=True),
        example("glasses of the plan year before", line("V2020"), **_A,
            on_file=_used("glasses", 1, period_from="2024-07-01", period_to="2025-06-30")),
        example("two lines in two plan years", line("V2020", day="2025-06-30"),
            line("V2020", day="2025-07-01"), **_A, on_file={"accumulators": []}),
        example("two lines in one calendar year that is one plan year",
            line("V2020", day="2025-07-01"), line("V2020", day="2025-09-30"), **_A,
            on_file={"accumulators": []}, hit=True, hit_lines=(2,)),
        example("a lifetime limit that was used up years ago", line("58970"), **_A,
            on_file={"accumulators": [{"benefit": "egg retrieval", "used_milli": 3000}]},
            hit=True),
        example("a lifetime limit beside this year's accumulator", line("58970"), **_A,
            on_file=_used("egg retrieval", 3)),
        example("ten units, six left: the plan splits", line("T1019", units=10), **_A,
            on_file=_used("personal care", 94), hit=True, variant="in_part"),
        example("six units, six left", line("T1019", units=6), **_A,
            on_file=_used("personal care", 94)),
        example("the first line takes what is left, the second is beyond",
            line("T1019", units=6), line("T1019", units=4, day="2025-10-16"), **_A,
            on_file=_used("personal care", 94), hit=True, hit_lines=(2,), variant="beyond_limit"),
        example("a line that does not fit takes nothing where the plan does not split",
            line("T1019", units=10), line("T1019", units=4, day="2025-10-16"), **_B,
            on_file=_used("personal care", 94), hit=True, hit_lines=(1,), variant="beyond_limit"),
        example("dollars: nothing is left", line("D2740", charge=900), **_A,
            on_file=_used("dental work", 1500), hit=True, variant="beyond_limit"),
        example("dollars: the charge is more than what is left", line("D2740", charge=900), **_B,
            on_file=_used("dental work", 1000), hit=True, variant="estimated"),
        example("dollars: what is left is enough", line("D2740", charge=500), **_A,
            on_file=_used("dental work", 1000)),
        example("another plan has no such limit", line("98940"), insurance_plan_id="SAMPLE-PLAN-C",
            on_file=_used("spinal manipulation", 20)),
        example("no accumulators are loaded", line("98940"), **_A),
    ],
)  # fmt: skip
def find(
    batch: Batch,
    reference: Reference,
    facts: Facts,
    past: Past,
    members: Members,
    allowed: Allowed,
) -> Hits:
    """What is used and what is asked for together exceed the plan's limit of the benefit."""
    listing, accumulators = reference.listing("benefit_limits"), members.accumulators
    if not listing.loaded or accumulators is None:
        return Hits.none(NotEvaluated("no_dataset"))
    found = most_specific(rows_by_plan(listing, batch, facts, members))
    if not len(found):
        return Hits.none()
    requests, groups = requests_of(batch, found, accumulators)
    draws = draws_of(batch, past, groups, plans_of_lines(batch, members), found)
    price = np.where(allowed.priced, allowed.allowed_cents, batch.lines.charge_cents)
    price = np.minimum(price, batch.lines.charge_cents)
    items = _items(batch, past, requests, draws, listing.columns["measure"][groups.row], price)
    return _hits(requests, groups, _served(items, groups, found), found, price, batch)


@dataclass(frozen=True, slots=True)
class _Items(Table):
    """Everything that draws on a group, first come first: lines of the past, then the claim's."""

    group: Ints
    milli: Ints
    settled: Bools
    """Of a committed claim: it is used, whatever comes now."""
    entity: Ints
    """Equal for items of one visit; else each item's own."""


@dataclass(frozen=True, slots=True)
class _Served(Table):
    """What each request gets. Shapes are (requests,)."""

    used: Ints
    before: Ints
    requested: Ints
    covered: Ints


def _items(
    batch: Batch, past: Past, requests: Requests, draws: Draws, measure: Ints, price: Ints
) -> _Items:
    lines, earlier = batch.lines, past.lines
    group = np.concatenate([draws.group, requests.group])
    biller = np.concatenate([
        past.claims.billing_npi[earlier.claim[draws.earlier]],
        batch.claims.billing_npi[lines.claim[requests.line]],
    ])  # fmt: skip
    day = np.concatenate([
        earlier.service_from[draws.earlier], lines.service_from[requests.line],
    ])  # fmt: skip
    units = np.concatenate([earlier.units_milli[draws.earlier], lines.units_milli[requests.line]])
    cents = np.concatenate([earlier.charge_cents[draws.earlier], price[requests.line]])
    settled = np.zeros(len(group), np.bool_)
    settled[: len(draws)] = past.claim_message[earlier.claim[draws.earlier]] < 0
    visit = measure[group] == VISITS
    entity = numbered(
        np.where(visit, group, -1 - np.arange(len(group))),
        np.where(visit, day.astype(np.int64), 0),
        np.where(visit, biller, 0),
    )
    milli = np.select(
        [measure[group] == UNITS, measure[group] == CENTS],
        [units, cents * MILLI_PER_CENT],
        default=VISIT_MILLI,
    )
    return _Items(group, milli, settled, entity)


def _served(items: _Items, groups: Groups, found: Matches) -> _Served:
    """Give each group's limit to what draws on it, in order; the last items are the requests."""
    columns = found.listing.columns
    limit, splits = columns["limit"][groups.row], columns["splits"][groups.row]
    _, lead, entity = np.unique(items.entity, return_index=True, return_inverse=True)
    # Entities in the order of their first items.
    order = np.argsort(lead, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    entity, lead = rank[entity], lead[order]
    group, milli = items.group[lead], items.milli[lead]
    settled = np.bincount(entity[items.settled], minlength=len(lead)) > 0

    used = groups.counted + np.bincount(group[settled], milli[settled], len(groups)).astype(
        np.int64
    )
    open_milli = np.where(settled, 0, milli)
    fits = fitting(group, open_milli, limit - used)
    asked_before = taken_before(group, open_milli)
    part = np.clip((limit - used)[group] - asked_before, 0, open_milli)
    taken = np.where(splits[group], part, np.where(fits, open_milli, 0))
    before = taken_before(group, taken)
    own = entity[len(items) - len(found) :]
    return _Served(
        used[group[own]],
        before[own],
        milli[own],
        np.where(settled[own], milli[own], taken[own]),
    )


def _hits(
    requests: Requests, groups: Groups, served: _Served, found: Matches, price: Ints, batch: Batch
) -> Hits:
    beyond = served.requested - served.covered
    over = rows_where(beyond > 0)
    line, row, group = requests.line[over], requests.row[over], requests.group[over]
    columns = {name: column[row] for name, column in found.listing.columns.items()}
    beyond, requested = beyond[over], served.requested[over]
    left = columns["limit"] - served.used[over] - served.before[over]
    estimated = (columns["measure"] == CENTS) & (left > 0)
    variant = np.where(served.covered[over] > 0, _IN_PART, np.where(estimated, _ESTIMATED, _WHOLE))
    return Hits(
        claim=batch.lines.claim[line],
        line_hit=np.arange(len(line)),
        line=line,
        variant=variant,
        evidence={
            "benefit": columns["benefit"],
            "measure": columns["measure"],
            "period_from": _unless(groups.period_from[group], EVER[0]),
            "period_to": _unless(groups.period_to[group], EVER[1]),
            "limit": columns["limit"],
            "used": served.used[over],
            "taken_before": served.before[over],
            "requested": requested,
            "beyond": beyond,
            "excess_cents": price[line] * beyond // np.maximum(requested, 1),
        },
    )


def _unless(day: Dates, end: np.datetime64) -> Dates:
    """Return days, NaT where they are an end of time."""
    return np.where(day == end, np.datetime64("NaT"), day)
