"""More units than the same patient can need, on one line or on one day."""

from typing import NamedTuple

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Dates, Ints, distinct_values, rows_where
from engine.facts import SETTING_DME, SETTING_HOSPITAL, SETTING_PRACTITIONER, Facts
from engine.past import Past
from engine.policy import Params
from engine.reference import Reference
from engine.rules.earlier import EARLIER_EVIDENCE, first_of_lines, named
from engine.rules.ncci.served import served
from engine.rules.pairs import codes_of_sessions
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)

_BY_LINE = 1
_MINUTES = code36("MJ")
_UNIT_MILLI = 1000


@rule(
    id="NCCI_MUE",
    category=Category.NCCI,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.16,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="222/151",
    cites="NCCI Policy Manual ch. I s. V; CMS MUE adjudication indicators (CR 8853)",
    families=(Family.UNITS,),
    variants={
        "line": Variant(),
        "day_policy": Variant(),
        "day_clinical": Variant(certainty=Certainty.ADVISE),
    },
    datasets=("ncci_mue_practitioner", "ncci_mue_hospital", "ncci_mue_dme"),
    params={"divide_spans": 1, "modifiers_excluded": ("55",)},
    evidence={
        "limit": Kind.COUNT,
        "adjudication_indicator": Kind.COUNT,
        "counted": Kind.UNITS,
        "lines_counted": Kind.COUNT,
        "units_of_other_claims": Kind.UNITS,
        **EARLIER_EVIDENCE,
    },
    uses_history=True,
    caveat="[U] Units of a line of several days are divided by its days, rounded to whole units "
    "and counted on its first day (`divide_spans` 0: all of them). [U] Lines with modifier 55 are "
    "left out (`modifiers_excluded`). Lines in minutes are not compared. Some limits are "
    "confidential: no row is no permission. Units of a day count on all paid claims of the "
    "provider; the lines of this claim bear the hit.",
    examples=[
        example(
            "three units where two are published, judged by day",
            line("20610", units=3),
            hit=True,
            hit_lines=(1,),
            variant="day_clinical",
        ),
        example("as many units as are published", line("20610", units=2)),
        example(
            "one on each side, where one a day is the policy",
            line("27447-LT"),
            line("27447-RT"),
            hit=True,
            hit_lines=(1, 2),
            variant="day_policy",
        ),
        example("bilateral as billed is one unit", line("27447-50")),
        example(
            "59 and 76 do not help by day",
            line("27447-59"),
            line("27447-76"),
            hit=True,
            hit_lines=(1, 2),
        ),
        example(
            "two lines below a limit by line",
            line("J7190", units=20_000),
            line("J7190", units=20_000),
        ),
        example(
            "one line above a limit by line, the other not",
            line("J7190", units=20_000),
            line("J7190", units=22_001),
            hit=True,
            hit_lines=(2,),
            variant="line",
        ),
        example("six units where six are published", line("97110", units=6)),
        example(
            "spread over two lines of a day",
            line("97110", units=4),
            line("97110", units=3),
            hit=True,
            hit_lines=(1, 2),
        ),
        example(
            "the same on two days",
            line("97110", units=4),
            line("97110", units=3, day="2025-10-16"),
        ),
        example(
            "the same by two providers",
            line("97110", units=4),
            line("97110", units=3, npi="1003000126"),
        ),
        example("a limit of 0: any unit is over", line("36416"), hit=True),
        example(
            "six in a hospital, where the table differs", line("36416", units=6), institutional=True
        ),
        example("postoperative care alone is left out", line("27447-55"), line("27447-54")),
        example(
            "twelve units over two days are six a day",
            line("97110", units=12, service_to_date="2025-10-16"),
        ),
        example(
            "fourteen are seven",
            line("97110", units=14, service_to_date="2025-10-16"),
            hit=True,
        ),
        example(
            "a supplier of equipment has limits of its own",
            line("A4253", units=1),
            billing_provider={"taxonomy": "332B00000X"},
        ),
        example("the same strips from a practice", line("A4253", units=1), hit=True),
        example("a code without a published limit", line("J3490", units=50)),
        example(
            "units of an earlier claim of the day count",
            line("97110", units=3),
            earlier=[claim_before(line("97110", units=4))],
            hit=True,
            hit_lines=(1,),
            variant="day_clinical",
        ),
        example(
            "the other knee, billed on a claim of its own",
            line("27447-RT"),
            earlier=[claim_before(line("27447-LT"))],
            hit=True,
            variant="day_policy",
        ),
        example(
            "as many as are published, on two claims",
            line("97110", units=2),
            earlier=[claim_before(line("97110", units=4))],
        ),
        example(
            "an earlier claim of another day",
            line("97110", units=3),
            earlier=[claim_before(line("97110", units=4), day="2025-10-14")],
        ),
        example(
            "an earlier claim of another provider",
            line("97110", units=3),
            earlier=[claim_before(line("97110", units=4), npi="1003000126")],
        ),
        example(
            "two lines of this claim, and each earlier line once",
            line("97110", units=1),
            line("97110", units=1),
            earlier=[claim_before(line("97110", units=4))],
        ),
        example(
            "a limit by line looks at no other claim",
            line("J7190", units=20_000),
            earlier=[claim_before(line("J7190", units=20_000))],
        ),
        example(
            "an earlier claim that this one replaces",
            line("97110", units=6),
            earlier=[claim_before(line("97110", units=4))],
            frequency_code="7",
            payer_claim_control_number="EARLIER-1",
        ),
        example(
            "postoperative care of an earlier claim is left out",
            line("27447-54"),
            earlier=[claim_before(line("27447-55"))],
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, past: Past, params: Params) -> Hits:
    """Units exceed the published limit of the code, of a line or of a day."""
    limit, indicator, not_evaluated = _limits(batch, reference, facts)
    own = batch.lines
    excluded = [code36(text) for text in params.words("modifiers_excluded")]
    judged = (limit >= 0) & ~batch.has_modifier(*excluded) & (own.unit_basis != _MINUTES)
    rows = rows_where(judged)
    by_day = codes_of_sessions(batch, rows, facts.session)
    by_line = indicator[rows] == _BY_LINE
    group = np.where(by_line, rows, by_day)
    divide = batch.of_line(params["divide_spans"]) != 0
    of_line = units_a_day(own.units_milli, own.service_from, own.service_to, divide)
    units = np.bincount(group, of_line[rows], len(limit)).astype(np.int64)
    lines = np.bincount(group, minlength=len(limit))
    more = _units_elsewhere(batch, past, params, rows[~by_line], group[~by_line])
    over = (units + np.maximum(more.units, 0))[group] > limit[rows] * _UNIT_MILLI
    return Hits.on_groups(
        batch,
        rows[over],
        group[over],
        variant=indicator - _BY_LINE,
        # A group bears the number of its first line, and that line's evidence is shown.
        evidence={
            "limit": limit,
            "adjudication_indicator": indicator,
            "counted": units + np.maximum(more.units, 0),
            "lines_counted": lines + more.lines,
            "units_of_other_claims": more.units,
            **named(past, more.first),
        },
        not_evaluated=not_evaluated,
        evaluated=judged,
    )


class _Elsewhere(NamedTuple):
    """What other claims billed of the code, day and provider of each group; shapes (lines,)."""

    units: Ints
    """In thousandths; -1 where there is nothing."""
    lines: Ints
    first: Ints
    """Row of the first of these lines in `Past.lines`; -1 for none."""


def _units_elsewhere(
    batch: Batch, past: Past, params: Params, rows: Ints, group: Ints
) -> _Elsewhere:
    """Count paid lines of other claims, each once for every group of lines of the pass."""
    count = len(batch.lines)
    none = np.full(count, -1, np.int64)
    seen = past.pairs_of_day(batch, rows)
    seen = seen.where(batch.lines.procedure[seen.line] == past.lines.procedure[seen.earlier])
    if not len(seen):
        return _Elsewhere(none, np.zeros(count, np.int64), none)
    seen = past.counted(seen)
    seen = seen.where(past.same_provider(batch, seen) & past.outpatient(seen))
    other = past.lines
    excluded = [code36(text) for text in params.words("modifiers_excluded")]
    left_out = np.isin(other.modifiers[seen.earlier], excluded).any(axis=1)
    seen = seen.where(~left_out & (other.unit_basis[seen.earlier] != _MINUTES))
    of_line = np.full(count, -1, np.int64)
    of_line[rows] = group
    key = distinct_values(of_line[seen.line] * len(past) + seen.earlier)
    at, earlier = key // len(past), key % len(past)
    divide = params["divide_spans"][batch.lines.claim[at]] != 0
    each = units_a_day(
        other.units_milli[earlier], other.service_from[earlier], other.service_to[earlier], divide
    )
    lines = np.bincount(at, minlength=count)
    units = np.where(lines > 0, np.bincount(at, each, count).astype(np.int64), -1)
    return _Elsewhere(units, lines, first_of_lines(at, earlier, count))


def _limits(
    batch: Batch, reference: Reference, facts: Facts
) -> tuple[Ints, Ints, tuple[NotEvaluated, ...]]:
    """Published limit of each line, -1 where there is none, and its adjudication indicator."""
    code, day = facts.distinct_code, batch.lines.service_from
    by_setting = (
        (reference.mue_practitioner, (SETTING_PRACTITIONER,)),
        (reference.mue_hospital, (SETTING_HOSPITAL,)),
        (reference.mue_dme, (SETTING_DME,)),
    )
    lines = served(batch, facts, by_setting)
    limit, indicator = np.full((2, len(code)), -1, np.int64)
    for (table, _), mask in zip(by_setting, lines.by_table, strict=True):
        asked = rows_where(mask)
        row = table.rows_of_lines(facts.distinct_codes, code[asked], day[asked])
        limit[asked] = np.where(row >= 0, table.limit[row], -1)
        indicator[asked] = table.mai[row]
    return limit, indicator, lines.not_evaluated


def units_a_day(units_milli: Ints, first: Dates, last: Dates, divide: Bools) -> Ints:
    """Return the units on each line's first day, in thousandths.

    Args:
        units_milli: Units of the lines, in thousandths.
        first: Their first days.
        last: Their last days.
        divide: Lines whose units are divided by their days.
    """
    days = np.maximum((last - first).astype(np.int64) + 1, 1)
    whole = (2 * units_milli + _UNIT_MILLI * days) // (2 * _UNIT_MILLI * days) * _UNIT_MILLI
    return np.where(divide & (days > 1), whole, units_milli)
