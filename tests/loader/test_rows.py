"""Rows written in C are those that Python writes, and what C leaves to Python it does not spoil."""

import json
import struct
from itertools import count
from struct import unpack_from
from uuid import UUID

import pytest
from claimgate.v1 import claim_pb2, score_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from loader import copy_format, opened, reading, rows, rows_native
from loader.source import Leased
from loader.synthetic import synthetic_claims
from loader.vault import Vault

TABLES = ("claim_rows", "line_rows", "result_rows", "hit_rows")
OWNER = rows.Owner.of("tenant", UUID(int=7))
VAULT = Vault(bytes(range(32)))


@pytest.fixture(autouse=True)
def _compiled(skip_or_fail):
    if reading.LIBRARY is None:
        skip_or_fail("nothing was compiled: there is no C compiler")


def loaded(claim, result, number=1):
    leased = Leased(number, f"C{number}", 1, b"c" * 32, b"m" * 16, 1, b"sealed" * number)
    payload = claim.SerializeToString()
    each = opened.Opened(leased, payload, opened.facts_of(claim))
    return rows.load_claim(each, result, (-5, 9), VAULT, "tenant")


def fields_of(content):
    """Cut rows into fields; None for NULL."""
    at, found = 0, []
    while at < len(content):
        [columns] = unpack_from(">h", content, at)
        at += 2
        row = []
        for _ in range(columns):
            [size] = unpack_from(">i", content, at)
            at += 4
            row.append(None if size < 0 else content[at : at + size])
            at += max(size, 0)
        found.append(row)
    return found


def comparable(table, content):
    """Return rows with evidence as a mapping: its order is nobody's."""
    found = fields_of(content)
    if table == "hit_rows":
        place = rows.HIT_COLUMNS.index("evidence")
        for row in found:
            assert row[place][:1] == b"\1"
            row[place] = json.loads(row[place][1:])
    return found


def assert_same(items):
    for table in TABLES:
        in_c, in_python = (getattr(module, table)(items, OWNER) for module in (rows_native, rows))
        assert comparable(table, in_c) == comparable(table, in_python), table
    payloads = [item.opened.payload for item in items]
    assert opened.read_facts(payloads) == [item.opened.facts for item in items]


def answer_to(claim, number=0):
    result = score_pb2.ClaimResult(
        claim_id=claim.claim_id,
        decision=1 + number % 4,
        fraud_score=0.06425 * (number % 9),
        rule_score=1 - 0.1 * (number % 10),
        degraded=["history"] * (number % 3),
        exposure_cents=number * 1_000,
        unpriced_lines=number % 4,
    )
    if number % 2:
        result.allowed_cents = number
        result.approval_probability = number / 1_000
    for line in claim.lines if number % 5 else ():
        price = result.lines.add(line_number=line.line_number, rvu_total_e4=26_811 * number)
        if number % 3:
            price.allowed_cents, price.payable_cents = 4_561, 0
    for ordinal in range(number % 3):
        result.hits.add(
            rule_id=f"RULE_{ordinal}",
            line_numbers=range(ordinal),
            codes=["45380", "45385"][:ordinal],
            weight=0.18,
            suppressed=bool(ordinal),
            evidence={"limit": "1", 'quo"te': "back\\slash\n", "é": "\x7fü"},
        )
    return result


def test_claims_of_the_demo_have_the_same_rows(monkeypatch):
    claims = list(synthetic_claims(300, seed=3))
    items = [loaded(claim, answer_to(claim, n), n) for n, claim in enumerate(claims)]
    for table in TABLES:  # and they are written in C, all of them
        monkeypatch.setattr(rows, table, None)

    assert_written_in_c = [getattr(rows_native, table)(items, OWNER) for table in TABLES]

    monkeypatch.undo()
    assert all(assert_written_in_c)
    assert_same(items)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DAY = st.one_of(
    st.sampled_from(["", "2025-10-06", "2024-02-29", "2023-02-29", "20251006", "0001-01-01", "x"]),
    st.dates().map(str),
    TEXT,
)
INT32 = st.one_of(st.integers(-3, 12), st.integers(-(2**31), 2**31 - 1))
INT64 = st.one_of(st.integers(0, 10_000), st.integers(-(2**63), 2**63 - 1))
SMALL = st.integers(-(2**15), 2**15 - 1)
SCORE = st.floats(-9, 9)

