"""Charges nearly twice what the region pays."""

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
    id="REIMB_OUTLIER",
    category=Category.PRICING,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.INFO,
    certainty=Certainty.ADVISE,
    families=(Family.FEE,),
    stake=Stake.EXCESS,
    cites="Tenant policy on the benchmark of the Medicare physician fee schedule",
    datasets=("mpfs", "contract_rates"),
    params={"excess_e2": 95},
    evidence={
        "charge_cents": Kind.CENTS,
        "reference_cents": Kind.CENTS,
        "excess_cents": Kind.CENTS,
        "ratio": Kind.RATIO_E2,
    },
    caveat="The benchmark is the contract's rate, else the price of the region, before reductions "
    "across lines; a contract that pays a share of the charge gives none. "
    "PRICING_EXCEEDS_FEE finds the same at a lower bound; of both on one line the stronger counts.",
    examples=[
        example(
            "a visit of 81.86 for 159.63", line("99213", charge=159.63), hit=True, hit_lines=(1,)
        ),
        example("a cent less: below 1.95 times", line("99213", charge=159.62)),
        example("two units are compared with two fees", line("97110", units=2, charge=100)),
        example("two units far above", line("97110", units=2, charge=120), hit=True),
        example("one and a half times the fee", line("99213", charge=122.80)),
        example("a code without a price is not compared", line("99396", charge=9000)),
        example("a facility bill is not compared", line("99213", charge=9000), institutional=True),
        example(
            "a tenant that allows three times", line("99213", charge=200), params={"excess_e2": 200}
        ),
    ],
)
def find(batch: Batch, allowed: Allowed, params: Params) -> Hits:
    """The charge of a line reaches the regional price and a share on top."""
    charge, reference = batch.lines.charge_cents, allowed.amount_cents
    bound = 100 + batch.of_line(params["excess_e2"])
    # A share of the charge is no benchmark for it: its ratio is the contract's own.
    independent = (allowed.status == PriceStatus.PRICED) & (allowed.basis != PriceBasis.CHARGE)
    compared = independent & (reference > 0)
    unreleased = allowed.reason == PriceReason.NO_RELEASE
    return Hits.on_lines(
        batch,
        compared & (charge * 100 >= bound * reference),
        evidence={
            "charge_cents": charge,
            "reference_cents": reference,
            "excess_cents": charge - reference,
            "ratio": charge * 100 // np.maximum(reference, 1),
        },
        not_evaluated=(
            NotEvaluated("no_release", lines=unreleased),
            NotEvaluated("no_price", lines=~compared & ~unreleased),
        ),
        evaluated=compared,
    )
