"""From hits and the model to scores, decisions, dispositions and money at risk (domain D)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints, distinct_values, one_of, rows_where
from engine.findings import Findings
from engine.gathered import ModelAnswer
from engine.overrides import Thresholds, Weighed
from engine.policy import Policy
from engine.pricing import Allowed
from engine.rules.rule import Action, Category, Certainty, Family, Stake, stake_of

_HITS_COUNTED_MAX: Final = 5
_REPEAT_GAIN: Final = 0.25
_RULE_SCORE_MAX: Final = 0.60
_DECIMALS: Final = 9
_RISK_BANDS: Final = (0.10, 0.30, 0.60)
_STAKES: Final = tuple(Stake)
_LINES, _CLAIM, _EXCESS, _RECOVERY = map(
    _STAKES.index, (Stake.LINES, Stake.CLAIM, Stake.EXCESS, Stake.RECOVERY)
)


class Decision(IntEnum):
    """What happens to a claim; numbers as in the API."""

    APPROVE = 1
    INFORMATIONAL = 2
    REVIEW = 3
    DENY = 4
    REJECT = 5


class Disposition(IntEnum):
    """What happens to a line; numbers as in the API."""

    PAY = 1
    REVIEW = 2
    DENY = 3


@dataclass(frozen=True, slots=True)
class HitVerdict(Weighed):
    """What a hit weighs, asks for and risks. Shapes are (hits,)."""

    suppressed: Bools
    """A stronger hit of the same family stands on all its lines."""
    exposure_cents: Ints


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a pass is answered with."""

    hits: HitVerdict
    rule_score: NDArray[np.float64]
    """Shape (claims,), 9 decimals."""
    fraud_score: NDArray[np.float64]
    risk: Ints
    """1 low to 4 critical; shape (claims,)."""
    decision: Ints
    disposition: Ints
    """Shape (lines,)."""
    payable_cents: Ints
    """Shape (lines,): 0 where the line is denied for certain."""
    exposure_cents: Ints
    """Shape (claims,)."""
    exposure_by_charge: Bools
    """Some line at risk has no price, so its charge counts; shape (claims,)."""


def decide(
    findings: Findings, model: ModelAnswer, batch: Batch, allowed: Allowed, policy: Policy
) -> Verdict:
    """Weigh the hits, add the model, and decide claims and lines."""
    everything = _weighed(findings)
    counts = ~everything.shadow
    live, weighed = findings, everything
    if not counts.all():
        live, weighed = findings.take(counts), everything.take(counts)
    thresholds = findings.effects.thresholds
    strength = _strengths(live, weighed.weight, len(batch.claims))
    suppressed = _suppressed(live, batch, strength)
    rule_score = _rule_score(live, strength, suppressed, len(batch.claims), policy)
    fraud_score = _fraud_score(rule_score, model, thresholds)
    line_denied, line_pended, claim_denied = _dispositions(live, weighed, batch)
    decision = _decision(
        live,
        weighed,
        suppressed,
        batch,
        model,
        policy,
        _deciding_score(live, fraud_score, model, policy, len(batch.claims)),
        line_denied,
        claim_denied,
    )
    # A denied claim pays none of its lines, whatever denied it.
    disposition = np.where(
        line_denied | (decision == Decision.DENY)[batch.lines.claim],
        Disposition.DENY,
        np.where(line_pended, Disposition.REVIEW, Disposition.PAY),
    ).astype(np.int8)
    at_stake, by_charge, hit_exposure = _exposure(live, weighed, batch, allowed)
    return Verdict(
        hits=HitVerdict(
            everything.weight,
            everything.action,
            everything.certainty,
            everything.severity,
            everything.carc,
            everything.shadow,
            suppressed=_spread(suppressed, counts),
            exposure_cents=_spread(hit_exposure, counts),
        ),
        rule_score=rule_score,
        fraud_score=fraud_score,
        risk=(1 + np.digitize(fraud_score, _RISK_BANDS)).astype(np.int8),
        decision=decision,
        disposition=disposition,
        payable_cents=np.where(disposition == Disposition.DENY, 0, allowed.allowed_cents),
        exposure_cents=at_stake,
        exposure_by_charge=by_charge,
    )


def _weighed(findings: Findings) -> Weighed:
    """Return what each hit weighs and asks for, from its rule's case and the policy."""
    weight = np.zeros(len(findings))
    action = np.zeros(len(findings), np.int8)
    certainty = np.zeros(len(findings), np.int8)
    severity = np.zeros(len(findings), np.int8)
    carc = np.full(len(findings), -1)
    shadow = np.zeros(len(findings), np.bool_)
    for index in distinct_values(findings.rule).tolist():
        rows = rows_where(findings.rule == index)
        if changed := findings.weighed.get(index):
            weight[rows], action[rows] = changed.weight, changed.action
            certainty[rows], severity[rows] = changed.certainty, changed.severity
            carc[rows], shadow[rows] = changed.carc, changed.shadow
            continue
        rule, case = findings.rules[index], findings.case[rows]
        weight[rows] = np.array([c.weight for c in rule.cases])[case]
        action[rows] = np.array([c.action for c in rule.cases])[case]
        certainty[rows] = np.array([c.certainty for c in rule.cases])[case]
        severity[rows] = rule.severity
    return Weighed(weight, action, certainty, severity, carc, shadow)


