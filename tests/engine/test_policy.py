"""A policy that cannot be meant is refused with the path of the field; a version names content."""

from dataclasses import fields, replace
from datetime import date

import pytest

from engine.match import Match
from engine.pipeline import Engine
from engine.policy import Override, Policy, PolicyError, Tier
from engine.policy_document import document_of, policy_of
from engine.rules import all_rules
from engine.rules.rule import Action, Certainty, Severity

RULES = all_rules()
DOLLARS = "overrides[0].params.tier_1_cents"


def refused(document: dict) -> str:
    """The path of the field that a document is refused for."""
    with pytest.raises(PolicyError) as raised:
        policy_of(document).check(RULES)
    assert str(raised.value) == f"{raised.value.field}: expected {raised.value.expected}"
    return raised.value.field


def one(**override) -> dict:
    """A document with one override of NCCI_PTP, unless another rule is given."""
    return {"overrides": [{"rule_id": "NCCI_PTP", **override}]}


# --- what cannot be meant


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"ml_reject_policy": "approve"}, "ml_reject_policy"),
        ({"ml_reject_policy": ""}, "ml_reject_policy"),
        ({"format_reject_mode": "deny"}, "format_reject_mode"),
        ({"price_formula": "magic"}, "price_formula"),
        ({"score_mode": "sum"}, "score_mode"),
        ({"base_score": 1.01}, "base_score"),
        ({"review_min": -0.01}, "review_min"),
        ({"review_min": 1.01, "deny_min": 2}, "review_min"),
        ({"review_min": float("nan")}, "review_min"),
        ({"deny_min": float("nan")}, "deny_min"),
        ({"deny_min": float("inf")}, "deny_min"),
        ({"approval_threshold": 1.5}, "approval_threshold"),
        ({"model_weight": -1}, "model_weight"),
        ({"review_min": 0.9}, "review_min"),
        ({"deny_min": 0.29}, "review_min"),
        ({"legacy_cf_e4": 0}, "legacy_cf_e4"),
        ({"legacy_cf_e4": 1.5}, "legacy_cf_e4"),
        ({"auto_partial": 1}, "auto_partial"),
        ({"review_min": True}, "review_min"),
        ({"review_min": "0.3"}, "review_min"),
        ({"name": ""}, "name"),
        ({"reviewmin": 0.3}, "reviewmin"),
        ({"overrides": {}}, "overrides"),
        ({"overrides": [1]}, "overrides[0]"),
        ({"overrides": [{"rule_id": "NCCI_PTPP", "weight": 0.1}]}, "overrides[0].rule_id"),
        ({"overrides": [{"rule_id": "NCCI_PTP"}]}, "overrides[0]"),
        ({"overrides": [{"weight": 0.1}]}, "overrides[0].weight"),
        (one(weight=1.01), "overrides[0].weight"),
        (one(weight=-0.01), "overrides[0].weight"),
        (one(weight=float("nan")), "overrides[0].weight"),
        (one(review_min=0.1), "overrides[0].review_min"),
        (one(wait=1), "overrides[0].wait"),
        (one(action="deny"), "overrides[0].action"),
        (one(severity=3), "overrides[0].severity"),
        (one(certainty="sure"), "overrides[0].certainty"),
        (one(tier="global", weight=0.1), "overrides[0].tier"),
        (one(enabled="no"), "overrides[0].enabled"),
        (one(weight=0.1, locked=["action"]), "overrides[0].locked[0]"),
        (one(weight=0.1, locked="weight"), "overrides[0].locked"),
        (one(params={"days": 1}), "overrides[0].params.days"),
        (one(params=[]), "overrides[0].params"),
        (one(rule_id="HIGH_DOLLAR", params={"tier_1_cents": "x"}), DOLLARS),
        (one(rule_id="HIGH_DOLLAR", params={"tier_1_cents": 1.5}), DOLLARS),
        (
            one(rule_id="MODIFIER_INVALID", params={"payer_modifiers": [1]}),
            "overrides[0].params.payer_modifiers[0]",
        ),
        (
            one(rule_id="MODIFIER_INVALID", params={"payer_modifiers": 1}),
            "overrides[0].params.payer_modifiers",
        ),
        (
            one(
                rule_id="MODIFIER_INVALID",
                params={"payer_modifiers": ["Z9"]},
                match={"payer_ids": ["P"]},
            ),
            "overrides[0].match",
        ),
        (
            one(rule_id="HIGH_DOLLAR", params={"tier_1_cents": 1}, match={"codes": ["99213"]}),
            "overrides[0].match.codes",
        ),
        ({"overrides": [{"review_min": 0.1, "match": {"modifiers": ["25"]}}]},
         "overrides[0].match.modifiers"),
        ({"overrides": [{"approval_threshold": 2}]}, "overrides[0].approval_threshold"),
        ({"overrides": [{"deny_min": -1}]}, "overrides[0].deny_min"),
    ],
)  # fmt: skip
def test_field_at_fault_is_named_by_its_path(document, field):
    assert refused(document) == field


