"""Correct coding across the claims of a member: what is named, what is at risk, what counts."""

from dataclasses import replace

import numpy as np
import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.as_earlier import earlier_claims, earlier_lines
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.history import History
from engine.pipeline import Engine
from engine.policy import Override, Policy
from engine.rules.rule import LineExample, example, line


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def claim(claim_id: str, *lines: LineExample, **fields) -> claim_pb2.Claim:
    return claim_of(example("", *lines, **fields), claim_id)


def committed(engine: Engine, *claims: claim_pb2.Claim, denied=(), in_process=()) -> History:
    batch = engine.read([score_pb2.ClaimBatch(claims=claims)]).batch
    lines = earlier_lines(batch, np.arange(len(batch.lines)), batch.lines.claim)
    rows = earlier_claims(batch, np.arange(len(claims)))
    return replace(
        History.of_strangers(1),
        claim_ids=[each.claim_id for each in claims],
        claims=replace(rows, in_process=np.isin(np.arange(len(rows)), in_process)),
        lines=replace(lines, denied=np.isin(np.arange(len(lines)), denied)),
    )


def answer(engine: Engine, *claims, history: History | None = None) -> list[score_pb2.ClaimResult]:
    read = engine.read([score_pb2.ClaimBatch(claims=claims)])
    gathered = Gathered(ModelAnswer.disabled(), history)
    return list(engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE])[0].results)


def hits(result: score_pb2.ClaimResult, rule_id: str) -> list[score_pb2.RuleHit]:
    return [hit for hit in result.hits if hit.rule_id == rule_id]


def test_column_2_that_was_paid_before_is_what_may_come_back(engine):
    earlier = claim("A", line("71046"), line("45380", charge=321))

    result = answer(engine, earlier, claim("B", line("45385"), line("45385-76")))[1]

    [hit] = hits(result, "NCCI_PTP")
    assert (hit.variant, list(hit.line_numbers)) == ("paid_before", [1, 2])
    assert hit.evidence["earlier_claim"] == "A"
    assert hit.evidence["earlier_line"] == "2"
    assert hit.evidence["recovery_cents"] == "32100"
    assert hit.exposure_cents == 32100
    assert result.exposure_cents >= 32100
    assert result.exposure_basis == score_pb2.EXPOSURE_BASIS_CHARGE


def test_two_earlier_lines_are_two_findings_and_two_sums(engine):
    earlier = (claim("A", line("45380", charge=100)), claim("B", line("45380-76", charge=50)))

    result = answer(engine, *earlier, claim("C", line("45385")))[2]

    found = hits(result, "NCCI_PTP")
    assert [hit.evidence["earlier_claim"] for hit in found] == ["A", "B"]
    assert [hit.exposure_cents for hit in found] == [10000, 5000]
    assert result.exposure_cents == 15000


def test_line_of_another_claim_that_two_rules_name_comes_back_once(engine):
    earlier = claim("A", line("99202", charge=100))
    free = claim("A", line("99202", charge=0), total=1)

    [_, result] = answer(engine, earlier, claim("B", line("97161"), line("96365")))
    [_, without] = answer(engine, free, claim("B", line("97161"), line("96365")))

    found = [hit for hit in result.hits if hit.variant == "paid_before"]
    assert [hit.rule_id for hit in found] == ["NCCI_MUTUALLY_EXCLUSIVE", "NCCI_PTP"]
    assert [hit.exposure_cents for hit in found] == [10000, 10000]
    assert result.exposure_cents == without.exposure_cents + 10000
    assert result.exposure_basis == score_pb2.EXPOSURE_BASIS_CHARGE
    assert without.exposure_basis != score_pb2.EXPOSURE_BASIS_CHARGE


def test_within_a_claim_nothing_of_other_claims_is_said(engine):
    [result] = answer(engine, claim("A", line("45385"), line("45380")))

    [hit] = hits(result, "NCCI_PTP")
    assert not {"earlier_claim", "earlier_line", "recovery_cents"} & set(hit.evidence)
    assert hit.evidence["partner_lines"] == "1"


