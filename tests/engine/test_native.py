"""The compiled reader answers as the Python one does, bit for bit, or leaves the pass to it."""

import csv
import subprocess
import sys
from dataclasses import fields
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from claimgate import resources
from claimgate.v1 import claim_pb2, score_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import fields_native, fields_python, pipeline
from engine.columns import Batch, Table
from engine.decode import decode
from engine.examples import claim_of
from engine.fields import CLAIM_FIELDS, CLAIM_ROLES, LINE_FIELDS, LINE_ROLES
from engine.gathered import Gathered, ModelAnswer
from engine.messages import as_message
from engine.pipeline import Engine
from engine.rules.rule import example, line
from loader.intake.file import read_claims
from loader.intake.item import IntakeClaim
from loader.synthetic import synthetic_claims
from tests.engine.scribbled import CODES, DATES, FOREIGN, SPACES, TEXTS, in_messages, scribbled

pytestmark = pytest.mark.usefixtures("compiled")

PLAIN = example("plain", line("99213-25"), line("71046"))
MUTATIONS = Path(__file__).with_name("mutations.py")


def batch_of(messages: list[score_pb2.ClaimBatch], reader: str, **options: bool) -> Batch:
    return decode(messages, **{"allow_zero_charge": True, **options}, reader=reader)


def assert_equal_tables(native: Table, python: Table) -> None:
    for column in fields(python):
        ours, theirs = getattr(native, column.name), getattr(python, column.name)
        assert ours.dtype == theirs.dtype, column.name
        assert ours.shape == theirs.shape, column.name
        assert ours.tobytes() == theirs.tobytes(), column.name


def assert_same_fields(messages: list[score_pb2.ClaimBatch]) -> None:
    """Hold the columns of all claims against each other, also of those that cannot be scored."""
    message = np.repeat(np.arange(len(messages)), [len(each.claims) for each in messages])
    sent = list(map(as_message, messages))
    native = fields_native.read(sent, message)
    if native is None:
        return
    python = fields_python.read(sent, message)
    assert {name: list(texts) for name, texts in python[0].texts.items()} == native[0].texts
    for table in ("claims", "lines", "diagnoses", "icd_procedures"):
        ours, theirs = getattr(native[0], table), getattr(python[0], table)
        for name, column in theirs.items():
            assert ours[name].dtype == column.dtype, name
            assert ours[name].shape == column.shape, name
            assert ours[name].tobytes() == column.tobytes(), name


def assert_same(messages: list[score_pb2.ClaimBatch], **options: bool) -> Batch:
    """Hold both readers against each other; return what the compiled one says."""
    assert_same_fields(messages)
    native = batch_of(messages, "native", **options)
    python = batch_of(messages, "python", **options)
    for column in fields(python.received):
        ours, theirs = getattr(native.received, column.name), getattr(python.received, column.name)
        assert list(ours) == list(theirs), column.name
    assert native.violations == python.violations
    assert native.words == python.words
    for table in ("claims", "lines", "diagnoses", "icd_procedures"):
        assert_equal_tables(getattr(native, table), getattr(python, table))
    return native


def is_read(messages: list[score_pb2.ClaimBatch]) -> bool:
    """Whether the compiled reader takes the messages itself."""
    content = b"".join(message.SerializeToString() for message in messages)
    return fields_native.read_bytes(content) is not None


# --- claims as they come


def test_synthetic_claims_with_every_planted_problem_are_read_the_same():
    messages = in_messages(list(synthetic_claims(5_000, seed=7)), 100)

    batch = assert_same(messages)

    assert is_read(messages)
    assert len(batch.claims) + len(batch.violations) == 5_000
    assert batch.violations


def test_claims_of_the_projects_files_are_read_the_same():
    files = sorted(resources.find("claims-sample").glob("*.837"))
    claims = [
        item.claim
        for path in files
        for item in read_claims(path, ingest_date=date(2025, 12, 31))
        if isinstance(item, IntakeClaim)
    ]

    assert_same(in_messages(claims, 3))

    assert len(claims) > len(files)
    assert is_read(in_messages(claims, 3))


