"""What fields mean for a claim, the same with either reader."""

import numpy as np
import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.codes import ABSENT, UNCODABLE, code36
from engine.columns import (
    LOB_COMMERCIAL,
    LOB_MEDICARE_ADVANTAGE,
    LOB_MEDICARE_FFS,
    LOB_OTHER,
    MISSING_BILLING_PROVIDER,
    MISSING_PAYER_ID,
    MISSING_PERSON_ID,
    POS_ABSENT,
    POS_INVALID,
    Batch,
)
from engine.decode import READER, Reader, decode
from engine.examples import claim_of
from engine.rules.rule import example, line

PLAIN = example("plain", line("99213-25"), line("71046"))
HOSPITAL = example("hospital", line("99213"), institutional=True)


@pytest.fixture(params=["native", "python"])
def reader(request) -> Reader:
    if request.param == "native" and READER == "python":
        pytest.skip("the compiled reader was not built")
    return request.param


def decoded(reader: Reader, *claims: claim_pb2.Claim) -> Batch:
    messages = [score_pb2.ClaimBatch(claims=[claim]) for claim in claims]
    return decode(messages, allow_zero_charge=True, reader=reader)


def claims_with(field: str, *values: object) -> list[claim_pb2.Claim]:
    claims = [claim_of(PLAIN, f"C{number}") for number in range(len(values))]
    for claim, value in zip(claims, values, strict=True):
        setattr(claim, field, value)
    return claims


def test_claims_and_lines_keep_the_order_of_messages(reader):
    messages = [
        score_pb2.ClaimBatch(claims=[claim_of(PLAIN, "A"), claim_of(HOSPITAL, "B")]),
        score_pb2.ClaimBatch(),
        score_pb2.ClaimBatch(claims=[claim_of(PLAIN, "C")]),
    ]

    batch = decode(messages, allow_zero_charge=True, reader=reader)

    assert list(batch.received.claim_ids) == ["A", "B", "C"]
    assert batch.received.message_claims == [2, 0, 1]
    assert batch.claims.message.tolist() == [0, 0, 2]
    assert batch.lines.claim.tolist() == [0, 0, 1, 2, 2]
    assert batch.claims.line_start.tolist() == [0, 2, 3]
    assert batch.lines.number.tolist() == [1, 2, 1, 1, 2]


def test_members_are_numbered_by_payer_and_person_as_they_appear(reader):
    claims = claims_with("person_id", "ANN", "BOB", "ANN", "ANN", "", "")
    claims[3].payer_id = "ANOTHER"

    batch = decoded(reader, *claims)

    assert batch.claims.member.tolist() == [0, 1, 0, 2, 3, 4]


def test_claim_without_a_member_is_nobody_elses(reader):
    claims = claims_with("person_id", "1", "", "", " ", " ")
    for claim in claims:
        claim.payer_id = ""

    batch = decoded(reader, *claims)

    assert batch.claims.member.tolist() == [0, 1, 2, 3, 4]


def test_what_is_missing_is_marked(reader):
    whole, nobody, blank, alone = (claim_of(PLAIN, each) for each in "ABCD")
    nobody.person_id = ""
    blank.person_id = blank.payer_id = " \xa0"
    alone.ClearField("billing_provider")

    batch = decoded(reader, whole, nobody, blank, alone)

    assert batch.claims.missing.tolist() == [
        0,
        MISSING_PERSON_ID,
        MISSING_PERSON_ID | MISSING_PAYER_ID,
        MISSING_BILLING_PROVIDER,
    ]


def test_version_0_is_the_first_and_defaults_are_the_usual_codes(reader):
    claim = claim_of(PLAIN)
    for field in ("claim_version", "frequency_code", "payer_sequence"):
        claim.ClearField(field)
    claim.lines[0].ClearField("unit_basis")

    batch = decoded(reader, claim)

    assert batch.claims.version.tolist() == [1]
    assert batch.received.versions == [1]
    assert batch.claims.frequency.tolist() == [code36("1")]
    assert batch.claims.payer_sequence.tolist() == [code36("P")]
    assert batch.lines.unit_basis.tolist() == [code36("UN")] * 2


def test_reasons_for_late_filing_are_words_without_case_and_blanks(reader):
    claims = claims_with("timely_filing_exception", "", "Disaster", " DISASTER ", "other", " ")

    batch = decoded(reader, *claims)

    disaster, other = batch.words["disaster"], batch.words["other"]
    assert batch.claims.filing_exception.tolist() == [0, disaster, disaster, other, 0]
    assert len({0, disaster, other}) == 3


def test_line_of_business_is_the_stated_one_else_derived(reader):
    claims = claims_with("insurance_type", "MB", " ci ", "HM", "HM", "MB")
    claims[3].line_of_business = claim_pb2.LINE_OF_BUSINESS_MEDICARE_ADVANTAGE
    claims[4].line_of_business = 77

    batch = decoded(reader, *claims)

    assert batch.claims.line_of_business.tolist() == [
        LOB_MEDICARE_FFS,
        LOB_COMMERCIAL,
        LOB_COMMERCIAL,
        LOB_MEDICARE_ADVANTAGE,
        LOB_MEDICARE_FFS,
    ]
    assert batch.claims.insurance.tolist() == [1, 4, 4, 2, 1]
    assert LOB_OTHER not in batch.claims.line_of_business


