"""Charges that hardly anybody asks for."""

from typing import Final

import numpy as np

from engine.columns import Batch
from engine.facts import Facts
from engine.policy import Params
from engine.reference import Reference
from engine.rules.fwa.benchmarks import best_rows
from engine.rules.listed import gap_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    Scope,
    Severity,
    Stake,
    example,
    line,
    rule,
)

_THOUSANDTHS_MAX: Final = 10**15
"""More than any charge in thousandths of a cent."""


@rule(
    id="UTIL_AMOUNT_OUTLIER",
    category=Category.FWA,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    families=(Family.FEE,),
    stake=Stake.EXCESS,
    cites="Tenant policy of the special investigations unit; CMS utilization files",
    datasets=("utilization_benchmarks",),
    params={"services_min": 100},
    evidence={
        "charge_per_unit_cents": Kind.CENTS,
        "p99_cents": Kind.CENTS,
        "services": Kind.COUNT,
        "excess_cents": Kind.CENTS,
    },
    caveat="A benchmark of the region, specialty and setting goes before a more general one; one "
    "that rests on fewer than `services_min` services is none.",
    examples=[
        example(
            "900 where 99 of 100 ask for 400", line("93306", charge=900), hit=True, hit_lines=(1,)
        ),
        example("400 itself", line("93306", charge=400)),
        example("two units are compared by unit", line("93306", charge=800, units=2)),
        example("in facilities another benchmark holds", line("93306", pos="22", charge=500)),
        example("and it can be exceeded too", line("93306", pos="22", charge=601), hit=True),
        example("a benchmark of too few services", line("93307", charge=9000)),
        example("no benchmark", line("99213", charge=9000)),
        example(
            "a tenant that trusts fewer services",
            line("93307", charge=9000),
            hit=True,
            params={"services_min": 50},
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, params: Params) -> Hits:
    """The charge per unit is above what 99 of 100 such services are charged at."""
    listing, lines = reference.listing("utilization_benchmarks"), batch.lines
    found = best_rows(batch, reference, facts, params["services_min"])
    found = found.where(found["charge_p99"] >= 0)
    at, p99 = found.place, found["charge_p99"]
    # No charge reaches the bound, so that units beyond it change nothing, nor does a product.
    units = np.minimum(lines.units_milli[at], _THOUSANDTHS_MAX // np.maximum(p99, 1))
    over = lines.charge_cents[at] * 1000 > p99 * units
    at, p99, units = at[over], p99[over], units[over]
    return Hits(
        claim=lines.claim[at],
        line_hit=np.arange(len(at)),
        line=at,
        evidence={
            "charge_per_unit_cents": lines.charge_cents[at] * 1000 // units,
            "p99_cents": p99,
            "services": found["services"][over],
            "excess_cents": lines.charge_cents[at] - p99 * units // 1000,
        },
        not_evaluated=gap_of(listing),
    )
