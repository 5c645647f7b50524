"""A modifier that the code may not be without."""

import numpy as np

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.listed import gap_of, rows_of_lines
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
from engine.tables.listing import ANY, ANY_PLACE


@rule(
    id="MODIFIER_MISSING",
    category=Category.MODIFIER,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.13,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="4",
    cites="Medicare Claims Processing Manual ch. 5 s. 20.1 (therapy), ch. 17 s. 40 (drugs)",
    datasets=("modifier_requirements",),
    evidence={"requirement": Kind.TEXT, "alternatives": Kind.COUNT},
    caveat="[U] JW and JZ of single-dose drugs from 2023-07-01, and the therapy codes that need a "
    "discipline: both are rows of the table, with dates and lines of business.",
    examples=[
        example("therapy without its discipline", line("97110"), hit=True, hit_lines=(1,)),
        example("under a plan of physical therapy", line("97110-GP")),
        example("of occupational therapy, an alternative", line("97110-GO")),
        example("another modifier does not help", line("97110-59"), hit=True),
        example("a commercial payer asks for none", line("97110"), line_of_business=4),
        example("a single-dose drug without JW or JZ", line("J9299"), hit=True),
        example("nothing was discarded", line("J9299-JZ")),
        example(
            "before the requirement began", line("J9299", day="2023-06-30"), received="2023-07-05"
        ),
        example("a code without a requirement", line("99213")),
        example("two requirements, one of them met", line("L1851-KX"), hit=True, hit_lines=(1,)),
        example("both met", line("L1851-KX-LT")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A line carries none of the modifiers of which its code needs one."""
    listing, lines = reference.listing("modifier_requirements"), batch.lines
    found = rows_of_lines(listing, batch, facts)
    if not len(found):
        return Hits.none(*gap_of(listing))
    business, place = found["line_of_business"], found["place_of_service"]
    found = found.where(
        (
            (business == ANY)
            | (business == batch.of_line(batch.claims.line_of_business)[found.place])
        )
        & ((place == ANY_PLACE) | (place == lines.place_of_service[found.place]))
    )
    _, requirement = np.unique(found["requirement"], return_inverse=True)
    key = found.place.astype(np.int64) * (len(listing) + 1) + requirement
    _, first, group, count = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    carried = (lines.modifiers[found.place] == found["modifier"][:, None]).any(axis=1)
    unmet = np.bincount(group, carried, len(first)) == 0
    line_of, row = found.place[first[unmet]], found.row[first[unmet]]
    return Hits(
        claim=lines.claim[line_of],
        line_hit=np.arange(len(line_of)),
        line=line_of,
        evidence={
            "requirement": listing.columns["requirement"][row],
            "alternatives": count[unmet],
        },
        not_evaluated=gap_of(listing),
    )
