"""Two services that cannot reasonably be done on the same day."""

from engine.columns import Batch
from engine.rules.earlier import PAID_BEFORE
from engine.rules.ncci.pair_edits import PAIR_DATASETS, PAIR_EVIDENCE, FoundPairs, find_bundled
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)

_PAID_BEFORE = 1


@rule(
    id="NCCI_MUTUALLY_EXCLUSIVE",
    category=Category.NCCI,
    scope=Scope.LINE,
    severity=Severity.CRITICAL,
    weight=0.17,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="231/97",
    cites="NCCI Policy Manual ch. I",
    families=(Family.BUNDLING,),
    variants={"": Variant(), "paid_before": PAID_BEFORE},
    datasets=PAIR_DATASETS,
    evidence=PAIR_EVIDENCE,
    uses_history=True,
    caveat="[U] No separate file of these pairs since 2012: they are told by the rationale of the "
    "row. [U] Which modifiers bypass on which line, as for NCCI_PTP.",
    examples=[
        example(
            "both codes of a pair, no modifier",
            line("97150"),
            line("97110"),
            hit=True,
            hit_lines=(2,),
        ),
        example("59 on the other pair", line("97150"), line("97110-59")),
        example(
            "indicator 0: no modifier helps",
            line("90837"),
            line("90834-59"),
            hit=True,
            hit_lines=(2,),
        ),
        example("59 on column 2", line("17110"), line("17000-59")),
        example(
            "column 2 is denied, not the second line",
            line("17000"),
            line("17110"),
            hit=True,
            hit_lines=(1,),
        ),
        example("pairs of another rationale are NCCI_PTP's", line("45385"), line("45380")),
        example("on two days", line("97150"), line("97110", day="2025-10-16")),
        example(
            "the other one was paid on another claim",
            line("97110"),
            earlier=[claim_before(line("97150"))],
            hit=True,
            hit_lines=(1,),
            variant="",
        ),
        example(
            "column 2 was paid on another claim: a person looks at what may come back",
            line("97150"),
            earlier=[claim_before(line("97110"))],
            hit=True,
            variant="paid_before",
        ),
        example(
            "on two claims, another rationale", line("45380"), earlier=[claim_before(line("45385"))]
        ),
    ],
)
def find(batch: Batch, pair_edits: FoundPairs) -> Hits:
    """A line and another of its day and provider exclude each other; no modifier separates them."""
    return find_bundled(batch, pair_edits, mutually_exclusive=True, case_before=_PAID_BEFORE)
