"""Columns are read as the same claims in rows are, bit for bit, and refused where they lie."""

import subprocess
import sys
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from claimgate.columns import ColumnError, Columns, pack
from claimgate.v1 import claim_pb2, score_pb2
from claimgate.v1.claim_columns_pb2 import ClaimColumns, Column
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import fields_columns, fields_python
from engine.columns import Batch
from engine.decode import decode
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.messages import as_message
from engine.pipeline import Engine
from engine.rules.rule import example, line
from engine.sent_columns import parse
from engine.words import word_key, word_keys
from loader.synthetic import synthetic_claims
from tests.engine.scribbled import in_messages, scribbled

PLAIN = example("plain", line("99213-25"), line("71046"))
MUTATIONS = Path(__file__).with_name("column_mutations.py")
TABLES = ("claims", "lines", "diagnoses", "icd_procedures", "other_payers")


def packed(messages: list[score_pb2.ClaimBatch]) -> list[ClaimColumns]:
    return [pack(message) for message in messages]


def assert_same_fields(messages: list[score_pb2.ClaimBatch], sent: list[ClaimColumns]) -> None:
    """Hold the columns of all claims against each other, also of those that cannot be scored."""
    message = np.repeat(np.arange(len(messages)), [len(each.claims) for each in messages])
    rows = fields_python.read(list(map(as_message, messages)), message)[0]
    columns = fields_columns.read([each.SerializeToString() for each in sent])[0]
    assert columns.message.tolist() == rows.message.tolist()
    assert columns.texts == {name: list(texts) for name, texts in rows.texts.items()}
    for table in ("claims", "lines", "diagnoses", "icd_procedures"):
        ours, theirs = getattr(columns, table), getattr(rows, table)
        assert ours.keys() == theirs.keys()
        for name, column in theirs.items():
            assert ours[name].dtype == column.dtype, name
            assert ours[name].shape == column.shape, name
            assert ours[name].tobytes() == column.tobytes(), name


def assert_same(
    messages: list[score_pb2.ClaimBatch], sent: list[ClaimColumns] | None = None
) -> Batch:
    """Hold both forms against each other; return what the columns say."""
    sent = sent or packed(messages)
    assert_same_fields(messages, sent)
    columns = decode(sent, allow_zero_charge=True)
    for reader in ("native", "python"):
        rows = decode(messages, allow_zero_charge=True, reader=reader)
        for column in fields(rows.received):
            ours, theirs = (
                getattr(columns.received, column.name),
                getattr(rows.received, column.name),
            )
            assert list(ours) == list(theirs), column.name
        assert columns.violations == rows.violations
        assert columns.words == rows.words
        for table in TABLES:
            for column in fields(getattr(rows, table)):
                ours = getattr(getattr(columns, table), column.name)
                theirs = getattr(getattr(rows, table), column.name)
                assert ours.dtype == theirs.dtype, column.name
                assert ours.tobytes() == theirs.tobytes(), column.name
    return columns


# --- the same claims


@pytest.mark.parametrize("size", [100, 1_500])
def test_synthetic_claims_with_every_planted_problem_are_read_the_same(size):
    messages = in_messages(list(synthetic_claims(1_500, seed=7)), size)

    batch = assert_same(messages)

    assert batch.violations
    assert len(batch.claims) + len(batch.violations) == 1_500


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 8),
    size=st.integers(1, 4),
    ascii_codes=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_claims_are_read_the_same(seed, count, size, ascii_codes):
    assert_same(in_messages(scribbled(seed, count, ascii_codes=ascii_codes), size))


@pytest.mark.parametrize("claims", [[[]], [[], [claim_of(PLAIN)], []], [[claim_pb2.Claim()]]])
def test_empty_messages_and_claims_are_read_the_same(claims):
    assert_same([score_pb2.ClaimBatch(claims=each) for each in claims])


