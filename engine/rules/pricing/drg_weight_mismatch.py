"""A weight that is not the one of the billed diagnosis related group."""

from typing import Any, Final

import numpy as np

from engine.columns import Batch
from engine.policy import Params
from engine.reference import Reference
from engine.rules.listed import gap_of
from engine.rules.pricing.stays import stays
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    example,
    line,
    rule,
)

_STAY: Final[dict[str, Any]] = {"institutional": True, "tob": "0111", "drg_code": "470"}


@rule(
    id="PRICING_DRG_WEIGHT_MISMATCH",
    category=Category.PRICING,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="A8",
    cites="42 CFR 412.60; IPPS final rule table 5 of the fiscal year",
    datasets=("drg_weights",),
    params={"difference_e4": 1},
    evidence={
        "drg": Kind.CODE,
        "billed_weight": Kind.RATIO_E4,
        "table_weight": Kind.RATIO_E4,
        "discharge_date": Kind.DATE,
    },
    caveat="A difference of one in the fourth decimal is rounding. The fiscal year is that of the "
    "discharge, from 1 October on; without a day of discharge, of the last day of the bill.",
    examples=[
        example(
            "a weight of another table",
            line(""),
            **_STAY,
            drg_weight_e4=19000,
            hit=True,
            hit_lines=(),
        ),
        example("the weight of the year", line(""), **_STAY, drg_weight_e4=18700),
        example("a rounding", line(""), **_STAY, drg_weight_e4=18701),
        example("more than a rounding", line(""), **_STAY, drg_weight_e4=18702, hit=True),
        example("less", line(""), **_STAY, drg_weight_e4=18698, hit=True),
        example(
            "discharged on the last day of the fiscal year",
            line(""),
            **_STAY,
            day="2025-09-28",
            discharge_date="2025-09-30",
            service_to_date="2025-09-30",
            drg_weight_e4=18900,
        ),
        example(
            "discharged on 1 October: the new weight",
            line(""),
            **_STAY,
            day="2025-09-28",
            discharge_date="2025-10-01",
            service_to_date="2025-10-01",
            drg_weight_e4=18900,
            hit=True,
        ),
        example(
            "a day of discharge that is not given is the last day",
            line(""),
            **_STAY,
            day="2025-09-28",
            service_to_date="2025-09-30",
            drg_weight_e4=18900,
        ),
        example("no weight is billed", line(""), **_STAY),
        example(
            "a group that the table lacks",
            line(""),
            institutional=True,
            tob="0111",
            drg_code="999",
            drg_weight_e4=19000,
        ),
        example(
            "an outpatient bill",
            line("99213"),
            institutional=True,
            drg_code="470",
            drg_weight_e4=19000,
        ),
    ],
)
def find(batch: Batch, reference: Reference, params: Params) -> Hits:
    """The billed weight differs from the weight of the group in the fiscal year of discharge."""
    listing, claims = reference.listing("drg_weights"), batch.claims
    found = stays(batch)
    if not len(found.claim) or not listing.loaded:
        return Hits.none(*gap_of(listing))
    row = found.rows(listing).first(len(found.claim))
    known, billed = row >= 0, claims.drg_weight_e4[found.claim]
    table = listing.columns["weight"][row]
    off = known & (billed > 0) & (np.abs(billed - table) > params["difference_e4"][found.claim])
    unknown = np.zeros(len(claims), np.bool_)
    unknown[found.claim[~known & (billed > 0)]] = True
    return Hits(
        claim=found.claim[off],
        evidence={
            "drg": found.group[off],
            "billed_weight": billed[off],
            "table_weight": table[off],
            "discharge_date": found.day[off],
        },
        not_evaluated=(NotEvaluated("no_row", claims=unknown),) if unknown.any() else (),
    )