def _spread(column: NDArray[Any], counts: Bools) -> NDArray[Any]:
    """Put a column of the hits that count back among all hits; the others have 0."""
    if len(column) == len(counts):
        return column
    spread = np.zeros(len(counts), column.dtype)
    spread[counts] = column
    return spread


def _strengths(findings: Findings, weight: NDArray[np.float64], claims: int) -> NDArray[np.float64]:
    """Return c of each (claim, rule), shape (claims, rules).

    The largest weight, more for repeated hits, at most 0.60.
    """
    rules = len(findings.rules)
    strength = np.zeros(claims * rules)
    if not len(findings):
        return strength.reshape(claims, rules)
    key = findings.claim * rules + findings.rule
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    largest = np.maximum.reduceat(weight[order], first)
    count = np.diff(first, append=len(key))
    repeats = np.minimum(count, _HITS_COUNTED_MAX) - 1
    strength[key[first]] = np.minimum(largest * (1 + _REPEAT_GAIN * repeats), _RULE_SCORE_MAX)
    return strength.reshape(claims, rules)


def _suppressed(findings: Findings, batch: Batch, strength: NDArray[np.float64]) -> Bools:
    """Hits that lose to a stronger rule of one of their families on every line that they stand on.

    A hit on the claim stands on all its lines. Of equal rules the first by id wins; a rule that
    is declared to prevail wins over all others.
    """
    member = _memberships(findings)
    suppressed = np.zeros(len(findings), np.bool_)
    if not member.any():
        return suppressed
    line, hit = _standing(findings, batch)
    prevails = np.array([rule.prevails for rule in findings.rules], np.float64)
    c = strength[findings.claim[hit], findings.rule[hit]] + prevails[findings.rule[hit]]
    for family in rows_where(member.any(axis=0)):
        rows = rows_where(member[hit, family])
        rows = rows[np.lexsort((findings.rule[hit[rows]], -c[rows], line[rows]))]
        rule_of_row, line_of_row = findings.rule[hit[rows]], line[rows]
        starts = np.ones(len(rows), np.bool_)
        starts[1:] = line_of_row[1:] != line_of_row[:-1]
        winner = rule_of_row[starts][np.cumsum(starts) - 1]
        wins = _marked(hit[rows][rule_of_row == winner], len(findings))
        suppressed |= member[:, family] & ~wins & _marked(hit[rows], len(findings))
    return suppressed


def _memberships(findings: Findings) -> Bools:
    """Which families each hit belongs to, shape (hits, families)."""
    cases_max = max((len(rule.cases) for rule in findings.rules), default=0)
    table = np.zeros((len(findings.rules), cases_max, len(Family)), np.bool_)
    families = list(Family)
    for index, rule in enumerate(findings.rules):
        for case, declared in enumerate(rule.cases):
            for family in declared.families:
                table[index, case, families.index(family)] = True
    return table[findings.rule, findings.case]


def _standing(findings: Findings, batch: Batch) -> tuple[Ints, Ints]:
    """The lines that each hit stands on, as (line, hit) pairs."""
    on_claim = np.ones(len(findings), np.bool_)
    on_claim[findings.line_hit] = False
    hits = rows_where(on_claim)
    counts = batch.claims.lines[findings.claim[hits]]
    offset = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    lines = np.repeat(batch.claims.line_start[findings.claim[hits]], counts) + offset
    return np.concatenate([findings.line, lines]), np.concatenate(
        [findings.line_hit, np.repeat(hits, counts)]
    )


def _rule_score(
    findings: Findings,
    strength: NDArray[np.float64],
    suppressed: Bools,
    claims: int,
    policy: Policy,
) -> NDArray[np.float64]:
    """Return 1 - product of (1 - c) over the kept rules, or base + sum of c, at most 1.

    Taken in the order of rule ids, 9 decimals.
    """
    kept = np.zeros(strength.shape, np.bool_)
    kept[findings.claim[~suppressed], findings.rule[~suppressed]] = True
    fired = distinct_values(findings.rule)
    if policy.score_mode == "additive":
        total = np.full(claims, float(policy.base_score))
        for rule in fired:
            total += np.where(kept[:, rule], strength[:, rule], 0.0)
        return np.minimum(np.round(total, _DECIMALS), 1.0)
    product = np.ones(claims)
    for rule in fired:
        product *= np.where(kept[:, rule], 1.0 - strength[:, rule], 1.0)
    return np.round(1.0 - product, _DECIMALS)


