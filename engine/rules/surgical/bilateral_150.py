"""Both sides billed of a service whose price already holds both."""

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Scope,
    Severity,
    example,
    line,
    rule,
)
from engine.rules.surgical.sides import SIDES_EVIDENCE, SIDES_NAMES, find_sides

_HOLDS_BOTH = 2


@rule(
    id="SURGICAL_BILATERAL_150",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.INFO,
    certainty=Certainty.APPLY,
    carc="45",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.7; MPFS bilateral surgery indicator 2",
    families=(Family.BILATERAL,),
    datasets=("mpfs",),
    evidence=SIDES_EVIDENCE,
    names=SIDES_NAMES,
    examples=[
        example("50 on a code that holds both sides", line("69210-50"), hit=True, hit_lines=(1,)),
        example(
            "the same as two lines", line("69210-LT"), line("69210-RT"), hit=True, hit_lines=(1, 2)
        ),
        example("one side", line("69210-LT")),
        example("two units are no two sides", line("69210", units=2)),
        example("each side paid in full", line("73030-50")),
        example("150 % is meant to be paid", line("20610-50")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A code whose price holds both sides (2) is billed with 50, or with LT and RT on one day."""
    return find_sides(batch, reference, facts, _HOLDS_BOTH)
