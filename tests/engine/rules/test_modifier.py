"""Rules about modifiers, where an example with a single claim does not show it."""

import numpy as np
from claimgate.v1 import score_pb2

from engine.codes import text36
from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.overrides import effects_of
from engine.policy import Override, Policy
from engine.reference import Reference
from engine.rules.modifier import invalid
from engine.rules.rule import Hits, LineExample, example, line

INVALID = invalid.find


def found(
    reference: Reference, *lines: LineExample, policy: Policy | None = None, **fields
) -> Hits:
    claims = [claim_of(example("", *lines, **fields))]
    batch = decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)
    params = effects_of(policy or Policy(), batch).params(INVALID)
    return INVALID.find(batch, reference, look_up(batch, reference), params)


def gaps_of(hits: Hits) -> dict[str, list[int]]:
    return {gap.reason: np.flatnonzero(gap.lines).tolist() for gap in hits.not_evaluated}


def test_a_line_with_two_faults_is_one_hit_that_shows_the_first(
    sample_reference: Reference,
) -> None:
    hits = found(sample_reference, line("99213"), line("20610-RT-26-Z9"))

    assert hits.line.tolist() == [1]
    assert text36(int(hits.evidence["modifier"][0])) == "26"


def test_a_payer_may_have_modifiers_of_its_own(sample_reference: Reference) -> None:
    policy = Policy(overrides=(Override(INVALID.id, params={"payer_modifiers": ("Z9",)}),))

    hits = found(sample_reference, line("99213-Z9"), policy=policy)

    assert len(hits) == 0


def test_a_day_without_tables_is_said(sample_reference: Reference) -> None:
    hits = found(
        sample_reference,
        line("99213"),
        line("71046-26"),
        line("99213-Z9"),
        day="2019-05-01",
        received="2019-05-02",
    )

    assert len(hits) == 0
    assert set(gaps_of(hits)) == {"no_release"}
    assert {row for gap in hits.not_evaluated for row in np.flatnonzero(gap.lines)} == {1, 2}


def test_a_code_that_the_fee_schedule_does_not_know_has_no_component_to_judge(
    sample_reference: Reference,
) -> None:
    hits = found(sample_reference, line("99999-26"))

    assert len(hits) == 0
    assert gaps_of(hits) == {"no_row": [0]}


def test_the_second_component_of_a_line_is_judged_too(sample_reference: Reference) -> None:
    hits = found(sample_reference, line("93010-26-TC"))

    assert hits.line.tolist() == [0]
