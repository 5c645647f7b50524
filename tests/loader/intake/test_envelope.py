"""Interchanges, groups and transactions: what separates them, ends them, and is checked."""

import pytest


def codes(problems, level):
    return [(p.segment, p.code) for p in problems if p.level == level]


def lost(content, segment):
    """A file without one of its segments."""
    segments = content.split(b"~\n")
    del segments[segment - 1]
    return b"~\n".join(segments)


def replaced(content, old, new):
    assert old in content
    return content.replace(old, new)


@pytest.mark.parametrize("noise", [b"", b"\r\n", b"\n    ", b"\n\n\t"])
def test_breaks_and_indentation_behind_a_terminator_are_nothing(read, professional, noise):
    plain, _ = read(professional)

    claims, problems = read(professional.replace(b"~\n", b"~" + noise))

    assert (claims, problems) == (plain, [])


@pytest.mark.parametrize(
    ("element", "component", "terminator"),
    [(b"|", b">", b"~"), (b"\x1d", b"\x1f", b"\x1c"), (b"*", b":", b"'"), (b"+", b"^", b"!")],
)
def test_separators_are_those_of_the_isa(read, professional, element, component, terminator):
    table = bytes.maketrans(b"*:~", element + component + terminator)

    claims, problems = read(professional.replace(b"^", b"#").translate(table))

    assert problems == []
    assert claims == read(professional)[0]


def test_interchanges_with_other_separators_follow_each_other(read, professional, samples):
    second = (samples / "professional-second-payer.837").read_bytes()

    claims, problems = read(professional + second + b"\n\n" + second.replace(b"0002", b"0003"))

    assert [c.claim_id for c in claims][:4] == [f"DEMO-P-{n:04}" for n in (1, 2, 3)] + [
        "DEMO-C-0001"
    ]
    assert len(claims) == 5
    assert len({c.claim_id for c in claims}) == 5
    assert {p.code for p in problems} == {"control_number"}


def test_a_repeated_clearinghouse_id_is_given_once(read, professional):
    content = replaced(professional, b"DEMO-P-0002", b"DEMO-P-0001")

    claims, problems = read(content)

    assert claims[0].claim_id == "DEMO-P-0001"
    assert claims[1].claim_id != "DEMO-P-0001"
    assert len(claims[1].claim_id) == 20
    assert [(p.code, p.claim_id) for p in problems] == [("control_number", claims[1].claim_id)]


def test_claim_ids_are_the_same_whenever_the_file_is_read(read, samples):
    content = (samples / "faults.837").read_bytes()

    assert read(content) == read(content)


def test_the_same_interchange_twice_gives_other_ids(read, samples):
    content = (samples / "faults.837").read_bytes()

    claims, problems = read(content + content)

    assert len({c.claim_id for c in claims}) == len(claims) == 10
    assert any(p.code == "control_number" for p in problems)


def test_a_file_without_isa_is_refused_at_segment_1(read, professional):
    claims, problems = read(lost(professional, 1))

    assert claims == []
    assert [(p.segment, p.level, p.code) for p in problems] == [(1, "error", "envelope")]


def test_reading_goes_on_at_the_next_isa(read, professional):
    claims, problems = read(b"something else\n" * 20_000 + professional)

    assert len(claims) == 3
    assert [(p.segment, p.level, p.code) for p in problems] == [(1, "warning", "envelope")]


def test_claims_before_the_first_isa_are_an_error(read, professional):
    claims, problems = read(lost(professional, 1) + professional)

    assert len(claims) == 3
    assert codes(problems, "error") == [(1, "envelope")]


def test_an_isa_of_wrong_width_still_separates(read, professional):
    claims, problems = read(replaced(professional, b"*CLAIMGATEDEMO  *", b"*CLAIMGATEDEMO *"))

    assert len(claims) == 3
    assert codes(problems, "warning") == [(1, "separators")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_text_is_refused_by_name(read, professional, encoding):
    claims, problems = read(professional.decode().encode(encoding))

    assert claims == []
    assert codes(problems, "error") == [(1, "encoding")]


def test_an_empty_file_is_a_problem(read):
    claims, problems = read(b"")

    assert claims == []
    assert codes(problems, "error") == [(1, "envelope")]


def test_latin_1_is_read_and_said(read, professional):
    content = replaced(professional, b"*PATTERN*", "*MÜLLER*".encode("latin-1"))

    claims, problems = read(content)

    assert claims[1].patient_last_name == "MÜLLER"
    assert [(p.level, p.code) for p in problems] == [("warning", "characters")]
    assert problems[0].segment == 36


def test_utf_8_is_read_without_a_word(read, professional):
    claims, problems = read(replaced(professional, b"*PATTERN*", "*MÜLLER*".encode()))

    assert claims[1].patient_last_name == "MÜLLER"
    assert problems == []


def test_control_characters_are_reported_where_they_stand(read, professional):
    claims, problems = read(replaced(professional, b"*PATTERN*", b"*PAT\x07ERN*"))

    assert len(claims) == 3
    assert codes(problems, "warning") == [(36, "characters")]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"SE*72*", b"SE*71*", "segment_count"),
        (b"SE*72*0001", b"SE*72*0002", "control_number"),
        (b"GE*1*1~\n", b"", "envelope"),
        (b"GE*1*1", b"GE*2*1", "segment_count"),
        (b"GE*1*1", b"GE*1*2", "control_number"),
        (b"IEA*1*", b"IEA*x*", "segment_count"),
        (b"IEA*1*000000001", b"IEA*1*000000009", "control_number"),
        (b"*00501*", b"*00401*", "version"),
        (b"*0*P*:", b"*0*X*:", "code_value"),
        (b"*X*005010X222A1~", b"*X*005010X223A2~", "version"),
        (b"*0900*CH~", b"*0900*XX~", "code_value"),
        (b"*20251120*0900*CH~", b"*20251320*0900*CH~", "date"),
    ],
)
def test_a_wrong_envelope_is_a_warning_and_the_claims_load(read, professional, old, new, code):
    claims, problems = read(replaced(professional, old, new))

    assert len(claims) == 3
    assert [(p.level, p.code) for p in problems] == [("warning", code)]