@pytest.mark.parametrize(
    ("bill", "inpatient"),
    [
        ("0111", True),
        (" 0111 ", True),
        ("0131", False),
        ("011", True),
        ("01", False),
        ("0866", True),
    ],
)
def test_inpatient_bills_are_told_by_facility_and_classification(reader, bill, inpatient):
    claim = claim_of(HOSPITAL)
    claim.type_of_bill = bill

    batch = decoded(reader, claim)

    assert batch.claims.inpatient.tolist() == [inpatient]


def test_lines_take_from_their_claim_what_they_leave_out(reader):
    claim = claim_of(PLAIN)
    claim.has_documentation = True
    claim.rendering_provider.npi = "1003000126"
    claim.facility_provider.zip = "902101234"
    own = claim.lines[1]
    own.place_of_service = "2x"
    own.service_from_date = ""
    own.rendering_provider.npi = "1003000134"
    own.facility_provider.zip = "10001"

    lines = decoded(reader, claim).lines

    assert lines.place_of_service.tolist() == [11, POS_INVALID]
    assert lines.rendering_npi.tolist() == [1003000126, 1003000134]
    assert lines.zip5.tolist() == [90210, 10001]
    assert lines.has_documentation.tolist() == [True, True]
    assert lines.undated.tolist() == [False, True]
    assert np.array_equal(lines.service_from, lines.service_to)


@pytest.mark.parametrize(
    ("zip_code", "read"), [("", 35201), ("00000", UNCODABLE), ("X", UNCODABLE)]
)
def test_zip_code_that_is_none_is_not_as_good_as_none_at_all(reader, zip_code, read):
    """The place of the service is unknown then; that of the biller must not price it."""
    claim = claim_of(PLAIN)
    claim.facility_provider.zip = zip_code

    assert decoded(reader, claim).lines.zip5.tolist() == [read, read]


FIRST, SECOND, THIRD = "1003000126", "1003000134", "1003000142"


@pytest.mark.parametrize(
    ("people", "providers"),
    [
        ([(FIRST, "11"), (FIRST, "")], 1),  # the specialty is on one line only
        ([(FIRST, "11"), (FIRST, "02")], 1),  # one person under two specialties
        ([(FIRST, "11"), (SECOND, "11")], 1),  # two of one specialty
        ([(FIRST, ""), (SECOND, "")], 2),  # what is unknown is not the same
        ([(FIRST, "11"), (SECOND, "02")], 2),
        ([(FIRST, "11"), (FIRST, "02"), (SECOND, "02"), (THIRD, "02")], 1),
        ([(FIRST, "11"), (FIRST, "02"), (SECOND, "05"), (THIRD, "")], 3),
    ],
)
def test_lines_of_one_person_or_one_specialty_are_of_one_provider(reader, people, providers):
    claim = claim_of(example("a", *[line("99213")] * len(people)))
    for sent, (npi, specialty) in zip(claim.lines, people, strict=True):
        sent.rendering_provider.npi = npi
        sent.rendering_provider.specialty = specialty
    stranger = claim_of(PLAIN, "B")
    stranger.lines[0].rendering_provider.npi = FIRST

    lines = decoded(reader, claim, stranger).lines

    assert len(set(lines.provider[: len(people)].tolist())) == providers
    assert lines.provider[len(people)] == -int(FIRST)


def test_codes_are_absent_or_uncodable_but_never_another_code(reader):
    claim = claim_of(PLAIN)
    claim.place_of_service = ""
    claim.lines[0].procedure_code = "99.13"
    claim.lines[0].modifiers[:] = ["", "LTX", "lt"]
    claim.lines[1].procedure_code = ""
    claim.billing_provider.npi = "123"

    batch = decoded(reader, claim)

    assert batch.lines.procedure.tolist() == [UNCODABLE, ABSENT]
    assert batch.lines.modifiers[0].tolist() == [ABSENT, UNCODABLE, code36("LT"), ABSENT]
    assert batch.lines.place_of_service.tolist() == [POS_ABSENT, POS_ABSENT]
    assert batch.claims.billing_npi.tolist() == [UNCODABLE]


def test_positions_of_diagnoses_start_with_every_claim(reader):
    claims = [claim_of(PLAIN, "A"), claim_of(PLAIN, "B"), claim_of(PLAIN, "C")]
    claims[0].diagnoses.add(code="I10")
    claims[2].diagnoses.add(code="I10", qualifier="abf")
    claims[2].ClearField("lines")
    claims[2].lines.add().CopyFrom(claims[0].lines[0])

    diagnoses = decoded(reader, *claims).diagnoses

    assert diagnoses.claim.tolist() == [0, 0, 1, 2, 2]
    assert diagnoses.sequence.tolist() == [1, 2, 1, 1, 2]
    assert not diagnoses.icd9.any()


def test_faults_of_texts_and_of_columns_are_collected_together(reader):
    good, bad = claim_of(PLAIN, "GOOD"), claim_of(PLAIN, "BAD")
    bad.total_charge_cents = -1
    bad.received_date = "soon"
    bad.service_from_date = " "
    bad.lines[1].modifiers[:] = ["A" * 21]

    batch = decoded(reader, good, bad)

    assert list(batch.violations) == [1]
    assert {(v.field, v.code) for v in batch.violations[1]} == {
        ("total_charge_cents", "V05"),
        ("received_date", "V13"),
        ("service_from_date", "V04"),
        ("lines[1].modifiers", "V17"),
    }
    assert batch.claims.ordinal.tolist() == [0]
