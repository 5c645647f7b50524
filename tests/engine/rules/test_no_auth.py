"""Authorizations over several members, claims and lines."""

from itertools import permutations

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.codes import code36
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.members import Authorizations, Members
from engine.pipeline import Engine
from engine.rules.rule import example, line
from engine.words import word_key

RULE = "ELIGIBILITY_NO_AUTH"
PLAN = {"insurance_plan_id": "SAMPLE-PLAN-A"}


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def authorizations(*rows) -> Authorizations:
    """Rows of member, number, first and last code, units."""
    member, number, first, last, units = zip(*rows, strict=True)
    open_end = np.full(len(rows), np.datetime64("NaT"), "datetime64[D]")
    zeros = np.zeros(len(rows), np.int64)
    return Authorizations(
        member=np.array(member),
        number=np.array([word_key(each) for each in number]),
        code_first=np.array([code36(each) for each in first]),
        code_last=np.array([code36(each) for each in last]),
        npi=zeros,
        effective=open_end,
        termination=open_end,
        approved=np.ones(len(rows), np.bool_),
        units_milli=np.array(units) * 1000,
        used_milli=zeros,
        decided=open_end,
    )


def lacking(engine: Engine, claims, on_file: Authorizations):
    """What is found instead, by claim and line number."""
    sent = [claim_of(claim, str(number)) for number, claim in enumerate(claims)]
    gathered = Gathered(ModelAnswer.disabled(), None, Members(authorizations=on_file))
    [answer] = engine.score(
        engine.read([score_pb2.ClaimBatch(claims=sent)]), gathered, [score_pb2.VIEW_EVIDENCE]
    )
    return {
        (n, hit.line_numbers[0]): hit.evidence["found"]
        for n, result in enumerate(answer.results)
        for hit in result.hits
        if hit.rule_id == RULE
    }


def test_each_member_has_its_own(engine: Engine) -> None:
    claims = [example("", line("70553"), person_id=member, **PLAN) for member in "ABCA"]

    found = lacking(
        engine,
        claims,
        authorizations((2, "X", "72148", "72148", 5), (0, "Y", "70551", "70553", 2)),
    )

    assert found == {(1, 1): "none", (2, 1): "other_code"}


def test_the_number_on_a_line_is_drawn_on_first(engine: Engine) -> None:
    lines = (line("70553", prior_authorization_number="SMALL"), line("70551"), line("70552"))

    found = lacking(
        engine,
        [example("", *lines, **PLAN)],
        authorizations((0, "LARGE", "70551", "70553", 2), (0, "SMALL", "70551", "70553", 1)),
    )

    assert not found


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_lines_are_served_as_long_as_units_are_left_anywhere(engine: Engine, order) -> None:
    rows = [(0, name, "70551", "70553", 1) for name in ("X", "Y", "Z")]
    services = [line("70551", day=f"2025-10-{15 + n}") for n in range(4)]

    found = lacking(
        engine, [example("", *services, **PLAN)], authorizations(*(rows[n] for n in order))
    )

    assert found == {(0, 4): "taken_by_earlier_lines"}


def test_a_line_that_is_not_served_takes_nothing(engine: Engine) -> None:
    lines = (line("70553", units=3), line("70551", units=2))

    found = lacking(
        engine, [example("", *lines, **PLAN)], authorizations((0, "X", "70551", "70553", 2))
    )

    assert found == {(0, 1): "too_few_units"}


def test_earlier_claims_of_the_message_take_units_first(engine: Engine) -> None:
    claims = [
        example("", line("70553"), **PLAN),
        example("", line("70551"), person_id="OTHER", **PLAN),
        example("", line("70551"), line("70552"), **PLAN),
    ]

    found = lacking(
        engine,
        claims,
        authorizations((0, "X", "70551", "70553", 2), (1, "Y", "70551", "70553", 1)),
    )

    assert found == {(2, 2): "taken_by_earlier_lines"}


def test_a_claim_that_is_replaced_takes_nothing(engine: Engine) -> None:
    claims = [
        example("", line("70553"), **PLAN),
        example("", line("70553"), frequency_code="7", payer_claim_control_number="0", **PLAN),
    ]

    assert not lacking(engine, claims, authorizations((0, "X", "70551", "70553", 1)))


def test_messages_of_one_pass_do_not_see_each_other(engine: Engine) -> None:
    sent = [
        score_pb2.ClaimBatch(claims=[claim_of(example("", line("70553"), **PLAN), str(n))])
        for n in range(2)
    ]
    on_file = authorizations((0, "X", "70551", "70553", 1))
    gathered = Gathered(ModelAnswer.disabled(), None, Members(authorizations=on_file))

    answers = engine.score(engine.read(sent), gathered, [score_pb2.VIEW_EVIDENCE] * 2)

    assert not [h for a in answers for h in a.results[0].hits if h.rule_id == RULE]
