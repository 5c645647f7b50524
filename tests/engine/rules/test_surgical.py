"""Rules by the surgical indicators, where an example with a single claim does not show it."""

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.columns import Batch
from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.past import Past
from engine.reference import Reference
from engine.rules.coverage import global_surgery_no_modifier
from engine.rules.rule import Hits, LineExample, Rule, example, line
from engine.rules.surgical import (
    assistant_not_allowed,
    bilateral_150,
    bilateral_not_allowed,
    bilateral_not_applicable,
    cosurgeon_not_allowed,
    team_not_allowed,
)

BY_INDICATOR = [
    assistant_not_allowed.find,
    cosurgeon_not_allowed.find,
    team_not_allowed.find,
    bilateral_not_allowed.find,
    bilateral_not_applicable.find,
    bilateral_150.find,
]
LINES = [line("64721-80"), line("29881-62"), line("27447-66"), line("11042-50"), line("69210-50")]


def batch_of(*claims: list[LineExample], **fields) -> Batch:
    messages = [claim_of(example("", *lines, **fields), str(n)) for n, lines in enumerate(claims)]
    return decode([score_pb2.ClaimBatch(claims=messages)], allow_zero_charge=True)


def found(rule: Rule, reference: Reference, batch: Batch) -> Hits:
    facts, past = look_up(batch, reference), Past.of(batch, None)
    inputs = {"batch": batch, "reference": reference, "facts": facts, "past": past}
    return rule.find(**{need: inputs[need] for need in rule.needs})


@pytest.mark.parametrize("rule", BY_INDICATOR, ids=lambda rule: rule.id)
def test_a_day_without_a_fee_schedule_is_not_evaluated(
    sample_reference: Reference, rule: Rule
) -> None:
    batch = batch_of(LINES, day="2019-05-01", received="2019-05-02")

    hits = found(rule, sample_reference, batch)

    assert len(hits) == 0
    assert {gap.reason for gap in hits.not_evaluated if gap.lines.any()} == {"no_release"}


@pytest.mark.parametrize("rule", BY_INDICATOR, ids=lambda rule: rule.id)
def test_facility_bills_are_not_judged_by_the_physician_fee_schedule(
    sample_reference: Reference, rule: Rule
) -> None:
    batch = batch_of(LINES, institutional=True)

    hits = found(rule, sample_reference, batch)

    assert len(hits) == 0
    assert not any(gap.lines.any() for gap in hits.not_evaluated)


def test_sides_of_two_claims_or_providers_do_not_make_a_pair(sample_reference: Reference) -> None:
    batch = batch_of(
        [line("11042-LT")],
        [line("11042-RT")],
        [line("11042-LT"), line("11042-RT", npi="1003000126")],
        [line("11042-LT"), line("20605-RT")],
    )

    hits = found(bilateral_not_allowed.find, sample_reference, batch)

    assert len(hits) == 0


def test_two_codes_billed_for_both_sides_are_two_hits(sample_reference: Reference) -> None:
    lines = [line("11042-50"), line("10060-LT"), line("10060-RT"), line("10060")]

    hits = found(bilateral_not_allowed.find, sample_reference, batch_of(lines))

    assert hits.line_hit.tolist() == [0, 1, 1]
    assert hits.line.tolist() == [0, 1, 2]
    assert hits.evidence["billed_as"].tolist() == [1, 0]


def test_a_visit_with_two_surgeries_is_one_hit_that_shows_the_major_one(
    sample_reference: Reference,
) -> None:
    batch = batch_of([line("17110"), line("99213"), line("27447")])

    hits = found(global_surgery_no_modifier.find, sample_reference, batch)

    assert hits.line.tolist() == [1]
    assert sorted(hits.partner.tolist()) == [0, 2]
    assert hits.evidence["global_days"].tolist() == [90]


def test_a_visit_on_a_day_without_a_fee_schedule_is_not_evaluated(
    sample_reference: Reference,
) -> None:
    batch = batch_of([line("99213"), line("17110")], day="2019-05-01", received="2019-05-02")

    hits = found(global_surgery_no_modifier.find, sample_reference, batch)

    assert len(hits) == 0
    assert [(gap.reason, np.flatnonzero(gap.lines).tolist()) for gap in hits.not_evaluated] == [
        ("no_release", [0])
    ]
