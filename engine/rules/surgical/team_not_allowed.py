"""A team of surgeons at a surgery that does not pay one."""

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
from engine.rules.surgical.roles import ROLE_EVIDENCE, ROLE_VARIANTS, TEAM, find_role


@rule(
    id="SURGICAL_TEAM_NOT_ALLOWED",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.13,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="54",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.8; MPFS team surgery indicator",
    variants=ROLE_VARIANTS,
    datasets=("mpfs",),
    evidence=ROLE_EVIDENCE,
    caveat="Indicator 9 is MODIFIER_INVALID's.",
    examples=[
        example(
            "indicator 0: never paid",
            line("27447-66"),
            hit=True,
            hit_lines=(1,),
            variant="never_paid",
        ),
        example(
            "indicator 2: by report, none announced",
            line("32851-66"),
            hit=True,
            variant="needs_records",
        ),
        example(
            "indicator 2 with the report",
            line("32851-66", has_documentation=True),
            hit=True,
            variant="documented",
        ),
        example("a single surgeon", line("27447")),
        example("indicator 9 is another rule's", line("36415-66")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A line bills a surgical team where the code never pays one (0) or by report only (1, 2)."""
    return find_role(batch, facts, TEAM, reference.mpfs.team)
