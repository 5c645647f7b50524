"""Services that a coverage policy holds for investigational."""

import numpy as np

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.coverage.policies import (
    CAVEAT,
    EVIDENCE,
    NAMES,
    is_prevailing,
    policies_of_lines,
    policy_evidence,
)
from engine.rules.listed import gap_of
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


@rule(
    id="LCD_EXPERIMENTAL",
    category=Category.COVERAGE,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="55",
    cites="Medicare Program Integrity Manual ch. 13; Social Security Act 1862(a)(1)(A)",
    families=(Family.EXPERIMENTAL,),
    datasets=("coverage_policies",),
    evidence=EVIDENCE,
    names=NAMES,
    caveat=f"{CAVEAT} One policy that holds the service for investigational is enough.",
    examples=[
        example(
            "held for investigational",
            line("0398T"),
            line("99213"),
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "the day before the policy takes effect",
            line("0398T"),
            day="2024-12-31",
            received="2025-01-05",
        ),
        example(
            "another contractor's policy",
            line("0398T"),
            billing_provider={"npi": "1234567893", "entity_type": 2, "zip": "02101"},
        ),
        example(
            "before the national policy",
            line("0501T"),
            day="2025-06-30",
            received="2025-07-05",
            hit=True,
        ),
        example("a national policy that covers it wins", line("0501T"), day="2025-07-01"),
        example("a policy that does not say so", line("83090"), dx=("I509",)),
        example("a category III code without a policy", line("0042T")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A policy in force for the line marks the code as investigational."""
    policies = policies_of_lines(batch, reference, facts)
    gaps = (*gap_of(reference.listing("coverage_policies")), *policies.not_evaluated)
    found, count = policies.found, len(batch.lines)
    if not len(found):
        return Hits.none(*gaps)
    prevails = is_prevailing(found, np.ones(len(found), np.bool_), count)
    marked = found.where(prevails & found["investigational"])
    return Hits.on_lines(
        batch,
        marked.found(count),
        evidence=policy_evidence(marked, count),
        not_evaluated=gaps,
        evaluated=found.found(count),
    )
