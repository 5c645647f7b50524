"""Lines that came after their filing deadline."""

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
from engine.rules.timely_filing.window import EXCUSE_PARAMS, WINDOW_PARAMS, excuse_accepted, windows

_WHOLE_E2: Final = 100


@rule(
    id="TIMELY_FILING_LATE",
    category=Category.TIMELY_FILING,
    scope=Scope.LINE,
    severity=Severity.CRITICAL,
    weight=0.22,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    families=(Family.TIMELY_FILING,),
    carc="29",
    cites="42 CFR 424.44; Medicare Claims Processing Manual ch. 1 s. 70",
    params={**WINDOW_PARAMS, **EXCUSE_PARAMS},
    evidence={
        "start": Kind.DATE,
        "deadline": Kind.DATE,
        "received": Kind.DATE,
        "days_late": Kind.COUNT,
    },
    caveat=(
        "Which delay reason codes a payer accepts is unverified (parameters). A reason on the list "
        "keeps the line from being denied here; whether it is documented is judged by "
        "TIMELY_FILING_INVALID_EXCEPTION. Days are not rolled where a payer counts days. The "
        "day of receipt is the payer's, not the postmark."
    ),
    examples=[
        example(
            "three days after a Friday deadline",
            line("99213"),
            day="2024-01-10",
            received="2025-01-13",
            hit=True,
            hit_lines=(1,),
        ),
        example("on the deadline", line("99213"), day="2024-01-10", received="2025-01-10"),
        example(
            "29 February has 28 February", line("99213"), day="2024-02-29", received="2025-02-28"
        ),
        example(
            "29 February, one business day later",
            line("99213"),
            day="2024-02-29",
            received="2025-03-03",
            hit=True,
        ),
        example(
            "a deadline on a Saturday rolls to Monday",
            line("99213"),
            day="2024-01-13",
            received="2025-01-13",
        ),
        example(
            "a deadline on a Sunday before a holiday rolls to Tuesday",
            line("99213"),
            day="2024-01-19",
            received="2025-01-21",
        ),
        example(
            "only the late line of two",
            line("99213", day="2024-01-10"),
            line("99213", day="2024-01-16"),
            received="2025-01-13",
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "a facility counts from the last day of the statement",
            line("99213", day="2024-01-10"),
            institutional=True,
            day="2024-01-10",
            service_to_date="2024-01-13",
            received="2025-01-13",
        ),
        example(
            "days of a commercial payer do not roll",
            line("99213"),
            day="2024-01-13",
            received="2025-01-13",
            line_of_business=4,
            hit=True,
        ),
        example(
            "day 365 of a commercial payer",
            line("99213"),
            day="2024-01-13",
            received="2025-01-12",
            line_of_business=4,
        ),
        example(
            "a correction within the payer's own window for these",
            line("99213"),
            day="2024-01-10",
            received="2025-03-10",
            frequency_code="7",
            payer_claim_control_number="FIRST",
            params={"corrected_days": 540},
        ),
        example(
            "a correction beyond it",
            line("99213"),
            day="2024-01-10",
            received="2024-08-01",
            frequency_code="7",
            payer_claim_control_number="FIRST",
            params={"corrected_days": 180},
            hit=True,
        ),
        example(
            "an original is not measured by it",
            line("99213"),
            day="2024-01-10",
            received="2024-08-01",
            params={"corrected_days": 180},
        ),
        example(
            "a reason that is on the list",
            line("99213"),
            day="2024-01-10",
            received="2025-06-02",
            timely_filing_exception="retroactive_entitlement",
        ),
        example(
            "a reason that is not",
            line("99213"),
            day="2024-01-10",
            received="2025-06-02",
            timely_filing_exception="provider_vacation",
            hit=True,
        ),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """A line was received after its filing deadline, and no accepted reason is given."""
    found = windows(batch, params, np.full(len(batch.claims), _WHOLE_E2))
    accepted = excuse_accepted(batch, params)[batch.lines.claim[found.line]]
    late = found.take(found.late & ~accepted)
    return Hits(
        claim=batch.lines.claim[late.line],
        line_hit=np.arange(len(late.line)),
        line=late.line,
        evidence={
            "start": late.start,
            "deadline": late.deadline,
            "received": late.received,
            "days_late": (late.received - late.deadline).astype(np.int64),
        },
    )
