"""Diagnoses and ages over many claims at once."""

from claimgate.v1 import score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.rules.coverage.lcd_age_conflict import find as age_conflict
from engine.rules.rule import example, line

NEWBORN = "P599"
ADULT = "Z0000"


def found(reference, *claims):
    batch = decode(
        [score_pb2.ClaimBatch(claims=[claim_of(c, str(n)) for n, c in enumerate(claims)])],
        allow_zero_charge=True,
    )
    hits = age_conflict.find(batch, reference, look_up(batch, reference))
    numbers = batch.lines.number[hits.line]
    return hits, [
        (int(claim), numbers[hits.line_hit == hit].tolist()) for hit, claim in enumerate(hits.claim)
    ]


def test_each_conflicting_diagnosis_is_one_hit_on_its_own_lines(sample_reference):
    plain = example("", line("99213"), line("85025"))
    mixed = example(
        "",
        line("99213", dx=(1, 2)),
        line("85025", dx=(3,)),
        line("71046", dx=(2, 3)),
        dx=("E119", NEWBORN, "P073"),
    )
    facility = example("", line("99213"), line("85025"), dx=("E119", NEWBORN), institutional=True)

    _, hits = found(sample_reference, plain, mixed, plain, facility)

    assert hits == [(1, [1, 3]), (1, [2, 3]), (3, [1, 2])]


def test_age_of_an_inpatient_counts_on_admission(sample_reference):
    stay = {
        "institutional": True,
        "tob": "0111",
        "dx": (ADULT,),
        "birth": "2010-10-15",
    }
    fourteen = example("", line("", revenue_code="0120"), admission_date="2025-10-14", **stay)
    fifteen = example("", line("", revenue_code="0120"), admission_date="2025-10-15", **stay)

    _, hits = found(sample_reference, fourteen, fifteen)

    assert hits == [(0, [1])]


def test_age_that_is_not_known_is_not_judged(sample_reference):
    hits, lines = found(
        sample_reference,
        example("", line("99213"), dx=(NEWBORN,), birth=""),
        example("", line("99213"), dx=(ADULT,), birth="2030-01-01"),
    )

    assert lines == []
    assert [(gap.reason, gap.claims.tolist()) for gap in hits.not_evaluated] == [
        ("no_birth_date", [True, False])
    ]


def test_pass_without_claims_has_no_hits(sample_reference):
    assert found(sample_reference)[1] == []
