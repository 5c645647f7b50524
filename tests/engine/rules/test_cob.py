"""Coordination of benefits over several claims, members and payers in one pass."""

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.members import Coverages, Members
from engine.pipeline import Engine
from engine.rules.rule import example, line
from engine.words import word_key


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def hits(engine: Engine, claims, rule_id: str, coverages: Coverages | None = None):
    sent = [claim_of(claim, str(number)) for number, claim in enumerate(claims)]
    read = engine.read([score_pb2.ClaimBatch(claims=sent)])
    gathered = Gathered(ModelAnswer.disabled(), None, Members(coverages=coverages))
    results = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE])[0].results
    return [[hit for hit in result.hits if hit.rule_id == rule_id] for result in results]


def coverages(*rows) -> Coverages:
    member, payer, rank = zip(*rows, strict=True)
    open_end = np.full(len(rows), np.datetime64("NaT"), "datetime64[D]")
    return Coverages(
        member=np.array(member),
        payer=np.array([word_key(each) for each in payer]),
        rank=np.array(rank),
        basis=np.zeros(len(rows), np.int64),
        effective=open_end,
        termination=open_end,
    )


def test_each_member_is_held_against_its_own_coverages(engine: Engine) -> None:
    claims = [example("", line("99213"), person_id=member) for member in ("A", "B", "C", "A")]

    found = hits(
        engine,
        claims,
        "COB_WRONG_PRIMARY",
        coverages((2, "OTHER", 3), (0, "PAYER", 3), (0, "OTHER", 2), (2, "PAYER", 1),
                  (0, "THIRD", 1)),
    )  # fmt: skip

    assert [[hit.variant for hit in each] for each in found] == [
        ["behind_another"], [], [], ["behind_another"],
    ]  # fmt: skip
    assert found[0][0].evidence["other_rank"] == "1"


def test_what_is_ahead_is_shown_before_what_ties(engine: Engine) -> None:
    [[hit]] = hits(
        engine,
        [example("", line("99213"))],
        "COB_WRONG_PRIMARY",
        coverages((0, "THIRD", 2), (0, "PAYER", 2), (0, "OTHER", 1)),
    )

    assert (hit.variant, hit.evidence["other_rank"]) == ("behind_another", "1")


def test_without_coverages_incomplete_decisions_are_still_found(engine: Engine) -> None:
    plain = example("", line("99213"))
    second = example("", line("99213"), payer_sequence="S")

    found = hits(engine, [plain, second, plain], "COB_INCOMPLETE")

    assert [len(each) for each in found] == [0, 1, 0]


def test_a_missing_decision_is_shown_before_one_that_does_not_balance(engine: Engine) -> None:
    adjusted = [{"group": "CO", "carc": "45", "amount_cents": 1}]
    payers = [
        {
            "payer_id": "ONE",
            "payer_sequence": "P",
            "paid_cents": 1,
            "adjudication_date": "2025-10-16",
            "adjustments": adjusted,
        },
        {"payer_id": "TWO", "payer_sequence": "S"},
    ]
    third = example("", line("99213"), payer_sequence="T", other_payers=payers)

    [[hit]] = hits(engine, [third], "COB_INCOMPLETE")

    assert (hit.variant, hit.evidence["other_sequence"]) == ("undecided", "S")


def test_a_payer_of_unknown_place_is_taken_to_come_before_ours(engine: Engine) -> None:
    unknown = [{"payer_id": "ONE", "payer_sequence": "U"}]
    second = example("", line("99213"), payer_sequence="S", other_payers=unknown)
    first = example("", line("99213"), other_payers=unknown)

    found = hits(engine, [second, first], "COB_INCOMPLETE")

    assert [[hit.variant for hit in each] for each in found] == [["undecided"], []]
