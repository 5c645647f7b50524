"""Charges far above the fee."""

import numpy as np

from engine.columns import Batch
from engine.policy import Params
from engine.pricing.allowed import Allowed, PriceBasis, PriceReason, PriceStatus
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Stake,
    example,
    line,
    rule,
)


@rule(
    id="PRICING_EXCEEDS_FEE",
    category=Category.PRICING,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.10,
    action=Action.INFO,
    certainty=Certainty.ADVISE,
    families=(Family.FEE,),
    carc="45",
    stake=Stake.EXCESS,
    cites="Contract; 42 CFR 414.48 (limiting charge)",
    datasets=("mpfs", "contract_rates"),
    params={"ratio_e2": 150},
    evidence={
        "charge_cents": Kind.CENTS,
        "reference_cents": Kind.CENTS,
        "basis": Kind.NAME,
        "excess_cents": Kind.CENTS,
        "ratio": Kind.RATIO_E2,
        "ratio_limit": Kind.RATIO_E2,
    },
    names={"basis": ("", "fee_schedule", "contract", "charge", "tenant_fee")},
    caveat=(
        "Charges above the fee are normal: the rule notes, it does not stop. The reference is the "
        "contract's or tenant's rate, else the fee schedule, before reductions across lines; what "
        "pays a share of the charge gives none. The limiting charge of a provider who "
        "does not take part in Medicare (109.25 % of the fee) is no bound here; `ratio_e2` 109 "
        "comes near it."
    ),
    examples=[
        example("charged 200 for a visit of 81.86", line("99213", charge=200), hit=True),
        example("a cent above one and a half times 81.86", line("99213", charge=122.80), hit=True),
        example("one and a half times the fee", line("99213", charge=122.79)),
        example("two units are compared with two fees", line("97110", units=2, charge=60)),
        example(
            "the higher of two visits",
            line("99213", charge=80),
            line("99214", charge=500),
            hit=True,
            hit_lines=(2,),
        ),
        example("a code without a price is not compared", line("99396", charge=9000)),
        example("a bundled code is not compared", line("99000", charge=9000)),
        example("a facility bill is not compared", line("99213", charge=9000), institutional=True),
    ],
)
def find(batch: Batch, allowed: Allowed, params: Params) -> Hits:
    """The charge of a line is more than a multiple of its fee."""
    charge, reference = batch.lines.charge_cents, allowed.amount_cents
    limit = batch.of_line(params["ratio_e2"])
    independent = (allowed.status == PriceStatus.PRICED) & (allowed.basis != PriceBasis.CHARGE)
    compared = independent & (reference > 0)
    unreleased = allowed.reason == PriceReason.NO_RELEASE
    return Hits.on_lines(
        batch,
        compared & (charge * 100 > limit * reference),
        evidence={
            "charge_cents": charge,
            "reference_cents": reference,
            "basis": allowed.basis,
            "excess_cents": charge - reference,
            "ratio": charge * 100 // np.maximum(reference, 1),
            "ratio_limit": limit,
        },
        not_evaluated=(
            NotEvaluated("no_release", lines=unreleased),
            NotEvaluated("no_price", lines=~compared & ~unreleased),
        ),
        evaluated=compared,
    )
