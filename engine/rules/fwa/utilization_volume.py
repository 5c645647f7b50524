"""Units that are a multiple of what is usual."""

from typing import Final

import numpy as np

from engine.columns import Batch
from engine.facts import Facts
from engine.policy import Params
from engine.pricing import Allowed
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

_E6: Final = 1_000_000


@rule(
    id="UTIL_VOLUME_OUTLIER",
    category=Category.FWA,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.10,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    families=(Family.UNITS,),
    cites="Tenant policy of the special investigations unit; CMS utilization files",
    datasets=("utilization_benchmarks",),
    params={"ratio": 3, "services_min": 100},
    stake=Stake.EXCESS,
    evidence={
        "units": Kind.UNITS,
        "units_mean": Kind.UNITS,
        "services": Kind.COUNT,
        "excess_cents": Kind.CENTS,
    },
    caveat="A service without a mean in the benchmarks is not judged. At risk is what the units "
    "above the mean are of the line's price, or of its charge where it has none.",
    examples=[
        example("six units where two are usual", line("97530", units=6), hit=True, hit_lines=(1,)),
        example("five", line("97530", units=5)),
        example("a single unit is never too many", line("93306", units=1)),
        example("a mean of a third of a unit, and two units", line("93306", units=2), hit=True),
        example("no mean is known", line("93307", units=9)),
        example("no benchmark at all", line("97110", units=9)),
    ],
)
def find(
    batch: Batch, reference: Reference, facts: Facts, allowed: Allowed, params: Params
) -> Hits:
    """The units of a line reach a multiple of the mean of such lines."""
    listing, lines = reference.listing("utilization_benchmarks"), batch.lines
    found = best_rows(batch, reference, facts, params["services_min"])
    found = found.where(found["units_mean"] >= 0)
    units, mean = lines.units_milli[found.place], found["units_mean"]
    over = (units > 1000) & (units >= mean * params["ratio"][lines.claim[found.place]])
    found = found.where(over)
    at, units, mean = found.place, units[over], mean[over]
    whole = np.where(allowed.priced, allowed.allowed_cents, lines.charge_cents)[at]
    above_e6 = (units - np.minimum(mean, units)) * _E6 // units
    return Hits(
        claim=lines.claim[at],
        line_hit=np.arange(len(at)),
        line=at,
        evidence={
            "units": units,
            "units_mean": mean,
            "services": found["services"],
            "excess_cents": whole * above_e6 // _E6,
        },
        not_evaluated=gap_of(listing),
    )
