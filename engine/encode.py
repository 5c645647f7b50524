"""Results to messages. The only place where findings become text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from claimgate.v1 import score_pb2 as pb
from numpy.typing import NDArray

from engine.codes import text36
from engine.columns import Batch, Bools, Ints
from engine.facts import Facts
from engine.features import FEATURES, Features
from engine.findings import Findings, unjudged
from engine.gathered import DISABLED, OK, UNAVAILABLE, Gathered
from engine.policy import Policy
from engine.pricing import Allowed, PriceReason, PriceStatus
from engine.reference import Reference
from engine.rules.rule import Kind, Rule
from engine.verdict import Verdict

ENGINE_VERSION: Final = "1"
"""Part of every answer; goes up with any change that may change a bit of a result."""

_MODEL_STATUS: Final = {
    OK: pb.MODEL_STATUS_OK,
    UNAVAILABLE: pb.MODEL_STATUS_UNAVAILABLE,
    DISABLED: pb.MODEL_STATUS_DISABLED,
}
_NO_PRICE: Final = {reason: reason.name.lower() for reason in PriceReason} | {
    PriceReason.NONE: "",
    PriceReason.NA: "NA",
}
_AGE_FEATURE: Final = FEATURES[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one message."""

    results: list[pb.ClaimResult]
    """In the order of the claims."""
    provenance: pb.Provenance


@dataclass(frozen=True, slots=True)
class Scored:
    """Everything that a pass was scored with and came to."""

    batch: Batch
    facts: Facts
    features: Features
    gathered: Gathered
    allowed: Allowed
    findings: Findings
    verdict: Verdict
    reference: Reference
    policy: Policy


def encode(scored: Scored, views: Sequence[int]) -> list[Answer]:
    """Answer each message's claims, in order.

    Args:
        scored: The pass.
        views: How much each message's answer says, a `View` per message.
    """
    received = scored.batch.received
    views = [pb.VIEW_EVIDENCE if view == pb.VIEW_UNSPECIFIED else view for view in views]
    results = _rejected(scored) | _results(scored, views)
    answers, first = [], 0
    stand_ins = _stand_ins(scored)
    for message, count in enumerate(received.message_claims):
        answers.append(
            Answer(
                [results[ordinal] for ordinal in range(first, first + count)],
                _provenance(scored, stand_ins[message]),
            )
        )
        first += count
    return answers


def _rejected(scored: Scored) -> dict[int, pb.ClaimResult]:
    """Results of the claims that could not be scored, by ordinal."""
    received = scored.batch.received
    return {
        ordinal: pb.ClaimResult(
            claim_id=received.claim_ids[ordinal],
            claim_version=received.versions[ordinal],
            decision=pb.DECISION_REJECT,
            is_test=received.is_test[ordinal],
            violations=[
                pb.FieldViolation(field=v.field, code=v.code, message=v.message) for v in violations
            ],
        )
        for ordinal, violations in scored.batch.violations.items()
    }


def _results(scored: Scored, views: Sequence[int]) -> dict[int, pb.ClaimResult]:
    """Results of the scored claims, by ordinal."""
    batch, verdict, allowed = scored.batch, scored.verdict, scored.allowed
    claims, received, model = batch.claims, batch.received, scored.gathered.model
    view_of = np.array(views, np.int64)[claims.message].tolist()
    lines = _line_results(scored, view_of)
    hits = _hits(scored, view_of)
    gaps = _gaps(scored)
    priced = allowed.priced
    totals = np.bincount(batch.lines.claim, np.where(priced, allowed.allowed_cents, 0), len(claims))
    unpriced = np.bincount(batch.lines.claim, ~priced, len(claims)).astype(np.int64)
    status = _MODEL_STATUS[model.status]
    degraded = [f"model: {model.reason}"] if model.status == UNAVAILABLE else []
    probability = (
        [None] * len(claims)
        if model.probability is None
        else model.probability.astype(float).tolist()
    )
    columns = zip(
        claims.ordinal.tolist(),
        verdict.decision.tolist(),
        verdict.fraud_score.tolist(),
        verdict.rule_score.tolist(),
        verdict.risk.tolist(),
        probability,
        scored.features.age_imputed.tolist(),
        totals.astype(np.int64).tolist(),
        unpriced.tolist(),
        verdict.exposure_cents.tolist(),
        verdict.exposure_by_charge.tolist(),
        claims.line_start.tolist(),
        claims.lines.tolist(),
        strict=True,
    )
    results = {}
    for row, (
        ordinal,
        decision,
        fraud,
        rules,
        risk,
        p,
        imputed,
        total,
        without,
        exposure,
        by_charge,
        start,
        count,
    ) in enumerate(columns):
        results[ordinal] = pb.ClaimResult(
            claim_id=received.claim_ids[ordinal],
            claim_version=received.versions[ordinal],
            decision=decision,
            fraud_score=fraud,
            rule_score=rules,
            risk_category=risk,
            model_status=status,
            approval_probability=p,
            imputed_features=[_AGE_FEATURE] if imputed else None,
            allowed_cents=total if without < count else None,
            unpriced_lines=without,
            exposure_cents=exposure,
            exposure_basis=_basis(exposure, by_charge),
            hits=hits.get(row),
            not_evaluated=gaps.get(row),
            lines=lines[start : start + count],
            is_test=received.is_test[ordinal],
            degraded=degraded,
        )
    return results


