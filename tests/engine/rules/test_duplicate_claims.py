"""Duplicates across claims, where an example cannot show it."""

from dataclasses import replace

import numpy as np
import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.as_earlier import earlier_claims, earlier_lines
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.history import History
from engine.pipeline import Engine
from engine.rules.rule import LineExample, example, line

EXACT, CROSS = "DUPLICATE_EXACT", "DUPLICATE_CROSS_CLAIM"


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def claim(claim_id: str, *lines: LineExample, **fields) -> claim_pb2.Claim:
    return claim_of(example("", *(lines or (line("99213"),)), **fields), claim_id)


def committed(engine: Engine, *claims: claim_pb2.Claim, in_process: bool = False) -> History:
    batch = engine.read([score_pb2.ClaimBatch(claims=claims)]).batch
    rows = earlier_claims(batch, np.arange(len(claims)))
    return replace(
        History.of_strangers(1),
        claim_ids=[each.claim_id for each in claims],
        claims=replace(rows, in_process=np.full(len(rows), in_process)),
        lines=earlier_lines(batch, np.arange(len(batch.lines)), batch.lines.claim),
    )


def found(engine: Engine, rule_id: str, *messages, history: History | None = None) -> dict:
    """By claim what the rule says of the earlier claim."""
    read = engine.read([score_pb2.ClaimBatch(claims=claims) for claims in messages])
    gathered = Gathered(ModelAnswer.disabled(), history)
    answers = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE] * len(messages))
    return {
        result.claim_id: dict(hit.evidence)
        for answer in answers
        for result in answer.results
        for hit in result.hits
        if hit.rule_id == rule_id
    }


def test_the_later_of_two_claims_is_the_duplicate_and_each_names_the_first(engine):
    hits = found(engine, EXACT, [claim("A"), claim("B"), claim("C")])

    assert {id_: hit["earlier_claim"] for id_, hit in hits.items()} == {"B": "A", "C": "A"}
    assert hits["C"]["equal_claims"] == "2"


def test_the_same_claim_sent_again_is_no_duplicate_of_itself(engine):
    assert not found(engine, EXACT, [claim("A")], history=committed(engine, claim("A")))


def test_equal_claims_of_two_members_are_two(engine):
    assert not found(engine, EXACT, [claim("A"), claim("B", person_id="TWIN")])


def test_equal_claims_of_two_messages_do_not_see_each_other(engine):
    assert not found(engine, EXACT, [claim("A")], [claim("B")])


@pytest.mark.parametrize(("in_process", "state"), [(False, "decided"), (True, "in process")])
@pytest.mark.parametrize(
    ("rule_id", "charge"), [(EXACT, 100), (CROSS, 90)], ids=["equal", "shared"]
)
def test_claims_in_process_count_too(engine, rule_id, charge, in_process, state):
    before = committed(engine, claim("A", line("99213", charge=charge)), in_process=in_process)

    hits = found(engine, rule_id, [claim("B")], history=before)

    assert hits["B"]["earlier_state"] == state


def test_lines_are_compared_as_often_as_they_stand_there(engine):
    """Two of one and one of the other are not one of one and two of the other."""
    two_films = (line("71046"), line("71046"), line("99213"))
    two_visits = (line("71046"), line("99213"), line("99213"))

    assert not found(engine, EXACT, [claim("A", *two_films), claim("B", *two_visits)])
    assert found(engine, EXACT, [claim("A", *two_films), claim("B", *two_films[::-1])])


def test_many_pairs_of_claims_are_compared_each_by_itself(engine):
    claims = [
        claim(f"{n}{again}", *[line("99213", charge=10 + n)] * (1 + n % 4), person_id=f"M{n}")
        for n in range(40)
        for again in ("A", "B")
    ]
    odd = [claim(f"{n}C", line("99214"), person_id=f"M{n}") for n in range(40)]

    hits = found(engine, EXACT, [*claims, *odd])

    assert {id_: hit["earlier_claim"] for id_, hit in hits.items()} == {
        f"{n}B": f"{n}A" for n in range(40)
    }


def test_a_claim_without_a_biller_is_compared_with_none(engine):
    def unknown(claim_id: str) -> claim_pb2.Claim:
        sent = claim(claim_id, rendering_provider={"npi": "1003000126"})
        sent.billing_provider.npi = ""
        sent.billing_provider.tin = "123456789"
        return sent

    assert not found(engine, EXACT, [unknown("A"), unknown("B")])


def test_a_shared_service_names_claim_line_and_amounts(engine):
    earlier = claim("A", line("71046"), line("93000", charge=90, units=2))

    hit = found(engine, CROSS, [earlier, claim("B", line("93000"))])["B"]

    assert (hit["earlier_claim"], hit["earlier_line"]) == ("A", "2")
    assert (hit["charge_cents"], hit["earlier_charge_cents"]) == ("10000", "9000")
    assert (hit["units"], hit["earlier_units"]) == ("1", "2")
