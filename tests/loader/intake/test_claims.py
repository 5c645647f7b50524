"""What a claim is refused for, what is only a warning; and that claims are never mixed up."""

import pytest


def replaced(content, old, new):
    assert content.count(old) == 1, content.count(old)
    return content.replace(old, new)


def accounts(claims):
    return [claim.patient_account_number for claim in claims]


@pytest.mark.parametrize(
    ("old", "new", "segment", "code"),
    [
        (b"CLM*ACC-1001*185.00*", b"CLM*ACC-1001*185.001*", 21, "number"),
        (b"CLM*ACC-1001*185.00*", b"CLM*ACC-1001**", 21, "number"),
        (b"SV1*HC:71046*60.00*UN*1*", b"SV1*HC:71046*6O*UN*1*", 31, "number"),
        (b"SV1*HC:71046*60.00*UN*1*", b"SV1*HC:71046*60.00*UN*1.0001*", 31, "number"),
        (b"SV1*HC:71046*60.00*UN*1***1~\n", b"", 30, "missing_segment"),
        (b"NM1*IL*1*TESTER*ALMA****MI*MEM0001~\n", b"", 20, "missing_loop"),
        (b"HL*2*1*22*0~", b"HL*2*1*2Z*0~", 21, "hierarchy"),
        (b"LX*2~\nSV1*HC:71046", b"CL1*1~\nLX*2~\nSV1*HC:71046", 30, "unexpected_segment"),
    ],
)
def test_a_claim_with_an_error_is_refused_and_its_neighbours_load(
    read, professional, old, new, segment, code
):
    claims, problems = read(replaced(professional, old, new))

    assert accounts(claims) == ["ACC-1002", "ACC-1003"]
    assert (segment, code) in [(p.segment, p.code) for p in problems if p.level == "error"]
    assert {p.claim_id for p in problems if p.level == "error"} <= {"DEMO-P-0001", ""}


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"DTP*472*D8*20251103~\nREF*6R*1~", b"DTP*472*D8*20251131~\nREF*6R*1~", "date"),
        (b"DTP*472*D8*20251103~\nREF*6R*1~", b"REF*6R*1~", "missing_segment"),
        (b"DMG*D8*19521104*F", b"DMG*D8*19521304*F", "date"),
        (b"DMG*D8*19521104*F~\n", b"", "missing_segment"),
        (b"REF*EI*123456789~\n", b"", "missing_segment"),
        (b"REF*EI*123456789~\n", b"REF*EI*123456789~\nREF*EI*1~\n", "repeated_segment"),
        (b"*185.00***11:B:1*", b"*185.00***11:A:1*", "code_value"),
        (b"LX*2~\nSV1*HC:71046", b"SV1*HC:71046", "missing_segment"),
        (b"LX*2~\nSV1*HC:71046", b"LX*x~\nSV1*HC:71046", "line_number"),
        (b"SV1*HC:99213:25*125.00*UN*", b"SV1*HC:99213:25*125.00*DA*", "code_value"),
        (b"PRV*PE*PXC*207Q00000X~\nLX*1", b"ZZ9*1~\nLX*1", "unexpected_segment"),
        (b"NM1*82*1*SAMPLER*RUTH****XX*1999999984~\nPRV", b"NM1*XX*1~\nPRV", "entity_code"),
        (b"HI*ABK:E119*ABF:I10~", b"HI*ABK:E119*ABF:I10*QQ:1~", "code_value"),
        (b"HI*ABK:E119*ABF:I10~", b"HI*BK:4019*ABF:I10~", "icd9"),
        (b"SBR*P*18*GRP100******MB~", b"SBR*Z*18*GRP100******MB~", "code_value"),
    ],
)
def test_a_lesser_fault_is_a_warning_and_the_claim_loads(read, professional, old, new, code):
    claims, problems = read(replaced(professional.replace(b"SE*72", b"SE*0"), old, new))

    assert accounts(claims) == ["ACC-1001", "ACC-1002", "ACC-1003"]
    others = [(p.level, p.code) for p in problems if p.code != "segment_count"]
    assert others == [("warning", code)]


def test_an_impossible_day_is_left_empty(read, professional):
    claims, problems = read(replaced(professional, b"DMG*D8*19521104*F", b"DMG*D8*19520230*F"))

    assert claims[0].patient_date_of_birth == ""
    assert "CCYYMMDD" in problems[0].message


def test_a_diagnosis_without_code_keeps_its_place(read, professional):
    claims, _ = read(replaced(professional, b"HI*ABK:E119*ABF:I10~", b"HI*ABK*ABF:I10~"))

    assert [d.code for d in claims[0].diagnoses] == ["", "I10"]


def test_a_pointer_that_is_no_number_points_to_nothing(read, professional):
    claims, problems = read(replaced(professional, b"125.00*UN*1***1:2~", b"125.00*UN*1***1:B~"))

    assert list(claims[0].lines[0].diagnosis_pointers) == [1, 0]
    assert [p.code for p in problems] == ["components"]


