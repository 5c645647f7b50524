"""Claims that do not say what the payers before us have decided."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Ints, rows_where
from engine.members import Members
from engine.policy import Params
from engine.rules.cob.coverages import other_coverages
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

_NO_OTHER_PAYER, _UNDECIDED, _UNBALANCED = range(3)
_SEQUENCES: Final = tuple(map(code36, "PSTABCDEFGH"))
"""In which order payers pay; U, unknown, is none of them."""
_LACKS: Final = (
    "",
    "paid_amount",
    "decision_date",
    "paid_amount, decision_date",
    "adjustments",
    "paid_amount, adjustments",
    "decision_date, adjustments",
    "paid_amount, decision_date, adjustments",
)
"""By bits: 1 paid amount, 2 day of the decision, 4 adjustments."""


def _other(paid: int | None, adjusted: int = 0, day: str = "2025-10-18") -> dict[str, Any]:
    payer: dict[str, Any] = {"payer_id": "OTHER", "payer_sequence": "P"}
    payer |= {} if paid is None else {"paid_cents": paid}
    payer |= {"adjudication_date": day} if day else {}
    if adjusted:
        payer["adjustments"] = [{"group": "CO", "carc": "45", "amount_cents": adjusted}]
    return payer


_SECOND: Final[Mapping[str, Any]] = {"payer_sequence": "S"}


@rule(
    id="COB_INCOMPLETE",
    category=Category.COB,
    scope=Scope.CLAIM,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="22/16",
    cites="42 CFR 411.24; Medicare Secondary Payer Manual (100-05) ch. 3; X12 005010X222A1 and "
    "005010X223A2 loops 2320, 2330B and 2430",
    variants={"no_other_payer": Variant(), "undecided": Variant(), "unbalanced": Variant()},
    params={"balance_checked": 1, "balance_tolerance_cents": 0},
    evidence={
        "payer_sequence": Kind.CODE,
        "other_sequence": Kind.CODE,
        "lacks": Kind.NAME,
        "charge_cents": Kind.CENTS,
        "paid_cents": Kind.CENTS,
        "adjustment_cents": Kind.CENTS,
        "difference_cents": Kind.CENTS,
        "coverages_on_file": Kind.COUNT,
    },
    names={"lacks": _LACKS},
    caveat=(
        "[U] For each earlier payer the total charge has to equal what it paid and adjusted "
        "(`balance_checked`, `balance_tolerance_cents`). A payer that paid the whole charge needs "
        "no adjustment. Coverages on file are compared where they are loaded; the rest is judged "
        "by the claim alone."
    ),
    examples=[
        example("second payer, and the first has not said what it paid", line("99213"), **_SECOND,
            other_payers=[_other(None, day="")], hit=True, variant="undecided"),
        example("paid 80, adjusted 20, of 100", line("99213"), **_SECOND,
            other_payers=[_other(8000, 2000)]),
        example("paid 80, adjusted 15, of 100", line("99213"), **_SECOND,
            other_payers=[_other(8000, 1500)], hit=True, variant="unbalanced"),
        example("the same where balances are not checked", line("99213"), **_SECOND,
            other_payers=[_other(8000, 1500)], params={"balance_checked": 0}),
        example("five dollars off are tolerated", line("99213"), **_SECOND,
            other_payers=[_other(8000, 1500)], params={"balance_tolerance_cents": 500}),
        example("denied in full: paid 0 with adjustments", line("99213"), **_SECOND,
            other_payers=[_other(0, 10_000)]),
        example("paid 0 without adjustments", line("99213"), **_SECOND,
            other_payers=[_other(0)], hit=True, variant="undecided"),
        example("paid in full needs no adjustment", line("99213"), **_SECOND,
            other_payers=[_other(10_000)]),
        example("the day of the decision is missing", line("99213"), **_SECOND,
            other_payers=[_other(8000, 2000, day="")], hit=True, variant="undecided"),
        example("adjustments and day stand on the line",
            line("99213", prior_adjudications=[{"payer_id": "OTHER", "paid_cents": 8000,
                "adjudication_date": "2025-10-18", "adjustments": [
                    {"group": "PR", "carc": "2", "amount_cents": 2000}]}]),
            **_SECOND, other_payers=[_other(8000, day="")]),
        example("second payer without a first", line("99213"), **_SECOND, hit=True,
            variant="no_other_payer"),
        example("first payer, and no other is known", line("99213"),
            on_file={"coverages": [{"payer": "PAYER", "rank": 1}]}),
        example("first payer, another coverage is on file, the claim names none", line("99213"),
            on_file={"coverages": [{"payer": "PAYER", "rank": 1}, {"payer": "OTHER", "rank": 2}]},
            hit=True, variant="no_other_payer"),
        example("the claim names it, and it has not decided yet", line("99213"),
            other_payers=[{"payer_id": "OTHER", "payer_sequence": "S"}],
            on_file={"coverages": [{"payer": "PAYER", "rank": 1}, {"payer": "OTHER", "rank": 2}]}),
        example("the other coverage has ended", line("99213"), on_file={"coverages": [
            {"payer": "PAYER", "rank": 1},
            {"payer": "OTHER", "rank": 2, "termination": "2025-10-14"}]}),
        example("third payer: the first is complete, the second is not", line("99213"),
            payer_sequence="T", other_payers=[_other(8000, 2000),
                {"payer_id": "THIRD", "payer_sequence": "S"}], hit=True, variant="undecided"),
        example("second payer: the third has not decided, and need not have", line("99213"),
            **_SECOND, other_payers=[_other(8000, 2000),
                {"payer_id": "THIRD", "payer_sequence": "T"}]),
    ],
)  # fmt: skip
def find(batch: Batch, members: Members, params: Params) -> Hits:
    """Another payer is known and not named, or an earlier one's decision is incomplete or wrong."""
    claims, payers, count = batch.claims, batch.other_payers, len(batch.claims)
    coverages = members.coverages
    gaps = () if coverages is not None else (NotEvaluated("no_dataset"),)
    place = _place(claims.payer_sequence)
    known = np.zeros(count, np.int64)
    if coverages is not None:
        known = np.bincount(other_coverages(batch, coverages).claim, minlength=count)
    named = np.bincount(payers.claim, minlength=count) > 0
    unnamed = ~named & ((known > 0) | (place > 0))

    # A payer of unknown place beside ours, which is not first, is taken to come before.
    before = _place(payers.sequence) < place[payers.claim]
    before &= claims.payer_sequence[payers.claim] != _SEQUENCES[0]
    charge = claims.total_charge_cents[payers.claim]
    difference = charge - payers.paid_cents - payers.adjustment_cents
    lacks = (
        (~payers.decided).astype(np.int64)
        + 2 * ~payers.dated
        + 4 * (~payers.adjusted & ~(payers.decided & (payers.paid_cents == charge)))
    )
    tolerance = params["balance_tolerance_cents"][payers.claim]
    unbalanced = (params["balance_checked"][payers.claim] != 0) & (np.abs(difference) > tolerance)
    fault = rows_where(before & ((lacks > 0) | unbalanced))
    if not (unnamed.any() or len(fault)):
        return Hits.none(*gaps)

    shown = np.full(count, -1, np.int64)
    # Of several the first that lacks something is shown, else the first that does not balance.
    order = fault[np.lexsort((fault, lacks[fault] == 0))][::-1]
    shown[payers.claim[order]] = order
    there = shown >= 0

    def of_shown(column: Ints, none: int) -> Ints:
        values = np.full(count, none, np.int64)
        values[there] = column[shown[there]]
        return values

    missing = of_shown(lacks, 0)
    return Hits.on_claims(
        unnamed | there,
        variant=np.where(unnamed, _NO_OTHER_PAYER, np.where(missing > 0, _UNDECIDED, _UNBALANCED)),
        evidence={
            "payer_sequence": claims.payer_sequence,
            "other_sequence": of_shown(payers.sequence, 0),
            "lacks": missing,
            "charge_cents": claims.total_charge_cents,
            "paid_cents": of_shown(payers.paid_cents, 0),
            "adjustment_cents": of_shown(payers.adjustment_cents, 0),
            "difference_cents": of_shown(difference, 0),
            "coverages_on_file": known,
        },
        not_evaluated=gaps,
    )


def _place(sequence: Ints) -> Ints:
    """Place in the order of payers, 0 for the first; -1 for none that is known."""
    place = np.full(len(sequence), -1, np.int64)
    for number, code in enumerate(_SEQUENCES):
        place[sequence == code] = number
    return place