@pytest.mark.parametrize(
    ("match", "field"),
    [
        ({"payer": ["P"]}, "payer"),
        ({"payer_ids": "P"}, "payer_ids"),
        ({"payer_ids": ["P", " "]}, "payer_ids[1]"),
        ({"claim_types": ["dental"]}, "claim_types[0]"),
        ({"lines_of_business": ["medicare"]}, "lines_of_business[0]"),
        ({"billing_npis": ["123"]}, "billing_npis[0]"),
        ({"billing_tins": ["12-3456789"]}, "billing_tins[0]"),
        ({"billing_taxonomies": ["207R"]}, "billing_taxonomies[0]"),
        ({"codes": ["9921"]}, "codes[0]"),
        ({"codes": ["99213", "99215-99211"]}, "codes"),
        ({"places_of_service": ["1"]}, "places_of_service[0]"),
        ({"modifiers": ["2"]}, "modifiers[0]"),
        ({"variants": ["mai_9"]}, "variants[0]"),
        ({"service_from": "2025-1-1"}, "service_from"),
        ({"service_from": 2025}, "service_from"),
        ({"service_from": "2025-02-01", "service_to": "2025-01-31"}, "service_to"),
        ({"received_from": "2025-02-01", "received_to": "2025-01-31"}, "received_to"),
    ],
)
def test_filter_at_fault_is_named_by_its_path(match, field):
    assert refused(one(weight=0.5, match=match)) == f"overrides[0].match.{field}"


@pytest.mark.parametrize(
    "document",
    [
        {"review_min": 0.0, "deny_min": 0.0},
        {"review_min": 0.8, "deny_min": 0.8},
        {"deny_min": 1.01},
        {"model_weight": 0, "approval_threshold": 1},
        one(weight=0),
        one(weight=1.0),
        one(enabled=False, match={"service_from": "2025-01-01", "service_to": "2025-01-01"}),
        one(weight=0.3, match={"service_from": date(2025, 1, 1)}),
    ],
)
def test_limits_themselves_are_allowed(document):
    policy_of(document).check(RULES)


def test_engine_refuses_a_policy_that_its_rules_do_not_know(sample_reference):
    with pytest.raises(PolicyError, match=r"overrides\[0\]\.rule_id"):
        Engine.with_all_rules(sample_reference, Policy(overrides=(Override("NO", weight=0.1),)))


# --- thresholds that can meet on a claim


def thresholds(*overrides: dict, **own) -> dict:
    return {**own, "overrides": list(overrides)}


