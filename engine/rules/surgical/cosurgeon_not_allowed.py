"""Two surgeons at a surgery that pays one."""

from dataclasses import replace
from typing import Final

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    NotEvaluated,
    Scope,
    Severity,
    example,
    line,
    rule,
)
from engine.rules.surgical.roles import CO_SURGEON, ROLE_EVIDENCE, ROLE_VARIANTS, find_role

_TWO_SPECIALTIES: Final = 2


@rule(
    id="SURGICAL_COSURGEON_NOT_ALLOWED",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.13,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="54",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.8; MPFS co-surgeon indicator",
    variants=ROLE_VARIANTS,
    datasets=("mpfs",),
    evidence=ROLE_EVIDENCE,
    caveat="Indicator 2 asks for two specialties: the other surgeon's claim is not compared. "
    "Indicator 9 is MODIFIER_INVALID's.",
    examples=[
        example(
            "indicator 0: never paid",
            line("29881-62"),
            hit=True,
            hit_lines=(1,),
            variant="never_paid",
        ),
        example(
            "indicator 1: paid with records, none announced",
            line("27447-62"),
            hit=True,
            variant="needs_records",
        ),
        example(
            "indicator 1 with records on the line",
            line("27447-62", has_documentation=True),
            hit=True,
            variant="documented",
        ),
        example("indicator 2: paid to two specialties, not evaluated here", line("63030-62")),
        example("a single surgeon", line("29881")),
        example("indicator 9 is another rule's", line("36415-62")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A line bills a co-surgeon where the code never pays two (0) or with records only (1)."""
    indicator = reference.mpfs.co_surgeon
    hits = find_role(batch, facts, CO_SURGEON, indicator)
    billed = batch.professional & batch.has_modifier(*CO_SURGEON.modifiers)
    of_two = billed & (indicator[facts.mpfs_code] == _TWO_SPECIALTIES)
    gap = NotEvaluated("no_partner_claim", of_two)
    return replace(hits, not_evaluated=(*hits.not_evaluated, gap))