def test_other_payers_and_their_adjudications_are_read_the_same():
    claim = claim_of(PLAIN)
    payer = claim.other_payers.add(payer_id="P2", payer_sequence="S", paid_cents=0)
    payer.adjustments.add(group="CO", carc="45", amount_cents=700)
    claim.other_payers.add(payer_id="P3")
    decided = claim.lines[1].prior_adjudications.add(payer_id="P2", adjudication_date="2025-10-01")
    decided.adjustments.add(group="PR", carc="1", amount_cents=2**62)

    batch = assert_same([score_pb2.ClaimBatch(claims=[claim_of(PLAIN, "OTHER"), claim])])

    assert batch.other_payers.claim.tolist() == [1, 1]


def test_answers_are_the_same_bytes_in_either_form(sample_reference):
    engine = Engine.with_all_rules(sample_reference)
    messages = in_messages(list(synthetic_claims(300, seed=11)), 50)
    views = [score_pb2.VIEW_TRACE] * len(messages)

    answers = [
        engine.score(engine.read(each), Gathered(ModelAnswer.disabled()), views)
        for each in (messages, packed(messages))
    ]

    assert answers[0] == answers[1]
    assert len(answers[0]) == len(messages)


# --- the same columns, sent in another way


def test_a_provider_is_where_one_of_its_fields_is_filled():
    claims = [claim_of(PLAIN, "A"), claim_of(PLAIN, "B")]
    claims[1].ClearField("billing_provider")
    messages = [score_pb2.ClaimBatch(claims=claims), score_pb2.ClaimBatch(claims=claims[:1])]
    sent = packed(messages)

    kept = [column for column in sent[0].columns if column.field != "billing_provider"]
    sent[0].ClearField("columns")
    sent[0].columns.extend(kept)

    assert_same(messages, sent)


