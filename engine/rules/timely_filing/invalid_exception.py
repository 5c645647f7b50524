"""Late claims whose excuse is not accepted, or not shown."""

from typing import Final

import numpy as np

from engine.columns import Batch
from engine.policy import Params
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
from engine.rules.timely_filing.window import (
    EXCUSE_PARAMS,
    WINDOW_PARAMS,
    excuse_accepted,
    excuse_given,
    windows,
)

_NOT_LISTED, _NO_EVIDENCE = 0, 1
_WHOLE_E2: Final = 100


@rule(
    id="TIMELY_FILING_INVALID_EXCEPTION",
    category=Category.TIMELY_FILING,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.18,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    variants={"not_listed": Variant(), "no_evidence": Variant()},
    families=(Family.TIMELY_FILING,),
    carc="29",
    cites="42 CFR 424.44(b); Medicare Claims Processing Manual ch. 1 s. 70.7",
    params={**WINDOW_PARAMS, **EXCUSE_PARAMS},
    evidence={"received": Kind.DATE, "late_lines": Kind.COUNT, "delay_reason": Kind.COUNT},
    caveat=(
        "Evidence is any documentation with the claim: which notice it is, a person sees. Which "
        "delay reason codes a payer accepts is unverified (parameters)."
    ),
    examples=[
        example(
            "a vacation",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            timely_filing_exception="provider_vacation",
            hit=True,
            hit_lines=(),
            variant="not_listed",
        ),
        example(
            "retroactive eligibility with its notice",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            timely_filing_exception="retroactive_eligibility",
            has_documentation=True,
        ),
        example(
            "retroactive eligibility without it",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            timely_filing_exception="Retroactive Eligibility",
            hit=True,
            variant="no_evidence",
        ),
        example(
            "a delay in eligibility determination with its notice",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            delay_reason_code=8,
            has_documentation=True,
        ),
        example(
            "litigation is none of Medicare's grounds",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            delay_reason_code=2,
            hit=True,
            variant="not_listed",
        ),
        example(
            "a delay of the first payer counts for a commercial one",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            timely_filing_exception="cob_delay",
            has_documentation=True,
            line_of_business=4,
        ),
        example(
            "the same excuse for Medicare",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            timely_filing_exception="cob_delay",
            has_documentation=True,
            hit=True,
        ),
        example(
            "in time, whatever is said",
            line("99213"),
            timely_filing_exception="provider_vacation",
        ),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """A claim has late lines, and the reason given is not on the payer's list or not documented."""
    claims = batch.claims
    found = windows(batch, params, np.full(len(claims), _WHOLE_E2))
    late_lines = np.bincount(batch.lines.claim[found.line[found.late]], minlength=len(claims))
    accepted = excuse_accepted(batch, params)
    return Hits.on_claims(
        (late_lines > 0) & excuse_given(batch) & ~(accepted & claims.has_documentation),
        variant=np.where(accepted, _NO_EVIDENCE, _NOT_LISTED),
        evidence={
            "received": claims.received_date,
            "late_lines": late_lines,
            "delay_reason": claims.delay_reason,
        },
    )
