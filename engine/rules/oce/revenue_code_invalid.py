"""Revenue codes that are not assigned, or stand without the code that they need."""

import numpy as np

from engine.columns import INSTITUTIONAL, Batch, rows_where
from engine.reference import Reference
from engine.rules.listed import gap_of
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
from engine.tables.listings import COMPANIONS

_UNASSIGNED, _NO_COMPANION = range(2)
_NEEDS_PROCEDURE = COMPANIONS.index("procedure")


@rule(
    id="OCE_REVENUE_CODE_INVALID",
    category=Category.OCE,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    variants={"unassigned": Variant(), "no_companion": Variant()},
    carc="199",
    cites="IOCE specifications; Medicare Claims Processing Manual ch. 4 s. 20, ch. 25 s. 75.4; "
    "NUBC manual",
    datasets=("revenue_codes",),
    evidence={"revenue_code": Kind.CODE, "procedure": Kind.CODE},
    caveat="[U] Companions are asked of outpatient bills only: inpatient bills price by stay. "
    "Which codes count as drugs is what the rows of the table say.",
    examples=[
        example(
            "a drug revenue code without the drug",
            line("", revenue_code="0636"),
            institutional=True,
            hit=True,
            hit_lines=(1,),
            variant="no_companion",
        ),
        example("with its drug", line("J1100", revenue_code="0636"), institutional=True),
        example("with a vaccine", line("90686", revenue_code="0636"), institutional=True),
        example(
            "with a code that is no drug",
            line("99213", revenue_code="0636"),
            institutional=True,
            hit=True,
            variant="no_companion",
        ),
        example("general pharmacy stands alone", line("", revenue_code="0250"), institutional=True),
        example(
            "inpatient drugs need no code",
            line("", revenue_code="0636"),
            institutional=True,
            tob="0111",
        ),
        example(
            "a code that nobody has assigned",
            line("99213", revenue_code="0695"),
            institutional=True,
            hit=True,
            hit_lines=(1,),
            variant="unassigned",
        ),
        example(
            "not assigned on an inpatient bill either",
            line("", revenue_code="0695"),
            institutional=True,
            tob="0111",
            hit=True,
            variant="unassigned",
        ),
        example(
            "one of two lines",
            line("99213"),
            line("", revenue_code="0695"),
            institutional=True,
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "assigned from 2019-04-01 on",
            line("", revenue_code="0871", day="2019-04-01"),
            day="2019-04-01",
            institutional=True,
        ),
        example(
            "before it was assigned",
            line("", revenue_code="0871", day="2019-03-31"),
            day="2019-03-31",
            institutional=True,
            hit=True,
            variant="unassigned",
        ),
        example("a professional claim has none", line("99213")),
    ],
)
def find(batch: Batch, reference: Reference) -> Hits:
    """A revenue code is not assigned on its day, or lacks a procedure that has to stand with it."""
    listing, lines = reference.listing("revenue_codes"), batch.lines
    if not listing.loaded:
        return Hits.none(*gap_of(listing))
    coded = rows_where(batch.of_line(batch.claims.type == INSTITUTIONAL) & (lines.revenue > 0))
    if not len(coded):
        return Hits.none()
    found = listing.match(lines.revenue[coded], lines.service_from[coded])
    line_of = coded[found.place]
    asked = found["companion"] == _NEEDS_PROCEDURE
    asked &= ~batch.claims.inpatient[lines.claim[line_of]]
    stands = (lines.procedure[line_of] > 0) & found.within("code", lines.procedure[line_of])
    unassigned, needs, has = np.zeros((3, len(lines)), np.bool_)
    unassigned[coded] = ~found.found(len(coded)) & ~np.isnat(lines.service_from[coded])
    needs[line_of[asked]] = True
    has[line_of[stands]] = True
    return Hits.on_lines(
        batch,
        unassigned | (needs & ~has),
        variant=np.where(unassigned, _UNASSIGNED, _NO_COMPANION),
        evidence={"revenue_code": lines.revenue, "procedure": lines.procedure},
    )
