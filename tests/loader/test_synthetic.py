"""Synthetic claims are reproducible, plausible and billed with codes of the sample tables."""

import csv
from collections import Counter
from datetime import date
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from claimgate.v1.claim_pb2 import CLAIM_TYPE_INSTITUTIONAL, CLAIM_TYPE_PROFESSIONAL
from claimgate.v1.score_pb2 import (
    ACTION_INFO,
    DECISION_APPROVE,
    DECISION_INFORMATIONAL,
    DECISION_REJECT,
    VIEW_EVIDENCE,
    ClaimBatch,
)

from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from loader.synthetic import FIRST_DAY, LAST_DAY, synthetic_claims
from loader.synthetic.catalogue import INSTITUTIONAL, PROFESSIONAL
from loader.synthetic.people import PLACES, member, npi
from loader.synthetic.problems import PROBLEMS
from loader.synthetic.visits import Window, write_claim

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
COMPONENTS = {"26", "TC"}
SEPARATING = {"25", "59", "LT", "RT"}


@pytest.fixture(scope="module")
def claims():
    return list(synthetic_claims(6000, seed=20251001))


def test_same_seed_gives_the_same_claims():
    again = [list(synthetic_claims(300, seed=5)) for _ in range(2)]

    assert again[0] == again[1]


def test_other_seed_gives_other_claims():
    assert next(synthetic_claims(1, seed=5)) != next(synthetic_claims(1, seed=6))


def test_work_can_be_divided_by_start():
    whole = list(synthetic_claims(900, seed=5))

    parts = [
        *synthetic_claims(400, seed=5),
        *synthetic_claims(500, seed=5, start=400),
    ]

    assert parts == whole


def test_claim_ids_are_unique(claims):
    assert len({claim.claim_id for claim in claims}) == len(claims)


def test_mix_is_mostly_professional_with_four_to_five_lines(claims):
    kinds = Counter(claim.claim_type for claim in claims)
    lines = sum(len(claim.lines) for claim in claims) / len(claims)

    assert 0.82 < kinds[CLAIM_TYPE_PROFESSIONAL] / len(claims) < 0.88
    assert 4.0 < lines < 5.0


def test_most_institutional_claims_are_outpatient(claims):
    bills = Counter(
        claim.type_of_bill for claim in claims if claim.claim_type == CLAIM_TYPE_INSTITUTIONAL
    )

    assert bills["0131"] > 5 * bills["0111"] > 0


def test_members_have_several_claims(claims):
    per_member = Counter(claim.person_id for claim in claims if claim.person_id)

    assert 2 < sum(per_member.values()) / len(per_member) < 4


def test_services_lie_in_the_window_and_arrive_later():
    window = date(2025, 11, 3), date(2025, 11, 9)

    claims = list(synthetic_claims(500, seed=9, first_day=window[0], last_day=window[1]))

    scorable = [claim for claim in claims if claim.service_from_date[:7] == "2025-11"]
    inside = [
        claim
        for claim in scorable
        if f"{window[0]}" <= claim.service_from_date <= claim.service_to_date <= f"{window[1]}"
    ]
    assert len(inside) > 0.99 * len(claims)
    assert all(claim.received_date > claim.service_to_date for claim in inside)


def test_window_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValueError, match="give a later last_day"):
        next(synthetic_claims(1, seed=1, first_day=LAST_DAY, last_day=FIRST_DAY))


@pytest.mark.parametrize("number", [0, 7, 1234, 5999])
def test_identifiers_pass_the_check_digit(number):
    digits = [int(digit) for digit in reversed(npi(number))]

    total = sum(
        digit if place % 2 == 0 else sum(divmod(2 * digit, 10))
        for place, digit in enumerate(digits)
    )

    assert len(digits) == 10
    assert (total + 24) % 10 == 0


def test_total_is_the_sum_of_the_lines_on_nearly_every_claim(claims):
    balanced = sum(
        claim.total_charge_cents == sum(line.charge_cents for line in claim.lines)
        for claim in claims
    )

    assert 0.98 < balanced / len(claims) < 1


def test_codes_of_clean_visits_have_rows_in_the_sample_fee_schedule():
    rows = {tuple(row[:2]) for row in _rows("mpfs/PPRRVU_sample.csv")}

    for visit in (*PROFESSIONAL, *INSTITUTIONAL):
        for service in visit.services:
            component = next((m for m in service.modifiers if m in COMPONENTS), "")
            for code in service.codes:
                assert (code, component) in rows, f"{visit.name}: {code}-{component}"


