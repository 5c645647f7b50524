"""Faults of fields: where they are named, and what cannot be judged."""

import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.policy import Params
from engine.rules.format.invalid_code import find as invalid_code
from engine.rules.format.invalid_date import find as invalid_date
from engine.rules.format.invalid_npi import find as invalid_npi
from engine.rules.format.missing_field import find as missing_field
from engine.rules.rule import example, line

BAD_NPI = "1234567890"


def read(*claims):
    return decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)


def run(rule, batch, reference):
    inputs = {
        "batch": batch,
        "reference": reference,
        "facts": look_up(batch, reference),
        "params": Params(rule.params, len(batch.claims)),
    }
    return rule.find(**{need: inputs[need] for need in rule.needs})


def named(rule, batch, reference):
    """Field and line numbers of each hit."""
    hits = run(rule, batch, reference)
    return [
        (
            rule.names["field"][hits.evidence["field"][hit]],
            batch.lines.number[hits.line[hits.line_hit == hit]].tolist(),
        )
        for hit in range(len(hits))
    ]


def test_each_missing_field_is_one_hit(sample_reference):
    claim = claim_of(example("", line("99213"), line("", dx=()), person_id="", payer_id=""))

    fields = named(missing_field, read(claim), sample_reference)

    assert fields == [
        ("person_id", []),
        ("payer_id", []),
        ("lines.procedure_code", [2]),
        ("lines.diagnosis_pointers", [2]),
    ]


def test_bad_renderer_of_the_claim_is_named_once_however_many_lines_it_has(sample_reference):
    claim = claim_of(example("", line("99213"), line("85025"), rendering_provider={"npi": BAD_NPI}))

    assert named(invalid_npi, read(claim), sample_reference) == [("rendering_provider.npi", [])]


@pytest.mark.parametrize("role", ["rendering", "ordering", "referring", "supervising", "facility"])
def test_bad_number_of_every_role_of_a_line_is_named(role, sample_reference):
    claim = claim_of(
        example("", line("99213"), line("85025", **{f"{role}_provider": {"npi": BAD_NPI}}))
    )

    fields = named(invalid_npi, read(claim), sample_reference)

    assert fields == [(f"lines.{role}_provider.npi", [2])]


@pytest.mark.parametrize(
    "role",
    ["billing", "rendering", "attending", "operating", "referring", "supervising", "facility"],
)
def test_bad_number_of_every_role_of_a_claim_is_named(role, sample_reference):
    claim = claim_of(example("", line("99213"), **{f"{role}_provider": {"npi": BAD_NPI}}))

    assert named(invalid_npi, read(claim), sample_reference) == [(f"{role}_provider.npi", [])]


def test_date_of_birth_is_never_repeated(sample_reference):
    claim = claim_of(example("", line("99213"), birth="2030-01-01"))

    hits = run(invalid_date, read(claim), sample_reference)

    assert len(hits) == 1
    assert str(hits.evidence["date"][0]) == str(hits.evidence["limit"][0]) == "NaT"


def test_badly_written_inpatient_procedure_is_named_by_position(sample_reference):
    claim = claim_of(example("", line("", revenue_code="0120"), institutional=True, tob="0111"))
    claim.icd_procedures.extend(
        [claim_pb2.IcdProcedure(code="0SRD0J9"), claim_pb2.IcdProcedure(code="0SRI0J9")]
    )

    hits = run(invalid_code, read(claim), sample_reference)

    assert invalid_code.names["field"][hits.evidence["field"][0]] == "icd_procedures.code"
    assert hits.evidence["position"].tolist() == [2]


def test_first_bad_modifier_is_named_by_position(sample_reference):
    batch = read(claim_of(example("", line("99213-25-7-8"))))

    hits = run(invalid_code, batch, sample_reference)

    assert hits.evidence["position"].tolist() == [2]


def test_codes_are_not_judged_on_days_without_a_set(sample_reference):
    claim = claim_of(example("", line("G9999"), day="2001-05-05", dx=("E11",)))

    hits = run(invalid_code, read(claim), sample_reference)

    assert len(hits) == 0
    gaps = [gap for gap in hits.not_evaluated if gap.reason == "no_release"]
    assert [gap.lines.tolist() for gap in gaps if gap.lines is not None] == [[True]]
    assert [gap.claims.tolist() for gap in gaps if gap.claims is not None] == [[True]]


def test_existence_of_licensed_codes_is_said_not_to_be_judged(sample_reference):
    batch = read(claim_of(example("", line("99213"), line("D0150"), line("G2211"))))

    hits = run(invalid_code, batch, sample_reference)

    (gap,) = (gap for gap in hits.not_evaluated if gap.reason == "no_licensed_set")
    assert gap.lines is None, "said once, not of each of nearly all lines"


def test_inpatient_diagnosis_is_looked_up_on_the_last_day(sample_reference):
    claim = claim_of(
        example("", line("", revenue_code="0120"), institutional=True, tob="0111", dx=("E11",))
    )
    claim.service_from_date = "2001-05-05"
    batch = read(claim)

    assert named(invalid_code, batch, sample_reference) == [("diagnoses.code", [])]


def test_faults_of_many_claims_come_in_the_order_of_claims_and_lines(sample_reference):
    claims = [
        claim_of(example("", line("9921"), line("99213-7"), line("9921")), str(n)) for n in range(3)
    ]

    hits = run(invalid_code, read(*claims), sample_reference)

    assert hits.claim.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert hits.line.tolist() == list(range(9))


def test_pass_without_claims_has_no_hits(sample_reference):
    for rule in (missing_field, invalid_date, invalid_npi, invalid_code):
        assert len(run(rule, read(), sample_reference)) == 0


def test_every_kind_of_fault_has_a_field_and_a_problem():
    for rule in (missing_field, invalid_date, invalid_npi, invalid_code):
        assert len(rule.names["field"]) == len(rule.names["problem"])
