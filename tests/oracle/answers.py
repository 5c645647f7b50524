"""The engine's answer and the oracle's, in one shape, so that they can be compared."""

from collections.abc import Mapping, Sequence
from typing import Any

from claimgate.v1 import claim_pb2, score_pb2

from tests.oracle.bill import bill_of, seen_by
from tests.oracle.ncci import Hit, edit
from tests.oracle.pricing import price
from tests.oracle.scoring import Given, LineMoney, Thresholds, score
from tests.oracle.tables import Tables

EDITS = ("NCCI_ADDON_NO_PRIMARY", "NCCI_MUE", "NCCI_MUTUALLY_EXCLUSIVE", "NCCI_PTP")

NOT_OF_CODING = (
    score_pb2.CATEGORY_ELIGIBILITY,
    score_pb2.CATEGORY_TIMELY_FILING,
    score_pb2.CATEGORY_COB,
)
"""Fields whose denials say nothing of how a service was coded (decision 12)."""

Answer = Mapping[str, Any]


def engines_answer(result: score_pb2.ClaimResult) -> Answer:
    """Tell what an answer of the engine says, in the words of the oracle."""
    hits = []
    for hit in result.hits:
        if hit.rule_id in EDITS:
            partners = hit.evidence.get("partner_lines", "")
            hits.append(
                (
                    hit.rule_id,
                    hit.variant,
                    _name(score_pb2.Action, hit.action),
                    _name(score_pb2.Certainty, hit.certainty),
                    hit.weight,
                    tuple(sorted(hit.line_numbers)),
                    tuple(sorted(map(int, partners.split(",")))) if partners else (),
                    _paid_before(hit),
                )
            )
    gaps: dict[tuple[str, str], set[int]] = {}
    for gap in result.not_evaluated:
        for rule in gap.rule_ids:
            if rule in EDITS:
                gaps.setdefault((rule, gap.reason), set()).update(gap.line_numbers)
    return {
        "violations": [violation.field for violation in result.violations],
        "edits": sorted(hits),
        "not_evaluated": {" ".join(key): sorted(lines) for key, lines in sorted(gaps.items())},
        "prices": [
            (
                line.line_number,
                _name(score_pb2.PriceStatus, line.price_status, "PRICE_STATUS_"),
                line.no_price_reason,
                line.allowed_cents if line.HasField("allowed_cents") else None,
                line.rvu_total_e4,
                line.locality,
            )
            for line in result.lines
        ],
        "allowed_cents": result.allowed_cents if result.HasField("allowed_cents") else None,
        "unpriced_lines": result.unpriced_lines,
        "rule_score": result.rule_score,
        "fraud_score": result.fraud_score,
        "risk": _name(score_pb2.RiskCategory, result.risk_category, "RISK_CATEGORY_"),
        "decision": _name(score_pb2.Decision, result.decision),
        "dispositions": tuple(
            _name(score_pb2.Disposition, line.disposition) for line in result.lines
        ),
        "payable_cents": tuple(
            line.payable_cents if line.HasField("payable_cents") else None for line in result.lines
        ),
        "suppressed": tuple((hit.rule_id, hit.suppressed) for hit in result.hits),
        "exposure_cents": result.exposure_cents,
        "exposure_basis": _name(score_pb2.ExposureBasis, result.exposure_basis, "EXPOSURE_BASIS_"),
        "hit_exposure_cents": tuple((hit.rule_id, hit.exposure_cents) for hit in result.hits),
    }


def oracles_answer(
    claim: claim_pb2.Claim,
    message: Sequence[claim_pb2.Claim],
    result: score_pb2.ClaimResult,
    tables: Tables,
    policy: Thresholds,
) -> Answer:
    """Work out a claim of a message.

    Of the engine's answer only the hits of other rules and the model's word are taken.
    """
    bill = bill_of(claim)
    seen = [bill_of(each) for each in seen_by(claim, message)]
    edits = edit(bill, tables, seen, _denied_otherwise(result))
    prices = price(bill, tables)
    money = [
        LineMoney(
            each.line.number,
            each.allowed_cents,
            each.line.charge_cents,
            int(each.reference.scaleb(2)) if each.status == "PRICED" else None,
        )
        for each in prices
    ]
    given = [
        Given(
            hit.rule_id,
            hit.variant,
            _name(score_pb2.Action, hit.action),
            _name(score_pb2.Certainty, hit.certainty),
            hit.weight,
            tuple(hit.line_numbers),
            int(hit.evidence.get("excess_cents", 0)),
            _paid_before(hit),
            int(hit.evidence.get("recovery_cents", 0)),
        )
        for hit in result.hits
    ]
    p = result.approval_probability if result.HasField("approval_probability") else None
    scored = score(given, money, p, policy)
    amounts = [each.allowed_cents for each in prices if each.allowed_cents is not None]
    return {
        "violations": [],
        "edits": sorted(_told(hit) for hit in edits.hits),
        "not_evaluated": {
            " ".join(key): sorted(lines) for key, lines in sorted(edits.not_evaluated.items())
        },
        "prices": [
            (
                each.line.number,
                each.status,
                each.reason,
                each.allowed_cents,
                each.rvu_total_e4 if each.status == "PRICED" else 0,
                each.place if each.status == "PRICED" else "",
            )
            for each in prices
        ],
        "allowed_cents": sum(amounts) if amounts else None,
        "unpriced_lines": len(prices) - len(amounts),
        "rule_score": scored.rule_score,
        "fraud_score": scored.fraud_score,
        "risk": scored.risk,
        "decision": scored.decision,
        "dispositions": scored.dispositions,
        "payable_cents": scored.payable_cents,
        "suppressed": tuple(
            (hit.rule, out) for hit, out in zip(given, scored.suppressed, strict=True)
        ),
        "exposure_cents": scored.exposure_cents,
        "exposure_basis": scored.basis,
        "hit_exposure_cents": tuple(
            (hit.rule, cents) for hit, cents in zip(given, scored.hit_exposure_cents, strict=True)
        ),
    }


def _told(hit: Hit) -> tuple:
    return (
        hit.rule,
        hit.variant,
        hit.action,
        hit.certainty,
        hit.weight,
        hit.lines,
        hit.partners,
        hit.paid_before or (),
    )


def _paid_before(hit: score_pb2.RuleHit) -> tuple:
    """The other claim's line that a hit falls on."""
    if hit.variant != "paid_before":
        return ()
    return hit.evidence["earlier_claim"], int(hit.evidence["earlier_line"])


def _denied_otherwise(result: score_pb2.ClaimResult) -> frozenset[int]:
    """Lines that edits of coding other than the oracle's own deny for certain."""
    return frozenset(
        number
        for hit in result.hits
        if hit.rule_id not in EDITS
        and hit.category not in NOT_OF_CODING
        and hit.action in (score_pb2.ACTION_DENY_LINE, score_pb2.ACTION_DENY_CLAIM)
        and hit.certainty == score_pb2.CERTAINTY_APPLY
        for number in hit.line_numbers
    )


def _name(enum: Any, value: int, prefix: str = "") -> str:
    name = enum.Name(value)
    return name.removeprefix(prefix or f"{enum.DESCRIPTOR.name.upper()}_")
