"""Results to messages. The only place where findings become text."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from math import isnan
from typing import Any, Final

import numpy as np
from claimgate.v1 import score_pb2 as pb
from claimgate.v1.scoring_service_pb2 import MessageResult
from numpy.typing import NDArray

from engine.codes import text36
from engine.columns import Batch, Bools, Ints, Violation
from engine.facts import SETTING_DME, SETTING_HOSPITAL, SETTING_PRACTITIONER, Facts
from engine.features import FEATURES, Features
from engine.findings import Findings, Unjudged, never_judged, unjudged
from engine.gathered import DISABLED, OK, UNAVAILABLE, Gathered
from engine.policy import Policy
from engine.pricing import Allowed, PriceReason
from engine.pricing.trace import steps_of
from engine.reference import Reference
from engine.rules.rule import Kind, Rule
from engine.verdict import Verdict

ENGINE_VERSION: Final = "3"
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

_SETTINGS: Final = {
    SETTING_PRACTITIONER: "practitioner",
    SETTING_HOSPITAL: "hospital",
    SETTING_DME: "dme",
}
"""How the names of tables end that hold in one setting only."""

Results = Any
"""The repeated field that results are added to; the stubs have no name for it."""


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


def encode(scored: Scored, views: Sequence[int]) -> list[MessageResult]:
    """Answer each message's claims, in order; the sequence is left to the caller.

    Args:
        scored: The pass.
        views: How much each message's answer says, a `View` per message.
    """
    views = [pb.VIEW_EVIDENCE if view == pb.VIEW_UNSPECIFIED else view for view in views]
    received, stand_ins = scored.batch.received, _stand_ins(scored)
    answers = [
        MessageResult(provenance=_provenance(scored, number, int(mask)))
        for number, mask in enumerate(stand_ins.tolist())
    ]
    targets = chain.from_iterable(
        repeat(answer.results, count)
        for answer, count in zip(answers, received.message_claims, strict=True)
    )
    add_scored = _scored_results(scored, views)
    for ordinal, results in enumerate(targets):
        violations = scored.batch.violations.get(ordinal)
        if violations is None:
            add_scored(results)
        else:
            _add_rejected(results, scored, ordinal, violations)
    return answers


def _add_rejected(
    results: Results, scored: Scored, ordinal: int, violations: Sequence[Violation]
) -> None:
    """Add the result of a claim that could not be scored."""
    received = scored.batch.received
    result = results.add(
        claim_id=received.claim_ids[ordinal],
        claim_version=received.versions[ordinal],
        decision=pb.DECISION_REJECT,
        is_test=received.is_test[ordinal],
    )
    for violation in violations:
        result.violations.add(field=violation.field, code=violation.code, message=violation.message)


def _scored_results(scored: Scored, views: Sequence[int]) -> Callable[[Results], None]:
    """Return what adds the result of the next scored claim, in the order of the claims.

    Results are built in place, since a message that is put into another one is copied whole.
    """
    rows = enumerate(_claim_columns(scored))
    message_of = scored.batch.claims.message
    view_of = np.array(views, np.int64)[message_of].tolist()
    received = scored.batch.received
    add_lines, add_hits, gaps = _Lines(scored).add, _Hits(scored).add, _gaps(scored)
    said = [_said_by_the_model(scored.gathered, number) for number in range(len(views))]
    said_of = [said[number] for number in message_of.tolist()]

    def add(results: Results) -> None:
        row, columns = next(rows)
        status, degraded = said_of[row]
        ordinal, decision, fraud, rules, risk, p, imputed, total, exposure, basis, without = columns
        result = results.add(
            claim_id=received.claim_ids[ordinal],
            claim_version=received.versions[ordinal],
            decision=decision,
            fraud_score=fraud,
            rule_score=rules,
            risk_category=risk,
            model_status=status,
            approval_probability=p,
            imputed_features=[_AGE_FEATURE] if imputed else None,
            allowed_cents=total,
            unpriced_lines=without,
            exposure_cents=exposure,
            exposure_basis=basis,
            is_test=received.is_test[ordinal],
            degraded=degraded,
        )
        add_hits(result, row, view_of[row])
        for reason, rule_ids, numbers in gaps.get(row, ()):
            result.not_evaluated.add(reason=reason, rule_ids=rule_ids, line_numbers=numbers)
        add_lines(result, row, view_of[row])

    return add


def _said_by_the_model(
    gathered: Gathered, message: int
) -> tuple["pb.ModelStatus.ValueType", list[str]]:
    """Return what became of the model's opinion in a message, and all that was out for it."""
    model = gathered.model.to_message(message)
    out = [f"model: {model.reason}"] if model.status == UNAVAILABLE else []
    return _MODEL_STATUS[model.status], [*gathered.degraded, *out]


