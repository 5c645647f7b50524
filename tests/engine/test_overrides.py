"""What a tenant's overrides do to real claims, and that they do it to no others."""

from dataclasses import fields as fields_of
from itertools import count
from typing import Any

import numpy as np
import pytest
from claimgate.v1 import claim_pb2
from claimgate.v1 import score_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.decode import decode
from engine.examples import claim_of
from engine.gathered import OK, Gathered, ModelAnswer
from engine.match import Match
from engine.overrides import effects_of
from engine.pipeline import Engine
from engine.policy import Override, Policy, PolicyError
from engine.policy_document import policy_of
from engine.rules import all_rules
from engine.rules.rule import Certainty, Hits, NotEvaluated, example, line
from loader.synthetic import synthetic_claims

PAIR = (line("45385"), line("45380"))
"""Line 2 is denied by NCCI_PTP."""
ROUTED = {"ml_reject_policy": "review"}


def results(
    reference,
    document: dict,
    *claims: claim_pb2.Claim,
    p: float | None = None,
    view: int = pb.VIEW_EVIDENCE,
) -> list[pb.ClaimResult]:
    engine = Engine.with_all_rules(reference, policy_of(document))
    read = engine.read([pb.ClaimBatch(claims=claims)])
    model = (
        ModelAnswer.disabled()
        if p is None
        else ModelAnswer(OK, np.full(len(read.batch.claims), p, np.float32), "test")
    )
    [answer] = engine.score(read, Gathered(model), [view])
    return list(answer.results)


def ptp(result: pb.ClaimResult) -> list[pb.RuleHit]:
    return [hit for hit in result.hits if hit.rule_id == "NCCI_PTP"]


def of_ptp(**override: Any) -> dict:
    return {"overrides": [{"rule_id": "NCCI_PTP", **override}]}


NUMBERS = count(1)


def claim(*lines, **fields) -> claim_pb2.Claim:
    """A claim of a person who has no other."""
    number = next(NUMBERS)
    return claim_of(
        example("a", *(lines or PAIR), **{"person_id": f"M{number}", **fields}), f"C{number}"
    )


# --- fields


def test_weight_counts_in_hit_and_score(sample_reference):
    [plain] = results(sample_reference, {}, claim())
    [heavy] = results(sample_reference, of_ptp(weight=0.5), claim())

    assert [hit.weight for hit in ptp(plain)] == [0.18]
    assert [hit.weight for hit in ptp(heavy)] == [0.5]
    assert heavy.rule_score > plain.rule_score


def test_rule_that_is_off_neither_finds_nor_says_what_it_could_not_judge(sample_reference):
    unlisted = claim(line("99213"), line("99214"), day="2019-01-01", received="2019-01-05")
    [plain] = results(sample_reference, {}, unlisted)
    [off] = results(sample_reference, of_ptp(enabled=False), unlisted)

    assert any("NCCI_PTP" in gap.rule_ids for gap in plain.not_evaluated)
    assert not any("NCCI_PTP" in gap.rule_ids for gap in off.not_evaluated)
    assert ptp(results(sample_reference, {}, claim())[0])
    assert not ptp(results(sample_reference, of_ptp(enabled=False), claim())[0])


def test_action_and_certainty_decide_line_and_claim(sample_reference):
    [plain] = results(sample_reference, {}, claim())
    [note] = results(sample_reference, of_ptp(action="info"), claim())
    [whole] = results(sample_reference, of_ptp(action="deny_claim"), claim())
    [advice] = results(sample_reference, of_ptp(certainty="advise"), claim())

    assert [each.disposition for each in plain.lines] == [pb.DISPOSITION_PAY, pb.DISPOSITION_DENY]
    assert [each.disposition for each in note.lines] == [pb.DISPOSITION_PAY, pb.DISPOSITION_PAY]
    assert whole.decision == pb.DECISION_DENY
    assert [each.disposition for each in advice.lines][1] == pb.DISPOSITION_REVIEW
    assert ptp(note)[0].action == pb.ACTION_INFO
    assert ptp(advice)[0].certainty == pb.CERTAINTY_ADVISE