def test_claims_of_published_files_are_read_the_same(shared_data):
    with (shared_data / "claims" / "x12" / "MANIFEST.csv").open() as manifest:
        paths = [shared_data / "claims" / row["file"] for row in csv.DictReader(manifest)]
    claims = [
        item.claim
        for path in paths
        for item in read_claims(path, ingest_date=date(2025, 12, 31))
        if isinstance(item, IntakeClaim)
    ]

    assert_same(in_messages(claims, 50))

    assert len(claims) > 100


@pytest.mark.parametrize("claims", [[], [[]], [[], [claim_of(PLAIN)], []], [[claim_pb2.Claim()]]])
def test_empty_messages_and_claims_are_read_the_same(claims):
    messages = [score_pb2.ClaimBatch(claims=each) for each in claims]

    assert_same(messages)

    assert is_read(messages)


def test_answers_are_the_same_bytes_with_either_reader(sample_reference, monkeypatch):
    engine = Engine.with_all_rules(sample_reference)
    messages = in_messages(list(synthetic_claims(300, seed=11)), 50)
    answers = []

    for reader in ("native", "python"):
        monkeypatch.setattr(pipeline, "decode", partial(decode, reader=reader))
        read = engine.read(messages)
        scored = engine.score(
            read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_TRACE] * len(messages)
        )
        answers.append(scored)

    assert answers[0] == answers[1]
    assert len(answers[0]) == len(messages)


# --- claims as nobody sends them