def _claim_columns(scored: Scored) -> Iterator[tuple[Any, ...]]:
    """Fields of the scored claims, a tuple per claim."""
    batch, verdict, allowed = scored.batch, scored.verdict, scored.allowed
    claims, model, owner = batch.claims, scored.gathered.model, batch.lines.claim
    priced = allowed.priced
    totals = np.bincount(owner, np.where(priced, allowed.allowed_cents, 0), len(claims))
    unpriced = np.bincount(owner, ~priced, len(claims)).astype(np.int64)
    has_total = (unpriced < claims.lines).tolist()
    by_charge = np.where(
        verdict.exposure_by_charge, pb.EXPOSURE_BASIS_CHARGE, pb.EXPOSURE_BASIS_ALLOWED
    )
    basis = np.where(verdict.exposure_cents > 0, by_charge, pb.EXPOSURE_BASIS_UNSPECIFIED)
    probability: Iterable[float | None] = repeat(None, len(claims))
    if model.probability is not None:
        answered = model.probability.astype(float).tolist()
        probability = [None if isnan(p) else p for p in answered] if model.by_message else answered
    return zip(
        claims.ordinal.tolist(),
        verdict.decision.tolist(),
        verdict.fraud_score.tolist(),
        verdict.rule_score.tolist(),
        verdict.risk.tolist(),
        probability,
        scored.features.age_imputed.tolist(),
        [t if has else None for t, has in zip(map(int, totals.tolist()), has_total, strict=True)],
        verdict.exposure_cents.tolist(),
        basis.tolist(),
        unpriced.tolist(),
        strict=True,
    )


class _Lines:
    """The lines of a pass, as lists that are quick to walk."""

    def __init__(self, scored: Scored) -> None:
        allowed, verdict, batch = scored.allowed, scored.verdict, scored.batch
        self._scored = scored
        label = scored.reference.localities.label
        labels = {row: label(row) for row in np.unique(allowed.locality).tolist() if row >= 0}
        labels[-1] = ""
        self._first = batch.claims.line_start.tolist()
        self._count = batch.claims.lines.tolist()
        self._number = batch.lines.number.tolist()
        self._disposition = verdict.disposition.tolist()
        self._status = allowed.status.tolist()
        self._basis = allowed.basis.tolist()
        self._reason = [_NO_PRICE[reason] for reason in allowed.reason.tolist()]
        self._priced = allowed.priced.tolist()
        self._allowed = allowed.allowed_cents.tolist()
        self._payable = verdict.payable_cents.tolist()
        self._rvu = allowed.rvu_total_e4.tolist()
        self._locality = [labels[row] for row in allowed.locality.tolist()]

    def add(self, result: pb.ClaimResult, row: int, view: int) -> None:
        """Add the lines of a claim to its result."""
        add = result.lines.add
        for line in range(self._first[row], self._first[row] + self._count[row]):
            if self._priced[line]:
                added = add(
                    line_number=self._number[line],
                    disposition=self._disposition[line],
                    price_status=self._status[line],
                    allowed_cents=self._allowed[line],
                    payable_cents=self._payable[line],
                    rvu_total_e4=self._rvu[line],
                    locality=self._locality[line],
                    price_basis=self._basis[line],
                )
            else:
                added = add(
                    line_number=self._number[line],
                    disposition=self._disposition[line],
                    price_status=self._status[line],
                    no_price_reason=self._reason[line],
                )
            if view == pb.VIEW_TRACE:
                added.trace.extend(trace(self._scored, line))


def trace(scored: Scored, row: int) -> list[pb.PriceStep]:
    """Return the price of one line step by step, or what stands in its way."""
    steps = steps_of(
        scored.allowed,
        scored.batch,
        scored.facts,
        scored.reference,
        scored.policy,
        row,
        scored.gathered.fees,
    )
    return [pb.PriceStep(step=s, detail=d, amount_cents=cents) for s, d, cents in steps]