def test_severity_and_reason_code_are_those_of_the_policy(sample_reference):
    document = of_ptp(severity="low", carc="16")

    [plain] = results(sample_reference, {}, claim())
    [changed] = results(sample_reference, document, claim())

    assert (ptp(changed)[0].severity, ptp(changed)[0].carc) == (pb.SEVERITY_LOW, "16")
    assert (ptp(plain)[0].severity, ptp(plain)[0].carc) != (pb.SEVERITY_LOW, "16")
    assert {h.carc for h in changed.hits} - {"16"} == {h.carc for h in plain.hits} - {
        ptp(plain)[0].carc
    }


def test_one_case_of_a_rule_can_be_changed_alone(sample_reference):
    limits = claim(line("27447-LT"), line("27447-RT"), line("20610", units=3))
    document = {
        "overrides": [
            {"rule_id": "NCCI_MUE", "weight": 0.5, "match": {"variants": ["day_clinical"]}}
        ]
    }

    [result] = results(sample_reference, document, limits)

    assert {hit.variant: hit.weight for hit in result.hits if hit.rule_id == "NCCI_MUE"} == {
        "day_policy": 0.16,
        "day_clinical": 0.5,
    }


def test_parameter_differs_by_claim_within_a_pass(sample_reference):
    visit = line("99213", charge=60)
    document = {
        "overrides": [
            {
                "rule_id": "HIGH_DOLLAR",
                "params": {"tier_1_cents": 5_000, "tier_2_cents": 5_000},
                "match": {"payer_ids": ["careful"]},
            }
        ]
    }

    found = results(
        sample_reference, document, claim(visit), claim(visit, payer_id="CAREFUL"), claim(visit)
    )

    assert [any(h.rule_id == "HIGH_DOLLAR" for h in each.hits) for each in found] == [
        False,
        True,
        False,
    ]


def test_list_of_the_most_specific_tier_holds(sample_reference):
    batch = decode([pb.ClaimBatch(claims=[claim()])], allow_zero_charge=True)
    rule = next(each for each in all_rules() if each.id == "MODIFIER_INVALID")
    lists = [
        {"rule_id": rule.id, "tier": tier, "params": {"payer_modifiers": [text]}}
        for tier, text in (("contract", "Z1"), ("lob", "Z2"), ("tenant", "Z3"))
    ]
    locked = [lists[0], {**lists[1], "locked": ["params.payer_modifiers"]}]

    assert effects_of(Policy(), batch).params(rule).words("payer_modifiers") == ()
    assert effects_of(policy_of({"overrides": lists}), batch).params(rule).words(
        "payer_modifiers"
    ) == ("Z1",)
    with pytest.raises(ValueError, match="locked"):
        policy_of({"overrides": locked})


def test_thresholds_differ_by_claim_within_a_pass(sample_reference):
    gold = {"plan_ids": ["GOLD"]}
    document = {
        **ROUTED,
        "overrides": [
            {"approval_threshold": 0.5, "match": gold},
            {"model_weight": 0.0, "match": {"plan_ids": ["SILVER"]}},
        ],
    }
    plans = ("", "GOLD", "SILVER")
    claims = [claim(line("99213-25"), insurance_plan_id=plan) for plan in plans]

    plain, gold_one, silver = results(sample_reference, document, *claims, p=0.6)

    assert [pb.Decision.Name(each.decision)[9:] for each in (plain, gold_one, silver)] == [
        "REVIEW",
        "APPROVE",
        "REVIEW",
    ]
    assert plain.fraud_score == gold_one.fraud_score == pytest.approx(0.12)
    assert silver.fraud_score == silver.rule_score


def test_limits_of_review_and_denial_differ_by_claim_within_a_pass(sample_reference):
    document = {
        "overrides": [
            {"review_min": 0.9, "deny_min": 0.95, "match": {"plan_ids": ["CALM"]}},
            {"review_min": 0.1, "deny_min": 0.15, "match": {"plan_ids": ["STRICT"]}},
        ],
        "auto_partial": True,
    }
    claims = [claim(insurance_plan_id=plan) for plan in ("", "CALM", "STRICT")]

    found = results(sample_reference, document, *claims)

    assert found[0].rule_score > 0.15
    assert [pb.Decision.Name(each.decision)[9:] for each in found][1:] == ["INFORMATIONAL", "DENY"]


# --- filters

