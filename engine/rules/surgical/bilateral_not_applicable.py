"""Both sides billed of a service that has none."""

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
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
from engine.rules.surgical.roles import without_indicator
from engine.rules.surgical.sides import BOTH_SIDES

_NOT_APPLICABLE = 9


@rule(
    id="SURGICAL_BILATERAL_NOT_APPLICABLE",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="4",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.7; MPFS bilateral surgery indicator 9",
    families=(Family.BILATERAL,),
    datasets=("mpfs",),
    evidence={"bilateral_indicator": Kind.COUNT},
    examples=[
        example("50 on a code without sides", line("36415-50"), hit=True, hit_lines=(1,)),
        example("50 on a visit: indicator 0 is another rule's", line("99213-50")),
        example("the code alone", line("36415")),
        example("a code that the fee schedule does not know: not evaluated", line("99999-50")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A code to which the concept of sides does not apply (9) is billed with 50."""
    indicator = reference.mpfs.bilateral[facts.mpfs_code]
    billed = batch.professional & (batch.lines.procedure > 0) & batch.has_modifier(BOTH_SIDES)
    return Hits.on_lines(
        batch,
        billed & (facts.mpfs_code >= 0) & (indicator == _NOT_APPLICABLE),
        evidence={"bilateral_indicator": indicator},
        not_evaluated=without_indicator(facts, billed),
    )