class _Hits:
    """The hits of a pass by claim; the only place where evidence becomes text."""

    def __init__(self, scored: Scored) -> None:
        findings, verdict = scored.findings, scored.verdict.hits
        self._scored = scored
        self._by_claim = _grouped(findings.claim, range(len(findings)))
        self._lines = _grouped(findings.line_hit, findings.line.tolist())
        self._partners = _partner_rows(findings)
        self._procedures = scored.batch.lines.procedure
        self._numbers = scored.batch.lines.number
        self._columns = list(
            zip(
                findings.rule.tolist(),
                findings.row.tolist(),
                findings.case.tolist(),
                verdict.action.tolist(),
                verdict.certainty.tolist(),
                verdict.weight.tolist(),
                verdict.suppressed.tolist(),
                verdict.shadow.tolist(),
                verdict.exposure_cents.tolist(),
                verdict.severity.tolist(),
                verdict.carc.tolist(),
                strict=True,
            )
        )
        self._rules: dict[int, pb.RuleHit] = {}
        self._claim_ids = findings.past.claim_ids

    def add(self, result: pb.ClaimResult, row: int, view: int) -> None:
        """Add the hits of a claim to its result, in the order of rule ids."""
        for index in self._by_claim.get(row, ()):
            rule_index, rule_row, case, *weighed = self._columns[index]
            action, certainty, weight, suppressed, shadow, exposure, severity, carc = weighed
            rule, lines = self._scored.findings.rules[rule_index], self._lines.get(index, [])
            hit = result.hits.add(
                rule_id=rule.id,
                line_numbers=[int(self._numbers[line]) for line in lines],
                action=action,
                certainty=certainty,
                weight=weight,
                suppressed=suppressed,
                shadow=shadow,
            )
            if view != pb.VIEW_DECISION:
                hit.MergeFrom(self._of_rule(rule_index))
                hit.variant = rule.cases[case].name
                hit.exposure_cents = exposure
                hit.severity = severity
                if carc >= 0:
                    hit.carc = self._scored.findings.effects.carcs[carc]
                self._explain(hit, rule_index, rule_row, row, lines, self._partners.get(index, []))

    def _of_rule(self, rule_index: int) -> pb.RuleHit:
        """What all hits of a rule have in common."""
        if rule_index not in self._rules:
            rule = self._scored.findings.rules[rule_index]
            self._rules[rule_index] = pb.RuleHit(
                category=pb.Category.ValueType(rule.category),
                scope=pb.Scope.ValueType(rule.scope),
                citation=rule.cites,
                carc=rule.carc,
            )
        return self._rules[rule_index]

    def _explain(
        self,
        hit: pb.RuleHit,
        rule_index: int,
        rule_row: int,
        claim: int,
        lines: list[int],
        partners: list[int],
    ) -> None:
        """Add codes, evidence and release."""
        rule = self._scored.findings.rules[rule_index]
        evidence = self._scored.findings.by_rule[rule_index].evidence
        codes = dict.fromkeys(text36(int(self._procedures[line])) for line in (*lines, *partners))
        hit.codes.extend(code for code in codes if code)
        for name, kind in rule.evidence.items():
            value = evidence[name][rule_row]
            if (text := evidence_text(rule, name, kind, value, self._claim_ids)) != "":
                hit.evidence[name] = text
        if partners:
            numbers = (str(self._numbers[partner]) for partner in partners)
            hit.evidence["partner_lines"] = ",".join(numbers)
        hit.dataset_release = self._release(rule, claim, lines)

    def _release(self, rule: Rule, claim: int, lines: list[int]) -> str:
        if not rule.datasets:
            return ""
        batch, reference = self._scored.batch, self._scored.reference
        days = batch.lines.service_from[lines[:1]] if lines else batch.claims.service_from[[claim]]
        line = lines[0] if lines else int(batch.claims.line_start[claim])
        setting = _SETTINGS.get(int(self._scored.facts.setting[line]), "")
        of_setting = [name for name in rule.datasets if name.endswith(setting)]
        for dataset in of_setting or rule.datasets:
            ordinal = int(reference.dataset_release(dataset, days)[0])
            if ordinal >= 0:
                return f"{dataset} {reference.release_name(dataset, ordinal)}"
        return ""


def _grouped(owner: Ints, values: Iterable[Any]) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = {}
    for index, value in zip(owner.tolist(), values, strict=True):
        groups.setdefault(index, []).append(value)
    return groups


def _partner_rows(findings: Findings) -> dict[int, list[int]]:
    """Rows of the partner lines of each hit that has some."""
    groups: dict[int, list[int]] = {}
    first = 0
    for hits in findings.by_rule:
        groups |= _grouped(hits.partner_hit + first, hits.partner.tolist())
        first += len(hits)
    return groups


def _decimal(value: int, places: int) -> str:
    return f"{value // 10**places}.{value % 10**places:0{places}d}"


