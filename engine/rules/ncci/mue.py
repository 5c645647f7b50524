"""More units than the same patient can need, on one line or on one day."""

from collections.abc import Sequence

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Ints
from engine.facts import SETTING_DME, SETTING_HOSPITAL, SETTING_PRACTITIONER, Facts
from engine.policy import Params
from engine.reference import Reference
from engine.rules.ncci.served import served
from engine.rules.pairs import codes_of_sessions
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)
from engine.tables.ncci import UnitLimits

_BY_LINE, _CLINICAL = 1, 3
_MINUTES = code36("MJ")
_UNIT_MILLI = 1000
_DIVIDE_SPANS = 1
_MODIFIERS_EXCLUDED = ("55",)


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
    params={"divide_spans": _DIVIDE_SPANS, "modifiers_excluded": _MODIFIERS_EXCLUDED},
    evidence={
        "limit": Kind.COUNT,
        "adjudication_indicator": Kind.COUNT,
        "counted": Kind.UNITS,
        "lines_counted": Kind.COUNT,
    },
    uses_history=True,
    caveat="[U] Units of a line of several days are divided by its days, rounded to whole units "
    "and counted on its first day (`divide_spans` 0: all of them). [U] Lines with modifier 55 are "
    "left out (`modifiers_excluded`). Lines in minutes are not compared. Some limits are "
    "confidential: no row is no permission.",
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
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, params: Params) -> Hits:
    """Units exceed the published limit of the code, of a line or of a day."""
    lines = served(batch, facts, _tables(reference))
    limit, indicator = _limits(batch, reference, facts, np.flatnonzero(lines.any))
    judged = (limit >= 0) & _comparable(batch, params.words("modifiers_excluded"))
    divided = batch.of_line(params["divide_spans"]) != 0
    rows = np.flatnonzero(judged)
    group, units = _counted(batch, facts, indicator, divided, rows)
    over = units[group] > limit[rows] * _UNIT_MILLI
    return Hits.on_groups(
        batch,
        rows[over],
        group[over],
        variant=indicator - _BY_LINE,
        # A group bears the number of its first line, and that line's evidence is shown.
        evidence={
            "limit": limit,
            "adjudication_indicator": indicator,
            "counted": units,
            "lines_counted": np.bincount(group, minlength=len(limit)),
        },
        not_evaluated=lines.not_evaluated,
        evaluated=judged,
    )


def denied(batch: Batch, reference: Reference, facts: Facts, lines: Ints) -> Bools:
    """Return a mask over all lines: those that limits deny for certain, in the sessions of some.

    Clinical limits deny nothing for certain. The rule's own parameters hold, whatever a policy
    makes of them.
    """
    mask = np.zeros(len(batch.lines), np.bool_)
    if not len(lines):
        return mask
    rows = np.flatnonzero(np.isin(facts.session, facts.session[lines]))
    limit, indicator = _limits(batch, reference, facts, rows)
    judged = (limit >= 0) & (indicator != _CLINICAL) & _comparable(batch, _MODIFIERS_EXCLUDED)
    rows = rows[judged[rows]]
    group, units = _counted(batch, facts, indicator, np.full(len(mask), _DIVIDE_SPANS != 0), rows)
    mask[rows[units[group] > limit[rows] * _UNIT_MILLI]] = True
    return mask


def _tables(reference: Reference) -> tuple[tuple[UnitLimits, tuple[int, ...]], ...]:
    """The tables of limits, each with the settings that it is for."""
    return (
        (reference.mue_practitioner, (SETTING_PRACTITIONER,)),
        (reference.mue_hospital, (SETTING_HOSPITAL,)),
        (reference.mue_dme, (SETTING_DME,)),
    )


def _limits(batch: Batch, reference: Reference, facts: Facts, rows: Ints) -> tuple[Ints, Ints]:
    """Published limit and adjudication indicator of some lines; -1 where there is none."""
    code, day = batch.lines.procedure, batch.lines.service_from
    limit, indicator = np.full((2, len(code)), -1, np.int64)
    for table, settings in _tables(reference):
        asked = rows[np.isin(facts.setting[rows], settings)]
        row = table.rows(code[asked], day[asked])
        limit[asked] = np.where(row >= 0, table.limit[row], -1)
        indicator[asked] = table.mai[row]
    return limit, indicator


def _comparable(batch: Batch, excluded: Sequence[str]) -> Bools:
    """Lines whose units are units of service and count."""
    return ~batch.has_modifier(*map(code36, excluded)) & (batch.lines.unit_basis != _MINUTES)


def _counted(
    batch: Batch, facts: Facts, indicator: Ints, divided: Bools, rows: Ints
) -> tuple[Ints, Ints]:
    """What each of some lines is counted with, and by the number of that group its units.

    A limit by line counts its line alone, a limit by day the lines of the code in the session.
    """
    by_day = codes_of_sessions(batch, rows, facts.session)
    group = np.where(indicator[rows] == _BY_LINE, rows, by_day)
    units = np.bincount(group, _units_milli(batch, divided)[rows], len(indicator))
    return group, units.astype(np.int64)


def _units_milli(batch: Batch, divided: Bools) -> Ints:
    """Units on the line's first day, in thousandths; those of a span divided by its days."""
    lines = batch.lines
    days = np.maximum((lines.service_to - lines.service_from).astype(np.int64) + 1, 1)
    whole = (2 * lines.units_milli + _UNIT_MILLI * days) // (2 * _UNIT_MILLI * days) * _UNIT_MILLI
    return np.where((days > 1) & divided, whole, lines.units_milli)
