"""Services that were given as often as they are covered."""

import numpy as np

from engine.columns import Batch, Bools, Dates, Ints, rows_where
from engine.facts import Facts
from engine.members import Members
from engine.past import Past
from engine.reference import Reference
from engine.rules.listed import gap_of
from engine.rules.necessity.frequency import (
    LIFETIME,
    UNIT_MILLI,
    amounts_milli,
    in_window,
    last_before,
    limits_of_lines,
    services_before,
    used_for_life,
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
from engine.tables.listings import WINDOWS

_WITHIN, _LIFETIME = range(2)


@rule(
    id="NECESSITY_FREQUENCY_EXCEEDED",
    category=Category.NECESSITY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.DENY_LINE,
    certainty=Certainty.ADVISE,
    variants={"window": Variant(), "lifetime": Variant(weight=0.18)},
    carc="119/151",
    cites="Frequency rules of coverage determinations and plans; 42 CFR 410",
    datasets=("frequency_limits",),
    evidence={
        "code_group": Kind.TEXT,
        "window": Kind.NAME,
        "limit": Kind.UNITS,
        "counted": Kind.UNITS,
        "on_file": Kind.UNITS,
        "last_date": Kind.DATE,
        "earlier_claim": Kind.EARLIER_CLAIM,
    },
    names={"window": WINDOWS},
    uses_history=True,
    caveat="History reaches back 400 days; what was used before counts through the member's "
    "accumulators, by the name of the code group. Denied lines and claims still in process do not "
    "count.",
    examples=[
        example(
            "the third of two a year",
            line("G0101"),
            earlier=[
                claim_before(line("G0101", day="2025-02-10")),
                claim_before(line("G0101", day="2025-06-10")),
            ],
            hit=True,
            hit_lines=(1,),
            variant="window",
        ),
        example(
            "the second of two",
            line("G0101"),
            earlier=[claim_before(line("G0101", day="2025-02-10"))],
        ),
        example(
            "another code of the group counts",
            line("G0101"),
            earlier=[
                claim_before(line("Q0091", day="2025-02-10")),
                claim_before(line("G0101", day="2025-06-10")),
            ],
            hit=True,
        ),
        example(
            "last year's do not count in a calendar year",
            line("G0101"),
            earlier=[
                claim_before(line("G0101", day="2024-12-30"), received="2025-01-02"),
                claim_before(line("G0101", day="2025-06-10")),
            ],
        ),
        example(
            "the same claim counts",
            line("G0101", day="2025-10-01"),
            line("Q0091", day="2025-10-08"),
            line("G0101", day="2025-10-15"),
            hit=True,
            hit_lines=(3,),
        ),
        example(
            "within twelve months, counted back from the day",
            line("G0202"),
            earlier=[claim_before(line("G0202", day="2024-10-16"), received="2024-10-20")],
            hit=True,
        ),
        example(
            "twelve months ago to the day",
            line("G0202"),
            earlier=[claim_before(line("G0202", day="2024-10-15"), received="2024-10-20")],
        ),
        example(
            "units are counted where the limit is of units",
            line("97802", units=4),
            earlier=[claim_before(line("97802", day="2025-03-03", units=9))],
            hit=True,
        ),
        example(
            "units up to the limit",
            line("97802", units=3),
            earlier=[claim_before(line("97802", day="2025-03-03", units=9))],
        ),
        example(
            "once in a life, and it is on file",
            line("G0389"),
            on_file={"accumulators": [{"benefit": "aortic screening", "used_milli": 1000}]},
            hit=True,
            variant="lifetime",
        ),
        example(
            "on file and in history is counted once",
            line("S9999"),
            earlier=[claim_before(line("S9999", day="2025-05-05"), received="2025-05-07")],
            on_file={
                "accumulators": [
                    {"benefit": "twice in a life", "used_milli": 1000, "as_of": "2025-05-31"}
                ]
            },
        ),
        example(
            "after the day that the accumulator counts to, history counts too",
            line("S9999"),
            earlier=[claim_before(line("S9999", day="2025-05-05"), received="2025-05-07")],
            on_file={
                "accumulators": [
                    {"benefit": "twice in a life", "used_milli": 1000, "as_of": "2025-04-30"}
                ]
            },
            hit=True,
        ),
        example("the first in a life", line("G0389")),
        example(
            "a payer without such a limit",
            line("G0101"),
            earlier=[
                claim_before(line("G0101", day="2025-02-10")),
                claim_before(line("G0101", day="2025-06-10")),
            ],
            line_of_business=4,
        ),
        example(
            "a void takes its original out of the count",
            line("G0101"),
            earlier=[
                claim_before(line("G0101", day="2025-02-10"), claim_id="FIRST"),
                claim_before(line("G0101", day="2025-06-10")),
                claim_before(
                    line("G0101", day="2025-02-10"),
                    frequency_code="8",
                    payer_claim_control_number="FIRST",
                ),
            ],
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, past: Past, members: Members) -> Hits:
    """A service, with those before it in the window, is more than the limit of its code group."""
    limits = limits_of_lines(batch, reference, facts)
    limits = limits.where(limits["count_max"] >= 0)
    gap = gap_of(reference.listing("frequency_limits"))
    if not len(limits):
        return Hits.none(*gap)
    before = services_before(batch, facts, past, limits)
    used, as_of = used_for_life(batch, limits, members)
    inside = in_window(batch, limits, before) & ~_on_file(
        past, before.at, before.claim, used, as_of
    )
    at, count = before.at[inside], len(limits)
    every = np.arange(count)
    amount = np.bincount(at, amounts_milli(limits, at, before.units_milli[inside]), count)
    own = amounts_milli(limits, every, batch.lines.units_milli[limits.place])
    counted = amount.astype(np.int64) + own + used
    over = rows_where(counted > limits["count_max"] * UNIT_MILLI)
    last, claim = np.full(count, "NaT", "datetime64[D]"), np.full(count, -1, np.int64)
    latest = last_before(before.where(inside))
    last[latest.at], claim[latest.at] = latest.day, latest.claim
    line_of = limits.place[over]
    return Hits(
        claim=batch.lines.claim[line_of],
        line_hit=np.arange(len(over)),
        line=line_of,
        variant=np.where(limits["window"][over] == LIFETIME, _LIFETIME, _WITHIN),
        evidence={
            "code_group": limits["code_group"][over],
            "window": limits["window"][over],
            "limit": limits["count_max"][over] * UNIT_MILLI,
            "counted": counted[over],
            "on_file": used[over],
            "last_date": last[over],
            "earlier_claim": claim[over],
        },
        not_evaluated=gap,
    )


def _on_file(past: Past, at: Ints, claim: Ints, used: Ints, as_of: Dates) -> Bools:
    """Services of earlier claims that an accumulator counts already."""
    received = np.full(len(claim), "NaT", "datetime64[D]")
    earlier = claim >= 0
    received[earlier] = past.claims.received_date[claim[earlier]]
    counted_to = as_of[at]
    known: Bools = earlier & (used[at] > 0) & (np.isnat(counted_to) | (received <= counted_to))
    return known
