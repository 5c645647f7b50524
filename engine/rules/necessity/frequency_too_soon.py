"""Services that are given again before their time."""

import numpy as np

from engine.columns import Batch, rows_where
from engine.facts import Facts
from engine.past import Past
from engine.reference import Reference
from engine.rules.listed import gap_of
from engine.rules.necessity.frequency import (
    full_months,
    last_before,
    limits_of_lines,
    services_before,
)
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)

_DAYS, _MONTHS = range(2)


@rule(
    id="NECESSITY_FREQUENCY_TOO_SOON",
    category=Category.NECESSITY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    variants={"days": Variant(), "months": Variant()},
    carc="151",
    cites="Frequency rules of coverage determinations and plans; 42 CFR 410",
    datasets=("frequency_limits",),
    evidence={
        "code_group": Kind.TEXT,
        "last_date": Kind.DATE,
        "days_since": Kind.COUNT,
        "days_min": Kind.COUNT,
        "full_months": Kind.COUNT,
        "months_min": Kind.COUNT,
        "earlier_claim": Kind.EARLIER_CLAIM,
    },
    uses_history=True,
    caveat="[U] Full months are the calendar months between that of the last service and that of "
    "this one: eleven full months after a service in March end with February.",
    examples=[
        example(
            "60 days after the last, where 90 are asked for",
            line("G0121"),
            earlier=[claim_before(line("G0121", day="2025-08-16"))],
            hit=True,
            hit_lines=(1,),
            variant="days",
        ),
        example(
            "90 days after the last",
            line("G0121"),
            earlier=[claim_before(line("G0121", day="2025-07-17"))],
        ),
        example(
            "89 days",
            line("G0121"),
            earlier=[claim_before(line("G0121", day="2025-07-18"))],
            hit=True,
        ),
        example(
            "the last one counts, whatever came before",
            line("G0121"),
            earlier=[
                claim_before(line("G0121", day="2025-03-01")),
                claim_before(line("G0121", day="2025-09-01")),
            ],
            hit=True,
        ),
        example(
            "the same claim counts",
            line("G0121", day="2025-09-15"),
            line("G0121", day="2025-10-15"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "a service after this one is no last one",
            line("G0121"),
            earlier=[claim_before(line("G0121", day="2025-10-16"))],
        ),
        example(
            "eight months after a screening that needs eleven full months between",
            line("G0202"),
            earlier=[claim_before(line("G0202", day="2025-02-15"))],
            hit=True,
            variant="months",
        ),
        example(
            "eleven full months lie between",
            line("G0202", day="2025-10-01"),
            earlier=[claim_before(line("G0202", day="2024-10-31"), received="2024-11-05")],
        ),
        example(
            "only ten: the last was in November",
            line("G0202", day="2025-10-31"),
            earlier=[claim_before(line("G0202", day="2024-11-01"), received="2024-11-05")],
            hit=True,
        ),
        example("the first", line("G0121")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, past: Past) -> Hits:
    """Fewer days or full months than the limit lie between a service and the last of its group."""
    limits = limits_of_lines(batch, reference, facts)
    limits = limits.where((limits["days_min"] >= 0) | (limits["months_min"] >= 0))
    gap = gap_of(reference.listing("frequency_limits"))
    if not len(limits):
        return Hits.none(*gap)
    before = services_before(batch, facts, past, limits)
    last = last_before(before)
    on = batch.lines.service_from[limits.place[last.at]]
    days = (on - last.day).astype(np.int64)
    months = full_months(batch, limits, last)
    days_min, months_min = limits["days_min"][last.at], limits["months_min"][last.at]
    by_days = (days_min >= 0) & (days < days_min)
    soon = rows_where(by_days | ((months_min >= 0) & (months < months_min)))
    at = last.at[soon]
    line_of = limits.place[at]
    return Hits(
        claim=batch.lines.claim[line_of],
        line_hit=np.arange(len(soon)),
        line=line_of,
        variant=np.where(by_days[soon], _DAYS, _MONTHS),
        evidence={
            "code_group": limits["code_group"][at],
            "last_date": last.day[soon],
            "days_since": days[soon],
            "days_min": days_min[soon],
            "full_months": months[soon],
            "months_min": months_min[soon],
            "earlier_claim": last.claim[soon],
        },
        not_evaluated=gap,
    )