def test_without_a_date_of_its_own_a_claim_is_received_today(read, professional):
    claims, _ = read(replaced(professional, b"*20251120*0900*CH~", b"**0900*CH~"))

    assert [c.received_date for c in claims] == ["2025-11-21", "2025-11-18", "2025-11-21"]


@pytest.mark.parametrize("guide", [b"004010X098A1", b"005010X224A2", b"005010X298"])
def test_a_transaction_of_another_guide_is_refused_and_the_next_is_read(read, professional, guide):
    start, end = professional.index(b"ST*"), professional.index(b"GE*")
    transaction = professional[start:end]
    foreign = transaction.replace(b"005010X222A1", guide)

    claims, problems = read(
        professional[:start]
        + foreign
        + transaction.replace(b"*0001", b"*0002")
        + professional[end:].replace(b"GE*1", b"GE*2")
    )

    assert [c.claim_id for c in claims] == ["DEMO-P-0001", "DEMO-P-0002", "DEMO-P-0003"]
    (refusal,) = [p for p in problems if p.level == "error"]
    assert (refusal.segment, refusal.code) == (3, "guide")
    assert guide.decode() in refusal.message
    assert "3 in number" in refusal.message


def test_a_group_without_ge_ends_at_the_next_group(read, professional):
    start, end = professional.index(b"GS*"), professional.index(b"GE*")
    second = professional[start:end].replace(b"*0900*1*X*", b"*0900*2*X*")

    claims, problems = read(
        professional[:end] + second + b"GE*1*2~\n" + professional[end + 7 :].replace(b"A*1", b"A*2")
    )

    assert len(claims) == 6
    assert [p.code for p in problems if not p.claim_id] == ["envelope"]


def test_a_claim_that_the_file_ends_in_is_refused(read, professional):
    cut = professional.rindex(b"DTP*472")

    claims, problems = read(professional[:cut])

    assert [c.claim_id for c in claims] == ["DEMO-P-0001", "DEMO-P-0002"]
    assert ("DEMO-P-0003", "truncated") in [(p.claim_id, p.code) for p in problems]


def test_a_missing_se_costs_the_last_claim_only(read, professional):
    claims, problems = read(lost(professional, 74))

    assert [c.claim_id for c in claims] == ["DEMO-P-0001", "DEMO-P-0002"]
    assert ("DEMO-P-0003", "truncated") in [(p.claim_id, p.code) for p in problems]


def test_a_last_segment_without_terminator_is_read(read, professional):
    claims, problems = read(professional.rstrip(b"~\n"))

    assert len(claims) == 3
    assert [(p.level, p.code) for p in problems] == [("warning", "truncated")]


def test_a_segment_without_end_is_skipped_and_the_next_isa_is_found(read, professional):
    endless = professional.replace(b"HI*ABK:E119", b"HI*ABK:E119" + b"X" * 200_000)

    claims, problems = read(endless + professional.replace(b"000000001", b"000000002"))

    assert [p.code for p in problems if p.level == "error"] == ["segment_size"]
    assert [c.patient_account_number for c in claims] == [
        "ACC-1002",
        "ACC-1003",
        "ACC-1001",
        "ACC-1002",
        "ACC-1003",
    ]


def test_names_that_contain_isa_are_no_headers(read, professional):
    claims, problems = read(professional.replace(b"*TESTER*ALMA*", b"*ISA*LOUISA*"))

    assert (claims[0].patient_last_name, claims[0].patient_first_name) == ("ISA", "LOUISA")
    assert problems == []


def test_no_value_of_the_file_is_repeated_in_a_problem(read, samples):
    content = (samples / "faults.837").read_bytes().replace(b"~\nN3", b"~\nN3*SECRET~\nN9")

    _, problems = read(content.replace(b"MEM9", b"SECRET").replace(b"FAULTY", b"SECRET"))

    assert problems
    assert not [p for p in problems if "SECRET" in p.message or "9002" in p.message]
