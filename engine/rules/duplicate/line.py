"""The same line twice on a claim."""

import numpy as np

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.duplicate.groups import repeats_of, same_service
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


@rule(
    id="DUPLICATE_LINE",
    category=Category.DUPLICATE,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.08,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    families=(Family.DUPLICATE,),
    carc="18",
    cites="Medicare Claims Processing Manual ch. 1 s. 120",
    datasets=("ncci_mue_practitioner", "ncci_mue_hospital", "ncci_mue_dme"),
    evidence={"charge_cents": Kind.CENTS, "units": Kind.UNITS, "equal_lines": Kind.COUNT},
    caveat=(
        "Lines of facilities must also agree in revenue code. Codes whose unit limit holds by line "
        "(MAI 1) are exempt, because their units may be split over lines."
    ),
    examples=[
        example("a film twice", line("71046"), line("71046"), hit=True, hit_lines=(2,)),
        example(
            "three times", line("71046"), line("71046"), line("71046"), hit=True, hit_lines=(2, 3)
        ),
        example("the second is said to be a repeat", line("71046"), line("71046-76")),
        example("another day", line("71046"), line("71046", day="2025-10-16")),
        example("another renderer", line("99213"), line("99213", npi="1111111112")),
        example("another place", line("99213"), line("99213", pos="12")),
        example("other units", line("20610"), line("20610", units=2)),
        example("another charge", line("20610", charge=150), line("20610", charge=140)),
        example(
            "the same modifiers in another order",
            line("20610-RT-59"),
            line("20610-59-RT"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "two packages of different makers",
            line("J1885", ndc="00000000001"),
            line("J1885", ndc="00000000002"),
        ),
        example(
            "units split over lines where the limit holds by line",
            line("J7190", units=20_000),
            line("J7190", units=20_000),
        ),
        example(
            "revenue lines without a code",
            line("", revenue_code="0270"),
            line("", revenue_code="0270"),
            institutional=True,
        ),
        example(
            "two cost centres of a hospital",
            line("99284", revenue_code="0450"),
            line("99284", revenue_code="0981"),
            institutional=True,
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """Two lines of a claim share code, modifiers, day, renderer, place, charge and units."""
    found = same_service(batch, reference, facts)
    repeats = repeats_of(found.line, found.form)
    equal = np.zeros(len(batch.lines), np.int64)
    equal[found.line] = np.bincount(found.form)[found.form]
    return Hits.on_groups(
        batch,
        repeats.line,
        repeats.group,
        partner=(repeats.first, repeats.first_group),
        evidence={
            "charge_cents": batch.lines.charge_cents,
            "units": batch.lines.units_milli,
            "equal_lines": equal,
        },
    )
