"""Claims as columns and back: nothing is lost, and what contradicts itself is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from claimgate.columns import ColumnError, Columns, pack, unpack
from claimgate.columns.layout import COLUMNS
from claimgate.v1 import claim_pb2
from claimgate.v1.claim_columns_pb2 import ClaimColumns, Column
from claimgate.v1.score_pb2 import ClaimBatch
from claimgate.v1.scoring_service_pb2 import ScoreClaimsRequest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import Parse, ParseDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DOCS = Path(__file__).parents[2] / "docs"
TEXTS = st.sampled_from(["", "a", "b", "é", "\N{PILE OF POO}", "99213", " "]) | st.text(max_size=6)
NUMBERS = {
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_ENUM: st.sampled_from([0, 1, 2, 99, -(2**31)]),
    FieldDescriptor.CPPTYPE_INT32: st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]),
    FieldDescriptor.CPPTYPE_INT64: st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]),
}


def values(field: FieldDescriptor):
    if field.message_type:
        return messages(field.message_type)
    return TEXTS if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else NUMBERS[field.cpp_type]


@st.composite
def messages(draw, descriptor: Descriptor):
    """Any message of the API: few of its fields set, those also to what counts as empty."""
    made = {}
    for field in draw(st.lists(st.sampled_from(list(descriptor.fields)), max_size=8, unique=True)):
        if field.message_type and field.message_type.GetOptions().map_entry:
            made[field.name] = draw(st.dictionaries(TEXTS, TEXTS, max_size=3))
        elif field.is_repeated:
            made[field.name] = draw(st.lists(values(field), max_size=3))
        else:
            made[field.name] = draw(values(field))
    return descriptor._concrete_class(**made)


CLAIMS = st.lists(messages(claim_pb2.Claim.DESCRIPTOR), max_size=4)


@given(CLAIMS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_claims_come_back_as_they_were(claims):
    batch = ClaimBatch(claims=claims)

    assert unpack(pack(batch)) == batch
    assert pack(unpack(pack(batch))) == pack(batch)


def test_every_field_of_a_claim_has_a_column():
    claim = claim_pb2.Claim()

    def fill(message) -> None:
        for field in message.DESCRIPTOR.fields:
            inner = field.message_type
            text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING
            if inner and inner.GetOptions().map_entry:
                getattr(message, field.name)["k"] = "v"
            elif inner:
                part = getattr(message, field.name)
                fill(part.add() if field.is_repeated else part)
            elif field.is_repeated:
                getattr(message, field.name).append("x" if text else 1)
            else:
                setattr(message, field.name, "x" if text else 1)

    fill(claim)

    columns = pack([claim])
    assert {column.field for column in columns.columns} == set(COLUMNS)
    assert unpack(columns).claims == [claim]


def test_texts_that_come_again_are_sent_once():
    columns = pack([claim_pb2.Claim(claim_id=f"C{n}", payer_id="P") for n in range(100)])

    by_field = {column.field: column for column in columns.columns}
    assert list(by_field["payer_id"].texts) == ["P"]
    assert list(by_field["payer_id"].places) == [0] * 100
    assert len(by_field["claim_id"].texts) == 100
    assert not by_field["claim_id"].places


def test_columns_that_a_caller_holds_are_put_together():
    columns = Columns(2)
    columns.texts("claim_id", ["A", "B"])
    columns.numbers("claim_type", [1, 2])
    columns.texts("billing_provider.npi", ["1234567893", ""])
    columns.counts("lines", [2, 1])
    columns.numbers("lines.charge_cents", [100, 200, 300])
    columns.texts("lines.modifiers", ["25", "LT", "25"], counts=[2, 0, 1])
    columns.present("lines.rendering_provider", [True, False, False])
    columns.counts("other_payers", [0, 2])
    columns.numbers("other_payers.paid_cents", [0, 0], present=[True, False])
    columns.counts("attributes", [1, 0])
    columns.texts("attributes.key", ["k"])
    columns.texts("attributes.value", ["v"])

    first, second = unpack(columns.message()).claims

    assert first.claim_id == "A"
    assert first.billing_provider.npi == "1234567893"
    assert [list(line.modifiers) for line in first.lines] == [["25", "LT"], []]
    assert [line.charge_cents for line in second.lines] == [300]
    assert [line.HasField("rendering_provider") for line in first.lines] == [True, False]
    assert not second.HasField("billing_provider")
    assert [payer.HasField("paid_cents") for payer in second.other_payers] == [True, False]
    assert dict(first.attributes) == {"k": "v"}


@pytest.mark.parametrize(
    ("add", "column", "expected"),
    [
        (lambda c: c.texts("nope", []), "nope", "a field of claimgate.v1.Claim"),
        (lambda c: c.texts("claim_version", ["1"]), "claim_version", "numbers"),
        (lambda c: c.numbers("claim_id", [1]), "claim_id", "texts"),
        (
            lambda c: c.numbers("claim_version", [2**31]),
            "claim_version",
            "from -2147483648",
        ),
        (lambda c: c.numbers("lines.charge_cents", [2**63]), "lines.charge_cents", "numbers from"),
        (lambda c: c.counts("lines", [-1]), "lines", "numbers from 0"),
        (lambda c: c.texts("lines.modifiers", ["25"]), "lines.modifiers", "counts"),
        (lambda c: c.texts("claim_id", ["A"], counts=[1]), "claim_id", "no counts"),
        (lambda c: c.texts("payer_id", ["A"]), "payer_id", "each field once"),
    ],
)
def test_what_is_no_column_is_refused_where_it_is_added(add, column, expected):
    columns = Columns(1)
    columns.texts("payer_id", ["P"])

    with pytest.raises(ColumnError, match=expected) as refused:
        add(columns)

    assert refused.value.column == column


def message(claims: int, *columns: Column) -> ClaimColumns:
    return ClaimColumns(claims=claims, columns=columns)


LINES = Column(field="lines", counts=[1, 1])
CHARGES = Column(field="lines.charge_cents", numbers=[1, 2])


@pytest.mark.parametrize(
    ("sent", "column"),
    [
        (message(-1), "claims"),
        (message(1, Column(field="nope", texts=["a"])), "columns[0]"),
        (message(1, *[Column(field="claim_id", texts=["a"])] * 2), "claim_id"),
        (message(2, Column(field="claim_id", texts=["a"])), "claim_id"),
        (message(2, Column(field="claim_id", texts=["a"], places=[0, 1])), "claim_id"),
        (message(2, Column(field="claim_id", texts=["a"], places=[0])), "claim_id"),
        (message(1, Column(field="claim_id", numbers=[1])), "claim_id"),
        (message(1, Column(field="claim_id", texts=["a"], present=[True])), "claim_id"),
        (message(1, Column(field="claim_id", texts=["a"], counts=[1])), "claim_id"),
        (message(1, Column(field="claim_version", numbers=[2**31])), "claim_version"),
        (message(1, Column(field="is_test", numbers=[2])), "is_test"),
        (message(1, Column(field="is_test", texts=["a"])), "is_test"),
        (message(2, LINES), "lines"),
        (message(1, LINES, CHARGES), "lines"),
        (message(2, CHARGES), "lines.charge_cents"),
        (message(2, Column(field="lines", counts=[2, 1]), CHARGES), "lines.charge_cents"),
        (message(1, Column(field="visit_reasons", texts=["a"], counts=[2])), "visit_reasons"),
        (message(1, Column(field="visit_reasons", texts=["a"])), "visit_reasons"),
        (message(1, Column(field="billing_provider", texts=["a"])), "billing_provider"),
        (
            message(
                1,
                Column(field="billing_provider", present=[False]),
                Column(field="billing_provider.npi", texts=["1"]),
            ),
            "billing_provider.npi",
        ),
        (
            message(
                1,
                Column(field="attributes", counts=[2]),
                Column(field="attributes.key", texts=["k"], places=[0, 0]),
            ),
            "attributes.key",
        ),
    ],
)
def test_columns_that_contradict_each_other_are_refused_by_name(sent, column):
    with pytest.raises(ColumnError) as refused:
        unpack(sent)

    assert refused.value.column == column
    assert refused.value.expected


def test_columns_of_the_examples_are_the_claims_of_the_stream_of_the_examples():
    columns = Parse((DOCS / "examples" / "columns.json").read_text(), ScoreClaimsRequest()).columns
    text, at, claims = (DOCS / "examples" / "stream.json").read_text().strip(), 0, []
    while at < len(text):
        sent, at = json.JSONDecoder().raw_decode(text, at)
        claims += ParseDict(sent, ScoreClaimsRequest()).batch.claims
        at += len(text[at:]) - len(text[at:].lstrip())

    assert list(unpack(columns).claims) == claims


def test_python_of_the_calling_page_scores_columns(served):
    codes = re.findall(r"```python\n(.*?)```", (DOCS / "calling.md").read_text(), re.DOTALL)
    [code] = [each for each in codes if "Columns(" in each]
    shown = re.search(r"asyncio\.run\(main\(\)\)  # (.*)", code)
    assert shown

    with served("--listen", "127.0.0.1:0") as address:
        done = subprocess.run(
            [sys.executable, "-c", code.replace("127.0.0.1:50051", address)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == shown[1]


def test_columns_need_neither_numpy_nor_grpc():
    code = (
        "import sys, claimgate.columns; "
        "sys.exit(' '.join({'numpy', 'grpc'} & sys.modules.keys()) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
