"""From hits to a decision: domain D.1 to D.4 with L.6 and L.22.

What each hit is, its rule, lines, weight, action and certainty, is given; the sums are not.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREVAILS = "TIMELY_FILING_NO_EXCEPTION"
BILATERAL = (
    "SURGICAL_BILATERAL_NOT_ALLOWED",
    "SURGICAL_BILATERAL_NOT_APPLICABLE",
    "SURGICAL_BILATERAL_150",
    "MODIFIER_BILATERAL_CONFLICT",
    "MODIFIER_BILATERAL_INVALID",
)
FAMILIES: Sequence[frozenset[str]] = tuple(
    frozenset(names.split())
    for names in (
        "DUPLICATE_EXACT DUPLICATE_LINE DUPLICATE_SAME_DAY DUPLICATE_CROSS_CLAIM",
        f"TIMELY_FILING_LATE TIMELY_FILING_WARNING {PREVAILS} TIMELY_FILING_INVALID_EXCEPTION",
        "NCCI_PTP NCCI_MUTUALLY_EXCLUSIVE SPECIALTY_UNBUNDLING SPECIALTY_INCIDENTAL",
        "NCCI_MUE PRICING_UNITS_EXCEED UTIL_VOLUME_OUTLIER",
        "PRICING_EXCEEDS_FEE REIMB_OUTLIER UTIL_AMOUNT_OUTLIER",
        "LCD_EXPERIMENTAL NECESSITY_EXPERIMENTAL",
        " ".join(BILATERAL),
        "GLOBAL_SURGERY_NO_MODIFIER SURGICAL_GLOBAL_PERIOD NCCI_PTP:visit",
    )
)
OVER_THE_FEE = frozenset(("PRICING_EXCEEDS_FEE", "REIMB_OUTLIER"))
OVER_OTHERS = frozenset(("UTIL_AMOUNT_OUTLIER", "UTIL_VOLUME_OUTLIER"))
STRONGEST = 0.60
RISKS = ((0.10, "LOW"), (0.30, "MEDIUM"), (0.60, "HIGH"), (2.0, "CRITICAL"))


@dataclass(frozen=True, slots=True)
class Given:
    """A hit as it stands in an answer."""

    rule: str
    variant: str
    action: str
    certainty: str
    weight: float
    lines: tuple[int, ...]
    excess_cents: int = 0
    """How much is above what others charge or do, as the evidence says it."""
    recovery: tuple[str, int] | None = None
    """The claim and line of another claim that was paid, if the hit falls on that."""
    recovery_cents: int = 0

    @property
    def denies(self) -> bool:
        return self.action in ("DENY_LINE", "DENY_CLAIM")

    @property
    def sure(self) -> bool:
        return self.certainty == "APPLY"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a tenant decides by (domain D.2, D.3)."""

    review_min: float = 0.30
    deny_min: float = 0.80
    approval_threshold: float = 0.80
    ml_reject_policy: str = "ignore"
    ml_sole_denial_attested: bool = False
    model_weight: float = 0.30
    auto_partial: bool = False
    format_reject_mode: str = "review"
    score_mode: str = "product"
    base_score: float = 0.0


@dataclass(frozen=True, slots=True)
class LineMoney:
    """What a line is worth: its price before edits, else its charge."""

    number: int
    allowed_cents: int | None
    charge_cents: int
    reference_cents: int | None

    @property
    def whole_cents(self) -> int:
        return self.charge_cents if self.allowed_cents is None else self.allowed_cents


@dataclass(frozen=True, slots=True)
class Score:
    rule_score: float
    fraud_score: float
    risk: str
    decision: str
    dispositions: tuple[str, ...]
    payable_cents: tuple[int | None, ...]
    suppressed: tuple[bool, ...]
    exposure_cents: int
    basis: str
    hit_exposure_cents: tuple[int, ...]


def score(
    hits: Sequence[Given], lines: Sequence[LineMoney], p: float | None, policy: Thresholds
) -> Score:
    """Decide a claim by its hits, which are in the order of rule ids, and the model's `p`."""
    strength = strengths(hits)
    numbers = [line.number for line in lines]
    suppressed = tuple(_suppressed(hit, hits, strength, numbers) for hit in hits)
    kept = sorted({hit.rule for hit, out in zip(hits, suppressed, strict=True) if not out})
    rule_score = rounded(_rule_score([strength[rule] for rule in kept], policy))
    fraud_score = rule_score
    if p is not None:
        share = 0.0 if policy.ml_reject_policy == "ignore" else policy.model_weight
        fraud_score = rounded(1.0 - (1.0 - rule_score) * (1.0 - share * (1.0 - p)))
    denied = {n for hit in hits if hit.denies and hit.sure for n in hit.lines}
    looked_at = {
        n
        for hit in hits
        if hit.action in ("PEND", "REJECT") or (hit.denies and not hit.sure)
        for n in hit.lines
    }
    decision = _decision(hits, suppressed, denied, numbers, fraud_score, p, policy)
    dispositions = tuple(
        "DENY"
        if number in denied or decision == "DENY"
        else "REVIEW"
        if number in looked_at
        else "PAY"
        for number in numbers
    )
    stakes = [_stakes(hit, lines) for hit in hits]
    at_risk = {n: max((stake.get(n, 0) for stake in stakes), default=0) for n in numbers}
    back = {hit.recovery: hit.recovery_cents for hit in hits if hit.recovery}
    exposure = sum(at_risk.values()) + sum(back.values())
    by_charge = any(back.values()) or any(
        line.allowed_cents is None and at_risk[line.number] for line in lines
    )
    return Score(
        rule_score,
        fraud_score,
        next(name for limit, name in RISKS if fraud_score < limit),
        decision,
        dispositions,
        tuple(
            None if line.allowed_cents is None else 0 if says == "DENY" else line.allowed_cents
            for line, says in zip(lines, dispositions, strict=True)
        ),
        suppressed,
        exposure,
        "CHARGE" if by_charge else "ALLOWED" if exposure else "UNSPECIFIED",
        tuple(
            hit.recovery_cents if hit.recovery else sum(stake.values())
            for hit, stake in zip(hits, stakes, strict=True)
        ),
    )


