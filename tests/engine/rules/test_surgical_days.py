"""Days around a surgery: each of them, whichever claim came first."""

import numpy as np
import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.rules.rule import LineExample, example, line

GLOBAL, NO_MODIFIER = "SURGICAL_GLOBAL_PERIOD", "GLOBAL_SURGERY_NO_MODIFIER"
SURGERY_DAY = np.datetime64("2025-07-01")


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def claim(claim_id: str, *lines: LineExample, **fields) -> claim_pb2.Claim:
    return claim_of(example("", *lines, received="2026-01-31", **fields), claim_id)


def fired(engine: Engine, rule_id: str, *claims: claim_pb2.Claim) -> dict[str, list]:
    read = engine.read([score_pb2.ClaimBatch(claims=claims)])
    gathered = Gathered(ModelAnswer.disabled(), None)
    [answer] = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE])
    hits = {
        result.claim_id: [hit for hit in result.hits if hit.rule_id == rule_id]
        for result in answer.results
    }
    return {claim_id: found for claim_id, found in hits.items() if found}


@pytest.mark.parametrize(
    ("surgery", "last"), [("27447", 90), ("17110", 10), ("45385", 0)], ids=["90", "10", "0"]
)
def test_every_day_of_the_window_and_no_other(engine, surgery, last):
    """A claim of each day from ten before to a hundred after: with those of the other rule, 92."""
    days = range(-10, 101)
    visits = [claim(f"{day}", line("99213"), day=str(SURGERY_DAY + day)) for day in days]
    first = claim("S", line(surgery), day=str(SURGERY_DAY))

    after = fired(engine, GLOBAL, first, *visits)
    around = fired(engine, NO_MODIFIER, first, *visits)

    assert set(after) == {str(day) for day in range(1, last + 1)}
    assert set(around) == ({"-1", "0"} if last == 90 else {"0"})


def test_the_nearest_of_two_surgeries_is_shown(engine):
    hits = fired(
        engine,
        GLOBAL,
        claim("A", line("27447"), day="2025-07-01"),
        claim("B", line("66984-79"), day="2025-07-20"),
        claim("C", line("99213"), day="2025-07-25"),
    )

    [hit] = hits["C"]
    assert hit.evidence["surgery"] == "66984"
    assert hit.evidence["earlier_claim"] == "B"
    assert hit.evidence["surgery_date"] == "2025-07-20"
    assert (hit.evidence["days_after"], hit.evidence["global_days"]) == ("5", "90")


def test_a_surgery_of_the_claim_is_a_partner_line(engine):
    own = claim("A", line("27447", day="2025-07-01"), line("99213", day="2025-07-03"))

    [hit] = fired(engine, GLOBAL, own)["A"]

    assert hit.evidence["partner_lines"] == "1"
    assert "earlier_claim" not in hit.evidence


def test_a_visit_paid_before_its_surgery_is_named_with_its_charge(engine):
    visit = claim("A", line("99213", charge=80), day="2025-07-01")
    surgery = claim("B", line("27447"), line("11042"), day="2025-07-02")

    [hit] = fired(engine, NO_MODIFIER, visit, surgery)["B"]

    assert (hit.variant, list(hit.line_numbers)) == ("paid_before", [1])
    assert hit.evidence["earlier_claim"] == "A"
    assert hit.evidence["needed_modifier"] == "57"
    assert hit.exposure_cents == 8000


def test_one_visit_paid_before_two_surgeries_of_the_day_is_one_finding(engine):
    visit = claim("A", line("99213"), day="2025-07-01")
    surgery = claim("B", line("17110"), line("11042"), day="2025-07-01")

    [hit] = fired(engine, NO_MODIFIER, visit, surgery)["B"]

    assert list(hit.line_numbers) == [1, 2]


def surgeon(claim_id: str, npi: str, specialty: str = "", **fields) -> claim_pb2.Claim:
    provider = {"npi": npi} | ({"specialty": specialty} if specialty else {})
    return claim(claim_id, line("63030-62"), npi=npi, rendering_provider=provider, **fields)


def gaps(engine: Engine, *claims: claim_pb2.Claim) -> dict[str, set[str]]:
    """Why the co-surgeon rule judged nothing, by claim."""
    read = engine.read([score_pb2.ClaimBatch(claims=claims)])
    gathered = Gathered(ModelAnswer.disabled(), None)
    [answer] = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE])
    return {
        result.claim_id: {
            gap.reason
            for gap in result.not_evaluated
            if "SURGICAL_COSURGEON_NOT_ALLOWED" in gap.rule_ids
        }
        for result in answer.results
    }


def test_a_co_surgeon_is_not_judged_until_the_partner_is_there_and_known(engine):
    alone = surgeon("A", "1003000126", "20")

    assert gaps(engine, alone)["A"] == {"no_partner_claim"}
    assert gaps(engine, surgeon("B", "1184722773", "14"), alone)["A"] == set()
    assert gaps(engine, surgeon("B", "1184722773"), alone)["A"] == {"no_specialty"}
