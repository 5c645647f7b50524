"""Both sides of a code of which the fee schedule says nothing."""

from typing import Final

from engine.codes import code36
from engine.columns import Batch
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.listed import gap_of, rows_of_lines
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    NotEvaluated,
    Scope,
    Severity,
    example,
    line,
    rule,
)

_BOTH_SIDES: Final = code36("50")


@rule(
    id="MODIFIER_BILATERAL_INVALID",
    category=Category.MODIFIER,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="4",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.7; payer policy",
    families=(Family.BILATERAL,),
    datasets=("bilateral_procedures", "mpfs"),
    caveat="Where the fee schedule has a row, its bilateral indicator decides, by other rules.",
    examples=[
        example("50 on a code that no list names", line("0275T-50"), hit=True, hit_lines=(1,)),
        example("50 on a code that the payer lists", line("0619T-50")),
        example("the fee schedule has a row and decides", line("20610-50")),
        example("the same where it says no", line("11042-50")),
        example("without 50", line("0275T")),
        example("on lines with LT and RT", line("0275T-LT"), line("0275T-RT")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """Modifier 50 stands on a code without a row of fees that the payer's list does not name."""
    listing = reference.listing("bilateral_procedures")
    silent = batch.has_modifier(_BOTH_SIDES) & (batch.lines.procedure > 0) & (facts.mpfs_code < 0)
    if not (listing.loaded and silent.any()):
        return Hits.none(*gap_of(listing))
    listed = rows_of_lines(listing, batch, facts).found(len(batch.lines))
    return Hits.on_lines(
        batch,
        silent & facts.mpfs_in_force & ~listed,
        not_evaluated=(NotEvaluated("no_release", lines=silent & ~facts.mpfs_in_force),),
    )