def test_columns_may_come_in_any_order_and_texts_for_each_row():
    messages = in_messages(list(synthetic_claims(60, seed=3)), 20)
    sent = packed(messages)

    for message in sent[1:]:
        columns = list(message.columns)[::-1]
        for column in columns:
            if column.places:
                texts = [column.texts[place] for place in column.places]
                column.texts[:] = texts
                column.ClearField("places")
        message.ClearField("columns")
        message.columns.extend(columns)

    assert_same(messages, sent)


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def tagged(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def test_arrays_that_are_not_packed_are_read_as_packed_ones():
    number = (7).to_bytes(8, "little")
    version = tagged(1, b"claim_version") + b"\x11" + number + b"\x11" + number
    flags = tagged(1, b"is_test") + tagged(2, number[:1] + bytes(7)) + tagged(2, bytes(8))
    present = tagged(1, b"billing_provider") + b"\x30\x01\x30\x00"
    content = b"\x08\x02" + tagged(2, version) + tagged(2, present)

    read = fields_columns.read([content])[0]

    assert read.claims["claim_version"].tolist() == [7, 7]
    assert read.claims["billing_provider"].tolist() == [True, False]
    with pytest.raises(ColumnError, match="is_test"):
        fields_columns.read([b"\x08\x02" + tagged(2, flags)])


def test_a_list_in_pieces_is_read_whole():
    one, two = (n.to_bytes(8, "little") for n in (1, 2))
    pieces = tagged(1, b"claim_version") + tagged(2, one) + tagged(2, two)

    read = fields_columns.read([b"\x08\x02" + tagged(2, pieces)])[0]

    assert read.claims["claim_version"].tolist() == [1, 2]


def test_fields_that_the_api_does_not_know_are_passed_over():
    columns = Columns(1)
    columns.texts("claim_id", ["A"])
    content = columns.message().SerializeToString() + tagged(15, b"later")

    assert parse(content).claims == 1
    assert fields_columns.read([content])[0].texts["claim_id"] == ["A"]


# --- what lies


def message(claims: int, *columns: Column) -> ClaimColumns:
    return ClaimColumns(claims=claims, columns=columns)


LINES = Column(field="lines", counts=[1, 1])
GOOD = message(2, Column(field="claim_id", texts=["a", "b"]))


@pytest.mark.parametrize(
    ("sent", "column", "expected"),
    [
        (message(-1), "claims", "0 or more"),
        (message(1, Column(field="nope")), "columns[0]", "a field of"),
        (message(1, *[Column(field="claim_id", texts=["a"])] * 2), "claim_id", "once"),
        (message(2, Column(field="claim_id", texts=["a"])), "claim_id", "2 places"),
        (message(2, Column(field="claim_id", texts=["a"], places=[0, 1])), "claim_id", "to 0"),
        (message(1, Column(field="claim_id", numbers=[1])), "claim_id", "texts"),
        (message(1, Column(field="claim_version", numbers=[2**31])), "claim_version", "numbers"),
        (message(1, Column(field="is_test", numbers=[2])), "is_test", "from 0 to 1"),
        (message(2, LINES), "lines", "a column of what its entries hold"),
        (message(3, LINES), "lines", "3 counts"),
        (message(1, Column(field="lines", counts=[2**32 - 1])), "lines", "a column of"),
        (message(2, Column(field="lines.charge_cents", numbers=[1])), "lines.charge_cents", "0"),
        (message(1, Column(field="visit_reasons", texts=["a"], counts=[2])), "visit_reasons", "2"),
        (message(1, Column(field="billing_provider", texts=["a"])), "billing_provider", "present"),
        (message(1, Column(field="claim_id", texts=["a"], present=[1])), "claim_id", "no present"),
        (
            message(
                1,
                Column(field="billing_provider", present=[False]),
                Column(field="billing_provider.npi", texts=["1"]),
            ),
            "billing_provider.npi",
            "nothing in rows",
        ),
        (
            message(
                1,
                Column(field="other_payers", counts=[1]),
                Column(field="other_payers.paid_cents", numbers=[5], present=[False]),
            ),
            "other_payers.paid_cents",
            "nothing in rows",
        ),
        (
            message(
                1,
                Column(field="attributes", counts=[2]),
                Column(field="attributes.key", texts=["k", "k"]),
            ),
            "attributes.key",
            "each key once",
        ),
    ],
)
@pytest.mark.parametrize("before", [[], [GOOD]])
def test_columns_that_contradict_each_other_are_refused_by_name(before, sent, column, expected):
    with pytest.raises(ColumnError) as refused:
        decode([*before, sent], allow_zero_charge=True)

    assert refused.value.column == column
    assert expected in refused.value.expected


@pytest.mark.parametrize("content", [b"\x12", b"\x12\x04\x1a\x02\xff\xfe", b"\x0f"])
def test_bytes_that_are_no_message_are_refused(content):
    with pytest.raises(ColumnError, match=r"claimgate\.v1\.ClaimColumns"):
        fields_columns.read([content])


def test_values_of_eight_bytes_are_whole():
    column = tagged(1, b"claim_version") + tagged(2, b"1234567")

    with pytest.raises(ColumnError):
        fields_columns.read([b"\x08\x01" + tagged(2, column)])


def test_mutated_columns_are_refused_by_name_or_read_as_the_claims_that_they_unpack_to():
    done = subprocess.run(
        [sys.executable, str(MUTATIONS), "1", "4000"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    refused, read = map(int, done.stdout.split())
    assert refused > 500
    assert read > 100


# --- words, together


@given(st.lists(st.text(alphabet=" \t\x1caZé\xa0", max_size=80)))
@settings(max_examples=200, deadline=None)
def test_words_hashed_together_are_those_hashed_one_by_one(texts):
    assert word_keys(texts).tolist() == [word_key(text) for text in texts]


def test_every_length_of_a_word_is_hashed_the_same():
    texts = ["x" * length for length in range(140)]

    keys = word_keys(texts).tolist()

    assert keys == [word_key(text) for text in texts]
    assert all(one != other for one, other in pairwise(keys))
