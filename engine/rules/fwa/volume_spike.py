"""A biller who suddenly bills far more."""

from typing import Final

import numpy as np

from engine.columns import Batch, Ints
from engine.history import History
from engine.policy import Params
from engine.rules.billers import current_month, month_of, months_before
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    example,
    line,
    rule,
)

_BILLER: Final = "1234567893"


def _billed(*claims: int) -> list[dict[str, object]]:
    """Claims of the example's biller by month, the last one in October 2025; 0 for none."""
    first = 11 - len(claims)
    return [
        {
            "billing_npi": _BILLER,
            "month": f"2025-{first + at:02d}-01",
            "claims": count,
            "lines": count,
        }
        for at, count in enumerate(claims)
        if count
    ]


@rule(
    id="FWA_VOLUME_SPIKE",
    category=Category.FWA,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    cites="Tenant policy of the special investigations unit; Program Integrity Manual 100-08 ch. 2",
    params={"ratio_e2": 200, "claims_min": 20, "months_min": 3},
    evidence={
        "claims_this_month": Kind.COUNT,
        "claims_before": Kind.COUNT,
        "months_before": Kind.COUNT,
    },
    uses_history=True,
    caveat="Months count by day of service, from the first in which the biller billed anything in "
    "the last twelve; months between without a claim count as 0, the current one is not scaled.",
    examples=[
        example(
            "120 claims where 50 a month are usual",
            line("99213"),
            on_file={"provider_months": _billed(50, 50, 50, 119)},
            hit=True,
            hit_lines=(),
        ),
        example(
            "twice as many, not more",
            line("99213"),
            on_file={"provider_months": _billed(50, 50, 50, 99)},
        ),
        example(
            "more than twice, but of few: 6 above the average",
            line("99213"),
            on_file={"provider_months": _billed(5, 5, 5, 10)},
        ),
        example(
            "two months are too few to compare with",
            line("99213"),
            on_file={"provider_months": _billed(50, 50, 119)},
        ),
        example(
            "a month without claims counts",
            line("99213"),
            on_file={"provider_months": _billed(60, 0, 60, 90)},
            hit=True,
        ),
        example(
            "without that month it would not be twice",
            line("99213"),
            on_file={"provider_months": _billed(60, 60, 60, 90)},
        ),
        example("a biller who was never seen", line("99213")),
    ],
)
def find(batch: Batch, history: History | None, params: Params) -> Hits:
    """A biller's claims of the month are well above the average of the months before."""
    if history is None or not len(history.provider_months):
        return Hits.none()
    claims, every = len(batch.claims), np.arange(len(batch.claims))
    months = history.provider_months
    claim, row = months_before(batch, every, months)
    before = np.bincount(claim, months.claims[row], claims).astype(np.int64)
    apart = month_of(batch.claims.service_from)[claim] - month_of(months.month[row])
    spanned = np.zeros(claims, np.int64)
    np.maximum.at(spanned, claim, apart)
    claim, row = current_month(batch, every, months)
    committed = np.bincount(claim, months.claims[row], claims).astype(np.int64)
    current = committed + _so_far(batch)
    spike = (
        (spanned >= params["months_min"])
        & (before > 0)
        & (current * spanned * 100 > params["ratio_e2"] * before)
        & (current * spanned - before >= params["claims_min"] * spanned)
    )
    return Hits.on_claims(
        spike,
        evidence={
            "claims_this_month": current,
            "claims_before": before,
            "months_before": spanned,
        },
    )


def _so_far(batch: Batch) -> Ints:
    """Claims of each claim's biller and month in its message, up to itself."""
    claims = batch.claims
    month = month_of(claims.service_from)
    order = np.lexsort((claims.ordinal, month, claims.billing_npi, claims.message))
    keys = (claims.message[order], claims.billing_npi[order], month[order])
    starts = np.ones(len(order), np.bool_)
    starts[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    place = np.arange(len(order))
    so_far = np.empty(len(order), np.int64)
    so_far[order] = place - np.maximum.accumulate(np.where(starts, place, 0)) + 1
    return so_far
