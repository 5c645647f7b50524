"""A claim written as 837 and read again is the same claim, whatever it holds."""

import io
from datetime import date

import pytest
from claimgate.v1 import claim_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.intake import IntakeClaim, read_837

PROFESSIONAL = claim_pb2.CLAIM_TYPE_PROFESSIONAL
INSTITUTIONAL = claim_pb2.CLAIM_TYPE_INSTITUTIONAL


# The writer: as much of an 837 as a Claim can say; it has no addresses, so N3 is left out.


def segment(*elements):
    return "*".join(elements).rstrip("*") + "~\n"


def composite(*components):
    return ":".join(components).rstrip(":")


def money(cents):
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def quantity(milli):
    return f"{milli // 1000}.{milli % 1000:03}"


def day(iso):
    return iso.replace("-", "")


def days(first, last):
    if not last:
        return "D8", day(first)
    return "RD8", f"{day(first)}-{day(last)}"


def name(code, provider, taxonomy_code=""):
    kind = "XX" if provider.npi else ""
    names = [provider.last_or_org_name, provider.first_name]
    yield segment("NM1", code, str(provider.entity_type), *names, "", "", "", kind, provider.npi)
    if taxonomy_code:
        yield segment("PRV", taxonomy_code, "PXC", provider.taxonomy)
    if provider.state:
        yield segment("N4", "TOWN", provider.state, provider.zip)


def adjustments(owner):
    for one in owner.adjustments:
        units = quantity(one.units_milli) if one.units_milli else ""
        yield segment("CAS", one.group, one.carc, money(one.amount_cents), units)


def parties(claim):
    yield segment("HL", "1", "", "20", "1")
    yield segment("PRV", "BI", "PXC", claim.billing_provider.taxonomy)
    yield from name("85", claim.billing_provider)
    yield segment("REF", "EI", claim.billing_provider.tin)
    yield segment("HL", "2", "1", "22", "0")
    dependant = bool(claim.subscriber_id)
    relation = "" if dependant else "18"
    yield segment(
        "SBR", claim.payer_sequence, relation, "", "", "", "", "", "", claim.insurance_type
    )
    member = claim.subscriber_id or claim.person_id
    names = [claim.patient_last_name, claim.patient_first_name, claim.patient_middle_name]
    birth = segment("DMG", "D8", day(claim.patient_date_of_birth), claim.patient_sex)
    if dependant:
        yield segment("NM1", "IL", "1", "HOLDER", "", "", "", "", "MI", member)
    else:
        yield segment("NM1", "IL", "1", *names, "", "", "MI", member) + birth
    yield segment("NM1", "PR", "2", claim.payer_name, "", "", "", "", "PI", claim.payer_id)
    if dependant:
        yield segment("HL", "3", "2", "23", "0") + segment("PAT", claim.relationship_code)
        yield segment("NM1", "QC", "1", *names) + birth


def header(claim):
    institutional = claim.claim_type == INSTITUTIONAL
    place = claim.type_of_bill[1:3] if institutional else claim.place_of_service
    place = composite(place, "A" if institutional else "B", claim.frequency_code)
    accident = composite(claim.accident_type, "", "", claim.accident_state)
    delay = str(claim.delay_reason_code or "")
    account, charge = claim.patient_account_number, money(claim.total_charge_cents)
    yield segment("CLM", account, charge, "", "", place, *[""] * 5, accident, *[""] * 8, delay)
    if institutional:
        yield segment("DTP", "434", *days(claim.service_from_date, claim.service_to_date))
        yield segment("DTP", "435", "DT", f"{day(claim.admission_date)}{claim.admission_hour}00")
        yield segment("DTP", "096", "TM", f"{claim.discharge_hour}00")
        yield segment("CL1", claim.admission_type, claim.admission_source, claim.patient_status)
    if claim.accident_date:
        yield segment("DTP", "439", "D8", day(claim.accident_date))
    yield segment("DTP", "050", "D8", day(claim.received_date))
    yield segment("AMT", "F5", money(claim.patient_paid_cents))
    for qualifier, value in (
        ("G1", claim.prior_authorization_number),
        ("9F", claim.referral_number),
        ("F8", claim.payer_claim_control_number),
        ("EA", claim.medical_record_number),
        ("D9", claim.claim_id),
    ):
        if value:
            yield segment("REF", qualifier, value)
    if claim.has_documentation:
        yield segment("PWK", "OZ")
    for one in claim.diagnoses:
        tail = [""] * 6 + [one.present_on_admission]
        yield segment("HI", composite(one.qualifier, one.code, *tail))


