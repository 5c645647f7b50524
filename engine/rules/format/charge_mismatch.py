"""A total charge that is not the sum of the lines."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Ints
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Stake,
    example,
    line,
    rule,
)

_TOTAL_REVENUE: Final = code36("0001")
"""The total line of a paper UB-04."""


@rule(
    id="FORMAT_CHARGE_MISMATCH",
    category=Category.FORMAT,
    scope=Scope.CLAIM,
    severity=Severity.MEDIUM,
    weight=0.10,
    action=Action.REJECT,
    certainty=Certainty.APPLY,
    carc="16",
    stake=Stake.NONE,
    cites="X12 005010X222A1 and 005010X223A2, balancing of CLM02",
    evidence={
        "total_cents": Kind.CENTS,
        "lines_cents": Kind.CENTS,
        "difference_cents": Kind.CENTS,
    },
    examples=[
        example(
            "lines above the total",
            line("99213", charge=60),
            line("85025", charge=45),
            total=100,
            hit=True,
            hit_lines=(),
        ),
        example("lines below the total", line("99213", charge=99.99), total=100, hit=True),
        example("lines that add up", line("99213", charge=60), line("85025", charge=40), total=100),
        example(
            "a line without charge", line("99213", charge=100), line("85025", charge=0), total=100
        ),
        example(
            "the total line of a paper bill",
            line("99213", charge=100),
            line("", revenue_code="0001", charge=100),
            institutional=True,
            total=100,
        ),
    ],
)
def find(batch: Batch) -> Hits:
    """The total charge of a claim differs from the sum of its line charges."""
    total, summed = batch.claims.total_charge_cents, _summed(batch)
    difference = summed - total
    return Hits.on_claims(
        difference != 0,
        evidence={
            "total_cents": total,
            "lines_cents": summed,
            "difference_cents": np.abs(difference),
        },
    )


def _summed(batch: Batch) -> Ints:
    """Sum the charges of each claim's lines, exactly."""
    claims, lines = batch.claims, batch.lines
    charges = np.where(lines.revenue == _TOTAL_REVENUE, 0, lines.charge_cents)
    running = np.concatenate(([0], np.cumsum(charges)))
    summed: Ints = running[claims.line_start + claims.lines] - running[claims.line_start]
    return summed