def test_diagnoses_of_clean_visits_are_billable():
    lines = (SAMPLE / "codes" / "icd10cm_order_sample.txt").read_text("latin-1").splitlines()
    billable = {line[6:13].strip() for line in lines if line[14] == "1"}

    used = {code for visit in (*PROFESSIONAL, *INSTITUTIONAL) for code in visit.diagnoses}

    assert used <= billable


def test_places_have_a_price_locality():
    lines = (SAMPLE / "gpci" / "ZIP5_sample.txt").read_text("latin-1").splitlines()
    plain = {line[2:7] for line in lines if line[20:21] == "0"}

    assert {zip_code for zip_code, _ in PLACES} <= plain


@pytest.mark.parametrize(
    ("visits", "table"),
    [(PROFESSIONAL, "ccipra_sample.txt"), (INSTITUTIONAL, "ccioph_sample.txt")],
    ids=["professional", "institutional"],
)
def test_services_of_one_day_are_no_unsettled_pair(visits, table):
    pairs = _pairs_in_force(table)

    for visit in visits:
        same_day = [service for service in visit.services if service.day_first == 0]
        for first, second in permutations(same_day, 2):
            for pair in ((a, b) for a in first.codes for b in second.codes):
                settled = pairs.get(pair) == "1" and SEPARATING & set(second.modifiers)
                assert pair not in pairs or settled, f"{visit.name}: {pair}"


def test_units_stay_within_the_limits():
    limits = {
        row[0]: int(row[1])
        for row in _rows("ncci/MCR_MUE_PractitionerServices_sample.csv")
        if row[1].isdigit()
    }

    for visit in PROFESSIONAL:
        for service in visit.services:
            for code in service.codes:
                assert service.basis == "MJ" or service.units[1] <= limits.get(code, 10**6), code


def test_planted_problems_are_about_a_fifth_of_all_claims():
    assert 18 < sum(problem.share for problem in PROBLEMS) < 22


def test_two_in_a_thousand_claims_cannot_be_scored(claims):
    broken = sum(
        not claim.lines
        or not claim.facility_id
        or not claim.patient_account_number
        or claim.service_from_date > claim.service_to_date
        or claim.service_from_date == "2025-11-31"
        or len({line.line_number for line in claim.lines}) < len(claim.lines)
        or any(line.units_milli <= 0 for line in claim.lines)
        for claim in claims
    )

    assert 3 <= broken <= 30


def _rows(name):
    with (SAMPLE / name).open(encoding="latin-1", newline="") as file:
        return [row for row in csv.reader(file) if len(row) > 2]


def _pairs_in_force(name):
    lines = (SAMPLE / "ncci" / name).read_text("latin-1").splitlines()
    rows = [line.split("\t") for line in lines if line.count("\t") >= 5]
    return {
        (row[0], row[1]): row[5]
        for row in rows
        if row[5] in {"0", "1"} and (row[4] == "*" or row[4] >= "20251001")
    }


def test_most_claims_have_nothing_worse_than_a_note_and_many_rules_fire(sample_reference, claims):
    engine = Engine.with_all_rules(sample_reference)
    read = engine.read([ClaimBatch(claims=claims)])

    (answer,) = engine.score(read, Gathered(ModelAnswer.disabled()), [VIEW_EVIDENCE])

    fine = sum(
        result.decision in {DECISION_APPROVE, DECISION_INFORMATIONAL} for result in answer.results
    )
    rejected = sum(result.decision == DECISION_REJECT for result in answer.results)
    fired = {hit.rule_id for result in answer.results for hit in result.hits}
    assert 0.75 < fine / len(claims) < 0.87
    assert 3 <= rejected <= 30
    assert len(fired) >= 25


def test_clean_claims_have_no_finding_but_high_charges(sample_reference):
    engine = Engine.with_all_rules(sample_reference)
    window = Window(FIRST_DAY.toordinal(), LAST_DAY.toordinal())
    visits = [visit for visit in (*PROFESSIONAL, *INSTITUTIONAL) for _ in range(20)]
    claims = [
        write_claim(visit, suited(visit, number), f"C{number}", window, Random(number))
        for number, visit in enumerate(visits)
    ]

    read = engine.read([ClaimBatch(claims=claims)])
    (answer,) = engine.score(read, Gathered(ModelAnswer.disabled()), [VIEW_EVIDENCE])

    worse = {
        (visit.name, hit.rule_id)
        for visit, result in zip(visits, answer.results, strict=True)
        for hit in result.hits
        if hit.action != ACTION_INFO and hit.rule_id != "HIGH_DOLLAR"
    }
    assert worse == set()


def suited(visit, number):
    low, high = visit.ages
    people = (member(3, number * 1000 + k) for k in range(1000))
    return next(
        person
        for person in people
        if low < FIRST_DAY.year - person.birth.year <= high and visit.sex in {"", person.sex}
    )