def _basis(exposure_cents: int, by_charge: bool) -> pb.ExposureBasis.ValueType:
    if not exposure_cents:
        return pb.EXPOSURE_BASIS_UNSPECIFIED
    return pb.EXPOSURE_BASIS_CHARGE if by_charge else pb.EXPOSURE_BASIS_ALLOWED


def _line_results(scored: Scored, view_of: Sequence[int]) -> list[pb.LineResult]:
    allowed, verdict, lines = scored.allowed, scored.verdict, scored.batch.lines
    label = scored.reference.localities.label
    labels = {row: label(row) for row in np.unique(allowed.locality).tolist() if row >= 0}
    priced = allowed.priced.tolist()
    results = [
        pb.LineResult(
            line_number=number,
            disposition=disposition,
            price_status=status,
            no_price_reason=_NO_PRICE[reason],
            allowed_cents=cents if has_price else None,
            payable_cents=payable if has_price else None,
            rvu_total_e4=rvu,
            locality=labels.get(place, ""),
        )
        for number, disposition, status, reason, has_price, cents, payable, rvu, place in zip(
            lines.number.tolist(),
            verdict.disposition.tolist(),
            allowed.status.tolist(),
            allowed.reason.tolist(),
            priced,
            allowed.allowed_cents.tolist(),
            verdict.payable_cents.tolist(),
            allowed.rvu_total_e4.tolist(),
            allowed.locality.tolist(),
            strict=True,
        )
    ]
    if pb.VIEW_TRACE in view_of:
        traced = np.array(view_of)[lines.claim] == pb.VIEW_TRACE
        for row in np.flatnonzero(traced & allowed.priced):
            results[row].trace.extend(trace(scored, int(row)))
    return results


def trace(scored: Scored, row: int) -> list[pb.PriceStep]:
    """Return the price of one line step by step."""
    allowed, facts, reference = scored.allowed, scored.facts, scored.reference
    lines, mpfs, places = scored.batch.lines, reference.mpfs, reference.localities
    if allowed.status[row] == PriceStatus.BUNDLED:
        return [pb.PriceStep(step="bundled", detail=f"status {chr(mpfs.status[facts.mpfs[row]])}")]
    entry, place = facts.mpfs[row], facts.locality[row]
    practice = mpfs.facility_pe_e2[entry] if facts.facility[row] else mpfs.non_facility_pe_e2[entry]
    rvus = (mpfs.work_e2[entry], practice, mpfs.malpractice_e2[entry])
    if scored.policy.price_formula == "simple":
        indices, factor = ["1", "1", "1"], _decimal(scored.policy.legacy_cf_e4, 4)
    else:
        gpcis = (places.work_e3[place], places.pe_e3[place], places.mp_e3[place])
        indices = [_decimal(int(g), 3) for g in gpcis]
        factor = _decimal(int(mpfs.conversion_factor_e4[entry]), 4)
    terms = " + ".join(f"{_decimal(int(r), 2)} x {g}" for r, g in zip(rvus, indices, strict=True))
    setting = "facility" if facts.facility[row] else "non-facility"
    release = reference.release_name("mpfs", int(mpfs.release[entry]))
    steps = [("fee", f"({terms}) x {factor}, {setting}, {release}", allowed.fee_cents[row])]
    if allowed.capped_cents[row] != allowed.fee_cents[row]:
        steps.append(("cap", "outpatient price of imaging", allowed.capped_cents[row]))
    steps.append(("units", f"x {_units(int(lines.units_milli[row]))}", allowed.amount_cents[row]))
    if allowed.allowed_cents[row] != allowed.amount_cents[row]:
        steps.append(("charge_limit", "not above the charge", allowed.allowed_cents[row]))
    return [pb.PriceStep(step=s, detail=d, amount_cents=int(cents)) for s, d, cents in steps]


