"""Dental codes on medical claims."""

from typing import Final

import numpy as np

from engine.codes import ABSENT, code36
from engine.columns import Batch, rows_where
from engine.rules.format.patterns import DENTAL, matches
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    example,
    line,
    rule,
)

_FIRST: Final = code36("D0000")
_LAST: Final = code36("D9999")


@rule(
    id="SPECIALTY_DENTAL_ON_MEDICAL",
    category=Category.SPECIALTY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="109/96",
    cites="Social Security Act s. 1862(a)(12)",
    evidence={"code": Kind.CODE},
    caveat=(
        "A medical plan with dental benefits switches the rule off. Whether an accident is the "
        "cause of the dental service is taken from the claim."
    ),
    examples=[
        example("an oral evaluation", line("D0150"), hit=True, hit_lines=(1,)),
        example("only the dental line", line("99213"), line("D0150"), hit=True, hit_lines=(2,)),
        example("on a facility bill", line("D0150"), institutional=True, hit=True),
        example("a surgical code of the mouth", line("41899")),
        example("dental care after an accident", line("D0150"), accident_type="OA"),
    ],
)
def find(batch: Batch) -> Hits:
    """A line of a medical claim has a dental code, and no accident is named as the cause."""
    code = batch.lines.procedure
    near = rows_where((code >= _FIRST) & (code <= _LAST))
    dental = np.zeros(len(code), np.bool_)
    dental[near] = matches(code[near], DENTAL)
    accident = batch.of_line(batch.claims.accident_type) != ABSENT
    return Hits.on_lines(batch, dental & ~accident, evidence={"code": code})
