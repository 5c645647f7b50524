"""Two revenue codes that exclude each other on a day."""

from typing import Final

import numpy as np

from engine.columns import INSTITUTIONAL, Batch, rows_where
from engine.reference import Reference
from engine.rules.listed import gap_of, pairs_with_rows
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
from engine.tables.listing import Matches

_DAY_BITS: Final = 32


@rule(
    id="OCE_REVENUE_CODE_CONFLICT",
    category=Category.OCE,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="199",
    cites="IOCE specifications, revenue code edits",
    datasets=("revenue_code_conflicts",),
    evidence={
        "revenue_code": Kind.CODE,
        "other_revenue_code": Kind.CODE,
        "service_date": Kind.DATE,
    },
    caveat="[U] Which pairs exclude each other is what the rows of the table say. A line without a "
    "day of its own, as inpatient bills have them, is not compared.",
    examples=[
        example(
            "two kinds of clinic visit on a day",
            line("99213", revenue_code="0519"),
            line("99283", revenue_code="0526"),
            institutional=True,
            hit=True,
            hit_lines=(1, 2),
        ),
        example(
            "in the other order",
            line("99283", revenue_code="0526"),
            line("99213", revenue_code="0519"),
            institutional=True,
            hit=True,
            hit_lines=(1, 2),
        ),
        example(
            "on two days",
            line("99213", revenue_code="0519"),
            line("99283", revenue_code="0526", day="2025-10-16"),
            institutional=True,
            service_to_date="2025-10-16",
        ),
        example(
            "the day of one of three",
            line("99213", revenue_code="0519"),
            line("99213", revenue_code="0519", day="2025-10-16"),
            line("99283", revenue_code="0526", day="2025-10-16"),
            institutional=True,
            service_to_date="2025-10-16",
            hit=True,
            hit_lines=(2, 3),
        ),
        example(
            "one of the pair alone",
            line("99213", revenue_code="0519"),
            line("80053", revenue_code="0301"),
            institutional=True,
        ),
        example(
            "the same code twice",
            line("99213", revenue_code="0519"),
            line("99214", revenue_code="0519"),
            institutional=True,
        ),
        example(
            "before the pair began",
            line("99213", revenue_code="0519", day="2023-12-31"),
            line("99283", revenue_code="0526", day="2023-12-31"),
            institutional=True,
            day="2023-12-31",
            received="2024-01-10",
        ),
        example(
            "days are not known",
            line("", revenue_code="0519", service_from_date=None),
            line("", revenue_code="0526", service_from_date=None),
            institutional=True,
            tob="0111",
        ),
    ],
)
def find(batch: Batch, reference: Reference) -> Hits:
    """Two lines of a claim and day carry revenue codes that exclude each other."""
    listing, lines = reference.listing("revenue_code_conflicts"), batch.lines
    institutional = batch.of_line(batch.claims.type == INSTITUTIONAL) & (lines.revenue > 0)
    coded = rows_where(institutional)
    found = listing.match(lines.revenue[coded], lines.service_from[coded])
    if not len(found):
        return Hits.none(*gap_of(listing))
    listed = Matches(listing, coded[found.place], found.row)
    unknown_day = lines.undated[listed.place]
    undated = np.zeros(len(lines), np.bool_)
    undated[listed.place[unknown_day]] = True
    day = (lines.claim.astype(np.int64) << _DAY_BITS) + lines.service_from.astype(np.int64)
    pairs = pairs_with_rows(
        listed.where(~unknown_day),
        np.unique(day, return_inverse=True)[1],
        coded[~lines.undated[coded]],
    )
    pairs = pairs.where(pairs.row.within("other", lines.revenue[pairs.other]))
    one, other = pairs.line, pairs.other
    pair = np.unique(np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1), axis=0)
    return Hits(
        claim=lines.claim[pair[:, 0]],
        line_hit=np.repeat(np.arange(len(pair)), 2),
        line=pair.ravel(),
        evidence={
            "revenue_code": lines.revenue[pair[:, 0]],
            "other_revenue_code": lines.revenue[pair[:, 1]],
            "service_date": lines.service_from[pair[:, 0]],
        },
        not_evaluated=(NotEvaluated("no_day", lines=undated),) if undated.any() else (),
    )