def _units(milli: int) -> str:
    if milli < 0:
        return ""
    return f"{milli / 1000:g}" if milli % 1000 else str(milli // 1000)


_NO_COUNT: Final = -1

_FORMATS: Final[dict[Kind, Callable[[int], str]]] = {
    Kind.COUNT: lambda count: str(count) if count != _NO_COUNT else "",
    Kind.UNITS: _units,
    Kind.CENTS: str,
    Kind.RATIO_E2: lambda ratio: _decimal(ratio, 2),
    Kind.RATIO_E4: lambda ratio: _decimal(ratio, 4),
    Kind.CODE: text36,
    Kind.POS: lambda pos: f"{pos:02d}" if pos >= 0 else "",
}


def evidence_text(
    rule: Rule, name: str, kind: Kind, value: Any, earlier_claim_ids: Sequence[str] = ()
) -> str:
    """Return one evidence value as text; empty where there is none."""
    if kind is Kind.TEXT:
        return bytes(value).decode("ascii")
    if kind is Kind.EARLIER_CLAIM:
        return earlier_claim_ids[int(value)] if value >= 0 else ""
    if kind is Kind.DATE:
        return "" if np.isnat(value) else str(value)
    if kind is Kind.NAME:
        return rule.names[name][int(value)] if value >= 0 else ""
    if value < 0 and kind in (Kind.COUNT, Kind.UNITS, Kind.CENTS):
        return ""
    return _FORMATS[kind](int(value))


Gap = tuple[str, list[str], list[int]]


def _gaps(scored: Scored) -> dict[int, list[Gap]]:
    """What could not be judged, by row of the claim: reason, rules, lines."""
    batch = scored.batch
    gaps: dict[int, list[Gap]] = {}
    for reason, entries in unjudged(scored.findings, batch).items():
        for rule_ids, lines, claims in _with_equal_lines(entries):
            if lines is None:
                for claim in np.flatnonzero(claims).tolist():
                    gaps.setdefault(claim, []).append((reason, rule_ids, []))
                continue
            rows = np.flatnonzero(lines)
            owners = batch.lines.claim[rows]
            starts = np.flatnonzero(np.diff(owners, prepend=-1))
            numbers, bounds = batch.lines.number[rows].tolist(), [*starts.tolist(), len(rows)]
            for claim, first, last in zip(
                owners[starts].tolist(), bounds, bounds[1:], strict=False
            ):
                gaps.setdefault(claim, []).append((reason, rule_ids, numbers[first:last]))
    return {claim: _with_equal_numbers(entries) for claim, entries in gaps.items()}


def _with_equal_numbers(entries: Sequence[Gap]) -> list[Gap]:
    """Join the rules that could not judge the same lines of a claim, whatever its company."""
    joined: dict[tuple[str, tuple[int, ...]], set[str]] = {}
    for reason, rule_ids, numbers in entries:
        joined.setdefault((reason, tuple(numbers)), set()).update(rule_ids)
    return [
        (reason, sorted(joined[reason, lines]), list(lines)) for reason, lines in sorted(joined)
    ]


def _with_equal_lines(
    entries: Sequence[Unjudged],
) -> Iterator[tuple[list[str], Bools | None, Bools]]:
    """Join the rules that could not judge the very same lines of the whole pass."""
    joined: dict[bytes, tuple[list[str], Bools | None, Bools]] = {}
    for rule_id, lines, claims in entries:
        key = b"claims" + claims.tobytes() if lines is None else lines.tobytes()
        joined.setdefault(key, ([], lines, claims))[0].append(rule_id)
    yield from joined.values()


def _stand_ins(scored: Scored) -> NDArray[np.int64]:
    """Bit mask per message of the datasets that stand in on the days of its scored claims."""
    batch = scored.batch
    masks = np.zeros(len(batch.received.message_claims), np.int64)
    np.bitwise_or.at(masks, batch.of_line(batch.claims.message), scored.facts.stand_ins)
    return masks


def _provenance(scored: Scored, message: int, stand_ins: int) -> pb.Provenance:
    history = scored.gathered.history
    return pb.Provenance(
        reference_release=scored.reference.release,
        policy_version=scored.policy.version,
        model_version=scored.gathered.model.to_message(message).version,
        engine_version=ENGINE_VERSION,
        history_watermark=0 if history is None else history.watermark,
        fee_schedule_version=scored.gathered.fees.version,
        stand_ins=scored.reference.stand_in_names(int(stand_ins)),
        partial_rule_ids=[]
        if history is not None
        else [rule.id for rule in scored.findings.rules if rule.uses_history],
        not_evaluated=[
            pb.NotEvaluated(reason=reason, rule_ids=rule_ids)
            for reason, rule_ids in sorted(never_judged(scored.findings).items())
        ],
    )