FILTERS = [
    ({"claim_types": ["professional"]}, {}, {"institutional": True}),
    ({"lines_of_business": ["commercial"]}, {"insurance_type": "CI"}, {}),
    ({"payer_ids": ["Aetna"]}, {"payer_id": "AETNA"}, {}),
    ({"payer_ids": ["X", "Y"]}, {"payer_id": "Y"}, {"payer_id": "Z"}),
    ({"plan_ids": ["GOLD"]}, {"insurance_plan_id": "gold"}, {}),
    ({"contract_ids": ["C-7"]}, {"billing_provider": {"contract_id": "C-7"}}, {}),
    ({"billing_npis": ["1003000126"]}, {"npi": "1003000126"}, {}),
    ({"billing_tins": ["123456789"]}, {"billing_provider": {"tin": "123456789"}}, {}),
    (
        {"billing_taxonomies": ["207R00000X"]},
        {"billing_provider": {"taxonomy": "207R00000X"}},
        {"billing_provider": {"taxonomy": "207RC0000X"}},
    ),
    ({"service_from": "2025-10-15"}, {"day": "2025-10-15"}, {"day": "2025-10-14"}),
    ({"service_to": "2025-10-15"}, {"day": "2025-10-15"}, {"day": "2025-10-16"}),
    ({"received_from": "2025-10-20"}, {"received": "2025-10-20"}, {"received": "2025-10-19"}),
    ({"received_to": "2025-10-20"}, {"received": "2025-10-20"}, {"received": "2025-10-21"}),
    (
        {"payer_ids": ["A"], "plan_ids": ["B"]},
        {"payer_id": "A", "insurance_plan_id": "B"},
        {"payer_id": "A", "insurance_plan_id": "C"},
    ),
]


@pytest.mark.parametrize(("match", "inside", "outside"), FILTERS)
def test_filter_of_claims_is_passed_and_failed(sample_reference, match, inside, outside):
    document = of_ptp(weight=0.5, match=match)

    found = results(sample_reference, document, claim(**inside), claim(**outside))

    assert [[hit.weight for hit in ptp(each)] for each in found] == [[0.5], [0.18]]


@pytest.mark.parametrize(
    ("match", "passed"),
    [
        ({"codes": ["45380"]}, True),
        ({"codes": ["45385"]}, False),
        ({"codes": ["45000-45380"]}, True),
        ({"codes": ["45381-45999"]}, False),
        ({"codes": ["99213", "45380"]}, True),
        ({"places_of_service": ["24"]}, True),
        ({"places_of_service": ["11"]}, False),
        ({"modifiers": ["LT", "SG"]}, True),
        ({"modifiers": ["RT"]}, False),
        ({"codes": ["45380"], "modifiers": ["RT"]}, False),
    ],
)
def test_filter_of_lines_looks_at_the_line_of_the_hit(sample_reference, match, passed):
    denied = claim(line("45385", pos="11"), line("45380-SG", pos="24"))

    [found] = results(sample_reference, of_ptp(weight=0.5, match=match), denied)

    assert [hit.weight for hit in ptp(found)] == [0.5 if passed else 0.18]


def test_hit_on_several_lines_passes_only_with_all_of_them(sample_reference):
    document = {
        "overrides": [{"rule_id": "NCCI_MUE", "weight": 0.5, "match": {"modifiers": ["LT", "50"]}}]
    }
    both = claim(line("27447-LT"), line("27447-RT"))

    [found] = results(sample_reference, document, both)
    document["overrides"][0]["match"]["modifiers"].append("RT")
    [all_found] = results(sample_reference, document, both)

    assert [h.weight for h in found.hits if h.rule_id == "NCCI_MUE"] == [0.16]
    assert [h.weight for h in all_found.hits if h.rule_id == "NCCI_MUE"] == [0.5]


def test_hit_on_the_claim_stands_on_all_its_lines(sample_reference):
    excluded = claim(line("99213"), line("36415"), npi="2000001372")

    def weights(codes: list[str]) -> list[float]:
        document = {
            "overrides": [{"rule_id": "OIG_EXCLUSION", "weight": 0.5, "match": {"codes": codes}}]
        }
        [found] = results(sample_reference, document, excluded)
        return [h.weight for h in found.hits if h.rule_id == "OIG_EXCLUSION"]

    assert weights(["99213"]) == [0.25]
    assert weights(["99213", "36415"]) == [0.5]


def test_rule_that_is_off_for_some_codes_still_finds_the_others(sample_reference):
    document = of_ptp(enabled=False, match={"codes": ["45380"]})

    [off] = results(sample_reference, document, claim())
    [other] = results(sample_reference, document, claim(line("99215"), line("99213")))

    assert not ptp(off)
    assert [each.disposition for each in off.lines] == [pb.DISPOSITION_PAY] * 2
    assert other.hits == results(sample_reference, {}, claim(line("99215"), line("99213")))[0].hits


