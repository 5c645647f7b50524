"""Lines that come near their filing deadline."""

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
from engine.rules.timely_filing.window import WINDOW_PARAMS, windows


@rule(
    id="TIMELY_FILING_WARNING",
    category=Category.TIMELY_FILING,
    scope=Scope.LINE,
    severity=Severity.LOW,
    weight=0.05,
    action=Action.INFO,
    certainty=Certainty.ADVISE,
    families=(Family.TIMELY_FILING,),
    cites="42 CFR 424.44; Medicare Claims Processing Manual ch. 1 s. 70",
    params={**WINDOW_PARAMS, "share_e2": 90},
    evidence={
        "start": Kind.DATE,
        "deadline": Kind.DATE,
        "elapsed_days": Kind.COUNT,
        "window_days": Kind.COUNT,
    },
    caveat="The share counts to the deadline before it rolls to a business day.",
    examples=[
        example(
            "day 340 of 365",
            line("99213"),
            day="2024-03-01",
            received="2025-02-04",
            hit=True,
            hit_lines=(1,),
        ),
        example("day 300 of 365", line("99213"), day="2024-03-01", received="2024-12-26"),
        example(
            "day 329 is more than nine tenths",
            line("99213"),
            day="2024-03-01",
            received="2025-01-24",
            hit=True,
        ),
        example("day 328 is not", line("99213"), day="2024-03-01", received="2025-01-23"),
        example(
            "day 330 of the 366 of a leap year",
            line("99213"),
            day="2024-02-01",
            received="2024-12-27",
            hit=True,
        ),
        example("day 329 of them", line("99213"), day="2024-02-01", received="2024-12-26"),
        example(
            "on the deadline", line("99213"), day="2024-01-10", received="2025-01-10", hit=True
        ),
        example(
            "a late line is another rule's", line("99213"), day="2024-01-10", received="2025-01-13"
        ),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """More than a share of a line's filing window has passed, and the line is not late."""
    share_e2 = params["share_e2"]
    found = windows(batch, params, share_e2)
    share = share_e2[batch.lines.claim[found.line]]
    near = found.take((found.elapsed_days * 100 > found.length_days * share) & ~found.late)
    return Hits(
        claim=batch.lines.claim[near.line],
        line_hit=np.arange(len(near.line)),
        line=near.line,
        evidence={
            "start": near.start,
            "deadline": near.deadline,
            "elapsed_days": near.elapsed_days,
            "window_days": near.length_days,
        },
    )