LINES = st.lists(
    st.builds(
        claim_pb2.ServiceLine,
        line_number=SMALL,
        charge_cents=INT64,
        service_from_date=DAY,
        service_to_date=DAY,
        procedure_code=TEXT,
        modifiers=st.lists(TEXT, max_size=4),
        revenue_code=TEXT,
        place_of_service=TEXT,
        diagnosis_pointers=st.lists(SMALL, max_size=4),
        units_milli=st.integers(-(10**12), 10**12),
        unit_basis=TEXT,
        rendering_provider=st.one_of(st.none(), st.builds(claim_pb2.Provider, npi=TEXT)),
    ),
    max_size=3,
)
CLAIMS = st.builds(
    claim_pb2.Claim,
    claim_type=st.sampled_from(claim_pb2.ClaimType.values()),
    total_charge_cents=INT64,
    patient_paid_cents=INT64,
    priority=INT32,
    service_from_date=DAY,
    service_to_date=DAY,
    admission_date=DAY,
    facility_id=TEXT,
    frequency_code=TEXT,
    place_of_service=TEXT,
    patient_account_number=TEXT,
    is_test=st.booleans(),
    diagnoses=st.lists(st.builds(claim_pb2.Diagnosis, code=TEXT), max_size=3),
    billing_provider=st.one_of(st.none(), st.builds(claim_pb2.Provider, last_or_org_name=TEXT)),
    rendering_provider=st.one_of(st.none(), st.builds(claim_pb2.Provider, npi=TEXT)),
    lines=LINES,
)
RESULTS = st.builds(
    score_pb2.ClaimResult,
    decision=st.sampled_from(score_pb2.Decision.values()),
    fraud_score=SCORE,
    rule_score=SCORE,
    approval_probability=st.one_of(st.none(), SCORE),
    allowed_cents=st.one_of(st.none(), INT64),
    exposure_cents=INT64,
    degraded=st.lists(TEXT, max_size=2),
    lines=st.lists(
        st.builds(
            score_pb2.LineResult,
            allowed_cents=st.one_of(st.none(), INT64),
            rvu_total_e4=st.integers(-(10**10), 10**10),
            disposition=st.sampled_from(score_pb2.Disposition.values()),
        ),
        max_size=3,
    ),
    hits=st.lists(
        st.builds(
            score_pb2.RuleHit,
            rule_id=TEXT,
            weight=SCORE,
            line_numbers=st.lists(SMALL, max_size=3),
            codes=st.lists(TEXT, max_size=3),
            evidence=st.dictionaries(TEXT, TEXT, max_size=3),
            shadow=st.booleans(),
        ),
        max_size=2,
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(CLAIMS, RESULTS), min_size=1, max_size=3))
def test_any_values_have_the_same_rows(pairs):
    numbers = count(1)

    assert_same([loaded(claim, result, next(numbers)) for claim, result in pairs])


def test_score_that_lies_between_two_is_rounded_as_python_rounds_it():
    scores = [0.06425, 0.064_249_999_5, 1e-9, 0.5, 0.000_05, 0.000_049_999_999_5, -0.00005, 8.99995]
    items = [
        loaded(claim_pb2.Claim(), score_pb2.ClaimResult(fraud_score=score, rule_score=-score))
        for score in scores
    ]

    assert_same(items)


def test_number_that_no_column_holds_is_refused_as_python_refuses_it():
    claim = claim_pb2.Claim(lines=[claim_pb2.ServiceLine(line_number=70_000)])

    with pytest.raises(struct.error):
        rows_native.line_rows([loaded(claim, score_pb2.ClaimResult())], OWNER)


def test_message_that_comes_twice_is_merged_as_protobuf_merges_it():
    twice = (
        claim_pb2.Claim(billing_provider=claim_pb2.Provider(npi="1234567893")).SerializeToString()
        + claim_pb2.Claim(
            billing_provider=claim_pb2.Provider(last_or_org_name="Clinic")
        ).SerializeToString()
    )
    claim = claim_pb2.Claim.FromString(twice)
    item = loaded(claim, score_pb2.ClaimResult())
    item = item._replace(opened=item.opened._replace(payload=twice))

    assert_same([item])


def test_rows_that_need_more_room_get_it():
    claim = claim_pb2.Claim(facility_id="F" * 100_000)

    assert_same([loaded(claim, score_pb2.ClaimResult())])


def test_numeric_of_postgres_takes_every_size():
    for value in (0, 1, -1, 9_999, 10_000, 10**12 - 1, -(10**12)):
        claim = claim_pb2.Claim(lines=[claim_pb2.ServiceLine(units_milli=value)])
        [row] = fields_of(rows_native.line_rows([loaded(claim, score_pb2.ClaimResult())], OWNER))
        place = rows.LINE_COLUMNS.index("units")
        assert copy_format.sized(row[place]) == copy_format.E3[value]
