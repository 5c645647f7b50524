"""Both sides billed of a service that is paid once."""

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

_PAID_ONCE = 0


@rule(
    id="SURGICAL_BILATERAL_NOT_ALLOWED",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="4",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.7; MPFS bilateral surgery indicator 0",
    families=(Family.BILATERAL,),
    datasets=("mpfs",),
    evidence=SIDES_EVIDENCE,
    names=SIDES_NAMES,
    examples=[
        example("50 on a code that is paid once", line("11042-50"), hit=True, hit_lines=(1,)),
        example(
            "the same as two lines", line("11042-LT"), line("11042-RT"), hit=True, hit_lines=(1, 2)
        ),
        example("both sides on one line", line("11042-LT-RT"), hit=True),
        example("one side", line("11042-LT")),
        example("the same side twice", line("11042-LT"), line("11042-LT-59")),
        example(
            "the other side on another day", line("11042-LT"), line("11042-RT", day="2025-10-16")
        ),
        example("two units are no two sides", line("11042", units=2)),
        example("a visit has no sides", line("99213-50"), hit=True),
        example("50 where both sides are paid", line("20610-50")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A code that is paid once (0) is billed with 50, or with LT and RT on one day."""
    return find_sides(batch, reference, facts, _PAID_ONCE)