def test_rule_that_is_off_can_be_on_for_some(sample_reference):
    document = {
        "overrides": [
            {"rule_id": "NCCI_PTP", "tier": "payer", "enabled": False},
            {"rule_id": "NCCI_PTP", "enabled": True, "match": {"codes": ["45380"]}},
        ]
    }
    other = claim(line("45385"), line("45380"), line("45381-59"), payer_id="P")

    [found] = results(sample_reference, document, other)

    assert [list(hit.line_numbers) for hit in ptp(found)] == [[2]]


def test_gaps_of_claims_for_which_a_rule_is_off_are_left_out(sample_reference):
    batch = decode([pb.ClaimBatch(claims=[claim(), claim(payer_id="OFF")])], allow_zero_charge=True)
    rule = next(each for each in all_rules() if each.id == "NCCI_PTP")
    policy = policy_of(of_ptp(enabled=False, match={"payer_ids": ["OFF"]}))
    gaps = (
        NotEvaluated("lines", lines=np.ones(4, np.bool_)),
        NotEvaluated("claims", claims=np.ones(2, np.bool_)),
    )

    hits, _ = effects_of(policy, batch).weigh(rule, Hits.none(*gaps))

    assert hits.not_evaluated[0].lines.tolist() == [True, True, False, False]
    assert hits.not_evaluated[1].claims.tolist() == [True, False]


# --- tiers and locks


def weight_under(reference, *overrides: dict, **fields) -> float:
    document = {"overrides": [{"rule_id": "NCCI_PTP", **each} for each in overrides]}
    [found] = results(reference, document, claim(**fields))
    return ptp(found)[0].weight


def test_most_specific_tier_goes_first_whatever_the_order(sample_reference):
    lob, payer, tenant, contract = (
        {"tier": tier, "weight": weight}
        for tier, weight in (("lob", 0.5), ("payer", 0.4), ("tenant", 0.3), ("contract", 0.2))
    )

    assert weight_under(sample_reference, lob) == 0.5
    assert weight_under(sample_reference, payer, lob) == 0.4
    assert weight_under(sample_reference, lob, tenant, payer) == 0.3
    assert weight_under(sample_reference, contract, tenant, payer, lob) == 0.2


def test_more_specific_tier_that_does_not_match_is_passed_over(sample_reference):
    tenant = {"tier": "tenant", "weight": 0.3, "match": {"payer_ids": ["OTHER"]}}

    assert weight_under(sample_reference, {"tier": "lob", "weight": 0.5}, tenant) == 0.5


def test_fields_are_merged_one_by_one(sample_reference):
    document = {
        "overrides": [
            {"rule_id": "NCCI_PTP", "tier": "lob", "weight": 0.5, "carc": "16"},
            {"rule_id": "NCCI_PTP", "tier": "tenant", "carc": "97"},
        ]
    }

    [found] = results(sample_reference, document, claim())

    assert (ptp(found)[0].weight, ptp(found)[0].carc) == (0.5, "97")


def test_later_override_of_a_tier_goes_first(sample_reference):
    assert weight_under(sample_reference, {"weight": 0.5}, {"weight": 0.2}) == 0.2


LOCK = {"tier": "payer", "weight": 0.4, "locked": ["weight"], "match": {"payer_ids": ["P"]}}


@pytest.mark.parametrize(
    ("payer", "others", "weight"),
    [
        ("P", [{"weight": 0.2}], 0.4),
        ("P", [{"weight": 0.6}], 0.6),
        ("Q", [{"weight": 0.2}], 0.2),
        ("P", [{"weight": 0.6}, {"tier": "contract", "weight": 0.5}], 0.5),
        ("P", [{"weight": 0.6}, {"tier": "contract", "weight": 0.2}], 0.4),
        ("P", [{"tier": "lob", "weight": 0.9}], 0.4),
        ("P", [{"tier": "payer", "weight": 0.1, "match": {"codes": ["45380"]}}], 0.1),
    ],
)
def test_lock_holds_below_its_tier_and_for_its_claims(sample_reference, payer, others, weight):
    assert weight_under(sample_reference, LOCK, *others, payer_id=payer) == weight


