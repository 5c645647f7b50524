"""A procedure under a revenue code that it does not go with."""

from typing import Final

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
from engine.tables.listings import REVENUE_RULES

_EXCLUDED, _NOT_ALLOWED, _REQUIRED = range(3)
_ALLOWED_RULE: Final = REVENUE_RULES.index("allowed")
_EXCLUDED_RULE: Final = REVENUE_RULES.index("excluded")
_REQUIRED_RULE: Final = REVENUE_RULES.index("required")


@rule(
    id="PRICING_REVENUE_CODE_MISMATCH",
    category=Category.PRICING,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    variants={"excluded": Variant(), "not_allowed": Variant(), "required": Variant()},
    carc="199",
    cites="Medicare Claims Processing Manual ch. 4 s. 20, ch. 25; NUBC manual",
    datasets=("revenue_code_procedures",),
    evidence={"revenue_code": Kind.CODE, "procedure": Kind.CODE, "type_of_bill": Kind.CODE},
    caveat="[U] Publishers do not print which procedures go with which revenue code: the rows are "
    "the payer's. A procedure is required on outpatient bills only.",
    examples=[
        example(
            "a knee replacement in the emergency room",
            line("27447", revenue_code="0450"),
            institutional=True,
            hit=True,
            hit_lines=(1,),
            variant="excluded",
        ),
        example("in the operating room", line("27447", revenue_code="0360"), institutional=True),
        example(
            "the lower end of what is allowed",
            line("10004", revenue_code="0360"),
            institutional=True,
        ),
        example("the upper end", line("69990", revenue_code="0360"), institutional=True),
        example(
            "beyond what is allowed",
            line("70450", revenue_code="0360"),
            institutional=True,
            hit=True,
            variant="not_allowed",
        ),
        example(
            "the second of two allowed ranges",
            line("C9600", revenue_code="0360"),
            institutional=True,
        ),
        example(
            "an emergency visit in the emergency room",
            line("99284", revenue_code="0450"),
            institutional=True,
        ),
        example(
            "outpatient therapy without its procedure",
            line("", revenue_code="0420"),
            institutional=True,
            hit=True,
            variant="required",
        ),
        example("therapy with it", line("97110-GP", revenue_code="0420"), institutional=True),
        example(
            "inpatient therapy needs none",
            line("", revenue_code="0420"),
            institutional=True,
            tob="0111",
        ),
        example(
            "supplies in the operating room, without a code",
            line("", revenue_code="0360"),
            institutional=True,
        ),
        example(
            "one of two lines",
            line("99284", revenue_code="0450"),
            line("27447", revenue_code="0450"),
            institutional=True,
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "a revenue code without rows", line("27447", revenue_code="0510"), institutional=True
        ),
        example("a professional claim has none", line("27447", pos="21")),
    ],
)
def find(batch: Batch, reference: Reference) -> Hits:
    """A procedure is excluded under its revenue code, not among those allowed there, or missing."""
    listing, lines = reference.listing("revenue_code_procedures"), batch.lines
    institutional = batch.of_line(batch.claims.type == INSTITUTIONAL)
    coded = rows_where(institutional & (lines.revenue > 0))
    found = listing.match(lines.revenue[coded], lines.service_from[coded])
    if not len(found):
        return Hits.none(*gap_of(listing))
    row = coded[found.place]
    procedure, rule_of = lines.procedure[row], found["rule"]
    inside = (procedure > 0) & found.within("code", procedure)
    outpatient = ~batch.claims.inpatient[lines.claim[row]]
    asked, met = np.zeros((2, len(REVENUE_RULES), len(lines)), np.bool_)
    asked[rule_of, row] = np.where(rule_of == _REQUIRED_RULE, outpatient, procedure > 0)
    met[rule_of[inside], row[inside]] = True
    excluded = met[_EXCLUDED_RULE]
    not_allowed = asked[_ALLOWED_RULE] & ~met[_ALLOWED_RULE]
    required = asked[_REQUIRED_RULE] & ~met[_REQUIRED_RULE]
    return Hits.on_lines(
        batch,
        excluded | not_allowed | required,
        variant=np.select([excluded, not_allowed], [_EXCLUDED, _NOT_ALLOWED], _REQUIRED),
        evidence={
            "revenue_code": lines.revenue,
            "procedure": lines.procedure,
            "type_of_bill": batch.of_line(batch.claims.type_of_bill),
        },
    )
