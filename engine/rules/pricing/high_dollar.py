"""Claims of very high charges."""

import numpy as np

from engine.columns import Batch
from engine.policy import Params
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)


@rule(
    id="HIGH_DOLLAR",
    category=Category.PRICING,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.10,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    variants={"tier_1": Variant(), "tier_2": Variant(weight=0.15)},
    cites="Tenant policy",
    params={"tier_1_cents": 1_000_000, "tier_2_cents": 2_500_000},
    evidence={"total_cents": Kind.CENTS, "tier_cents": Kind.CENTS, "alias": Kind.NAME},
    names={"alias": ("HIGH_DOLLAR_10000", "HIGH_DOLLAR_25000")},
    caveat="The alias names the tier by its default amount, whatever the parameters say.",
    examples=[
        example(
            "above the second tier",
            line("27447", pos="21", charge=27_000),
            hit=True,
            hit_lines=(),
            variant="tier_2",
        ),
        example(
            "at the second tier", line("27447", pos="21", charge=25_000), hit=True, variant="tier_2"
        ),
        example(
            "a cent below it", line("27447", pos="21", charge=24_999.99), hit=True, variant="tier_1"
        ),
        example(
            "at the first tier", line("27447", pos="21", charge=10_000), hit=True, variant="tier_1"
        ),
        example("a cent below it all", line("27447", pos="21", charge=9_999.99)),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """The total charge of a claim reaches a tier; only the highest counts."""
    total, second = batch.claims.total_charge_cents, params["tier_2_cents"]
    first = np.minimum(params["tier_1_cents"], second)
    tier = (total >= second).astype(np.int64)
    return Hits.on_claims(
        total >= first,
        variant=tier,
        evidence={
            "total_cents": total,
            "tier_cents": np.where(total >= second, second, first),
            "alias": tier,
        },
    )