def _fraud_score(
    rule_score: NDArray[np.float64], model: ModelAnswer, thresholds: Thresholds
) -> NDArray[np.float64]:
    """Blend the model in: F = 1 - (1 - R)(1 - share x (1 - p)); without a model F is R."""
    if model.probability is None:
        return rule_score
    doubt = 1.0 - model.probability.astype(np.float64)
    blended = np.round(1.0 - (1.0 - rule_score) * (1.0 - thresholds.model_share * doubt), _DECIMALS)
    return np.where(np.isnan(doubt), rule_score, blended) if model.by_message else blended


def _deciding_score(
    findings: Findings,
    fraud_score: NDArray[np.float64],
    model: ModelAnswer,
    policy: Policy,
    claims: int,
) -> NDArray[np.float64]:
    """The score that thresholds are held against.

    Where only rules fired that may not decide alone, it is what it would be without them.
    """
    notes = np.array([rule.never_alone for rule in findings.rules], np.bool_)[findings.rule]
    if not notes.any():
        return fraud_score
    alone = _marked(findings.claim[notes], claims) & ~_marked(findings.claim[~notes], claims)
    base = policy.base_score if policy.score_mode == "additive" else 0.0
    without = _fraud_score(np.full(claims, float(base)), model, findings.effects.thresholds)
    return np.where(alone, without, fraud_score)


def _dispositions(findings: Findings, weighed: Weighed, batch: Batch) -> tuple[Bools, Bools, Bools]:
    """Lines denied for certain, lines to look at, claims denied for certain."""
    action, certainty = weighed.action, weighed.certainty
    sure = certainty == Certainty.APPLY
    lines, claims = len(batch.lines), len(batch.claims)
    line_action, line_sure = action[findings.line_hit], sure[findings.line_hit]
    denies = (line_action == Action.DENY_LINE) | (line_action == Action.DENY_CLAIM)
    line_denied = _marked(findings.line[denies & line_sure], lines)
    line_pended = _marked(
        findings.line[
            (denies & ~line_sure) | (line_action == Action.PEND) | (line_action == Action.REJECT)
        ],
        lines,
    )
    claim_denied = _marked(findings.claim[(action == Action.DENY_CLAIM) & sure], claims)
    return line_denied, line_pended, claim_denied


def _marked(rows: Ints, count: int) -> Bools:
    mask = np.zeros(count, np.bool_)
    mask[rows] = True
    return mask


def _decision(
    findings: Findings,
    weighed: Weighed,
    suppressed: Bools,
    batch: Batch,
    model: ModelAnswer,
    policy: Policy,
    score: NDArray[np.float64],
    line_denied: Bools,
    claim_denied: Bools,
) -> NDArray[np.int8]:
    """The ladder of domain D.3; the first rung that holds decides."""
    claims, thresholds = len(batch.claims), findings.effects.thresholds
    action, certainty = weighed.action, weighed.certainty

    def has(mask: Bools) -> Bools:
        return _marked(findings.claim[mask], claims)

    denies = (action == Action.DENY_LINE) | (action == Action.DENY_CLAIM)
    sure = certainty == Certainty.APPLY
    format_rule = np.array([r.category is Category.FORMAT for r in findings.rules], np.bool_)
    format_rejects = has((action == Action.REJECT) & format_rule[findings.rule])
    unpriced_rejects = has((action == Action.REJECT) & ~format_rule[findings.rule])
    high = score >= thresholds.deny_min
    some_denied = batch.any_line(line_denied) & (not policy.auto_partial)
    format_mode = Decision.REJECT if policy.format_reject_mode == "reject" else Decision.REVIEW
    rungs = (
        (claim_denied, Decision.DENY),
        (batch.all_lines(line_denied) & (batch.claims.lines > 0), Decision.DENY),
        (high & has(denies & sure), Decision.DENY),
        (high, Decision.REVIEW),
        (some_denied, Decision.REVIEW),
        (format_rejects, format_mode),
        (unpriced_rejects | has((action == Action.PEND) | (denies & ~sure)), Decision.REVIEW),
        (score >= thresholds.review_min, Decision.REVIEW),
        (_model_rejects(model, policy, thresholds, claims), _model_mode(policy)),
        (has(~suppressed), Decision.INFORMATIONAL),
    )
    return np.select(
        [mask for mask, _ in rungs], [np.int8(mode) for _, mode in rungs], np.int8(Decision.APPROVE)
    )