def test_codes_are_upper_case_without_punctuation(read, professional):
    content = replaced(professional, b"HI*ABK:E119*", b"HI*abk:e11.9*")

    claims, _ = read(content.replace(b"HC:45380:59", b"hc:g0378:xu"))

    assert claims[0].diagnoses[0].code == "E119"
    line = claims[1].lines[1]
    assert (line.procedure_qualifier, line.procedure_code) == ("HC", "G0378")
    assert list(line.modifiers) == ["XU"]


def test_free_text_is_dropped(read, professional):
    content = replaced(professional, b"SV1*HC:71046*", b"NTE*ADD*SECRET~\nSV1*HC:71046:::::SECRET*")

    claims, _ = read(content)

    assert "SECRET" not in str(claims)


def test_an_amount_keeps_every_cent(read, professional):
    claims, _ = read(replaced(professional, b"*185.00***11", b"*999999999.99***11"))

    assert claims[0].total_charge_cents == 99_999_999_999


def test_composites_follow_the_separator_of_clm05(read, professional):
    head, tail = professional[:106], professional[106:]

    claims, problems = read(head + tail.replace(b":", b">"))

    assert claims == read(professional)[0]
    assert [p.code for p in problems] == ["components"]


def test_a_repeated_billing_provider_refuses_what_it_bills(read, professional):
    twice = b"NM1*85*2*OTHER*****XX*1245319599~\n"

    claims, problems = read(replaced(professional, b"HL*2*1*22*0~\n", twice + b"HL*2*1*22*0~\n"))

    assert claims == []
    repeated = [p for p in problems if p.code == "repeated_loop"]
    assert [p.claim_id for p in repeated] == ["DEMO-P-0001", "DEMO-P-0002", "DEMO-P-0003"]


def test_a_patient_is_never_taken_for_another_when_hl_is_lost(read, professional):
    claims, problems = read(replaced(professional, b"HL*3*1*22*0~\n", b""))

    assert accounts(claims) == ["ACC-1003"]
    assert {p.claim_id for p in problems if p.level == "error"} == {"DEMO-P-0001", "DEMO-P-0002"}


def test_a_dependant_is_never_taken_for_the_subscriber_when_hl_is_lost(read, professional):
    claims, problems = read(replaced(professional, b"HL*5*4*23*0~\n", b""))

    assert accounts(claims) == ["ACC-1001", "ACC-1002"]
    assert "hierarchy" in [p.code for p in problems if p.claim_id == "DEMO-P-0003"]


def test_what_one_subscriber_lacks_is_never_taken_from_the_one_before(read, professional):
    content = replaced(professional, b"DMG*D8*19640216*M~\n", b"")
    second = content.index(b"NM1*IL*1*PATTERN")
    payer = b"NM1*PR*2*DEMO HEALTH PLAN*****PI*DEMO1~\n"

    claims, _ = read(content[:second] + content[second:].replace(payer, b"", 1))

    assert claims[1].patient_account_number == "ACC-1002"
    assert (claims[1].patient_date_of_birth, claims[1].patient_sex) == ("", "")
    assert (claims[1].payer_id, claims[1].payer_name) == ("", "")


def test_what_one_dependant_lacks_is_never_taken_from_the_one_before(read, professional):
    start, end = professional.index(b"HL*5*4*23*0~"), professional.index(b"SE*72")
    sibling = professional[start:end].replace(b"HL*5", b"HL*6").replace(b"LEO", b"MIA")
    sibling = sibling.replace(b"DMG*D8*20120530*M~\n", b"").replace(b"PAT*19~\n", b"")

    claims, _ = read(professional[:end] + sibling + professional[end:])

    assert [c.patient_first_name for c in claims[2:]] == ["LEO", "MIA"]
    assert claims[3].subscriber_id == "MEM0003"
    assert (claims[3].patient_date_of_birth, claims[3].relationship_code) == ("", "")


def test_two_claims_are_never_merged_when_clm_is_lost(read, professional):
    start = professional.index(b"CLM*ACC-1002")
    end = professional.index(b"HL*4*")
    second = professional[start:end]
    headless = second[second.index(b"\n") + 1 :].replace(b"DEMO-P-0002", b"DEMO-P-0009")

    claims, problems = read(professional[:end] + headless + professional[end:])

    assert accounts(claims) == ["ACC-1001", "ACC-1003"]
    assert "unexpected_segment" in [p.code for p in problems if p.claim_id == "DEMO-P-0002"]


def test_a_claim_without_clm_is_an_error(read, professional):
    start = professional.index(b"CLM*ACC-1002")
    end = professional.index(b"\n", start) + 1

    claims, problems = read(professional[:start] + professional[end:])

    assert accounts(claims) == ["ACC-1001", "ACC-1003"]
    errors = [p for p in problems if p.level == "error"]
    assert [p.code for p in errors] == ["unexpected_segment"]


def test_a_number_of_another_payer_is_not_the_claims_own(read, samples):
    content = (samples / "professional-second-payer.837").read_bytes()
    payer = b"NM1|PR|2|EMPLOYER PLAN|||||PI|EMP01~\n"

    claims, _ = read(replaced(content, payer, payer + b"REF|F8|OTHER~\n"))

    assert claims[0].payer_claim_control_number == "PCN778899"