def other_payers(claim):
    for payer in claim.other_payers:
        filing = payer.claim_filing_code
        yield segment("SBR", payer.payer_sequence, *[""] * 7, filing)
        yield from adjustments(payer)
        if payer.HasField("paid_cents"):
            yield segment("AMT", "D", money(payer.paid_cents))
        yield segment("AMT", "A8", money(payer.non_covered_cents))
        yield segment("AMT", "EAF", money(payer.remaining_liability_cents))
        yield segment("NM1", "IL", "1", *[""] * 5, "MI", payer.insured_id)
        yield segment("NM1", "PR", "2", *[""] * 5, "PI", payer.payer_id)
        yield segment("DTP", "573", "D8", day(payer.adjudication_date))


def service(claim, line):
    code = composite(line.procedure_qualifier, line.procedure_code, *line.modifiers)
    charge, units = money(line.charge_cents), quantity(line.units_milli)
    yield segment("LX", str(line.line_number))
    if claim.claim_type == INSTITUTIONAL:
        non_covered = money(line.non_covered_charge_cents)
        yield segment(
            "SV2", line.revenue_code, code, charge, line.unit_basis, units, "", non_covered
        )
    else:
        pointers = composite(*map(str, line.diagnosis_pointers))
        emergency = "Y" if line.emergency_indicator else ""
        place = line.place_of_service
        yield segment(
            "SV1", code, charge, line.unit_basis, units, place, "", pointers, "", emergency
        )
    if line.has_medical_necessity_certificate:
        yield segment("PWK", "CT", "AD")
    elif line.has_documentation:
        yield segment("PWK", "OZ")
    yield segment("DTP", "472", *days(line.service_from_date, line.service_to_date))
    if line.line_control_number:
        yield segment("REF", "6R", line.line_control_number)
    if line.ndc:
        yield segment("LIN", "", "N4", line.ndc)
        yield segment("CTP", "", "", "", quantity(line.ndc_quantity_milli), line.ndc_unit)
    if line.HasField("rendering_provider"):
        yield from name("82", line.rendering_provider, "PE")
    for one in line.prior_adjudications:
        yield segment("SVD", one.payer_id, money(one.paid_cents), "", "", quantity(one.units_milli))
        yield from adjustments(one)
        yield segment("DTP", "573", "D8", day(one.adjudication_date))


def body(claim):
    roles = {
        "82": claim.rendering_provider,
        "77": claim.facility_provider,
        "DN": claim.referring_provider,
        "71": claim.attending_provider,
        "72": claim.operating_provider,
    }
    yield from parties(claim)
    yield from header(claim)
    for code, one in roles.items():
        if one.npi:
            yield from name(code, one, "PE")
    yield from other_payers(claim)
    for line in claim.lines:
        yield from service(claim, line)


def written(claims):
    """One transaction of claims that are alike in type, test and encounter."""
    first = claims[0]
    guide = "005010X223A2" if first.claim_type == INSTITUTIONAL else "005010X222A1"
    usage = "T" if first.is_test else "P"
    purpose = "RP" if first.is_encounter else "CH"
    ids = f"{'S':15}*ZZ*{'R':15}"
    return "".join(
        [
            f"ISA*00*{'':10}*00*{'':10}*ZZ*{ids}*251101*1200*^*00501*000000001*0*{usage}*:~\n",
            segment("GS", "HC", "S", "R", "20251101", "1200", "1", "X", guide),
            segment("ST", "837", "1", guide),
            segment("BHT", "0019", "00", "1", "20251101", "1200", purpose),
            *(text for claim in claims for text in body(claim)),
            segment("SE", "0", "1") + segment("GE", "1", "1") + segment("IEA", "1", "000000001"),
        ]
    )


