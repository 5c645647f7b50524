"""The project's own 837 files give exactly the claims that were written into them."""

from datetime import date

import pytest
from claimgate.v1 import claim_pb2

from loader.intake import IntakeClaim, IntakeProblem, read_claims


@pytest.fixture(scope="module")
def claims(samples):
    """All claims of the faultless files, by id."""
    items = [
        item
        for path in sorted(samples.glob("*.837"))
        if path.name != "faults.837"
        for item in read_claims(path, ingest_date=date(2025, 11, 21))
    ]
    assert all(isinstance(item, IntakeClaim) for item in items)
    return {item.claim.claim_id: item.claim for item in items}


def test_faultless_files_give_their_claims_and_no_problem(claims):
    assert sorted(claims) == [
        "DEMO-C-0001",
        "DEMO-I-0001",
        "DEMO-O-0001",
        "DEMO-P-0001",
        "DEMO-P-0002",
        "DEMO-P-0003",
    ]


def test_professional_claim_holds_every_field(claims):
    claim = claims["DEMO-P-0001"]

    assert claim.claim_type == claim_pb2.CLAIM_TYPE_PROFESSIONAL
    assert claim.patient_account_number == "ACC-1001"
    assert (claim.person_id, claim.subscriber_id) == ("MEM0001", "")
    assert claim.relationship_code == "18"
    assert (claim.patient_last_name, claim.patient_first_name) == ("TESTER", "ALMA")
    assert (claim.patient_date_of_birth, claim.patient_sex) == ("1952-11-04", "F")
    assert (claim.service_from_date, claim.service_to_date) == ("2025-11-03", "2025-11-03")
    assert claim.total_charge_cents == 18500
    assert (claim.insurance_type, claim.payer_id, claim.payer_sequence) == ("MB", "DEMO1", "P")
    assert claim.payer_name == "DEMO HEALTH PLAN"
    assert (claim.place_of_service, claim.frequency_code) == ("11", "1")
    assert [d.code for d in claim.diagnoses] == ["E119", "I10"]
    assert [d.qualifier for d in claim.diagnoses] == ["ABK", "ABF"]
    assert not claim.is_test
    assert not claim.is_encounter
    assert claim.attributes["group_number"] == "GRP100"
    assert claim.attributes["assignment"] == "A"
    billing = claim.billing_provider
    assert (billing.npi, billing.tin, billing.taxonomy) == ("1234567893", "123456789", "207Q00000X")
    assert (billing.entity_type, billing.state, billing.zip) == (2, "FL", "331110000")
    rendering = claim.rendering_provider
    assert (rendering.npi, rendering.taxonomy) == ("1999999984", "207Q00000X")
    first = claim.lines[0]
    assert (first.line_number, first.line_control_number) == (1, "1")
    assert (first.procedure_qualifier, first.procedure_code) == ("HC", "99213")
    assert list(first.modifiers) == ["25"]
    assert (first.charge_cents, first.units_milli, first.unit_basis) == (12500, 1000, "UN")
    assert list(first.diagnosis_pointers) == [1, 2]
    assert (first.service_from_date, first.service_to_date) == ("2025-11-03", "")


def test_received_date_is_the_claims_own_or_else_that_of_the_transaction(claims):
    assert claims["DEMO-P-0002"].received_date == "2025-11-18"
    assert claims["DEMO-P-0001"].received_date == "2025-11-20"


def test_facility_is_the_place_of_service_or_else_the_billing_provider(claims):
    surgery = claims["DEMO-P-0002"]

    assert surgery.facility_id == "1245319599"
    assert (surgery.facility_provider.state, surgery.facility_provider.zip) == ("FL", "336020000")
    assert surgery.prior_authorization_number == "AUTH0002"
    assert claims["DEMO-P-0001"].facility_id == "1234567893"


def test_dependant_is_the_patient_and_has_an_id_of_his_own(claims):
    claim = claims["DEMO-P-0003"]

    assert (claim.person_id, claim.subscriber_id) == ("MEM0003-19", "MEM0003")
    assert claim.relationship_code == "19"
    assert claim.patient_first_name == "LEO"
    assert claim.patient_date_of_birth == "2012-05-30"
    assert (claim.accident_type, claim.accident_state) == ("AA", "FL")
    assert claim.accident_date == "2025-11-01"
    assert claim.lines[0].service_to_date == "2025-11-11"
    assert claim.service_to_date == "2025-11-11"
    assert claim.lines[0].has_documentation
    assert not claim.has_documentation


