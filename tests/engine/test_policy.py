"""A policy that cannot be meant is refused, and its version names its content."""

from dataclasses import fields, replace

import pytest
from claimgate.v1 import score_pb2

from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.policy import Policy, PolicyError, RuleOverride, params_of
from engine.rules import all_rules
from engine.rules.rule import example, line

RULES = {rule.id: rule for rule in all_rules()}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ml_reject_policy": "approve"}, "ml_reject_policy"),
        ({"ml_reject_policy": ""}, "ml_reject_policy"),
        ({"format_reject_mode": "deny"}, "format_reject_mode"),
        ({"price_formula": "magic"}, "price_formula"),
        ({"review_min": -0.01}, "review_min"),
        ({"review_min": 1.01, "deny_min": 2}, "review_min"),
        ({"review_min": float("nan")}, "review_min"),
        ({"approval_threshold": 1.5}, "approval_threshold"),
        ({"model_weight": -1}, "model_weight"),
        ({"review_min": 0.9}, "deny_min"),
        ({"deny_min": 0.29}, "deny_min"),
        ({"deny_min": float("nan")}, "deny_min"),
        ({"overrides": {"NCCI_PTP": RuleOverride(weight=1.01)}}, "NCCI_PTP"),
        ({"overrides": {"NCCI_PTP": RuleOverride(weight=-0.01)}}, "NCCI_PTP"),
    ],
)
def test_policy_that_contradicts_itself_is_refused(wrong, named):
    with pytest.raises(PolicyError, match=named):
        Policy(**wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"review_min": 0.0, "deny_min": 0.0},
        {"review_min": 0.8, "deny_min": 0.8},
        {"deny_min": 1.01},
        {"model_weight": 0, "approval_threshold": 1},
        {"overrides": {"NCCI_PTP": RuleOverride(weight=0.0)}},
        {"overrides": {"NCCI_PTP": RuleOverride(weight=1.0)}},
    ],
)
def test_limits_themselves_are_allowed(right):
    assert Policy(**right)


def test_override_of_an_unknown_rule_is_refused(sample_reference):
    policy = Policy(overrides={"NCCI_PTPP": RuleOverride(enabled=False)})

    with pytest.raises(PolicyError, match="NCCI_PTPP"):
        Engine.with_all_rules(sample_reference, policy)


def test_override_of_an_unknown_parameter_is_refused(sample_reference):
    policy = Policy(overrides={"HIGH_DOLLAR": RuleOverride(params={"tear": 1})})

    with pytest.raises(PolicyError, match=r"HIGH_DOLLAR.*tear"):
        Engine.with_all_rules(sample_reference, policy)


# --- versions


OTHER = {
    "name": "other",
    "review_min": 0.31,
    "deny_min": 0.81,
    "approval_threshold": 0.81,
    "ml_reject_policy": "review",
    "ml_sole_denial_attested": True,
    "model_weight": 0.31,
    "auto_partial": True,
    "format_reject_mode": "reject",
    "allow_zero_charge": False,
    "price_formula": "simple",
    "legacy_cf_e4": 388_701,
    "overrides": {"NCCI_PTP": RuleOverride(enabled=False)},
}


@pytest.mark.parametrize("name", [field.name for field in fields(Policy)])
def test_any_change_of_content_changes_the_version(name):
    assert replace(Policy(), **{name: OTHER[name]}).version != Policy().version


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (RuleOverride(enabled=False), RuleOverride()),
        (RuleOverride(weight=0.1), RuleOverride(weight=0.2)),
        (RuleOverride(weight=0.0), RuleOverride()),
        (RuleOverride(params={"a": 1}), RuleOverride(params={"a": 2})),
        (RuleOverride(params={"a": (1, 2)}), RuleOverride(params={"a": (2, 1)})),
    ],
)
def test_any_change_of_an_override_changes_the_version(one, other):
    versions = {Policy(overrides={"NCCI_PTP": each}).version for each in (one, other)}

    assert len(versions) == 2


def test_equal_content_has_an_equal_version():
    one = RuleOverride(weight=0.1, params={"a": 1, "b": 2})
    same = RuleOverride(weight=0.1, params={"b": 2, "a": 1})

    first = Policy(overrides={"NCCI_PTP": one, "NCCI_MUE": RuleOverride(enabled=False)})
    second = Policy(overrides={"NCCI_MUE": RuleOverride(enabled=False), "NCCI_PTP": same})

    assert first.version == second.version
    assert Policy().version == Policy().version
    assert first.version.startswith("default-")


# --- what an override does


def hits(reference, policy: Policy, *lines, **claim_fields) -> list[score_pb2.RuleHit]:
    engine = Engine.with_all_rules(reference, policy)
    claim = claim_of(example("a", *lines, **claim_fields))
    read = engine.read([score_pb2.ClaimBatch(claims=[claim])])
    [answer] = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])
    return list(answer.results[0].hits)


PAIR = (line("45385"), line("45380"))


def test_disabled_rule_does_not_run(sample_reference):
    off = Policy(overrides={"NCCI_PTP": RuleOverride(enabled=False)})

    assert "NCCI_PTP" in {hit.rule_id for hit in hits(sample_reference, Policy(), *PAIR)}
    assert "NCCI_PTP" not in {hit.rule_id for hit in hits(sample_reference, off, *PAIR)}


def test_weight_of_an_override_is_the_one_that_counts(sample_reference):
    heavy = Policy(overrides={"NCCI_PTP": RuleOverride(weight=0.5)})

    weights = {hit.rule_id: hit.weight for hit in hits(sample_reference, heavy, *PAIR)}

    assert weights["NCCI_PTP"] == 0.5
    assert RULES["NCCI_PTP"].cases[0].weight != 0.5


def test_parameter_of_an_override_moves_the_limit(sample_reference):
    """A tenant for whom 50 dollars are much."""
    low = dict.fromkeys(RULES["HIGH_DOLLAR"].params, 5_000)
    policy = Policy(overrides={"HIGH_DOLLAR": RuleOverride(params=low)})
    visit = line("99213", charge=60)

    assert not [h for h in hits(sample_reference, Policy(), visit) if h.rule_id == "HIGH_DOLLAR"]
    assert [h for h in hits(sample_reference, policy, visit) if h.rule_id == "HIGH_DOLLAR"]


def test_parameters_that_are_not_overridden_keep_their_defaults():
    rule = RULES["HIGH_DOLLAR"]
    name, *others = rule.params
    policy = Policy(overrides={rule.id: RuleOverride(params={name: 123})})

    params = params_of(rule, policy, 3)

    assert params[name].tolist() == [123, 123, 123]
    for other in others:
        assert params[other].tolist() == [rule.params[other]] * 3


def test_model_has_no_share_while_it_is_ignored():
    assert Policy(ml_reject_policy="ignore", model_weight=0.3).model_share == 0
    assert Policy(ml_reject_policy="review", model_weight=0.3).model_share == 0.3


def test_parameter_of_another_type_is_refused() -> None:
    policy = Policy(overrides={"HIGH_DOLLAR": RuleOverride(params={"tier_1_cents": "abc"})})

    with pytest.raises(PolicyError, match="tier_1_cents"):
        policy.check(all_rules())


def test_policies_that_decide_alike_have_one_version() -> None:
    assert Policy(deny_min=1).version == Policy(deny_min=1.0).version
    assert Policy(overrides={"HIGH_DOLLAR": RuleOverride()}).version == Policy().version