def test_lock_of_certainty_holds(sample_reference):
    document = {
        "overrides": [
            {"rule_id": "NCCI_PTP", "tier": "payer", "certainty": "apply", "locked": ["certainty"],
             "match": {"payer_ids": ["P"]}},
            {"rule_id": "NCCI_PTP", "certainty": "advise"},
        ]
    }  # fmt: skip

    held, free = results(sample_reference, document, claim(payer_id="P"), claim(payer_id="Q"))

    assert ptp(held)[0].certainty == Certainty.APPLY
    assert ptp(free)[0].certainty == Certainty.ADVISE


# --- shadow


def test_shadow_hit_is_recorded_and_counts_for_nothing(sample_reference):
    tried = claim()
    [off] = results(sample_reference, of_ptp(enabled=False), tried, p=0.9)
    [shadow] = results(sample_reference, of_ptp(shadow=True), tried, p=0.9)

    [hit] = ptp(shadow)
    assert hit.shadow
    assert hit.evidence
    assert (hit.exposure_cents, hit.suppressed) == (0, False)
    without = pb.ClaimResult()
    without.CopyFrom(shadow)
    del without.hits[:]
    without.hits.extend(each for each in shadow.hits if each.rule_id != "NCCI_PTP")
    assert without == off


def test_hits_that_count_are_not_marked(sample_reference):
    [plain] = results(sample_reference, {}, claim())

    assert plain.hits
    assert not any(hit.shadow for hit in plain.hits)


def test_shadow_hit_does_not_suppress_its_family(sample_reference):
    twice = claim(line("45385"), line("45380", units=200))
    [plain] = results(sample_reference, {}, twice)
    shadowed = {"overrides": [{"rule_id": "NCCI_MUE", "shadow": True, "tier": "lob",
                               "match": {"lines_of_business": ["commercial"]}}]}  # fmt: skip
    commercial = claim(line("45385"), line("45380", units=200), insurance_type="CI")

    [found] = results(sample_reference, shadowed, commercial)

    assert {h.rule_id for h in plain.hits} >= {"NCCI_PTP", "NCCI_MUE"}
    assert [h.shadow for h in found.hits if h.rule_id == "NCCI_MUE"] == [True]
    assert [h.shadow for h in found.hits if h.rule_id == "NCCI_PTP"] == [False]
    assert found.lines[1].disposition == pb.DISPOSITION_DENY


def test_rule_can_run_as_shadow_for_some_codes(sample_reference):
    document = of_ptp(shadow=True, match={"codes": ["45380"]})

    [shadow] = results(sample_reference, document, claim())
    [plain] = results(sample_reference, of_ptp(shadow=True, match={"codes": ["45385"]}), claim())

    assert [hit.shadow for hit in ptp(shadow)] == [True]
    assert [hit.shadow for hit in ptp(plain)] == [False]


# --- what matches nothing changes nothing

CLAIMS = list(synthetic_claims(150, seed=20251125))
ELSEWHERE = (
    {"payer_ids": ["NOBODY"]},
    {"plan_ids": ["NOBODY"]},
    {"contract_ids": ["NOBODY"]},
    {"billing_npis": ["1999999984"]},
    {"billing_tins": ["000000001"]},
    {"billing_taxonomies": ["000000000X"]},
    {"service_to": "1999-12-31"},
    {"received_from": "2999-01-01"},
)
# Of these the policy refuses some changes.
GUARDED = {"OIG_EXCLUSION", "NCCI_MUE", *(each.id for each in all_rules() if each.never_alone)}
OF_A_RULE = st.fixed_dictionaries(
    {"rule_id": st.sampled_from([each.id for each in all_rules() if each.id not in GUARDED])},
    optional={
        "enabled": st.booleans(),
        "shadow": st.booleans(),
        "weight": st.floats(0, 1),
        "action": st.sampled_from(["info", "pend", "deny_line", "deny_claim"]),
        "certainty": st.sampled_from(["apply", "advise"]),
        "severity": st.sampled_from(["low", "critical"]),
        "carc": st.just("16"),
    },
).filter(lambda each: len(each) > 1)
OF_THRESHOLDS = st.fixed_dictionaries(
    {"review_min": st.floats(0, 0.3), "deny_min": st.floats(0.3, 1)}
)


