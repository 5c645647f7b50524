"""A repair derives a value from others of the claim, or leaves the claim alone."""

import pytest
from claimgate.v1 import claim_pb2
from hypothesis import example, given
from hypothesis import strategies as st

from loader.failed.repair_steps import (
    STEPS,
    changes,
    dates_from_lines,
    pad_revenue_code,
    plain_codes,
    rederive_total,
    renumber_lines,
)

Line = claim_pb2.ServiceLine
PROFESSIONAL = claim_pb2.CLAIM_TYPE_PROFESSIONAL


def claim(*lines, **fields):
    return claim_pb2.Claim(**{"claim_id": "C1", "claim_type": PROFESSIONAL, **fields}, lines=lines)


def test_a_total_is_the_sum_of_the_lines():
    repaired = rederive_total(claim(Line(charge_cents=100), Line(charge_cents=250)))

    assert repaired.total_charge_cents == 350


def test_the_total_line_of_a_paper_bill_is_not_added():
    bill = claim(Line(charge_cents=100), Line(charge_cents=100, revenue_code="0001"))

    assert rederive_total(bill).total_charge_cents == 100


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (Line(charge_cents=0),),
        (Line(charge_cents=-5), Line(charge_cents=50)),
        (Line(charge_cents=10**13),),
        (Line(charge_cents=100, revenue_code="0001"),),
    ],
)
def test_no_total_is_made_of_lines_that_have_none(lines):
    assert rederive_total(claim(*lines)) is None


def test_lines_are_numbered_in_the_order_sent():
    repaired = renumber_lines(claim(*(Line(line_number=n) for n in (1, 1, 900, 3))))

    assert [line.line_number for line in repaired.lines] == [1, 2, 3, 4]


def test_days_that_are_missing_or_none_come_from_the_lines():
    lines = (
        Line(service_from_date="2025-10-08"),
        Line(service_from_date="2025-10-06", service_to_date="2025-10-09"),
    )

    repaired = dates_from_lines(claim(*lines, service_from_date="2025-11-31"))

    assert (repaired.service_from_date, repaired.service_to_date) == ("2025-10-06", "2025-10-09")


@pytest.mark.parametrize(
    "sent",
    [
        claim(Line(service_from_date="2025-10-06"), Line()),
        claim(),
        claim(
            Line(service_from_date="2025-10-06"),
            service_from_date="2025-10-09",
            service_to_date="2025-10-05",
        ),
        claim(Line(service_from_date="2025-10-06"), claim_type=claim_pb2.CLAIM_TYPE_INSTITUTIONAL),
    ],
    ids=["a line without a day", "no lines", "days in the wrong order", "institutional"],
)
def test_no_day_is_guessed(sent):
    assert dates_from_lines(sent) is None


def test_a_revenue_code_has_four_digits():
    repaired = pad_revenue_code(claim(*(Line(revenue_code=c) for c in ("450", "0300", "", "45A"))))

    assert [line.revenue_code for line in repaired.lines] == ["0450", "0300", "", "45A"]


def test_codes_are_written_plainly():
    sent = claim(
        Line(procedure_code=" 99213\t", modifiers=["lt"]),
        diagnoses=[claim_pb2.Diagnosis(code="e11.9")],
    )

    repaired = plain_codes(sent)

    assert repaired.diagnoses[0].code == "E119"
    assert (repaired.lines[0].procedure_code, list(repaired.lines[0].modifiers)) == (
        "99213", ["LT"],
    )  # fmt: skip


texts = st.text(max_size=6)
lines = st.builds(
    Line,
    line_number=st.integers(-5, 2_000),
    charge_cents=st.integers(-100, 10**9),
    revenue_code=texts,
    procedure_code=texts,
    modifiers=st.lists(texts, max_size=3),
    service_from_date=st.sampled_from(["", "2025-10-06", "2025-11-31", "2025-01-01"]),
)
claims = st.builds(
    claim_pb2.Claim,
    claim_id=texts,
    claim_type=st.sampled_from([0, 1, 2]),
    total_charge_cents=st.integers(-100, 10**9),
    service_from_date=st.sampled_from(["", "2025-10-06", "no day"]),
    diagnoses=st.lists(st.builds(claim_pb2.Diagnosis, code=texts), max_size=3),
    lines=st.lists(lines, max_size=5),
)


@pytest.mark.parametrize("step", STEPS.values(), ids=list(STEPS))
@given(claims)
@example(claim(diagnoses=[claim_pb2.Diagnosis(code=".\rE119")]))
def test_a_step_leaves_its_input_alone_and_has_nothing_left_to_do(step, sent):
    before = sent.SerializeToString(deterministic=True)

    repaired = step.repair(sent)

    assert sent.SerializeToString(deterministic=True) == before
    if repaired is not None:
        assert repaired != sent
        assert repaired.claim_id == sent.claim_id
        assert step.repair(repaired) is None
        assert list(changes(sent, repaired))


@given(claims, claims)
def test_changes_name_every_field_that_differs(one, other):
    found = list(changes(one, other))

    assert bool(found) == (one != other)
    assert len({path for path, _, _ in found}) == len(found)


def test_only_steps_about_money_say_that_they_change_money():
    assert [each.name for each in STEPS.values() if each.changes_money] == ["rederive_total"]
    assert all(each.summary and each.codes for each in STEPS.values())
