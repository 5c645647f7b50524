"""From hits and a model to scores, decisions, dispositions and money at risk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.columns import Batch
from engine.decode import decode
from engine.examples import claim_of
from engine.findings import Findings, find_hits
from engine.gathered import OK, Gathered, ModelAnswer
from engine.policy import Override, Policy
from engine.pricing import Allowed, PriceReason, PriceStatus
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    Rule,
    Scope,
    Severity,
    Stake,
    Variant,
    example,
    line,
    rule,
)
from engine.verdict import Decision, Disposition, Verdict, decide

NOTHING = Gathered(ModelAnswer.disabled())
APPLY, ADVISE = Certainty.APPLY, Certainty.ADVISE
INFO, PEND, DENY_LINE, DENY_CLAIM, REJECT = (
    Action.INFO,
    Action.PEND,
    Action.DENY_LINE,
    Action.DENY_CLAIM,
    Action.REJECT,
)
ROUTED = Policy(ml_reject_policy="review")
"""What the worked examples rest on."""
EXAMPLES = (example("a", line("99213"), hit=True), example("b", line("99213")))


@dataclass(frozen=True)
class Fake:
    """A rule that finds what the test says: lines of the one claim, or () for the claim itself."""

    id: str
    weight: float
    action: Action = PEND
    certainty: Certainty = ADVISE
    on: Sequence[Sequence[int]] = ((0,),)
    families: tuple[Family, ...] = ()
    category: Category = Category.NCCI
    stake: Stake | None = None
    excess_cents: Sequence[int] = ()
    prevails: bool = False
    claims: Sequence[int] = ()
    """The claim of each hit; the first where left out."""
    variants: Mapping[str, Variant] | None = None
    variant: Sequence[int] = field(default=())

    def rule(self) -> Rule:
        @rule(
            id=self.id,
            category=self.category,
            scope=Scope.LINE,
            severity=Severity.HIGH,
            weight=self.weight,
            action=self.action,
            certainty=self.certainty,
            cites="a test",
            examples=EXAMPLES,
            families=self.families,
            stake=self.stake,
            evidence={"excess_cents": Kind.CENTS} if self.excess_cents else {},
            prevails=self.prevails,
            variants=self.variants,
        )
        def find() -> Hits:
            """Find what the test says."""
            return Hits(
                claim=np.array(self.claims or [0] * len(self.on), np.int64),
                line_hit=np.repeat(np.arange(len(self.on)), [len(lines) for lines in self.on]),
                line=np.array([at for lines in self.on for at in lines], np.int64),
                variant=np.array(self.variant, np.int64) if self.variant else None,
                evidence={"excess_cents": np.array(self.excess_cents)} if self.excess_cents else {},
            )

        return find


def batch_of(*claims: int, charge: float = 100) -> Batch:
    """Claims with so many lines each."""
    messages = [
        claim_of(example("a", *[line("99213", charge=charge)] * lines), f"C{number}")
        for number, lines in enumerate(claims)
    ]
    return decode([score_pb2.ClaimBatch(claims=messages)], allow_zero_charge=True)


def allowed_of(*cents: int | None) -> Allowed:
    """Prices of the lines, None for a line without one."""
    amounts = np.array([each or 0 for each in cents], np.int64)
    has = np.array([each is not None for each in cents], np.bool_)
    return Allowed(
        basis=np.ones(len(amounts), np.int8),
        contract=np.full(len(amounts), -1),
        status=np.where(has, PriceStatus.PRICED, PriceStatus.NO_PRICE),
        reason=np.where(has, PriceReason.NONE, PriceReason.NO_ROW),
        fee_cents=amounts.copy(),
        capped_cents=amounts.copy(),
        amount_cents=amounts.copy(),
        allowed_cents=amounts.copy(),
        rvu_total_e4=amounts.copy(),
        locality=np.full(len(amounts), -1),
    )


def answer(*probabilities: float) -> ModelAnswer:
    return ModelAnswer(OK, np.array(probabilities, np.float32), "test")


def found(batch: Batch, *fakes: Fake, policy: Policy | None = None) -> Findings:
    rules = tuple(sorted((each.rule() for each in fakes), key=lambda each: each.id))
    return find_hits(rules, batch, None, None, NOTHING, None, policy or Policy())


def judge(
    *fakes: Fake,
    lines: int = 3,
    p: float | None = None,
    policy: Policy | None = None,
    cents: Sequence[int | None] | None = None,
) -> Verdict:
    """Decide one claim."""
    policy = policy or Policy()
    batch = batch_of(lines)
    model = ModelAnswer.disabled() if p is None else answer(p)
    prices = allowed_of(*(cents or [50_00] * lines))
    return decide(found(batch, *fakes, policy=policy), model, batch, prices, policy)


def score_of(verdict: Verdict) -> str:
    """Four decimals, half up: how a score is stored."""
    exact = Decimal(repr(float(verdict.fraud_score[0])))
    return str(exact.quantize(Decimal("0.0001"), ROUND_HALF_UP))


def decision_of(verdict: Verdict) -> str:
    return Decision(verdict.decision[0]).name


PTP = Fake("NCCI_PTP", 0.18, DENY_LINE, APPLY)
MUE = Fake("NCCI_MUE", 0.16, DENY_LINE, APPLY, on=((1,),))
OIG = Fake("OIG_EXCLUSION", 0.25, DENY_CLAIM, APPLY, on=((),), category=Category.FWA)
WARNING = Fake("TIMELY_FILING_WARNING", 0.05, INFO, APPLY, category=Category.TIMELY_FILING)


# --- the worked examples of the specification


@pytest.mark.parametrize(
    ("fakes", "p", "rule_score", "fraud_score", "decision", "risk"),
    [
        ((), 0.93, 0, "0.0210", "APPROVE", 1),
        ((), 0.55, 0, "0.1350", "REVIEW", 2),
        ((), 0.80, 0, "0.0600", "APPROVE", 1),
        ((PTP,), 0.93, 0.18, "0.1972", "REVIEW", 2),
        ((PTP, MUE), 0.60, 0.3112, "0.3939", "REVIEW", 3),
        ((OIG,), 0.90, 0.25, "0.2725", "DENY", 2),
        ((WARNING,), 0.95, 0.05, "0.0643", "INFORMATIONAL", 1),
    ],
)
def test_worked_examples_hold(fakes, p, rule_score, fraud_score, decision, risk):
    verdict = judge(*fakes, p=p, policy=ROUTED)

    assert verdict.rule_score.tolist() == [rule_score]
    assert score_of(verdict) == fraud_score
    assert decision_of(verdict) == decision
    assert verdict.risk.tolist() == [risk]


def test_denied_line_of_the_worked_example_is_the_only_one():
    verdict = judge(PTP, p=0.93, policy=ROUTED)

    assert verdict.disposition.tolist() == [Disposition.DENY, Disposition.PAY, Disposition.PAY]
    assert verdict.payable_cents.tolist() == [0, 50_00, 50_00]


def test_clean_lines_are_let_through_with_auto_partial():
    policy = Policy(ml_reject_policy="review", auto_partial=True)

    verdict = judge(PTP, p=0.93, policy=policy)

    assert decision_of(verdict) == "INFORMATIONAL"
    assert verdict.disposition.tolist()[0] == Disposition.DENY
    assert score_of(verdict) == "0.1972"


# --- from hits to the rule score


@pytest.mark.parametrize(
    ("hits", "weight", "score"),
    [
        (1, 0.10, 0.10),
        (2, 0.10, 0.125),
        (3, 0.10, 0.15),
        (5, 0.10, 0.20),
        (6, 0.10, 0.20),
        (40, 0.10, 0.20),
        (5, 0.30, 0.60),
        (5, 0.31, 0.60),
        (1, 0.75, 0.60),
        (1, 1.0, 0.60),
        (3, 0.0, 0.0),
    ],
)
def test_repeated_hits_of_a_rule_add_a_quarter_each_up_to_a_limit(hits, weight, score):
    fake = Fake("A", weight, INFO, on=[(at,) for at in range(hits)])

    verdict = judge(fake, lines=max(hits, 2))

    assert verdict.rule_score.tolist() == [score]


def test_heaviest_hit_of_a_rule_is_the_one_that_repeats():
    variants = {"light": Variant(weight=0.05), "heavy": Variant(weight=0.20)}
    fake = Fake("A", 0.1, INFO, on=((0,), (1,)), variants=variants, variant=(0, 1))

    verdict = judge(fake)

    assert verdict.hits.weight.tolist() == [0.05, 0.20]
    assert verdict.rule_score.tolist() == [0.25]


def test_weight_of_the_policy_replaces_that_of_every_case():
    variants = {"light": Variant(weight=0.05), "heavy": Variant(weight=0.20)}
    fake = Fake("A", 0.1, INFO, on=((0,), (1,)), variants=variants, variant=(0, 1))

    verdict = judge(fake, policy=Policy(overrides=(Override("A", weight=0.4),)))

    assert verdict.hits.weight.tolist() == [0.4, 0.4]
    assert verdict.rule_score.tolist() == [0.5]


def test_rule_score_is_the_product_in_the_order_of_rule_ids_to_nine_decimals():
    weights = {f"R{n}": w for n, w in enumerate((0.05, 0.07, 0.11, 0.13, 0.17, 0.19, 0.23, 0.29))}
    product = 1.0
    for weight in weights.values():
        product *= 1 - weight
    fakes = [Fake(name, weight, INFO) for name, weight in weights.items()]

    forward, backward = judge(*fakes), judge(*reversed(fakes))

    assert forward.rule_score.tolist() == backward.rule_score.tolist() == [round(1 - product, 9)]


@pytest.mark.parametrize(
    ("weights", "base", "score"),
    [((), 0.0, 0.0), ((0.1, 0.2), 0.0, 0.3), ((0.1, 0.2), 0.25, 0.55), ((0.5, 0.5, 0.5), 0.1, 1.0)],
)
def test_additive_score_is_the_sum_from_its_base_on_and_at_most_one(weights, base, score):
    fakes = [Fake(f"R{n}", weight, INFO) for n, weight in enumerate(weights)]
    additive = Policy(score_mode="additive", base_score=base)

    assert judge(*fakes, policy=additive).rule_score.tolist() == [score]


def test_additive_score_leaves_out_what_a_family_suppresses():
    family = (Family.BUNDLING,)
    fakes = Fake("A", 0.1, INFO, families=family), Fake("B", 0.2, INFO, families=family)

    assert judge(*fakes, policy=Policy(score_mode="additive")).rule_score.tolist() == [0.2]


def test_base_of_the_additive_score_has_no_part_in_the_product():
    assert judge(Fake("A", 0.1), policy=Policy(base_score=0.5)).rule_score.tolist() == [0.1]


def test_score_never_falls_when_a_hit_is_added():
    fakes = [
        Fake("A", 0.11, PEND, families=(Family.BUNDLING,)),
        Fake("B", 0.12, PEND, on=((0, 1),), families=(Family.BUNDLING, Family.UNITS)),
        Fake("C", 0.13, PEND, on=((1,), (2,)), families=(Family.UNITS,)),
        Fake("D", 0.01, PEND, on=((),), families=(Family.BUNDLING,)),
        Fake("E", 0.05, PEND, on=((0,), (1,), (2,))),
    ]

    scores = [judge(*fakes[:count]).rule_score[0] for count in range(len(fakes) + 1)]

    assert scores == sorted(scores)


# --- families


def suppressed(*fakes: Fake, lines: int = 3) -> tuple[list[bool], float]:
    verdict = judge(*fakes, lines=lines)
    return verdict.hits.suppressed.tolist(), float(verdict.rule_score[0])


BUNDLING = (Family.BUNDLING,)


def test_only_the_strongest_of_a_family_counts_on_a_line():
    weak, strong = Fake("A", 0.1, families=BUNDLING), Fake("B", 0.2, families=BUNDLING)

    assert suppressed(weak, strong) == ([True, False], 0.2)


def test_of_equals_the_first_by_id_counts():
    one, two = Fake("A", 0.2, families=BUNDLING), Fake("B", 0.2, families=BUNDLING)

    assert suppressed(two, one) == ([False, True], 0.2)


def test_different_lines_do_not_suppress_each_other():
    one = Fake("A", 0.1, families=BUNDLING)
    two = Fake("B", 0.2, on=((1,),), families=BUNDLING)

    assert suppressed(one, two) == ([False, False], 0.28)


def test_different_families_do_not_suppress_each_other():
    one, two = Fake("A", 0.1, families=BUNDLING), Fake("B", 0.2, families=(Family.UNITS,))

    assert suppressed(one, two) == ([False, False], 0.28)


def test_rule_of_two_families_loses_in_either():
    both = Fake("A", 0.1, families=(Family.BUNDLING, Family.GLOBAL_SURGERY))
    surgery = Fake("B", 0.2, families=(Family.GLOBAL_SURGERY,))

    assert suppressed(both, surgery) == ([True, False], 0.2)


def test_hit_on_several_lines_counts_while_it_wins_on_one():
    wide = Fake("A", 0.1, on=((0, 1),), families=BUNDLING)
    narrow = Fake("B", 0.2, on=((1,),), families=BUNDLING)

    assert suppressed(wide, narrow) == ([False, False], 0.28)


def test_hit_on_several_lines_is_suppressed_where_it_loses_on_all():
    wide = Fake("A", 0.1, on=((0, 1),), families=BUNDLING)
    one = Fake("B", 0.2, on=((1,),), families=BUNDLING)
    two = Fake("C", 0.2, on=((0,),), families=BUNDLING)

    assert suppressed(wide, one, two)[0] == [True, False, False]


def test_hit_on_the_claim_stands_on_all_its_lines():
    on_claim = Fake("A", 0.2, on=((),), families=BUNDLING)
    on_line = Fake("B", 0.1, on=((2,),), families=BUNDLING)

    assert suppressed(on_claim, on_line) == ([False, True], 0.2)


def test_repeats_strengthen_a_rule_within_its_family():
    often = Fake("A", 0.10, on=((0,), (1,), (2,)), families=BUNDLING)
    once = Fake("B", 0.12, families=BUNDLING)

    assert suppressed(often, once) == ([False, False, False, True], 0.15)


def test_rule_that_prevails_wins_whatever_it_weighs():
    light = Fake("A", 0.01, on=((),), families=BUNDLING, prevails=True)
    heavy = Fake("B", 0.60, families=BUNDLING)

    assert suppressed(light, heavy) == ([False, True], 0.01)


def test_case_of_a_rule_may_leave_its_family():
    variants = {"in": Variant(), "out": Variant(families=())}
    fake = Fake("A", 0.1, families=BUNDLING, variants=variants, on=((0,), (0,)), variant=(0, 1))
    strong = Fake("B", 0.2, families=BUNDLING)

    assert suppressed(fake, strong)[0] == [True, False, False]


def test_suppressed_hit_keeps_its_action():
    denies = Fake("A", 0.1, DENY_LINE, APPLY, families=BUNDLING)
    notes = Fake("B", 0.2, INFO, families=BUNDLING)

    verdict = judge(denies, notes)

    assert verdict.hits.suppressed.tolist() == [True, False]
    assert verdict.disposition.tolist()[0] == Disposition.DENY
    assert decision_of(verdict) == "REVIEW"


def test_claims_of_a_pass_do_not_suppress_each_other():
    batch = batch_of(1, 1)
    one = Fake("A", 0.1, PEND, on=((0,),), families=BUNDLING)
    two = Fake("B", 0.2, PEND, on=((1,),), families=BUNDLING, claims=(1,))

    verdict = decide(
        found(batch, one, two), ModelAnswer.disabled(), batch, allowed_of(1, 1), Policy()
    )

    assert verdict.hits.suppressed.tolist() == [False, False]
    assert verdict.rule_score.tolist() == [0.1, 0.2]


# --- thresholds


@pytest.mark.parametrize(("weights", "score"), [((0.10, 0.10), 0.19), ((0.08, 0.25), 0.31)])
def test_rounding_decides_thresholds_not_the_noise_of_floats(weights, score):
    one, two = weights
    assert 1 - (1 - one) * (1 - two) < score, "the naive product is below the threshold"
    fakes = (Fake("A", one, INFO), Fake("B", two, INFO))

    verdict = judge(*fakes, policy=Policy(review_min=score))

    assert verdict.fraud_score.tolist() == [score]
    assert decision_of(verdict) == "REVIEW"


@pytest.mark.parametrize(
    ("weight", "risk"),
    [(0.0, 1), (0.099, 1), (0.10, 2), (0.299, 2), (0.30, 3), (0.599, 3), (0.60, 4)],
)
def test_bands_of_risk_begin_at_their_limits(weight, risk):
    assert judge(Fake("A", weight, INFO)).risk.tolist() == [risk]


def test_model_threshold_is_inclusive():
    assert decision_of(judge(p=0.8, policy=ROUTED)) == "APPROVE"
    assert decision_of(judge(p=0.7999, policy=ROUTED)) == "REVIEW"
    exact = Policy(ml_reject_policy="review", approval_threshold=0.75)
    assert decision_of(judge(p=0.75, policy=exact)) == "APPROVE"


# --- the model


@pytest.mark.parametrize("model", [ModelAnswer.disabled(), ModelAnswer.unavailable("timeout")])
def test_without_a_model_the_rules_alone_score(model):
    batch = batch_of(3)

    verdict = decide(found(batch, PTP), model, batch, allowed_of(1, 1, 1), ROUTED)

    assert verdict.fraud_score.tolist() == verdict.rule_score.tolist() == [0.18]


def test_missing_model_neither_reviews_nor_denies():
    policy = Policy(ml_reject_policy="deny", ml_sole_denial_attested=True)

    assert decision_of(judge(p=None, policy=policy)) == "APPROVE"


def test_model_has_no_share_while_it_is_ignored():
    verdict = judge(PTP, p=0.0, policy=Policy(ml_reject_policy="ignore"))

    assert verdict.fraud_score.tolist() == [0.18]


def test_model_alone_never_scores_above_its_share():
    assert judge(p=0.0, policy=ROUTED).fraud_score.tolist() == [0.30]


@pytest.mark.parametrize(
    ("mode", "attested", "decision"),
    [
        ("ignore", False, "APPROVE"),
        ("ignore", True, "APPROVE"),
        ("review", False, "REVIEW"),
        ("review", True, "REVIEW"),
        ("deny", False, "REVIEW"),
        ("deny", True, "DENY"),
    ],
)
def test_model_alone_denies_only_with_attestation(mode, attested, decision):
    policy = Policy(ml_reject_policy=mode, ml_sole_denial_attested=attested)

    assert decision_of(judge(p=0.79, policy=policy)) == decision


# --- the ladder: each rung alone beats all below it

FORMAT_REJECT = Fake("F_REJECT", 0.01, REJECT, APPLY, on=((),), category=Category.FORMAT)
OTHER_REJECT = Fake("O_REJECT", 0.01, REJECT, APPLY, on=((),))
PENDS = Fake("P_PEND", 0.01, PEND, APPLY)
ADVISED = Fake("P_ADVISED", 0.01, DENY_LINE, ADVISE)
ADVISED_CLAIM = Fake("P_ADVISED_CLAIM", 0.01, DENY_CLAIM, ADVISE, on=((),))
NOTE = Fake("Z_NOTE", 0.01, INFO)
HEAVY = Fake("Z_HEAVY", 0.60, INFO)
ONE_DENIED = Fake("D_ONE", 0.01, DENY_LINE, APPLY)
ALL_DENIED = Fake("D_ALL", 0.01, DENY_LINE, APPLY, on=((0,), (1,), (2,)))
ALL_BY_ONE_HIT = Fake("D_ALL", 0.01, DENY_LINE, APPLY, on=((0, 1, 2),))
CLAIM_DENIED = Fake("D_CLAIM", 0.01, DENY_CLAIM, APPLY, on=((),))
STRICT = {"ml_reject_policy": "deny", "ml_sole_denial_attested": True}


@pytest.mark.parametrize(
    ("fakes", "policy", "p", "decision"),
    [
        pytest.param((CLAIM_DENIED,), {}, None, "DENY", id="claim denied"),
        pytest.param(
            (CLAIM_DENIED, FORMAT_REJECT, PENDS),
            {"format_reject_mode": "reject", "auto_partial": True},
            None,
            "DENY",
            id="claim denied before format",
        ),
        pytest.param((ALL_DENIED,), {"auto_partial": True}, None, "DENY", id="all lines denied"),
        pytest.param((ALL_BY_ONE_HIT,), {}, None, "DENY", id="all lines denied by one hit"),
        pytest.param((ONE_DENIED, HEAVY), {"deny_min": 0.6}, None, "DENY", id="high with denial"),
        pytest.param((HEAVY,), {"deny_min": 0.6}, None, "REVIEW", id="high without denial"),
        pytest.param(
            (HEAVY, ADVISED), {"deny_min": 0.6}, None, "REVIEW", id="high with advice only"
        ),
        pytest.param(
            (HEAVY, FORMAT_REJECT),
            {"deny_min": 0.6, "format_reject_mode": "reject"},
            None,
            "REVIEW",
            id="high before format",
        ),
        pytest.param(
            (ONE_DENIED, HEAVY),
            {"deny_min": 1.01, "auto_partial": True, "review_min": 0.9},
            None,
            "INFORMATIONAL",
            id="high switched off",
        ),
        pytest.param((ONE_DENIED,), {}, None, "REVIEW", id="some lines denied"),
        pytest.param(
            (ONE_DENIED, FORMAT_REJECT),
            {"format_reject_mode": "reject"},
            None,
            "REVIEW",
            id="some lines denied before format",
        ),
        pytest.param(
            (ONE_DENIED,), {"auto_partial": True}, None, "INFORMATIONAL", id="auto partial"
        ),
        pytest.param(
            (ONE_DENIED, PENDS), {"auto_partial": True}, None, "REVIEW", id="auto partial pended"
        ),
        pytest.param((FORMAT_REJECT,), {}, None, "REVIEW", id="format reviewed"),
        pytest.param(
            (FORMAT_REJECT, PENDS),
            {"format_reject_mode": "reject"},
            None,
            "REJECT",
            id="format rejected",
        ),
        pytest.param(
            (OTHER_REJECT,), {"format_reject_mode": "reject"}, None, "REVIEW", id="other reject"
        ),
        pytest.param((PENDS,), STRICT, 0.1, "REVIEW", id="pended before the model"),
        pytest.param((ADVISED,), STRICT, 0.1, "REVIEW", id="advised before the model"),
        pytest.param((ADVISED_CLAIM,), STRICT, 0.1, "REVIEW", id="claim advised"),
        pytest.param((HEAVY,), STRICT, 0.1, "REVIEW", id="score before the model"),
        pytest.param((NOTE,), STRICT, 0.1, "DENY", id="model before notes"),
        pytest.param((NOTE,), STRICT, 0.9, "INFORMATIONAL", id="a note"),
        pytest.param((), STRICT, 0.9, "APPROVE", id="nothing"),
    ],
)
def test_first_rung_that_holds_decides(fakes, policy, p, decision):
    assert decision_of(judge(*fakes, p=p, policy=Policy(**policy))) == decision


def test_each_claim_of_a_pass_is_decided_by_its_own_hits():
    batch = batch_of(2, 1, 1, 2)
    denied = Fake("A", 0.1, DENY_LINE, APPLY, on=((2,), (4,)), claims=(1, 3))

    verdict = decide(
        found(batch, denied), ModelAnswer.disabled(), batch, allowed_of(*[1] * 6), Policy()
    )

    assert [Decision(each).name for each in verdict.decision] == [
        "APPROVE",
        "DENY",
        "APPROVE",
        "REVIEW",
    ]


# --- lines


@pytest.mark.parametrize(
    ("action", "certainty", "disposition"),
    [
        (INFO, APPLY, "PAY"),
        (PEND, APPLY, "REVIEW"),
        (PEND, ADVISE, "REVIEW"),
        (REJECT, APPLY, "REVIEW"),
        (DENY_LINE, ADVISE, "REVIEW"),
        (DENY_LINE, APPLY, "DENY"),
    ],
)
def test_worst_action_on_a_line_is_its_disposition(action, certainty, disposition):
    verdict = judge(Fake("A", 0.1, action, certainty), NOTE)

    assert Disposition(verdict.disposition[0]).name == disposition
    assert verdict.payable_cents.tolist() == [0 if disposition == "DENY" else 50_00, 50_00, 50_00]


def test_denial_beats_review_on_a_line():
    verdict = judge(Fake("A", 0.1, PEND), Fake("B", 0.1, DENY_LINE, APPLY))

    assert verdict.disposition.tolist()[0] == Disposition.DENY


def test_denied_claim_pays_no_line():
    verdict = judge(OIG)

    assert set(verdict.disposition.tolist()) == {Disposition.DENY}
    assert verdict.payable_cents.tolist() == [0, 0, 0]


# --- money at risk


def exposure(*fakes: Fake, cents: Sequence[int | None]) -> tuple[int, list[int], bool]:
    verdict = judge(*fakes, lines=len(cents), cents=cents)
    return (
        int(verdict.exposure_cents[0]),
        verdict.hits.exposure_cents.tolist(),
        bool(verdict.exposure_by_charge[0]),
    )


def test_line_at_risk_counts_once_with_its_whole_price():
    one, two = Fake("A", 0.1, DENY_LINE, APPLY), Fake("B", 0.1, PEND)

    assert exposure(one, two, cents=[30_00, 40_00]) == (30_00, [30_00, 30_00], False)


def test_hit_on_several_lines_risks_all_of_them():
    assert exposure(Fake("A", 0.1, on=((0, 2),)), cents=[10_00, 20_00, 30_00]) == (
        40_00,
        [40_00],
        False,
    )


def test_line_without_a_price_risks_its_charge():
    assert exposure(Fake("A", 0.1, on=((0,), (1,))), cents=[None, 30_00]) == (
        130_00,
        [100_00, 30_00],
        True,
    )


def test_charge_of_a_line_that_is_not_at_risk_does_not_count():
    assert exposure(Fake("A", 0.1, on=((1,),)), cents=[None, 30_00]) == (30_00, [30_00], False)


def test_claim_denied_risks_all_its_lines():
    assert exposure(OIG, PTP, cents=[10_00, 20_00, None]) == (130_00, [10_00, 130_00], True)


def test_note_and_finding_on_the_claim_risk_nothing():
    on_claim = Fake("B", 0.1, PEND, on=((),), stake=Stake.NONE)

    assert exposure(NOTE, on_claim, cents=[10_00, 20_00]) == (0, [0, 0], False)


def test_case_that_only_notes_risks_nothing_whatever_its_rule_does():
    variants = {"asked": Variant(), "documented": Variant(action=INFO)}
    fake = Fake("A", 0.1, PEND, variants=variants, variant=(0, 1), on=((0,), (1,)))

    assert exposure(fake, cents=[10_00, 20_00]) == (10_00, [10_00, 0], False)


EXCESS = {"action": INFO, "stake": Stake.EXCESS}


def test_excess_is_what_the_rule_says_but_not_above_the_price():
    over = Fake("A", 0.1, on=((0,), (1,)), excess_cents=(7_00, 90_00), **EXCESS)

    assert exposure(over, cents=[30_00, 40_00]) == (47_00, [7_00, 40_00], False)


def test_largest_stake_on_a_line_counts():
    over = Fake("A", 0.1, excess_cents=(7_00,), **EXCESS)
    more = Fake("B", 0.1, excess_cents=(9_00,), **EXCESS)

    assert exposure(over, more, cents=[30_00])[0] == 9_00
    assert exposure(over, more, PTP, cents=[30_00])[0] == 30_00


@pytest.mark.parametrize(
    ("fake", "action", "at_risk"),
    [
        (PTP, INFO, 0),
        (PTP, PEND, 30_00),
        (PTP, DENY_LINE, 30_00),
        (PTP, DENY_CLAIM, 70_00),
        (NOTE, DENY_LINE, 30_00),
        (OIG, PEND, 0),
        (Fake("X", 0.1, excess_cents=(7_00,), **EXCESS), PEND, 7_00),
        (Fake("X", 0.1, excess_cents=(7_00,), **EXCESS), DENY_LINE, 30_00),
    ],
)
def test_action_of_the_policy_decides_what_is_at_risk(fake, action, at_risk):
    policy = Policy(overrides=(Override(fake.id, action=action),))

    verdict = judge(fake, lines=2, cents=[30_00, 40_00], policy=policy)

    assert verdict.exposure_cents.tolist() == [at_risk]


def test_free_line_at_risk_is_not_counted_by_charge():
    assert exposure(PTP, cents=[0, 30_00]) == (0, [0], False)


def test_pass_without_claims_is_decided():
    batch = batch_of()

    verdict = decide(
        found(batch, Fake("A", 0.1, on=())),
        ModelAnswer.disabled(),
        batch,
        allowed_of(),
        Policy(),
    )

    assert len(verdict.decision) == len(verdict.disposition) == 0