def _hits(scored: Scored, view_of: Sequence[int]) -> dict[int, list[pb.RuleHit]]:
    """Hits by row of the claim, in the order of rule ids."""
    findings, hit_verdict, lines = scored.findings, scored.verdict.hits, scored.batch.lines
    numbers = _grouped(findings.line_hit, lines.number[findings.line].tolist(), len(findings))
    partners = _partner_rows(findings)
    texts = _Texts(scored)
    by_claim: dict[int, list[pb.RuleHit]] = {}
    columns = zip(
        findings.rule.tolist(),
        findings.row.tolist(),
        findings.claim.tolist(),
        findings.case.tolist(),
        hit_verdict.action.tolist(),
        hit_verdict.certainty.tolist(),
        hit_verdict.weight.tolist(),
        hit_verdict.suppressed.tolist(),
        hit_verdict.exposure_cents.tolist(),
        strict=True,
    )
    for index, hit_columns in enumerate(columns):
        rule_index, row, claim, case, action, certainty, weight, suppressed, exposure = hit_columns
        rule = findings.rules[rule_index]
        hit = pb.RuleHit(
            rule_id=rule.id,
            line_numbers=numbers[index],
            action=action,
            certainty=certainty,
            weight=weight,
            suppressed=suppressed,
        )
        if view_of[claim] != pb.VIEW_DECISION:
            hit.MergeFrom(texts.of_rule(rule_index))
            hit.variant = rule.cases[case].name
            hit.exposure_cents = exposure
            texts.fill(hit, rule_index, row, index, partners[index])
        by_claim.setdefault(claim, []).append(hit)
    return by_claim


def _grouped(owner: Ints, values: list[Any], count: int) -> list[list[Any]]:
    groups: list[list[Any]] = [[] for _ in range(count)]
    for index, value in zip(owner.tolist(), values, strict=True):
        groups[index].append(value)
    return groups


def _partner_rows(findings: Findings) -> list[list[int]]:
    """Rows of the partner lines of each hit."""
    groups: list[list[int]] = []
    for hits in findings.by_rule:
        groups.extend(_grouped(hits.partner_hit, hits.partner.tolist(), len(hits)))
    return groups


class _Texts:
    """Evidence and documentation of hits as text."""

    def __init__(self, scored: Scored) -> None:
        self._scored = scored
        self._lines = _grouped(
            scored.findings.line_hit, scored.findings.line.tolist(), len(scored.findings)
        )
        self._rules: dict[int, pb.RuleHit] = {}
        self._procedures = scored.batch.lines.procedure

    def of_rule(self, rule_index: int) -> pb.RuleHit:
        """Return what all hits of a rule have in common."""
        if rule_index not in self._rules:
            rule = self._scored.findings.rules[rule_index]
            self._rules[rule_index] = pb.RuleHit(
                category=pb.Category.ValueType(rule.category),
                severity=pb.Severity.ValueType(rule.severity),
                scope=pb.Scope.ValueType(rule.scope),
                citation=rule.cites,
                carc=rule.carc,
            )
        return self._rules[rule_index]

    def fill(
        self, hit: pb.RuleHit, rule_index: int, row: int, index: int, partners: list[int]
    ) -> None:
        """Add codes, evidence and release to a hit."""
        findings = self._scored.findings
        rule, hits = findings.rules[rule_index], findings.by_rule[rule_index]
        rows = self._lines[index]
        hit.codes.extend(self._codes(rows + partners))
        for name, kind in rule.evidence.items():
            if (text := evidence_text(rule, name, kind, hits.evidence[name][row])) != "":
                hit.evidence[name] = text
        if partners:
            numbers = self._scored.batch.lines.number
            hit.evidence["partner_lines"] = ",".join(str(numbers[partner]) for partner in partners)
        hit.dataset_release = self._release(rule, int(findings.claim[index]), rows)

    def _codes(self, rows: list[int]) -> list[str]:
        codes = dict.fromkeys(text36(int(self._procedures[row])) for row in rows)
        return [code for code in codes if code]

    def _release(self, rule: Rule, claim: int, rows: list[int]) -> str:
        if not rule.datasets:
            return ""
        batch, reference = self._scored.batch, self._scored.reference
        day = batch.lines.service_from[rows[0]] if rows else batch.claims.service_from[claim]
        for dataset in rule.datasets:
            ordinal = int(reference.dataset_release(dataset, np.array([day]))[0])
            if ordinal >= 0:
                return f"{dataset} {reference.release_name(dataset, ordinal)}"
        return ""