def test_decisions_of_the_first_payer_come_through(claims):
    claim = claims["DEMO-C-0001"]

    assert (claim.payer_sequence, claim.frequency_code) == ("S", "7")
    assert claim.payer_claim_control_number == "PCN778899"
    assert claim.patient_paid_cents == 1550
    (payer,) = claim.other_payers
    assert (payer.payer_id, payer.payer_sequence, payer.claim_filing_code) == ("EMP01", "P", "CI")
    assert payer.insured_id == "EMP777"
    assert (payer.paid_cents, payer.non_covered_cents) == (18000, 0)
    assert payer.remaining_liability_cents == 9850
    assert payer.adjudication_date == "2025-11-01"
    assert [(a.group, a.carc, a.amount_cents) for a in payer.adjustments] == [
        ("CO", "45", 4000),
        ("CO", "253", 150),
    ]
    (decision,) = claim.lines[0].prior_adjudications
    assert (decision.payer_id, decision.paid_cents, decision.units_milli) == ("EMP01", 18000, 10000)
    assert decision.adjudication_date == "2025-11-01"
    assert decision.adjustments[0].amount_cents == 4000


def test_drug_and_rented_equipment_come_through(claims):
    drug, equipment = claims["DEMO-C-0001"].lines

    assert (drug.ndc, drug.ndc_quantity_milli, drug.ndc_unit) == ("57894003001", 100_000, "UN")
    assert equipment.is_rental
    assert equipment.purchase_price_cents == 90000
    assert equipment.ordering_provider.npi == "1999999984"
    assert (equipment.service_from_date, equipment.service_to_date) == ("2025-10-01", "2025-10-30")


def test_outpatient_claim_holds_every_code(claims):
    claim = claims["DEMO-O-0001"]

    assert claim.claim_type == claim_pb2.CLAIM_TYPE_INSTITUTIONAL
    assert (claim.type_of_bill, claim.place_of_service) == ("0131", "")
    assert (claim.service_from_date, claim.service_to_date) == ("2025-10-14", "2025-10-15")
    assert (claim.admission_type, claim.admission_source, claim.patient_status) == ("2", "1", "01")
    assert claim.medical_record_number == "MRN-55"
    assert list(claim.visit_reasons) == ["R079"]
    assert [(o.code, o.date) for o in claim.occurrence_codes] == [("11", "2025-10-14")]
    assert [(v.code, v.amount_cents) for v in claim.value_codes] == [("A1", 15025)]
    assert list(claim.condition_codes) == ["44"]
    assert claim.attending_provider.taxonomy == "207P00000X"
    assert [line.revenue_code for line in claim.lines] == ["0450", "0324", "0762"]
    assert claim.lines[2].units_milli == 20000
    assert claim.lines[2].non_covered_charge_cents == 2550


def test_stay_holds_admission_discharge_and_procedures(claims):
    claim = claims["DEMO-I-0001"]

    assert claim.type_of_bill == "0111"
    assert (claim.admission_date, claim.admission_hour) == ("2025-11-01", "07")
    assert (claim.discharge_date, claim.discharge_hour) == ("2025-11-04", "11")
    assert (claim.drg_code, claim.admitting_diagnosis) == ("470", "M1711")
    assert [d.present_on_admission for d in claim.diagnoses] == ["Y", "Y", "N"]
    assert [(p.code, p.date) for p in claim.icd_procedures] == [("0SRC0J9", "2025-11-01")]
    span = claim.occurrence_spans[0]
    assert (span.code, span.from_date, span.to_date) == ("74", "2025-11-03", "2025-11-04")
    assert claim.operating_provider.npi == "1999999984"
    assert (claim.lines[0].procedure_code, claim.lines[0].service_from_date) == ("", "")
    assert claim.lines[0].unit_basis == "DA"


def test_each_fault_is_reported_where_it_stands_and_its_neighbours_load(samples):
    items = list(read_claims(samples / "faults.837", ingest_date=date(2025, 11, 21)))

    loaded = [i.claim.patient_account_number for i in items if isinstance(i, IntakeClaim)]
    problems = [i for i in items if isinstance(i, IntakeProblem)]
    assert loaded == ["ACC-9001", "ACC-9004", "ACC-9005", "ACC-9006", "ACC-9008"]
    assert [(p.segment, p.level, p.code) for p in problems] == [
        (33, "error", "number"),
        (45, "error", "missing_loop"),
        (58, "warning", "date"),
        (66, "warning", "icd9"),
        (80, "warning", "unexpected_segment"),
        (87, "error", "missing_loop"),
        (104, "warning", "segment_count"),
    ]
    assert all(i.claim.is_test and i.claim.is_encounter for i in items if hasattr(i, "claim"))
