"""Offices while a facility had the patient: what examples cannot show of earlier claims."""

from dataclasses import replace

import numpy as np
from claimgate.v1 import score_pb2

from engine.as_earlier import earlier_claims, earlier_lines
from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.history import History
from engine.pipeline import Engine
from engine.rules.rule import claim_before, example, line

STAY = claim_before(
    line("", revenue_code="0120"),
    institutional=True,
    tob="0111",
    day="2025-10-12",
    service_to_date="2025-10-17",
)
LABORATORY = claim_before(line("80053", revenue_code="0301"), institutional=True)
COLONOSCOPY = claim_before(line("45385", revenue_code="0750"), institutional=True)


def committed(engine: Engine, *earlier, denied=(), in_process=()) -> History:
    """History of these claims; some are denied in full or still open, by their number from 0."""
    claims = [claim_of(each, f"EARLIER-{number}") for number, each in enumerate(earlier)]
    batch = engine.read([score_pb2.ClaimBatch(claims=claims)]).batch
    every = np.arange(len(batch.claims))
    lines = earlier_lines(batch, np.arange(len(batch.lines)), batch.lines.claim)
    return replace(
        History.of_strangers(1),
        claim_ids=[claim.claim_id for claim in claims],
        claims=replace(earlier_claims(batch, every), in_process=np.isin(every, in_process)),
        lines=replace(lines, denied=np.isin(lines.claim, denied)),
    )


def hits_of(engine: Engine, claim, history: History):
    read = engine.read([score_pb2.ClaimBatch(claims=[claim_of(claim)])])
    gathered = Gathered(ModelAnswer.disabled(), history)
    [answer] = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE])
    return [
        (hit.variant, hit.evidence["earlier_claim"], *hit.line_numbers)
        for hit in answer.results[0].hits
        if hit.rule_id == "POS_PROVIDER_MISMATCH"
    ]


def test_a_stay_counts_once_it_is_decided_and_not_denied(sample_reference) -> None:
    engine = Engine.with_all_rules(sample_reference)
    office = example("", line("99213"))

    paid, denied, open_ = (
        hits_of(engine, office, committed(engine, STAY, **how))
        for how in ({}, {"denied": [0]}, {"in_process": [0]})
    )

    assert paid == [("during_stay", "EARLIER-0", 1)]
    assert denied == open_ == []


def test_an_outpatient_bill_counts_once_it_is_decided_and_not_denied(sample_reference) -> None:
    engine = Engine.with_all_rules(sample_reference)
    office = example("", line("45385"))

    paid, denied, open_ = (
        hits_of(engine, office, committed(engine, COLONOSCOPY, **how))
        for how in ({}, {"denied": [0]}, {"in_process": [0]})
    )

    assert paid == [("same_service", "EARLIER-0", 1)]
    assert denied == open_ == []


def test_the_claim_that_says_most_is_named_line_by_line(sample_reference) -> None:
    engine = Engine.with_all_rules(sample_reference)
    office = example(
        "",
        line("45385"),
        line("99213"),
        line("99214", day="2025-10-16"),
        line("99215", day="2025-10-18"),
        line("99213", pos="22"),
    )

    found = hits_of(engine, office, committed(engine, LABORATORY, STAY, COLONOSCOPY))

    assert found == [
        ("same_service", "EARLIER-2", 1),
        ("during_stay", "EARLIER-1", 2),
        ("during_stay", "EARLIER-1", 3),
    ]


def test_a_long_bill_beside_many_earlier_lines_is_judged(sample_reference) -> None:
    engine = Engine.with_all_rules(sample_reference)
    office = example("", *[line("99213")] * 50)
    many = claim_before(*[line("80053", revenue_code="0301")] * 300, institutional=True)

    found = hits_of(engine, office, committed(engine, many))

    assert found == [("same_day", "EARLIER-0", number) for number in range(1, 51)]