# The claims: any that can be said in an 837.

TEXT = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.'&()/", min_size=1, max_size=30)
CODE = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=7)
NUMBER = st.text("0123456789", min_size=1, max_size=20)
CENTS = st.integers(0, 99_999_999_999)
MILLI = st.integers(0, 999_999_999)
DAY = st.dates(date(1900, 1, 1), date(2100, 12, 31)).map(date.isoformat)
HOUR = st.integers(0, 23).map("{:02}".format)
SEQUENCE = st.sampled_from("PSTABCDEFGHU")
MAYBE = st.just("")

adjustment = st.builds(
    claim_pb2.Adjustment,
    group=st.sampled_from(["CO", "CR", "OA", "PI", "PR"]),
    carc=CODE,
    amount_cents=st.integers(-99_999_999_999, 99_999_999_999),
    units_milli=MILLI,
)
provider = st.builds(
    claim_pb2.Provider,
    npi=st.from_regex(r"[12]\d{9}", fullmatch=True),
    entity_type=st.sampled_from([1, 2]),
    last_or_org_name=TEXT,
    first_name=MAYBE | TEXT,
    taxonomy=CODE,
)
decision = st.builds(
    claim_pb2.PriorAdjudication,
    payer_id=CODE,
    paid_cents=CENTS,
    units_milli=MILLI,
    adjudication_date=DAY,
    adjustments=st.lists(adjustment, max_size=3),
)
payer = st.builds(
    claim_pb2.OtherPayer,
    payer_id=CODE,
    payer_sequence=SEQUENCE,
    claim_filing_code=CODE,
    insured_id=TEXT,
    paid_cents=st.none() | CENTS,
    non_covered_cents=CENTS,
    remaining_liability_cents=CENTS,
    adjudication_date=DAY,
    adjustments=st.lists(adjustment, max_size=3),
)


@st.composite
def lines(draw, claim_type, count):
    for number in range(1, count + 1):
        line = claim_pb2.ServiceLine(
            line_number=number,
            line_control_number=draw(MAYBE | NUMBER),
            procedure_code=draw(CODE),
            procedure_qualifier="HC",
            modifiers=draw(st.lists(st.from_regex(r"[A-Z0-9]{2}", fullmatch=True), max_size=4)),
            units_milli=draw(MILLI),
            unit_basis="UN",
            charge_cents=draw(CENTS),
            service_from_date=draw(DAY),
            service_to_date=draw(MAYBE | DAY),
            ndc=draw(MAYBE | st.from_regex(r"\d{11}", fullmatch=True)),
            has_documentation=draw(st.booleans()),
            has_medical_necessity_certificate=draw(st.booleans()),
            prior_adjudications=draw(st.lists(decision, max_size=2)),
        )
        line.has_documentation |= line.has_medical_necessity_certificate
        if line.ndc:
            line.ndc_quantity_milli = draw(MILLI)
            line.ndc_unit = draw(st.sampled_from(["F2", "GR", "ME", "ML", "UN"]))
        if claim_type == INSTITUTIONAL:
            line.revenue_code = draw(st.from_regex(r"\d{4}", fullmatch=True))
            line.non_covered_charge_cents = draw(CENTS)
        else:
            line.diagnosis_pointers.extend(draw(st.lists(st.integers(1, 12), max_size=4)))
            line.emergency_indicator = draw(st.booleans())
            line.place_of_service = draw(MAYBE | st.just("22"))
        if draw(st.booleans()):
            line.rendering_provider.CopyFrom(draw(provider))
        yield line


def professional_fields(draw, claim):
    claim.place_of_service = draw(st.from_regex(r"\d\d", fullmatch=True))
    claim.rendering_provider.CopyFrom(draw(provider))
    claim.referring_provider.CopyFrom(draw(provider))
    first = [line.service_from_date for line in claim.lines]
    last = [line.service_to_date or line.service_from_date for line in claim.lines]
    claim.service_from_date = min(first + last)
    claim.service_to_date = max(first + last)