def test_a_partner_of_the_claim_is_shown_before_one_of_another(engine):
    result = answer(engine, claim("A", line("20610")), claim("B", line("17110"), line("99214")))[1]

    [hit] = hits(result, "NCCI_PTP")
    assert hit.evidence["column1"] == "17110"
    assert "earlier_claim" not in hit.evidence


@pytest.mark.parametrize("state", [{"denied": [0]}, {"in_process": [0]}])
@pytest.mark.parametrize(
    ("before", "now", "rule_id", "fires"),
    [
        (line("45385"), line("45380"), "NCCI_PTP", False),
        (line("45380"), line("45385"), "NCCI_PTP", False),
        (line("97150"), line("97110"), "NCCI_MUTUALLY_EXCLUSIVE", False),
        (line("97110", units=4), line("97110", units=3), "NCCI_MUE", False),
        (line("11042"), line("11045"), "NCCI_ADDON_NO_PRIMARY", True),
    ],
    ids=str,
)
def test_only_paid_lines_of_other_claims_count(engine, state, before, now, rule_id, fires):
    history = committed(engine, claim("A", before), **state)

    [paid] = answer(engine, claim("B", now), history=committed(engine, claim("A", before)))
    [unpaid] = answer(engine, claim("B", now), history=history)

    assert bool(hits(paid, rule_id)) is not fires
    assert bool(hits(unpaid, rule_id)) is fires


def test_a_primary_that_waits_for_its_decision_is_named(engine):
    history = committed(engine, claim("A", line("11042")), in_process=[0])

    [result] = answer(engine, claim("B", line("11045")), history=history)

    [hit] = hits(result, "NCCI_ADDON_NO_PRIMARY")
    assert hit.evidence["primary"] == "not decided"
    assert hit.evidence["earlier_claim"] == "A"


def test_units_of_a_span_of_days_count_on_its_first_day_alone(engine):
    earlier = claim("A", line("97110", units=8, service_to_date="2025-10-16"))

    over, under = (
        answer(engine, earlier, claim("B", line("97110", units=units)))[1] for units in (3, 2)
    )

    [hit] = hits(over, "NCCI_MUE")
    assert hit.evidence["units_of_other_claims"] == "4"
    assert (hit.evidence["counted"], hit.evidence["lines_counted"]) == ("7", "2")
    assert hit.evidence["earlier_claim"] == "A"
    assert not hits(under, "NCCI_MUE")


def test_what_a_policy_switches_off_denies_no_primary(engine):
    lines = claim("A", line("17110"), line("17000"), line("17003"))
    off = Policy(overrides=(Override(rule_id="NCCI_MUTUALLY_EXCLUSIVE", enabled=False),))
    shadow = Policy(overrides=(Override(rule_id="NCCI_MUTUALLY_EXCLUSIVE", shadow=True),))

    assert hits(answer(engine, lines)[0], "NCCI_ADDON_NO_PRIMARY")
    for policy in (off, shadow):
        changed = Engine.with_all_rules(engine.reference, policy)
        assert not hits(answer(changed, lines)[0], "NCCI_ADDON_NO_PRIMARY")


def test_a_late_primary_is_still_the_primary(engine):
    late = claim("A", line("11042"), line("11045"), received="2027-10-20")

    [result] = answer(engine, late)

    assert hits(result, "TIMELY_FILING_NO_EXCEPTION") or hits(result, "TIMELY_FILING_LATE")
    assert not hits(result, "NCCI_ADDON_NO_PRIMARY")


def test_members_of_one_message_do_not_mix(engine):
    claims = [
        claim("A", line("45385")),
        claim("B", line("45380"), person_id="OTHER"),
        claim("C", line("45380")),
    ]

    results = answer(engine, *claims)

    assert [bool(hits(each, "NCCI_PTP")) for each in results] == [False, False, True]
