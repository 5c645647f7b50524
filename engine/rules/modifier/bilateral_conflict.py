"""Both sides of the body, said twice."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Ints, rows_where
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.pairs import codes_of_sessions, pairs_within
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    Scope,
    Severity,
    example,
    line,
    rule,
)

_BOTH_SIDES: Final = code36("50")
_SIDES: Final = (code36("LT"), code36("RT"))
_ASSISTANT: Final = tuple(map(code36, ("80", "81", "82", "AS")))
_UNITS_MIN_MILLI: Final = 2000


@rule(
    id="MODIFIER_BILATERAL_CONFLICT",
    category=Category.MODIFIER,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="4",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.7",
    families=(Family.BILATERAL,),
    datasets=("mpfs",),
    evidence={
        "conflict": Kind.NAME,
        "bilateral_indicator": Kind.COUNT,
        "units": Kind.UNITS,
    },
    names={
        "conflict": ("none", "50 with LT or RT", "50 with two units or more", "50 and another line")
    },
    caveat="A second line counts if it is by the same provider, of the same component (26, TC) and "
    "of the same role: an assistant's line repeats the surgeon's 50.",
    examples=[
        example("50 and one side on a line", line("20610-50-RT"), hit=True, hit_lines=(1,)),
        example("50 and one unit", line("20610-50")),
        example("each side on a line of its own", line("20610-LT"), line("20610-RT")),
        example("50 and two units", line("20610-50", units=2), hit=True),
        example("two units without 50", line("20610", units=2)),
        example(
            "a side beside the line with 50",
            line("20610-50"),
            line("20610-LT"),
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "50 and both sides",
            line("20610-50"),
            line("20610-LT"),
            line("20610-RT"),
            hit=True,
            hit_lines=(1,),
        ),
        example("50 twice", line("20610-50"), line("20610-50-76"), hit=True, hit_lines=(1, 2)),
        example(
            "50 beside the same code on another day",
            line("20610-50"),
            line("20610-LT", day="2025-10-16"),
        ),
        example("50 beside another code", line("20610-50"), line("20605-LT")),
        example("the assistant's line repeats the 50", line("27447-50"), line("27447-50-AS")),
        example("both components, each with 50", line("73030-50-26"), line("73030-50-TC")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A line with 50 also has a side, two units, or another line of its code that day."""
    both = batch.has_modifier(_BOTH_SIDES)
    rows = rows_where(both)
    sided = batch.has_modifier(*_SIDES)
    units = batch.lines.units_milli
    line, partner = _other_lines(batch, facts, rows)
    beside = np.bincount(line, minlength=len(both)) > 0
    conflict = np.select([sided, units >= _UNITS_MIN_MILLI, beside], [1, 2, 3], 0) * both
    return Hits.on_groups(
        batch,
        rows_where(conflict),
        rows_where(conflict),
        partner=(partner, line),
        evidence={
            "conflict": conflict,
            "bilateral_indicator": reference.mpfs.bilateral[facts.mpfs_code],
            "units": units,
        },
    )


def _other_lines(batch: Batch, facts: Facts, rows: Ints) -> tuple[Ints, Ints]:
    """Pairs of a line with 50 and another line of the same code, session, component and role."""
    claims = np.bincount(batch.lines.claim[rows], minlength=len(batch.claims)) > 0
    candidates = rows_where(batch.of_line(claims) & (batch.lines.procedure > 0))
    group = np.zeros(len(batch.lines), np.int64)
    group[candidates] = codes_of_sessions(batch, candidates, facts.session)
    line, partner = pairs_within(group, rows[batch.lines.procedure[rows] > 0], candidates)
    assistant = batch.has_modifier(*_ASSISTANT)
    same: Bools = (facts.component[line] == facts.component[partner]) & (
        assistant[line] == assistant[partner]
    )
    return line[same], partner[same]
