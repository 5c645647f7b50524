"""An assistant at a surgery that does not pay one."""

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Scope,
    Severity,
    example,
    line,
    rule,
)
from engine.rules.surgical.roles import ASSISTANT, ROLE_EVIDENCE, ROLE_VARIANTS, find_role


@rule(
    id="SURGICAL_ASSISTANT_NOT_ALLOWED",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.13,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="54",
    cites="Medicare Claims Processing Manual ch. 12 s. 20.4.3; MPFS assistant at surgery indicator",
    variants=ROLE_VARIANTS,
    datasets=("mpfs",),
    evidence=ROLE_EVIDENCE,
    caveat="Indicator 9 is MODIFIER_INVALID's.",
    examples=[
        example(
            "indicator 1: never paid",
            line("64721-80"),
            hit=True,
            hit_lines=(1,),
            variant="never_paid",
        ),
        example(
            "the same by an assistant who is no physician",
            line("64721-AS"),
            hit=True,
            variant="never_paid",
        ),
        example(
            "indicator 0: paid with records, none announced",
            line("29881-80"),
            hit=True,
            variant="needs_records",
        ),
        example(
            "indicator 0 with records on the line",
            line("29881-80", has_documentation=True),
            hit=True,
            variant="documented",
        ),
        example(
            "indicator 0 with records on the claim",
            line("29881-82"),
            has_documentation=True,
            hit=True,
            variant="documented",
        ),
        example(
            "records do not help where it is never paid",
            line("64721-81", has_documentation=True),
            hit=True,
            variant="never_paid",
        ),
        example("indicator 2: paid", line("27447-80")),
        example("the surgeon's own line", line("64721")),
        example("indicator 9 is another rule's", line("36415-80")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A line bills an assistant where the code never pays one (1) or with records only (0)."""
    return find_role(batch, facts, ASSISTANT, reference.mpfs.assistant)