def _model_rejects(
    model: ModelAnswer, policy: Policy, thresholds: Thresholds, claims: int
) -> Bools:
    if model.probability is None or policy.ml_reject_policy == "ignore":
        return np.zeros(claims, np.bool_)
    p = np.round(model.probability.astype(np.float64), _DECIMALS)
    rejects: Bools = p < thresholds.approval_threshold  # no answer, NaN, rejects nothing
    return rejects


def _model_mode(policy: Policy) -> Decision:
    """A model alone denies only where the tenant has attested to it."""
    if policy.ml_reject_policy == "deny" and policy.ml_sole_denial_attested:
        return Decision.DENY
    return Decision.REVIEW


def _exposure(
    findings: Findings, weighed: Weighed, batch: Batch, allowed: Allowed
) -> tuple[Ints, Bools, Ints]:
    """Money at risk per claim, whether charges stand in for prices, and per hit.

    Each line counts once with its largest stake; a line without a price counts with its charge.
    """
    lines = batch.lines
    whole = np.where(allowed.priced, allowed.allowed_cents, lines.charge_cents)
    stake = _stakes(findings, weighed)
    line_stake = np.zeros(len(lines), np.int64)
    hit_of, line_of = findings.line_hit, findings.line
    whole_rows = rows_where(stake[hit_of] == _LINES)
    line_stake[line_of[whole_rows]] = whole[line_of[whole_rows]]
    hit_exposure = np.bincount(
        hit_of[whole_rows], whole[line_of[whole_rows]], len(findings)
    ).astype(np.int64)

    excess = _amounts(findings, stake, Stake.EXCESS, "excess_cents")
    excess_rows = rows_where(stake[hit_of] == _EXCESS)
    capped = np.minimum(excess[hit_of[excess_rows]], whole[line_of[excess_rows]])
    np.maximum.at(line_stake, line_of[excess_rows], capped)
    hit_exposure[hit_of[excess_rows]] = capped

    claim_total = np.bincount(lines.claim, whole, len(batch.claims)).astype(np.int64)
    claim_hits = rows_where(stake == _CLAIM)
    hit_exposure[claim_hits] = claim_total[findings.claim[claim_hits]]
    whole_claim = _marked(findings.claim[claim_hits], len(batch.claims))
    line_stake = np.where(whole_claim[lines.claim], whole, line_stake)
    by_charge = batch.any_line((line_stake > 0) & ~allowed.priced)
    at_risk = np.bincount(lines.claim, line_stake, len(batch.claims)).astype(np.int64)
    back = rows_where(stake == _RECOVERY)
    if len(back):
        # Of other claims the charge is known, not the price; two hits may name one line of them.
        recovery = _amounts(findings, stake, Stake.RECOVERY, "recovery_cents")
        hit_exposure[back] = recovery[back]
        line_of_other = [
            _amounts(findings, stake, Stake.RECOVERY, name)[back]
            for name in ("earlier_claim", "earlier_line")
        ]
        keys = np.stack([findings.claim[back], *line_of_other])
        once = back[np.unique(keys, axis=1, return_index=True)[1]]
        owner = findings.claim[once]
        at_risk += np.bincount(owner, recovery[once], len(batch.claims)).astype(np.int64)
        by_charge = by_charge | _marked(owner[recovery[once] > 0], len(batch.claims))
    return at_risk, by_charge, hit_exposure


def _stakes(findings: Findings, weighed: Weighed) -> Ints:
    """What each hit puts at risk, as an index; another action than the case's own decides anew."""
    stake = np.zeros(len(findings), np.int8)
    for index in distinct_values(findings.rule).tolist():
        rule, rows = findings.rules[index], rows_where(findings.rule == index)
        case = findings.case[rows]
        stake[rows] = np.array([_STAKES.index(c.stake) for c in rule.cases], np.int8)[case]
        if index not in findings.weighed:
            continue
        own = np.array([c.action for c in rule.cases])[case]
        for action in map(Action, distinct_values(weighed.action[rows]).tolist()):
            changed = (weighed.action[rows] == action) & (own != action)
            if action <= Action.PEND:
                # An amount that evidence names is at risk whether a hit pends or is a note.
                changed &= ~one_of(stake[rows], (_EXCESS, _RECOVERY))
            stake[rows[changed]] = _STAKES.index(stake_of(action, rule.scope))
    return stake


def _amounts(findings: Findings, stakes: Ints, stake: Stake, name: str) -> NDArray[np.int64]:
    """Return what the evidence column says for the hits of a stake, 0 for the others."""
    amounts = np.zeros(len(findings), np.int64)
    hits = rows_where(stakes == _STAKES.index(stake))
    for index in distinct_values(findings.rule[hits]).tolist():
        of_rule = hits[findings.rule[hits] == index]
        amounts[of_rule] = findings.by_rule[index].evidence[name][findings.row[of_rule]]
    return amounts