@given(
    st.lists(
        st.tuples(
            OF_A_RULE | OF_THRESHOLDS,
            st.sampled_from(ELSEWHERE),
            st.sampled_from(["lob", "payer", "tenant", "contract"]),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
def test_override_that_matches_no_claim_changes_no_bit(sample_reference, drawn):
    overrides = [{**each, "match": match, "tier": tier} for each, match, tier in drawn]

    plain = results(sample_reference, {}, *CLAIMS, view=pb.VIEW_TRACE)
    changed = results(sample_reference, {"overrides": overrides}, *CLAIMS, view=pb.VIEW_TRACE)

    assert [each.SerializeToString(deterministic=True) for each in changed] == [
        each.SerializeToString(deterministic=True) for each in plain
    ]


@given(st.lists(OF_A_RULE, min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_overrides_of_a_claim_do_not_depend_on_its_company(sample_reference, drawn, random):
    """A pass under overrides equals its claims one by one."""
    overrides = [
        {**each, "match": {"payer_ids": [random.choice(CLAIMS).payer_id]}} for each in drawn
    ]
    # Claims of one person see each other: one claim of each.
    alone = list({each.person_id: each for each in CLAIMS[:40]}.values())

    together = results(sample_reference, {"overrides": overrides}, *alone)
    one_by_one = [
        each for one in alone for each in results(sample_reference, {"overrides": overrides}, one)
    ]

    assert together == one_by_one


def test_what_an_answer_could_not_judge_does_not_depend_on_the_company_of_its_message(
    sample_reference,
):
    """A rule that is off for one payer is named to another whoever shares the pass."""
    payers = ("ONE", "OTHER")
    off = Override("FWA_VOLUME_SPIKE", match=Match(payer_ids=(payers[0],)), enabled=False)
    engine = Engine.with_all_rules(sample_reference, Policy(overrides=(off,)))
    claims = [claim_of(example("", line("99213"), payer_id=payer)) for payer in payers]
    messages = [pb.ClaimBatch(claims=[claim]) for claim in claims]

    def answered(*passed):
        read = engine.read(passed)
        return engine.score(
            read, Gathered(ModelAnswer.disabled()), [pb.VIEW_EVIDENCE] * len(passed)
        )

    together = answered(*messages)
    assert "FWA_VOLUME_SPIKE" in together[0].provenance.partial_rule_ids
    assert list(together) == [answered(each)[0] for each in messages]


def test_rule_that_a_policy_switches_off_for_all_is_not_run(sample_reference):
    off = Override("FWA_VOLUME_SPIKE", enabled=False)
    engine = Engine.with_all_rules(sample_reference, Policy(overrides=(off,)))
    read = engine.read([pb.ClaimBatch(claims=[claim_of(example("", line("99213")))])])

    judged = engine.judge(read, Gathered(ModelAnswer.disabled()))

    assert "FWA_VOLUME_SPIKE" not in {rule.id for rule in judged.findings.rules}


@pytest.mark.parametrize(
    "document",
    [
        {"review_min": 0.05},
        {"deny_min": 0.05, "review_min": 0.05},
        {"score_mode": "additive", "review_min": 0.05},
        {"overrides": [{"rule_id": "FWA_HIGH_RISK_SPECIALTY", "weight": 0.5}]},
    ],
)
def test_a_listed_specialty_alone_moves_no_claim_out_of_payment(sample_reference, document):
    biller = {"billing_provider": {"taxonomy": "332BP3500X"}}
    alone = claim_of(example("", line("99213"), **biller))
    beside = claim_of(example("", line("99213", charge=400), person_id="OTHER", **biller), "C2")

    [noted, reviewed] = results(sample_reference, document, alone, beside)

    assert [hit.rule_id for hit in noted.hits] == ["FWA_HIGH_RISK_SPECIALTY"]
    assert noted.decision == pb.DECISION_INFORMATIONAL
    assert reviewed.decision == pb.DECISION_REVIEW, "with others it counts"


def test_a_listed_specialty_may_not_ask_for_a_person(sample_reference):
    document = {"overrides": [{"rule_id": "FWA_HIGH_RISK_SPECIALTY", "action": "pend"}]}

    with pytest.raises(PolicyError, match=r"overrides\[0\]\.action.*may only note"):
        results(sample_reference, document)


def test_every_filter_is_tried(sample_reference):
    tried = {name for match, _, _ in FILTERS for name in match}

    assert tried | {"codes", "places_of_service", "modifiers", "variants"} == {
        each.name for each in fields_of(Match)
    }
