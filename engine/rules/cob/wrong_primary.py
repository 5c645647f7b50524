"""Claims billed to us first although another payer comes before."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, one_of
from engine.insurance import INSURANCE
from engine.members import BASES, Members
from engine.policy import Params
from engine.rules.cob.coverages import AUTO, EMPLOYMENT, other_coverages
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)

_BEHIND, _TIE, _ACCIDENT = range(3)
_PRIMARY: Final = code36("P")
_INSURES_ACCIDENTS: Final = (INSURANCE["WC"], INSURANCE["AM"])

_OURS: Final = {"payer": "PAYER", "rank": 1}
_OURS_SECOND: Final = {"payer": "PAYER", "rank": 2, "basis": "birthday_rule"}
_JANUARY_PARENT: Final = {"payer": "OTHER", "rank": 1, "basis": "birthday_rule"}
_CHILD: Final[Mapping[str, Any]] = {"birth": "2015-03-01", "insurance_type": "CI"}


@rule(
    id="COB_WRONG_PRIMARY",
    category=Category.COB,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.16,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="22",
    cites="42 CFR 411 subparts B to H; Medicare Secondary Payer Manual (100-05) ch. 1 to 3; NAIC "
    "Coordination of Benefits Model Regulation; 42 CFR 433.139 (Medicaid last)",
    variants={
        "behind_another": Variant(),
        "tie": Variant(weight=0.10),
        "accident": Variant(weight=0.08),
    },
    params={"accident_suggests_another": 1},
    evidence={
        "own_rank": Kind.COUNT,
        "other_rank": Kind.COUNT,
        "basis": Kind.NAME,
        "other_since": Kind.DATE,
        "accident": Kind.CODE,
    },
    names={"basis": BASES},
    caveat=(
        "[U] Who pays first (Medicare with a working-aged, disabled or ESRD member, the birthday "
        "rule, Medicaid last) is not worked out here: the coverages on file carry rank, ground and "
        "days, so an ESRD coordination period ends with its row. Workers' compensation and auto "
        "insurance count on claims that name such an accident. A claim of an accident without "
        "such a coverage on file is shown too (`accident_suggests_another` 0: not)."
    ),
    examples=[
        example("a child of two plans, and the other parent's birthday is earlier", line("99213"),
            **_CHILD, on_file={"coverages": [_JANUARY_PARENT, _OURS_SECOND]}, hit=True,
            variant="behind_another"),
        example("the same, billed to us as the second payer", line("99213"), **_CHILD,
            payer_sequence="S", on_file={"coverages": [_JANUARY_PARENT, _OURS_SECOND]}),
        example("our parent's birthday is earlier", line("99213"), **_CHILD, on_file={"coverages": [
            {**_JANUARY_PARENT, "rank": 2}, {**_OURS_SECOND, "rank": 1}]}),
        example("parents born on one day: a tie", line("99213"), **_CHILD, on_file={"coverages": [
            _JANUARY_PARENT, {**_OURS_SECOND, "rank": 1}]}, hit=True, variant="tie"),
        example("the only coverage", line("99213"), on_file={"coverages": [_OURS]}),
        example("a group plan before Medicare, for one who still works", line("99213"),
            birth="1955-01-01", on_file={"coverages": [
                {"payer": "OTHER", "rank": 1, "basis": "working_aged"},
                {"payer": "PAYER", "rank": 2}]}, hit=True, variant="behind_another"),
        example("the group plan ended the day before", line("99213"), birth="1955-01-01",
            on_file={"coverages": [
                {"payer": "OTHER", "rank": 1, "basis": "working_aged", "termination": "2025-10-14"},
                {"payer": "PAYER", "rank": 2}]}),
        example("on its last day", line("99213"), birth="1955-01-01", on_file={"coverages": [
            {"payer": "OTHER", "rank": 1, "basis": "working_aged", "termination": "2025-10-15"},
            {"payer": "PAYER", "rank": 2}]}, hit=True),
        example("the thirty months of end-stage renal disease are over", line("90999"),
            on_file={"coverages": [
                {"payer": "OTHER", "rank": 1, "basis": "end_stage_renal_disease",
                 "effective": "2023-01-01", "termination": "2025-06-30"},
                {"payer": "OTHER", "rank": 2, "effective": "2025-07-01"},
                {"payer": "PAYER", "rank": 1, "effective": "2025-07-01"}]}),
        example("Medicaid billed first beside a group plan", line("99213"), insurance_type="MC",
            on_file={"coverages": [
                {"payer": "OTHER", "rank": 1},
                {"payer": "PAYER", "rank": 2, "basis": "medicaid_last"}]}, hit=True),
        example("we are not among the coverages and another is first", line("99213"),
            on_file={"coverages": [{"payer": "OTHER", "rank": 1}]}, hit=True,
            variant="behind_another"),
        example("another coverage without a rank", line("99213"),
            on_file={"coverages": [{"payer": "OTHER"}, _OURS]}, hit=True, variant="tie"),
        example("workers' compensation, and the claim is of an accident at work", line("99213"),
            accident_type="EM", on_file={"coverages": [
                {"payer": "OTHER", "rank": 1, "basis": "workers_compensation"},
                {"payer": "PAYER", "rank": 2}]}, hit=True, variant="behind_another"),
        example("workers' compensation, and the claim is of no accident", line("99213"),
            on_file={"coverages": [
                {"payer": "OTHER", "rank": 1, "basis": "workers_compensation"},
                {"payer": "PAYER", "rank": 2}]}),
        example("a car accident, and no auto coverage on file", line("99213"), accident_type="AA",
            on_file={"coverages": [_OURS]}, hit=True, variant="accident"),
        example("the same where a payer does not want to know", line("99213"), accident_type="AA",
            on_file={"coverages": [_OURS]}, params={"accident_suggests_another": 0}),
        example("the workers' compensation carrier itself", line("99213"), accident_type="EM",
            insurance_type="WC", on_file={"coverages": [_OURS]}),
        example("another accident", line("99213"), accident_type="OA",
            on_file={"coverages": [_OURS]}),
        example("an inpatient admitted when the other coverage was active",
            line("", revenue_code="0120", day="2025-10-16"), institutional=True, tob="0111",
            day="2025-10-16", admission_date="2025-10-14", service_to_date="2025-10-17",
            on_file={"coverages": [
                {"payer": "OTHER", "rank": 1, "termination": "2025-10-15"},
                {"payer": "PAYER", "rank": 2}]}, hit=True),
        example("no coverages are loaded", line("99213")),
    ],
)  # fmt: skip
def find(batch: Batch, members: Members, params: Params) -> Hits:
    """Billed to us as the first payer, while another coverage of the member comes before ours."""
    coverages = members.coverages
    if coverages is None:
        return Hits.none(NotEvaluated("no_dataset"))
    claims, count = batch.claims, len(batch.claims)
    first = claims.payer_sequence == _PRIMARY
    if not first.any():
        return Hits.none()
    found = other_coverages(batch, coverages)
    asked = first[found.claim]
    claim, row = found.claim[asked], found.row[asked]
    rank, own = coverages.rank[row], found.own_rank[claim]
    ahead = (rank > 0) & ((rank < own) | ((own == 0) & (rank == 1)))
    tied = (rank <= 0) | (rank == own)

    # Of several the one that is ahead counts, and of these the first in line.
    shown = np.full(count, -1, np.int64)
    order = np.flatnonzero(ahead | tied)
    order = order[np.lexsort((row[order], rank[order], ~ahead[order]))][::-1]
    shown[claim[order]] = row[order]
    behind = np.bincount(claim[ahead], minlength=count) > 0
    tie = np.bincount(claim[tied], minlength=count) > 0
    accident = first & one_of(claims.accident_type, (EMPLOYMENT, AUTO))
    accident &= ~one_of(claims.insurance, _INSURES_ACCIDENTS)
    accident &= params["accident_suggests_another"] != 0
    there = shown >= 0
    ranks, bases = np.full((2, count), -1, np.int64)
    since = np.full(count, np.datetime64("NaT"), "datetime64[D]")
    ranks[there] = np.where(coverages.rank[shown[there]] > 0, coverages.rank[shown[there]], -1)
    bases[there], since[there] = coverages.basis[shown[there]], coverages.effective[shown[there]]
    return Hits.on_claims(
        behind | tie | accident,
        variant=np.where(behind, _BEHIND, np.where(tie, _TIE, _ACCIDENT)),
        evidence={
            "own_rank": np.where(found.own_rank > 0, found.own_rank, -1),
            "other_rank": ranks,
            "basis": bases,
            "other_since": since,
            "accident": claims.accident_type,
        },
    )
