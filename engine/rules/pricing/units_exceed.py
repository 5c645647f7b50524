"""More units than a contract or policy pays."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Ints
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.listed import gap_of, rows_of_lines
from engine.rules.ncci.published_units import published_units
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)
from engine.tables.listing import ANY, Matches
from engine.tables.listings import PER

_PER_CLAIM: Final = PER.index("claim")
_MINUTES: Final = code36("MJ")
_UNIT_MILLI: Final = 1000
_UNPUBLISHED: Final = np.iinfo(np.int64).max
_CODE_BITS: Final = 32


@rule(
    id="PRICING_UNITS_EXCEED",
    category=Category.PRICING,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    families=(Family.UNITS,),
    variants={"line": Variant(), "claim": Variant()},
    carc="222",
    cites="Contract or payment policy of the payer",
    datasets=("unit_limits",),
    evidence={"limit": Kind.UNITS, "counted": Kind.UNITS, "lines_counted": Kind.COUNT},
    caveat="A limit counts only where it is below the published one of the code (NCCI_MUE). A "
    "row of the biller's contract goes before rows for all; of several the lowest holds. Lines in "
    "minutes are not compared.",
    examples=[
        example(
            "six units, the contract pays four",
            line("97140", units=6),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
            hit=True,
            hit_lines=(1,),
            variant="line",
        ),
        example(
            "as many as the contract pays",
            line("97140", units=4),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
        example("another contract", line("97140", units=6)),
        example(
            "two lines of four are each within a limit by line",
            line("97140", units=4),
            line("97140-59", units=4),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
        example(
            "a limit by claim counts both lines",
            line("97530", units=2),
            line("97530-59", units=2, day="2025-10-16"),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
            hit=True,
            hit_lines=(1, 2),
            variant="claim",
        ),
        example(
            "three of a claim",
            line("97530", units=2),
            line("97530-59", units=1),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
        example(
            "other codes of a range are counted apart",
            line("97530", units=2),
            line("97533", units=2),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
        example(
            "a limit that is not below the published one leaves it to NCCI_MUE",
            line("27447", units=3),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
        example(
            "a published limit that is lower is NCCI_MUE's",
            line("20610", units=5),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
        example(
            "before the limit began",
            line("97140", units=6, day="2024-12-31"),
            received="2025-01-10",
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
        example(
            "a fraction more",
            line("97140", units=4.5),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
            hit=True,
        ),
        example(
            "minutes are no units",
            line("97140", units=60, unit_basis="MJ"),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
        example("a policy for all contracts", line("A6402", units=5), hit=True),
        example(
            "a contract that allows more than the policy for all",
            line("A6402", units=5),
            billing_provider={"contract_id": "SAMPLE-CONTRACT-U"},
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """The units of a code exceed what the contract or policy pays, of a line or of a claim."""
    listing, lines = reference.listing("unit_limits"), batch.lines
    contract = batch.of_line(batch.claims.contract)
    found = rows_of_lines(listing, batch, facts, contract)
    found = found.where(lines.unit_basis[found.place] != _MINUTES)
    if not len(found):
        return Hits.none(*gap_of(listing))
    found = _prevailing(found)
    limit, _ = published_units(batch, reference, facts, found.place)
    published = np.where(limit >= 0, limit * _UNIT_MILLI, _UNPUBLISHED)
    found = found.where(found["units_max"] < published)
    group = _counted_together(batch, found)
    by = np.unique(group, return_inverse=True)[1]
    most = np.full(int(by.max(initial=-1)) + 1, _UNPUBLISHED)
    np.minimum.at(most, by, found["units_max"])
    counted = np.bincount(by, lines.units_milli[found.place], len(most)).astype(np.int64)
    over = (counted > most)[by]
    place, group, by = found.place[over], group[over], by[over]
    order = np.lexsort((place, group))
    _, first, line_hit = np.unique(group[order], return_index=True, return_inverse=True)
    lead = order[first]
    return Hits(
        claim=lines.claim[place[lead]],
        line_hit=line_hit,
        line=place[order],
        variant=found["per"][over][lead],
        evidence={
            "limit": most[by[lead]],
            "counted": counted[by[lead]],
            "lines_counted": np.bincount(line_hit, minlength=len(lead)),
        },
    )


def _prevailing(found: Matches) -> Matches:
    """Keep for each line and kind of limit the one that holds: its contract's, then the lowest."""
    order = np.lexsort((found["units_max"], found["contract"] == ANY, found["per"], found.place))
    key = found.place[order] * len(PER) + found["per"][order]
    _, first = np.unique(key, return_index=True)
    kept = order[first]
    return Matches(found.listing, found.place[kept], found.row[kept])


def _counted_together(batch: Batch, found: Matches) -> Ints:
    """Number what is counted together: lines of one code and claim, or a line by itself."""
    lines = batch.lines
    of_claim = (lines.claim[found.place].astype(np.int64) << _CODE_BITS) | lines.procedure[
        found.place
    ]
    by_claim = found["per"] == _PER_CLAIM
    numbers: Ints = np.where(by_claim, of_claim, -1 - found.place.astype(np.int64))
    return numbers