A, B = {"payer_ids": ["A"]}, {"payer_ids": ["B"]}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (thresholds({"deny_min": 0.2}), "review_min"),
        (thresholds({"review_min": 0.9, "match": A}), "overrides[0].review_min"),
        (
            thresholds({"review_min": 0.7, "match": A}, {"deny_min": 0.6, "tier": "payer"}),
            "overrides[0].review_min",
        ),
        (
            thresholds(
                {"deny_min": 0.2, "review_min": 0.1, "match": A},
                {"review_min": 0.3, "tier": "contract", "match": {"plan_ids": ["G"]}},
            ),
            "overrides[1].review_min",
        ),
        (
            thresholds(
                {"deny_min": 0.2, "review_min": 0.1, "tier": "payer", "locked": ["deny_min"]},
                {"deny_min": 0.2, "review_min": 0.2, "tier": "tenant"},
                {"review_min": 0.25, "deny_min": 0.3, "tier": "tenant", "match": A},
            ),
            "overrides[2].review_min",
        ),
    ],
)
def test_thresholds_in_the_wrong_order_are_refused(document, field):
    assert refused(document) == field


@pytest.mark.parametrize(
    "document",
    [
        thresholds({"deny_min": 0.2, "review_min": 0.1}),
        thresholds({"deny_min": 0.2, "review_min": 0.1, "match": A}),
        thresholds(
            {"review_min": 0.1, "deny_min": 0.2, "match": A},
            {"review_min": 0.5, "deny_min": 0.6, "match": B},
        ),
        thresholds(
            {"review_min": 0.7, "tier": "lob"},
            {"review_min": 0.1, "deny_min": 0.2, "tier": "payer"},
        ),
        thresholds(
            {"review_min": 0.7, "match": {"service_to": "2025-06-30"}},
            {"review_min": 0.1, "deny_min": 0.2, "match": {"service_from": "2025-07-01"}},
        ),
    ],
)
def test_thresholds_that_never_meet_are_allowed(document):
    policy_of(document).check(RULES)


# --- locks


def test_override_that_a_lock_would_always_undo_is_refused():
    lock = {"rule_id": "NCCI_PTP", "tier": "payer", "weight": 0.4, "locked": ["weight"], "match": A}
    looser = {"rule_id": "NCCI_PTP", "weight": 0.3, "match": {**A, "codes": ["99213"]}}

    assert refused({"overrides": [lock, looser]}) == "overrides[1].weight"
    assert refused({"overrides": [looser, lock]}) == "overrides[0].weight"


@pytest.mark.parametrize(
    "change",
    [
        {"weight": 0.5},
        {"weight": 0.4},
        {"match": {}},
        {"match": B},
        {"tier": "payer"},
        {"rule_id": "NCCI_MUE", "match": A},
    ],
)
def test_override_that_is_not_bound_by_a_lock_is_allowed(change):
    lock = {"rule_id": "NCCI_PTP", "tier": "payer", "weight": 0.4, "locked": ["weight"], "match": A}
    other = {"rule_id": "NCCI_PTP", "weight": 0.3, "match": A, **change}

    policy_of({"overrides": [lock, other]}).check(RULES)


@pytest.mark.parametrize(
    ("field", "held", "looser"),
    [
        ("enabled", True, False),
        ("action", "pend", "info"),
        ("certainty", "apply", "advise"),
        ("severity", "high", "low"),
        ("shadow", False, True),
        ("carc", "97", "96"),
    ],
)
def test_lock_knows_which_way_is_tighter(field, held, looser):
    lock = {"rule_id": "NCCI_PTP", "tier": "lob", field: held, "locked": [field]}

    assert refused({"overrides": [lock, {"rule_id": "NCCI_PTP", field: looser}]}) == (
        f"overrides[1].{field}"
    )


@pytest.mark.parametrize(
    ("field", "looser"),
    [("review_min", 0.3), ("deny_min", 0.9), ("approval_threshold", 0.6), ("model_weight", 0.1)],
)
def test_lock_knows_which_way_a_threshold_is_tighter(field, looser):
    lock = {
        "tier": "payer", "review_min": 0.2, "deny_min": 0.8, "approval_threshold": 0.7,
        "model_weight": 0.2, "locked": [field],
    }  # fmt: skip

    assert refused({"overrides": [lock, {field: looser}]}) == f"overrides[1].{field}"


