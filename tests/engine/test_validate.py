"""Structural validation: every fault is found and named, and nothing of the value is repeated."""

import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.rules.rule import example, line

PLAIN = example("plain", line("99213"), line("71046"))
HOSPITAL = example("hospital", line("99213"), institutional=True)


def faults(claim: claim_pb2.Claim) -> set[tuple[str, str]]:
    batch = decode([score_pb2.ClaimBatch(claims=[claim])], allow_zero_charge=True)
    return {(v.field, v.code) for v in batch.violations.get(0, ())}


def test_plain_claims_have_no_faults() -> None:
    assert faults(claim_of(PLAIN)) == set()
    assert faults(claim_of(HOSPITAL)) == set()


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("claim_id", "", "V01"),
        ("claim_id", " ", "V01"),
        ("claim_version", -1, "V01"),
        ("facility_id", "", "V02"),
        ("patient_account_number", "", "V03"),
        ("service_to_date", "2025-10-14", "V04"),
        ("service_from_date", "", "V04"),
        ("total_charge_cents", 0, "V05"),
        ("total_charge_cents", -5, "V05"),
        ("total_charge_cents", 10**12, "V05"),
        ("received_date", "2025-02-30", "V13"),
        ("patient_date_of_birth", "31/12/1970", "V13"),
        ("accident_date", "yesterday", "V13"),
        ("claim_type", 99, "V15"),
        ("claim_type", 0, "V15"),
        ("type_of_bill", "0131", "V15"),
        ("frequency_code", "7", "V16"),
        ("facility_id", "F" * 51, "V17"),
        ("patient_last_name", "A\x00B", "V17"),
    ],
)
def test_fault_of_a_claim_is_named(field: str, value: object, code: str) -> None:
    claim = claim_of(PLAIN)

    setattr(claim, field, value)

    named = "payer_claim_control_number" if code == "V16" else field
    if (field, value) == ("service_from_date", ""):
        named = "service_from_date"
    assert (named, code) in faults(claim)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("line_number", 1, "V08"),
        ("line_number", 0, "V08"),
        ("line_number", 1000, "V08"),
        ("units_milli", 0, "V09"),
        ("units_milli", -1000, "V09"),
        ("units_milli", 10**15, "V09"),
        ("charge_cents", -1, "V10"),
        ("service_from_date", "2025-13-01", "V13"),
        ("service_to_date", "2025-10-01", "V04"),
        ("line_control_number", "L" * 51, "V17"),
    ],
)
def test_fault_of_a_line_is_named(field: str, value: object, code: str) -> None:
    claim = claim_of(PLAIN)

    setattr(claim.lines[1], field, value)

    assert (f"lines[1].{field}", code) in faults(claim)


def test_pointer_to_a_missing_diagnosis_is_a_fault() -> None:
    claim = claim_of(PLAIN)

    claim.lines[0].diagnosis_pointers[:] = [2]

    assert faults(claim) == {("lines[0].diagnosis_pointers", "V11")}


def test_icd9_is_refused_on_services_after_it_ended() -> None:
    old = {"code": "4019", "qualifier": "BK"}
    late, early = (
        claim_of(example("icd9", line("99213"), day=day, received=day, birth="1970-01-01"))
        for day in ("2015-10-01", "2015-09-30")
    )
    for claim in (late, early):
        claim.diagnoses[0].CopyFrom(claim_pb2.Diagnosis(**old))

    assert faults(late) == {("diagnoses", "V19")}
    assert faults(early) == set()


def test_too_many_lines_are_a_fault() -> None:
    claim = claim_of(example("long", *[line("99213")] * 51))

    assert faults(claim) == {("lines", "V12")}


def test_too_many_diagnoses_and_modifiers_are_faults() -> None:
    claim = claim_of(example("many", line("99213-11-12-13-14-15"), dx=["E119"] * 13))

    assert faults(claim) == {("diagnoses", "V18"), ("lines[0].modifiers", "V18")}


def test_provider_texts_are_checked() -> None:
    claim = claim_of(PLAIN)

    claim.billing_provider.last_or_org_name = "N" * 201
    claim.lines[1].rendering_provider.npi = "1" * 21

    assert faults(claim) == {
        ("billing_provider.last_or_org_name", "V17"),
        ("lines[1].rendering_provider.npi", "V17"),
    }


def test_repeated_claim_of_a_message_is_refused_and_the_first_stays() -> None:
    claims = [claim_of(PLAIN, "A"), claim_of(PLAIN, "B"), claim_of(PLAIN, "A")]

    batch = decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)

    assert set(batch.violations) == {2}
    assert batch.claims.ordinal.tolist() == [0, 1]


def test_encounter_may_cost_nothing_where_the_tenant_allows_it() -> None:
    claim = claim_of(PLAIN)
    claim.total_charge_cents = 0
    claim.is_encounter = True
    messages = [score_pb2.ClaimBatch(claims=[claim])]

    assert not decode(messages, allow_zero_charge=True).violations
    assert decode(messages, allow_zero_charge=False).violations


def test_every_fault_of_a_claim_is_collected() -> None:
    found = faults(claim_pb2.Claim())

    assert {code for _, code in found} >= {"V01", "V02", "V03", "V04", "V05", "V06", "V15"}


def test_faults_never_repeat_the_value() -> None:
    claim = claim_of(PLAIN)
    canary = "SECRET-123-45-6789"
    for field in ("patient_date_of_birth", "received_date", "accident_date"):
        setattr(claim, field, canary)
    claim.person_id = canary * 10
    claim.lines[0].ndc = canary * 2

    batch = decode([score_pb2.ClaimBatch(claims=[claim])], allow_zero_charge=True)

    text = repr(batch.violations)
    assert len(batch.violations[0]) == 5
    assert "SECRET" not in text


def test_scorable_neighbours_keep_their_columns() -> None:
    bad = claim_of(PLAIN, "BAD")
    bad.lines[0].units_milli = 0
    good = claim_of(example("one", line("27447-LT", units=2)), "GOOD")

    batch = decode([score_pb2.ClaimBatch(claims=[bad, good])], allow_zero_charge=True)

    assert batch.claims.ordinal.tolist() == [1]
    assert batch.claims.line_start.tolist() == [0]
    assert batch.lines.claim.tolist() == [0]
    assert batch.lines.units_milli.tolist() == [2000]
