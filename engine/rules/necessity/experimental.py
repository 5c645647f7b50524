"""Services that the payer holds for experimental."""

from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.diagnoses import with_diagnosis
from engine.rules.listed import gap_of, rows_of_lines
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
from engine.tables.keys import KEY_MAX


@rule(
    id="NECESSITY_EXPERIMENTAL",
    category=Category.NECESSITY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.18,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="55",
    cites="Social Security Act 1862(a)(1)(A); payer policy",
    families=(Family.EXPERIMENTAL,),
    datasets=("experimental_procedures",),
    evidence={
        "listed_from": Kind.CODE,
        "listed_to": Kind.CODE,
        "depends_on_diagnosis": Kind.NAME,
        "effective": Kind.DATE,
    },
    names={"depends_on_diagnosis": ("no", "yes")},
    caveat="A category III code is experimental only where the payer lists it.",
    examples=[
        example("a listed code", line("0232T"), line("99213"), hit=True, hit_lines=(1,)),
        example("a category III code that is not listed", line("0042T")),
        example("a code of another kind that is listed", line("S3900"), hit=True),
        example(
            "on the last day of its listing",
            line("0191T"),
            day="2021-12-31",
            received="2022-01-05",
            hit=True,
        ),
        example("delisted", line("0191T"), day="2022-01-01", received="2022-01-05"),
        example("experimental for one diagnosis", line("G0460"), dx=("M1711",), hit=True),
        example("the same for another", line("G0460"), dx=("E11621",)),
        example(
            "the diagnosis is on the claim and the line does not point to it",
            line("G0460"),
            dx=("E11621", "M1711"),
        ),
        example(
            "a facility's bill has no pointers",
            line("G0460"),
            dx=("E11621", "M1711"),
            institutional=True,
            hit=True,
        ),
        example("a code within a listed range", line("0559T"), hit=True),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """The payer lists the code as experimental on the day, for any diagnosis or for the line's."""
    listing, count = reference.listing("experimental_procedures"), len(batch.lines)
    found = rows_of_lines(listing, batch, facts)
    found = found.where(with_diagnosis(found, batch))
    if not len(found):
        return Hits.none(*gap_of(listing))
    row = found.first(count)
    columns = {name: column[row] for name, column in listing.columns.items()}
    return Hits.on_lines(
        batch,
        row >= 0,
        evidence={
            "listed_from": columns["code_first"],
            "listed_to": columns["code_last"],
            "depends_on_diagnosis": columns["diagnosis_last"] != KEY_MAX,
            "effective": columns["effective"],
        },
    )
