"""Lines that bill the same service, over many claims at once."""

import numpy as np
from claimgate.v1 import score_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.rules.duplicate.groups import repeats_of
from engine.rules.duplicate.line import find as duplicate_line
from engine.rules.duplicate.same_day import find as duplicate_same_day
from engine.rules.rule import example, line

LINES = st.builds(
    lambda code, units, charge, npi, ndc: line(code, units=units, charge=charge, npi=npi, ndc=ndc),
    st.sampled_from(["20610", "20610-RT", "71046", "J7190", "J1885", "99213-25"]),
    st.sampled_from([1, 2]),
    st.sampled_from([100, 150]),
    st.sampled_from(["1234567893", "1003000126"]),
    st.sampled_from(["", "00000000001"]),
)


def found(rule, claims, reference):
    """Lines and partners of each hit as (claim, line numbers, partner numbers)."""
    batch = decode(
        [
            score_pb2.ClaimBatch(claims=[claim_of(example("", *c), str(n))])
            for n, c in enumerate(claims)
        ],
        allow_zero_charge=True,
    )
    hits = rule.find(batch, reference, look_up(batch, reference))
    number = batch.lines.number
    return [
        (
            int(hits.claim[hit]),
            number[hits.line[hits.line_hit == hit]].tolist(),
            number[hits.partner[hits.partner_hit == hit]].tolist(),
        )
        for hit in range(len(hits))
    ]


def test_groups_of_one_have_no_repeats():
    repeats = repeats_of(np.array([4, 2, 9]), np.array([1, 2, 3]))

    assert not len(repeats.line)
    assert not len(repeats.first)


def test_first_line_of_a_group_is_the_lowest():
    repeats = repeats_of(np.array([7, 2, 5, 3]), np.array([1, 1, 1, 8]))

    assert repeats.line.tolist() == [5, 7]
    assert repeats.first.tolist() == [2]
    assert repeats.first_group.tolist() == [1]


def test_no_lines_have_no_repeats():
    repeats = repeats_of(np.empty(0, np.int64), np.empty(0, np.int64))

    assert not len(repeats.line)


def test_equal_lines_of_two_claims_are_no_duplicates(sample_reference):
    claims = [(line("71046"),), (line("71046"),)]

    assert found(duplicate_line, claims, sample_reference) == []


def test_each_group_is_one_hit_with_its_first_line_as_partner(sample_reference):
    claims = [
        (line("71046"), line("71046")),
        (line("20610"), line("71046"), line("20610"), line("71046"), line("20610")),
    ]

    hits = found(duplicate_line, claims, sample_reference)

    assert sorted(hits) == [(0, [2], [1]), (1, [3, 5], [1]), (1, [4], [2])]


def test_different_charges_are_named_against_the_first_line(sample_reference):
    claims = [(line("20610", charge=150), line("20610", charge=140), line("20610", charge=130))]

    assert found(duplicate_same_day, claims, sample_reference) == [(0, [2, 3], [1])]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(claims=st.lists(st.lists(LINES, min_size=1, max_size=6), min_size=1, max_size=5))
def test_no_pair_of_lines_is_named_by_both_rules_and_batches_change_nothing(
    claims, sample_reference
):
    together = {
        rule.id: found(rule, claims, sample_reference)
        for rule in (duplicate_line, duplicate_same_day)
    }
    alone = {
        rule.id: [
            (n, *hit[1:])
            for n, claim in enumerate(claims)
            for hit in found(rule, [claim], sample_reference)
        ]
        for rule in (duplicate_line, duplicate_same_day)
    }

    named = [(claim, n) for hits in together.values() for claim, lines, _ in hits for n in lines]
    assert len(named) == len(set(named))
    assert {rule: sorted(hits) for rule, hits in together.items()} == {
        rule: sorted(hits) for rule, hits in alone.items()
    }
