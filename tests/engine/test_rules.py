"""Every rule: its examples are its tests, and its hits say what they rest on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.as_earlier import earlier_claims, earlier_lines
from engine.examples import claims_of, members_of, providers_of
from engine.gathered import Gathered, ModelAnswer
from engine.history import History
from engine.pipeline import Engine
from engine.policy import Override, Policy
from engine.reference import Reference
from engine.rules import all_rules
from engine.rules.rule import Example, Rule
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"

EXAMPLES = [(rule, example) for rule in all_rules() for example in rule.examples]


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def hits_of(engine: Engine, rule: Rule, example: Example, *, committed: bool = False):
    """Result and hits of an example's claim; earlier claims in its message, or as history."""
    claims = claims_of(example)
    message = claims[-1:] if committed else claims
    if example.params:
        changed = Override(rule_id=rule.id, params=example.params)
        engine = Engine.with_all_rules(engine.reference, Policy(overrides=(changed,)))
    read = engine.read([score_pb2.ClaimBatch(claims=message)])
    history = history_of(engine, claims[:-1]) if committed else providers_of(example)
    gathered = Gathered(ModelAnswer.disabled(), history, members_of(example))
    answers = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE])
    result = answers[0].results[-1]
    return result, [hit for hit in result.hits if hit.rule_id == rule.id]


def history_of(engine: Engine, claims: list[claim_pb2.Claim]) -> History:
    """History as it is once these claims are committed and paid, without those taken back."""
    taken_back = {each.payer_claim_control_number for each in claims if each.frequency_code in "78"}
    claims = [
        each
        for each in claims
        if each.frequency_code != "8" and each.claim_id not in taken_back - {""}
    ]
    batch = engine.read([score_pb2.ClaimBatch(claims=claims)]).batch
    every = np.arange(len(batch.claims))
    return replace(
        History.of_strangers(1),
        claim_ids=[claim.claim_id for claim in claims],
        claims=earlier_claims(batch, every),
        lines=earlier_lines(batch, np.arange(len(batch.lines)), batch.lines.claim),
    )


def check(example: Example, result: score_pb2.ClaimResult, hits: list) -> None:
    assert not result.violations, "an example is a claim that can be scored"
    assert bool(hits) == example.hit
    if example.hit_lines is not None:
        assert sorted({n for hit in hits for n in hit.line_numbers}) == sorted(example.hit_lines)
    if example.variant is not None:
        assert example.variant in {hit.variant for hit in hits}


@pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{rule.id}: {example.name}" for rule, example in EXAMPLES]
)
def test_example_holds(engine: Engine, rule: Rule, example: Example) -> None:
    check(example, *hits_of(engine, rule, example))


WITH_PAST = [(rule, example) for rule, example in EXAMPLES if example.earlier]


@pytest.mark.parametrize(
    ("rule", "example"),
    WITH_PAST,
    ids=[f"{rule.id}: {example.name}" for rule, example in WITH_PAST],
)
def test_example_holds_with_its_earlier_claims_committed(engine, rule, example) -> None:
    check(example, *hits_of(engine, rule, example, committed=True))


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_rule_is_documented(rule: Rule) -> None:
    assert rule.summary.endswith(".")
    assert rule.cites
    assert any(example.hit for example in rule.examples)
    assert not all(example.hit for example in rule.examples)


def test_hits_carry_evidence_and_citation(engine: Engine) -> None:
    for rule, example in EXAMPLES:
        if example.hit:
            _, hits = hits_of(engine, rule, example)
            for hit in hits:
                assert hit.citation == rule.cites
                assert set(hit.evidence) <= {*rule.evidence, "partner_lines"}


def answers_of(engine: Engine, messages: list[score_pb2.ClaimBatch]) -> list:
    read = engine.read(messages)
    gathered = Gathered(ModelAnswer.disabled())
    return list(engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE] * len(messages)))


@pytest.fixture(scope="module")
def without_listings(tmp_path_factory) -> Engine:
    """An engine whose tenant has brought no table of its own."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "listings").mkdir()
    build(SAMPLE, folder / "snapshot", listings=folder / "listings")
    return Engine.with_all_rules(Reference.open(folder / "snapshot"))


@pytest.mark.parametrize("of_rule", [None, 2], ids=["every example", "without listings"])
def test_examples_in_one_pass_are_answered_as_alone(engine, without_listings, of_rule) -> None:
    """What a rule finds, and what it says that it cannot judge, rests on the message alone."""
    scored_by = engine if of_rule is None else without_listings
    messages = [
        score_pb2.ClaimBatch(claims=claims_of(example))
        for rule in all_rules()
        for example in rule.examples[:of_rule]
    ]

    together = answers_of(scored_by, messages)

    assert together == [answers_of(scored_by, [message])[0] for message in messages]
