"""Every rule: its examples are its tests, and its hits say what they rest on."""

import pytest
from claimgate.v1 import score_pb2

from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.rules import all_rules
from engine.rules.rule import Example, Rule

EXAMPLES = [(rule, example) for rule in all_rules() for example in rule.examples]


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def hits_of(engine: Engine, rule: Rule, example: Example) -> tuple[score_pb2.ClaimResult, list]:
    messages = [score_pb2.ClaimBatch(claims=[claim_of(example)])]
    read = engine.read(messages)
    answers = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])
    result = answers[0].results[0]
    return result, [hit for hit in result.hits if hit.rule_id == rule.id]


@pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{rule.id}: {example.name}" for rule, example in EXAMPLES]
)
def test_example_holds(engine: Engine, rule: Rule, example: Example) -> None:
    result, hits = hits_of(engine, rule, example)

    assert not result.violations, "an example is a claim that can be scored"
    assert bool(hits) == example.hit
    if example.hit_lines is not None:
        assert sorted({n for hit in hits for n in hit.line_numbers}) == sorted(example.hit_lines)
    if example.variant is not None:
        assert example.variant in {hit.variant for hit in hits}


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