def _decimal(value: int, places: int) -> str:
    return f"{value // 10**places}.{value % 10**places:0{places}d}"


def _units(milli: int) -> str:
    return f"{milli / 1000:g}" if milli % 1000 else str(milli // 1000)


_FORMATS: Final[dict[Kind, Callable[[int], str]]] = {
    Kind.COUNT: str,
    Kind.UNITS: _units,
    Kind.CENTS: lambda cents: _decimal(cents, 2),
    Kind.RATIO_E2: lambda ratio: _decimal(ratio, 2),
    Kind.CODE: text36,
    Kind.POS: lambda pos: f"{pos:02d}" if pos >= 0 else "",
}


def evidence_text(rule: Rule, name: str, kind: Kind, value: Any) -> str:
    """Return one evidence value as text; empty where there is none."""
    if kind is Kind.DATE:
        return "" if np.isnat(value) else str(value)
    if kind is Kind.NAME:
        return rule.names[name][int(value)]
    return _FORMATS[kind](int(value))


def _gaps(scored: Scored) -> dict[int, list[pb.NotEvaluated]]:
    """What could not be judged, by row of the claim: one entry for each reason and set of lines."""
    batch = scored.batch
    found: dict[int, dict[tuple[str, tuple[int, ...]], list[str]]] = {}
    for reason, entries in unjudged(scored.findings, batch).items():
        for rule_id, line_mask, claim_mask in entries:
            numbers = _numbers_by_claim(batch, line_mask)
            for claim in np.flatnonzero(claim_mask).tolist():
                key = (reason, numbers.get(claim, ()))
                found.setdefault(claim, {}).setdefault(key, []).append(rule_id)
    return {
        claim: [
            pb.NotEvaluated(reason=reason, rule_ids=rule_ids, line_numbers=numbers)
            for (reason, numbers), rule_ids in gaps.items()
        ]
        for claim, gaps in found.items()
    }


def _numbers_by_claim(batch: Batch, mask: Bools | None) -> dict[int, tuple[int, ...]]:
    if mask is None:
        return {}
    rows = np.flatnonzero(mask)
    numbers: dict[int, tuple[int, ...]] = {}
    for claim, number in zip(
        batch.lines.claim[rows].tolist(), batch.lines.number[rows].tolist(), strict=True
    ):
        numbers[claim] = (*numbers.get(claim, ()), number)
    return numbers


def _stand_ins(scored: Scored) -> NDArray[np.int64]:
    """Bit mask per message of the datasets that stand in on the days of its scored claims."""
    batch = scored.batch
    masks = np.zeros(len(batch.received.message_claims), np.int64)
    np.bitwise_or.at(masks, batch.of_line(batch.claims.message), scored.facts.stand_ins)
    return masks


def _provenance(scored: Scored, stand_ins: int) -> pb.Provenance:
    history = scored.gathered.history
    return pb.Provenance(
        reference_release=scored.reference.release,
        policy_version=scored.policy.version,
        model_version=scored.gathered.model.version,
        engine_version=ENGINE_VERSION,
        history_watermark=0 if history is None else history.watermark,
        stand_ins=scored.reference.stand_in_names(int(stand_ins)),
        partial_rule_ids=[]
        if history is not None
        else [rule.id for rule in scored.findings.rules if rule.uses_history],
    )