def institutional_fields(draw, claim):
    claim.service_from_date, claim.service_to_date = draw(DAY), draw(DAY)
    claim.admission_date, claim.admission_hour = draw(DAY), draw(HOUR)
    claim.discharge_date, claim.discharge_hour = claim.service_to_date, draw(HOUR)
    claim.admission_type, claim.admission_source, claim.patient_status = "1", "7", "01"
    claim.type_of_bill = f"0{draw(st.sampled_from(['11', '13', '85']))}{claim.frequency_code}"
    claim.attending_provider.CopyFrom(draw(provider))
    claim.operating_provider.CopyFrom(draw(provider))


@st.composite
def claims(draw, claim_type):
    claim = claim_pb2.Claim(
        claim_id=draw(NUMBER),
        claim_type=claim_type,
        patient_account_number=draw(TEXT),
        medical_record_number=draw(MAYBE | TEXT),
        payer_claim_control_number=draw(MAYBE | TEXT),
        prior_authorization_number=draw(MAYBE | TEXT),
        referral_number=draw(MAYBE | TEXT),
        frequency_code=draw(st.sampled_from("178")),
        patient_first_name=draw(TEXT),
        patient_last_name=draw(TEXT),
        patient_date_of_birth=draw(DAY),
        patient_sex=draw(st.sampled_from("FMU")),
        received_date=draw(DAY),
        total_charge_cents=draw(CENTS),
        patient_paid_cents=draw(CENTS),
        insurance_type=draw(CODE),
        payer_id=draw(CODE),
        payer_name=draw(TEXT),
        payer_sequence=draw(SEQUENCE),
        delay_reason_code=draw(st.sampled_from([0, 1, 11, 15])),
        accident_type=draw(st.sampled_from(["", "AA", "EM", "OA"])),
        accident_date=draw(MAYBE | DAY),
        billing_provider=draw(provider),
        has_documentation=draw(st.booleans()),
        is_encounter=draw(st.booleans()),
        is_test=draw(st.booleans()),
        batch_id="round.837",
        other_payers=draw(st.lists(payer, max_size=2)),
    )
    claim.billing_provider.tin = draw(NUMBER)
    claim.billing_provider.state, claim.billing_provider.zip = "FL", "331110000"
    claim.facility_id = claim.billing_provider.npi
    if draw(st.booleans()):
        claim.facility_provider.CopyFrom(draw(provider))
        claim.facility_id = claim.facility_provider.npi
    member = draw(NUMBER)
    claim.relationship_code = draw(st.sampled_from(["18", "01", "19"]))
    if claim.relationship_code == "18":
        claim.person_id = member
    else:
        claim.person_id, claim.subscriber_id = f"{member}-{claim.relationship_code}", member
    for position in range(draw(st.integers(1, 5))):
        presence = draw(st.sampled_from("YNUW")) if claim_type == INSTITUTIONAL else ""
        qualifier = "ABF" if position else "ABK"
        claim.diagnoses.add(code=draw(CODE), qualifier=qualifier, present_on_admission=presence)
    count = draw(st.integers(1, 4))
    claim.lines.extend(draw(lines(claim_type, count)))
    fill = institutional_fields if claim_type == INSTITUTIONAL else professional_fields
    fill(draw, claim)
    return claim


def claim_id(claim):
    return claim.claim_id


@pytest.mark.parametrize("claim_type", [PROFESSIONAL, INSTITUTIONAL])
def test_claims_survive_writing_and_reading_and_keep_to_themselves(claim_type):
    @settings(max_examples=60, deadline=None)
    @given(
        some=st.lists(claims(claim_type), min_size=1, max_size=3, unique_by=lambda c: c.claim_id)
    )
    def check(some):
        for claim in some:
            claim.is_test, claim.is_encounter = some[0].is_test, some[0].is_encounter
        stream = io.BytesIO(written(some).encode())

        items = list(read_837(stream, file_name="round.837", ingest_date=date(2025, 11, 21)))

        read = [item.claim for item in items if isinstance(item, IntakeClaim)]
        for claim in read:
            assert claim.attributes.pop("clearinghouse_id") == claim.claim_id
        assert read == some

    check()