def test_a_number_of_a_lines_provider_is_not_the_lines_own(read, samples):
    content = (samples / "professional-second-payer.837").read_bytes()
    orderer = b"NM1|DK|1|SAMPLER|RUTH||||XX|1999999984~\n"

    claims, _ = read(replaced(content, orderer, orderer + b"REF|G1|OTHER~\n"))

    assert claims[0].lines[1].prior_authorization_number == ""


@pytest.mark.parametrize("name", [b"NM1*P3*1*OTHER*ANN~\n", b"NM1*Q9*1*OTHER*ANN~\n"])
def test_a_specialty_is_never_taken_for_that_of_another_provider(read, professional, name):
    taxonomy = b"PRV*PE*PXC*207Q00000X~\nLX*1"

    claims, _ = read(replaced(professional, taxonomy, name + taxonomy))

    assert claims[0].rendering_provider.npi == "1999999984"
    assert claims[0].rendering_provider.taxonomy == ""


def test_decisions_on_one_line_are_not_those_of_the_next(read, samples):
    content = (samples / "professional-second-payer.837").read_bytes()
    equipment = b"SV5|HC>E0431|DA|30|100|900|4~\n"

    claims, problems = read(replaced(content, equipment, equipment + b"CAS|CO|45|1~\n"))

    assert len(claims[0].lines[0].prior_adjudications[0].adjustments) == 1
    assert [(p.level, p.code) for p in problems if p.code != "segment_count"] == [
        ("warning", "unexpected_segment")
    ]


def test_a_claim_of_too_many_lines_is_refused(read, professional):
    line = b"LX*3~\nSV1*HC:71046*60.00*UN*1***1~\nDTP*472*D8*20251103~\n"
    content = replaced(professional, b"REF*6R*2~\n", b"REF*6R*2~\n" + line * 1000)

    claims, problems = read(content)

    assert accounts(claims) == ["ACC-1002", "ACC-1003"]
    assert ("claim_size", "DEMO-P-0001") in [(p.code, p.claim_id) for p in problems]


def test_a_claim_without_end_is_given_up_and_its_neighbours_load(read, professional):
    endless = b"CAS*CO*45*1~\n" * 40_000
    content = replaced(
        professional,
        b"LX*1~\nSV1*HC:99213:25",
        b"SBR*S*18~\n" + endless + b"LX*1~\nSV1*HC:99213:25",
    )

    claims, problems = read(content)

    assert accounts(claims) == ["ACC-1002", "ACC-1003"]
    assert ("claim_size", "DEMO-P-0001") in [(p.code, p.claim_id) for p in problems]


def test_times_and_days_of_a_stay_are_checked(read, inpatient):
    content = replaced(inpatient, b"DTP*096*TM*1130", b"DTP*096*TM*2530")

    claims, problems = read(replaced(content, b"DT*202511010715", b"DT*202511310715"))

    assert (claims[0].discharge_hour, claims[0].admission_date) == ("", "")
    assert [p.code for p in problems] == ["date", "date"]


def test_a_patient_who_stays_has_no_discharge(read, inpatient):
    claims, _ = read(replaced(inpatient, b"CL1*3*1*06", b"CL1*3*1*30"))

    assert claims[0].discharge_date == ""


def test_professional_lines_on_an_institutional_claim_are_read_and_said(read, inpatient):
    content = replaced(inpatient, b"SV2*0120**6600.00*DA*3", b"SV1*HC:99213*6600.00*DA*3")

    claims, problems = read(content)

    assert len(claims[0].lines) == 3
    assert [(p.level, p.code) for p in problems] == [("warning", "unexpected_segment")]


@pytest.mark.parametrize(
    ("segments", "certificate", "documentation"),
    [
        (b"PWK*CT*AD~\n", True, True),
        (b"PWK*CT*AB~\n", True, True),
        (b"PWK*CT*AF~\n", True, True),
        (b"PWK*CT*NS~\n", False, True),
        (b"PWK*CT*AG~\n", False, False),
        (b"PWK*CT~\n", False, True),
        (b"PWK*CT*AD~\nPWK*CT*NS~\n", True, True),
        (b"PWK*OZ*BM***AC*DOC1~\n", False, True),
        (b"LQ*UT*484.3~\nFRM*1A***56~\n", True, False),
        (b"LQ*AS*A~\n", False, False),
        (b"", False, False),
    ],
)
def test_certificate_of_equipment_is_told_from_other_documents(
    read, professional, segments, certificate, documentation
):
    at = b"PWK*OZ*BM***AC*DOC1~\n"

    claims, problems = read(replaced(professional.replace(b"SE*72", b"SE*0"), at, segments))

    line = claims[-1].lines[0]
    assert line.has_medical_necessity_certificate is certificate
    assert line.has_documentation is documentation
    assert {problem.code for problem in problems} <= {"segment_count"}
