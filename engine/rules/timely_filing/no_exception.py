"""Claims that came too late as a whole, without a word of excuse."""

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
    example,
    line,
    rule,
)
from engine.rules.timely_filing.window import WINDOW_PARAMS, excuse_given, windows

_WHOLE_E2: Final = 100


@rule(
    id="TIMELY_FILING_NO_EXCEPTION",
    category=Category.TIMELY_FILING,
    scope=Scope.CLAIM,
    severity=Severity.CRITICAL,
    weight=0.20,
    action=Action.DENY_CLAIM,
    certainty=Certainty.APPLY,
    families=(Family.TIMELY_FILING,),
    prevails=True,
    carc="29",
    cites="42 CFR 424.44(b)",
    params=WINDOW_PARAMS,
    evidence={"deadline": Kind.DATE, "received": Kind.DATE, "days_late": Kind.COUNT},
    caveat="The deadline named is the latest of the lines.",
    examples=[
        example(
            "14 months after the service",
            line("99213"),
            line("85025"),
            day="2024-01-10",
            received="2025-03-10",
            hit=True,
            hit_lines=(),
        ),
        example(
            "one line of two is late",
            line("99213", day="2024-01-10"),
            line("99213", day="2024-01-16"),
            received="2025-01-13",
        ),
        example(
            "a delay reason is given",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            delay_reason_code=8,
        ),
        example(
            "a reason is given, good or bad",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            timely_filing_exception="provider_vacation",
        ),
        example("on the deadline", line("99213"), day="2024-01-10", received="2025-01-10"),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """Every line of a claim is late, and neither an exception nor a delay reason is given."""
    claims = batch.claims
    found = windows(batch, params, np.full(len(claims), _WHOLE_E2))
    late = np.zeros(len(batch.lines), np.bool_)
    late[found.line[found.late]] = True
    deadline = np.zeros(len(claims), np.int64)
    np.maximum.at(deadline, batch.lines.claim[found.line], found.deadline.astype(np.int64))
    last = deadline.astype("datetime64[D]")
    return Hits.on_claims(
        batch.all_lines(late) & ~excuse_given(batch),
        evidence={
            "deadline": last,
            "received": claims.received_date,
            "days_late": (claims.received_date - last).astype(np.int64),
        },
    )