def _rule_score(strength: Sequence[float], policy: Thresholds) -> float:
    """Step 3, or its alternative: the rules' product, or their sum from a base on, at most 1."""
    if policy.score_mode == "additive":
        total = policy.base_score
        for c in strength:
            total += c
        return min(max(total, 0.0), 1.0)
    rest = 1.0
    for c in strength:
        rest *= 1.0 - c
    return 1.0 - rest


def rounded(number: float) -> float:
    """Nine decimals (domain B.1); of two that are equally near the even one."""
    return round(number * 1e9) / 1e9


def strengths(hits: Sequence[Given]) -> Mapping[str, float]:
    """Domain D.1 step 1: c of each rule."""
    count = Counter(hit.rule for hit in hits)
    largest: dict[str, float] = defaultdict(float)
    for hit in hits:
        largest[hit.rule] = max(largest[hit.rule], hit.weight)
    return {
        rule: min(largest[rule] * (1 + 0.25 * (min(n, 5) - 1)), STRONGEST)
        for rule, n in count.items()
    }


def _families(hit: Given) -> list[frozenset[str]]:
    return [
        family for family in FAMILIES if hit.rule in family or f"{hit.rule}:{hit.variant}" in family
    ]


def _suppressed(
    hit: Given, hits: Sequence[Given], strength: Mapping[str, float], numbers: Sequence[int]
) -> bool:
    """Step 2: on each line of the hit a stronger rule of the same family stands.

    A hit on the claim stands on all lines; of equal rules the first by id is the stronger.
    """

    def rank(each: Given) -> tuple:
        return (each.rule != PREVAILS, -strength[each.rule], each.rule)

    def on(each: Given) -> set[int]:
        return set(each.lines or numbers)

    for family in _families(hit):
        stronger = [
            each
            for each in hits
            if each.rule != hit.rule and family in _families(each) and rank(each) < rank(hit)
        ]
        if all(any(number in on(each) for each in stronger) for number in on(hit)):
            return True
    return False


def _decision(
    hits: Sequence[Given],
    suppressed: Sequence[bool],
    denied: set[int],
    numbers: Sequence[int],
    fraud_score: float,
    p: float | None,
    policy: Thresholds,
) -> str:
    """The ladder of domain D.3 for a claim without a structural fault."""
    high = fraud_score >= policy.deny_min
    if any(hit.action == "DENY_CLAIM" and hit.sure for hit in hits):
        return "DENY"
    if all(number in denied for number in numbers):
        return "DENY"
    if high:
        return "DENY" if any(hit.denies and hit.sure for hit in hits) else "REVIEW"
    if denied and not policy.auto_partial:
        return "REVIEW"
    if any(hit.action == "REJECT" and hit.rule.startswith("FORMAT_") for hit in hits):
        return "REJECT" if policy.format_reject_mode == "reject" else "REVIEW"
    if any(hit.action in ("PEND", "REJECT") or (hit.denies and not hit.sure) for hit in hits):
        return "REVIEW"
    if fraud_score >= policy.review_min:
        return "REVIEW"
    if (
        p is not None
        and policy.ml_reject_policy != "ignore"
        and rounded(p) < policy.approval_threshold
    ):
        alone = policy.ml_reject_policy == "deny" and policy.ml_sole_denial_attested
        return "DENY" if alone else "REVIEW"
    return "INFORMATIONAL" if not all(suppressed) else "APPROVE"


def _stakes(hit: Given, lines: Sequence[LineMoney]) -> dict[int, int]:
    """Domain D.4: what a hit puts at risk on each line, never more than the line is worth."""
    if hit.recovery:
        return {}
    on = [line for line in lines if line.number in hit.lines]
    if hit.rule in OVER_THE_FEE:
        over = {line.number: line.charge_cents - (line.reference_cents or 0) for line in on}
        return {line.number: min(over[line.number], line.whole_cents) for line in on}
    if hit.rule in OVER_OTHERS:
        return {line.number: min(hit.excess_cents, line.whole_cents) for line in on}
    if hit.action == "DENY_CLAIM":
        return {line.number: line.whole_cents for line in lines}
    if hit.action in ("DENY_LINE", "PEND"):
        return {line.number: line.whole_cents for line in on}
    return {}