@given(seed=st.integers(0, 2**32), count=st.integers(1, 8), size=st.integers(1, 4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_claims_with_codes_in_ascii_are_read_the_same(seed, count, size):
    messages = in_messages(scribbled(seed, count, ascii_codes=True), size)

    assert_same(messages)

    assert is_read(messages)


@given(seed=st.integers(0, 2**32), count=st.integers(1, 4))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_claims_with_foreign_codes_are_read_the_same(seed, count):
    assert_same(in_messages(scribbled(seed, count, ascii_codes=False), 2))


def texts_of(descriptor: Descriptor, read: dict) -> list[str]:
    return [
        field.name
        for field in descriptor.fields
        if field.name in read
        and field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        and not field.is_repeated
    ]


TEXT_FIELDS = texts_of(claim_pb2.Claim.DESCRIPTOR, CLAIM_FIELDS)
LINE_TEXT_FIELDS = texts_of(claim_pb2.ServiceLine.DESCRIPTOR, LINE_FIELDS)
PROVIDER_TEXT_FIELDS = list(CLAIM_ROLES["billing_provider"])
ANY_TEXT = st.one_of(
    st.text(max_size=110),
    st.text(alphabet=SPACES + "0123456789-/AZaz\x00\x7f\x85\xa0", max_size=22),
    st.sampled_from(CODES + DATES + TEXTS + FOREIGN),
)


@given(field=st.sampled_from(TEXT_FIELDS), text=ANY_TEXT)
@settings(max_examples=400, deadline=None)
def test_any_text_in_any_field_of_a_claim_is_read_the_same(field, text):
    claim = claim_of(PLAIN)

    setattr(claim, field, text)

    assert_same([score_pb2.ClaimBatch(claims=[claim, claim_of(PLAIN, "OTHER")])])


@given(field=st.sampled_from([*LINE_TEXT_FIELDS, "modifiers"]), text=ANY_TEXT)
@settings(max_examples=300, deadline=None)
def test_any_text_in_any_field_of_a_line_is_read_the_same(field, text):
    claim = claim_of(PLAIN)

    if field == "modifiers":
        claim.lines[1].modifiers[:] = ["25", text]
    else:
        setattr(claim.lines[1], field, text)

    assert_same([score_pb2.ClaimBatch(claims=[claim])])


@given(
    role=st.sampled_from(list(CLAIM_ROLES)),
    field=st.sampled_from(PROVIDER_TEXT_FIELDS),
    text=ANY_TEXT,
)
@settings(max_examples=300, deadline=None)
def test_any_text_in_any_field_of_a_provider_is_read_the_same(role, field, text):
    claim = claim_of(PLAIN)

    setattr(getattr(claim, role), field, text)
    if role in LINE_ROLES:
        setattr(getattr(claim.lines[0], role), field, text)

    assert_same([score_pb2.ClaimBatch(claims=[claim])])


@given(
    day=st.dates(date(1899, 1, 1), date(2102, 1, 1)),
    form=st.sampled_from(["%Y-%m-%d", "%Y%m%d", "%m/%d/%Y"]),
)
@settings(max_examples=300, deadline=None)
def test_every_day_is_read_the_same_in_every_form(day, form):
    claim = claim_of(PLAIN)
    claim.patient_date_of_birth = day.strftime(form)

    native = assert_same([score_pb2.ClaimBatch(claims=[claim])])

    if 1900 <= day.year <= 2100:
        assert native.claims.birth_date.tolist() == [day]
    else:
        assert [v.code for v in native.violations[0]] == ["V13"]


# --- what is left to Python


@pytest.mark.parametrize("text", FOREIGN)
def test_codes_beyond_ascii_leave_the_pass_to_python(text):
    claim = claim_of(PLAIN)
    claim.lines[0].procedure_code = text
    messages = [score_pb2.ClaimBatch(claims=[claim])]

    assert_same(messages)

    assert not is_read(messages)


def test_names_beyond_ascii_are_read_by_the_compiled_reader():
    claim = claim_of(PLAIN, "Jos\xe9")
    claim.patient_last_name = "\u6771\u4eac \U0001f600"
    claim.billing_provider.last_or_org_name = "\xc1"
    claim.person_id = "\u6771"
    messages = [score_pb2.ClaimBatch(claims=[claim])]

    batch = assert_same(messages)

    assert is_read(messages)
    assert list(batch.received.claim_ids) == ["Jos\xe9"]
    assert not batch.violations


def tagged(number: int, wire_type: int, content: bytes) -> bytes:
    """A field on the wire; numbers below 2048."""
    tag = number << 3 | wire_type
    return bytes([tag & 0x7F | 0x80, tag >> 7]) + content


@pytest.mark.parametrize(
    ("unknown", "read"),
    [
        (tagged(1999, 0, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), True),
        (tagged(1999, 1, b"12345678"), True),
        (tagged(1999, 5, b"1234"), True),
        (tagged(1999, 2, b"\x03abc"), True),
        (tagged(1, 0, b"\x05"), True),  # claim_id as a number
        (tagged(53, 0, b"\x05"), True),  # diagnoses as a number
        (tagged(64, 5, b"abcd"), True),  # lines as four bytes
        (tagged(3, 2, b"\x01\x02"), True),  # claim_type as a text
        (tagged(1999, 3, b"") + tagged(1, 0, b"\x05") + tagged(1999, 4, b""), False),
    ],
)
def test_fields_that_the_api_does_not_know_are_passed_over(unknown, read):
    content = claim_of(PLAIN).SerializeToString() + unknown
    claim = claim_pb2.Claim.FromString(content)
    messages = [score_pb2.ClaimBatch(claims=[claim, claim_of(PLAIN, "NEXT")])]

    assert_same(messages)

    assert unknown[:2] in messages[0].SerializeToString()
    assert is_read(messages) is read


def test_numbers_that_are_not_packed_are_read_as_packed_ones():
    line_ = claim_pb2.ServiceLine(line_number=1, units_milli=1000).SerializeToString()
    pointers = b"\x70\x01\x70\x03"  # field 14, one varint each
    inner = line_ + pointers
    claim = b"\x82\x04" + bytes([len(inner)]) + inner
    content = b"\x0a" + bytes([len(claim)]) + claim

    tables = fields_native.read_bytes(content)

    assert tables is not None
    assert tables[1]["diagnosis_pointers"].tolist() == [[1, 3, 0, 0]]


# --- bytes that no encoder writes


@pytest.mark.parametrize("end", range(1, 40))
def test_cut_bytes_are_refused(end):
    content = score_pb2.ClaimBatch(claims=[claim_of(PLAIN)]).SerializeToString()

    assert fields_native.read_bytes(content[:-end]) is None
    assert fields_native.read_bytes(content[:end]) is None


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80" * 20,
        b"\x0a\x03\x82\x04\x7f",
        b"\x0a\x02\x0a\x05",
        b"\x0b\x0c",
        b"\x0f",
    ],
)
def test_lengths_that_lie_are_refused(content):
    assert fields_native.read_bytes(content) is None


def test_mutated_bytes_never_crash_and_stay_within_their_columns():
    done = subprocess.run(
        [sys.executable, str(MUTATIONS), "1", "20000"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    assert "20000 buffers" in done.stdout