def test_locked_parameter_cannot_be_given_another_value():
    lock = {
        "rule_id": "HIGH_DOLLAR", "tier": "payer", "params": {"tier_1_cents": 5},
        "locked": ["params.tier_1_cents"],
    }  # fmt: skip
    other = {"rule_id": "HIGH_DOLLAR", "params": {"tier_1_cents": 6}}

    assert refused({"overrides": [lock, other]}) == "overrides[1].params.tier_1_cents"


# --- what no policy may ease

COMMERCIAL = {"lines_of_business": ["commercial", "other"]}
MIXED = {"lines_of_business": ["commercial", "medicaid"]}


@pytest.mark.parametrize("match", [{}, MIXED, {"lines_of_business": ["medicare_advantage"]}, A])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enabled", False),
        ("shadow", True),
        ("weight", 0.24),
        ("action", "pend"),
        ("certainty", "advise"),
    ],
)
def test_excluded_providers_bind_where_federal_money_pays(match, field, value):
    document = one(rule_id="OIG_EXCLUSION", match=match, **{field: value})

    assert refused(document) == f"overrides[0].{field}"


@pytest.mark.parametrize(
    "case", [c.name for r in RULES if r.id == "OIG_EXCLUSION" for c in r.cases]
)
def test_every_case_of_an_exclusion_binds_but_that_of_other_payers(case):
    document = one(rule_id="OIG_EXCLUSION", enabled=False, match={"variants": [case]})

    if case == "not_federal":
        policy_of(document).check(RULES)
    else:
        assert refused(document) == "overrides[0].enabled"


@pytest.mark.parametrize("match", [{}, MIXED, {"variants": ["line", "day_policy"]}])
@pytest.mark.parametrize(
    ("field", "value"), [("enabled", False), ("weight", 0.1), ("action", "info")]
)
def test_absolute_unit_limits_bind_where_federal_money_pays(match, field, value):
    document = one(rule_id="NCCI_MUE", match=match, **{field: value})

    assert refused(document) == f"overrides[0].{field}"


def test_list_that_lets_units_go_uncounted_does_not_grow():
    more = one(rule_id="NCCI_MUE", params={"modifiers_excluded": ["55", "59"]})

    assert refused(more) == "overrides[0].params.modifiers_excluded"
    policy_of(one(rule_id="NCCI_MUE", params={"modifiers_excluded": []})).check(RULES)


@pytest.mark.parametrize(
    "document",
    [
        one(rule_id="OIG_EXCLUSION", enabled=False, match=COMMERCIAL),
        one(rule_id="OIG_EXCLUSION", weight=0.5),
        one(rule_id="OIG_EXCLUSION", action="info", match={"variants": ["not_federal"]}),
        one(rule_id="NCCI_MUE", enabled=False, match=COMMERCIAL),
        one(rule_id="NCCI_MUE", enabled=False, match={"variants": ["line", "day_clinical"]}),
        one(rule_id="NCCI_MUE", certainty="apply", action="deny_claim"),
    ],
)
def test_what_is_not_guarded_may_be_eased_and_the_guarded_tightened(document):
    policy_of(document).check(RULES)


# --- documents

WHOLE = Policy(
    name="acme",
    review_min=0.25,
    auto_partial=True,
    overrides=(
        Override(
            "NCCI_PTP",
            Tier.PAYER,
            Match(
                claim_types=("professional",),
                lines_of_business=("commercial",),
                payer_ids=("60054",),
                plan_ids=("GOLD",),
                contract_ids=("C-1",),
                billing_npis=("1234567893",),
                billing_tins=("123456789",),
                billing_taxonomies=("207R00000X",),
                service_from=date(2025, 1, 1),
                service_to=date(2025, 12, 31),
                received_from=date(2025, 1, 2),
                received_to=date(2026, 3, 31),
                codes=("99213", "J0000-J9999"),
                places_of_service=("11",),
                modifiers=("25",),
                variants=("modifier_allowed",),
            ),
            enabled=True,
            weight=0.4,
            severity=Severity.CRITICAL,
            action=Action.PEND,
            certainty=Certainty.ADVISE,
            carc="97",
            shadow=True,
            locked=("weight", "action"),
        ),
        Override("HIGH_DOLLAR", params={"tier_1_cents": 5_000}),
        Override("MODIFIER_INVALID", params={"payer_modifiers": ("Z9",)}),
        Override(tier=Tier.LOB, review_min=0.2, deny_min=0.9, approval_threshold=0.7,
                 model_weight=0.1),
    ),
)  # fmt: skip


def test_policy_survives_its_document():
    document = document_of(WHOLE)

    assert policy_of(document).version == WHOLE.version
    assert document_of(policy_of(document)) == document


def test_document_gives_every_filter_and_every_field():
    [override, *_] = document_of(WHOLE)["overrides"]

    assert set(override["match"]) == {each.name for each in fields(Match)}
    left_out = {"params", "review_min", "deny_min", "approval_threshold", "model_weight"}
    assert set(override) == {each.name for each in fields(Override)} - left_out


# --- versions

OTHER = {
    "name": "other",
    "review_min": 0.31,
    "deny_min": 0.81,
    "approval_threshold": 0.81,
    "score_mode": "additive",
    "base_score": 0.1,
    "ml_reject_policy": "review",
    "ml_sole_denial_attested": True,
    "model_weight": 0.31,
    "auto_partial": True,
    "format_reject_mode": "reject",
    "allow_zero_charge": False,
    "price_formula": "simple",
    "legacy_cf_e4": 388_701,
    "overrides": (Override("NCCI_PTP", enabled=False),),
}


@pytest.mark.parametrize("name", [field.name for field in fields(Policy)])
def test_any_change_of_content_changes_the_version(name):
    assert replace(Policy(), **{name: OTHER[name]}).version != Policy().version


OVERRIDE = Override("NCCI_PTP", weight=0.5, action=Action.PEND)


@pytest.mark.parametrize(
    "change",
    [
        {"rule_id": "NCCI_MUE"},
        {"tier": Tier.PAYER},
        {"match": Match(payer_ids=("A",))},
        {"enabled": False},
        {"weight": 0.6},
        {"weight": None},
        {"severity": Severity.LOW},
        {"action": Action.INFO},
        {"certainty": Certainty.ADVISE},
        {"carc": "97"},
        {"shadow": True},
        {"params": {"a": 1}},
        {"locked": ("weight",)},
    ],
)
def test_any_change_of_an_override_changes_the_version(change):
    policies = (Policy(overrides=(OVERRIDE,)), Policy(overrides=(replace(OVERRIDE, **change),)))

    assert policies[0].version != policies[1].version


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Policy(deny_min=1), Policy(deny_min=1.0)),
        (
            Policy(overrides=(Override("A", weight=1),)),
            Policy(overrides=(Override("A", weight=1.0),)),
        ),
        (
            Policy(overrides=(Override("A", weight=0.1), Override("B", enabled=False))),
            Policy(overrides=(Override("B", enabled=False), Override("A", weight=0.1))),
        ),
        (
            Policy(overrides=(Override("A", match=Match(codes=("99213", "99214")), weight=0.1),)),
            Policy(overrides=(Override("A", match=Match(codes=("99214", "99213")), weight=0.1),)),
        ),
        (
            Policy(overrides=(Override("A", params={"a": 1, "b": 2}),)),
            Policy(overrides=(Override("A", params={"b": 2, "a": 1}),)),
        ),
    ],
)
def test_policies_that_decide_alike_have_one_version(one, other):
    assert one.version == other.version
    assert one.version.startswith("default-")


def test_order_within_a_tier_decides_and_so_changes_the_version():
    light, heavy = Override("A", weight=0.1), Override("A", weight=0.2)

    assert Policy(overrides=(light, heavy)).version != Policy(overrides=(heavy, light)).version


def test_model_has_no_share_while_it_is_ignored():
    assert Policy(ml_reject_policy="ignore", model_weight=0.3).model_share == 0
    assert Policy(ml_reject_policy="review", model_weight=0.3).model_share == 0.3
