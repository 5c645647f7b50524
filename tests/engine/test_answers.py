"""The compiled writer answers as the Python one does; sums and counts say what the answers say."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from claimgate.v1 import claim_pb2
from claimgate.v1 import score_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.answers import Answer, answers, counts
from engine.as_earlier import earlier_claims, earlier_lines
from engine.encode import Scored
from engine.examples import claim_of, claims_of
from engine.gaps import Gaps
from engine.gathered import OK, Gathered, ModelAnswer
from engine.history import History
from engine.pipeline import Engine
from engine.policy_document import policy_of
from engine.rules import all_rules
from engine.rules.rule import example, line
from loader.synthetic import synthetic_claims

VIEWS = (pb.VIEW_DECISION, pb.VIEW_EVIDENCE, pb.VIEW_TRACE)
WRITING = Path(__file__).with_name("writing.py")
EXAMPLES = [each for rule in all_rules() for each in rule.examples]
SPLIT = "split"
"""Stands for models of which each answers some of the messages."""
NO_MODEL = ModelAnswer.disabled()
MODELS = (
    ModelAnswer(SPLIT),
    NO_MODEL,
    ModelAnswer.unavailable("timeout"),
    ModelAnswer(OK, np.empty(0, np.float32), "7/litert-int8"),
)
TRIED_OUT = {
    "overrides": [
        {"rule_id": "NCCI_PTP", "shadow": True},
        {"rule_id": "NCCI_MUE", "carc": "B7", "severity": "low"},
    ]
}

compiled = pytest.mark.usefixtures("compiled")


@pytest.fixture(scope="module")
def engine(sample_reference) -> Engine:
    return Engine.with_all_rules(sample_reference)


def scored_of(
    engine: Engine,
    messages: list[list[claim_pb2.Claim]],
    *,
    model: ModelAnswer = NO_MODEL,
    **gathered,
) -> Scored:
    read = engine.read([pb.ClaimBatch(claims=claims) for claims in messages])
    if model.status == OK:
        # Of every size, and none of them twice.
        p = np.linspace(0, 1, len(read.batch.claims), dtype=np.float32)
        model = replace(model, probability=p)
    if model.status == SPLIT:
        model = split_over(read.batch.claims.message, len(messages))
    return engine.judge(read, Gathered(model, **gathered))


def split_over(message: np.ndarray, messages: int) -> ModelAnswer:
    """Two versions of a model, of which one is out: it has no answer to every third message."""
    out = ModelAnswer.unavailable("timeout")
    answered = ModelAnswer(OK, np.empty(0, np.float32), "7"), ModelAnswer(OK, None, "8")
    by_message = tuple(out if n % 3 == 2 else answered[n % 2] for n in range(messages))
    p = np.linspace(0, 1, len(message), dtype=np.float32)
    p[message % 3 == 2] = np.nan
    return ModelAnswer(OK, p, "7", by_message=by_message)


def assert_same(scored: Scored, views: list[int]) -> list[Answer]:
    """Hold both writers against each other; return what the compiled one has written."""
    gaps = Gaps.of(scored.findings, scored.batch)
    native, python = (
        answers(scored, gaps, views, writer=writer) for writer in ("native", "python")
    )
    assert [each.parsed() for each in native] == [each.parsed() for each in python]
    assert [each.totals for each in native] == [each.totals for each in python]
    return native


def in_messages(claims: list[claim_pb2.Claim], size: int) -> list[list[claim_pb2.Claim]]:
    return [claims[first : first + size] for first in range(0, len(claims), size)]


def some_rejected(claims: list[claim_pb2.Claim], seed: int) -> list[claim_pb2.Claim]:
    """Make one claim in ten one that cannot be scored."""
    for claim in Random(seed).sample(claims, len(claims) // 10):
        claim.lines[0].units_milli = -1
        claim.facility_id = ""
    return claims


# --- the same answers


@compiled
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.status)
@pytest.mark.parametrize("document", [{}, TRIED_OUT], ids=["plain", "tried out"])
def test_messages_of_a_pass_are_answered_the_same_in_every_view(sample_reference, model, document):
    engine = Engine.with_all_rules(sample_reference, policy_of(document))
    claims = some_rejected(list(synthetic_claims(600, seed=31)), seed=1)
    messages = in_messages(claims, 50)

    scored = scored_of(engine, messages, model=model, degraded=("history: timeout",))
    found = assert_same(scored, [VIEWS[n % 3] for n in range(len(messages))])

    results = [each for answer in found for each in answer.parsed().results]
    assert [each.claim_id for each in results] == [each.claim_id for each in claims]
    assert {each.decision for each in results} >= {pb.DECISION_REJECT, pb.DECISION_DENY}
    if model.status == SPLIT:
        assert {each.parsed().provenance.model_version for each in found} == {"7", "8", ""}
    assert any(hit.shadow for each in results for hit in each.hits) == bool(document)


@compiled
def test_claims_of_every_rule_are_answered_the_same(engine):
    messages = [claims_of(each) for each in EXAMPLES]
    for number, claims in enumerate(messages):
        for claim in claims:
            claim.person_id = f"{claim.person_id}-{number}"

    found = assert_same(scored_of(engine, messages), [pb.VIEW_TRACE] * len(messages))

    fired = {h.rule_id for a in found for each in a.parsed().results for h in each.hits}
    assert len(fired) > 0.7 * len(engine.rules)


@compiled
def test_hits_on_committed_history_are_answered_the_same(engine):
    claims = [claim_of(example("a", line("99213"), line("20610-RT")), f"Ç{n}") for n in range(4)]
    batch = engine.read([pb.ClaimBatch(claims=claims[:2])]).batch
    history = replace(
        History.of_strangers(7),
        claim_ids=[claim.claim_id for claim in claims[:2]],
        claims=earlier_claims(batch, np.arange(2)),
        lines=earlier_lines(batch, np.arange(len(batch.lines)), batch.lines.claim),
    )

    [answer] = assert_same(scored_of(engine, [claims[2:]], history=history), [pb.VIEW_EVIDENCE])

    told = {
        hit.evidence["earlier_claim"]
        for each in answer.parsed().results
        for hit in each.hits
        if "earlier_claim" in hit.evidence
    }
    assert told & {"Ç0", "Ç1"}
    assert answer.parsed().provenance.history_watermark == 7


@compiled
@pytest.mark.parametrize("claims", [[], [[]], [[], [claim_of(EXAMPLES[0])], []]])
def test_messages_without_claims_are_answered_the_same(engine, claims):
    found = assert_same(scored_of(engine, claims), [pb.VIEW_EVIDENCE] * len(claims))

    assert [len(each.parsed().results) for each in found] == list(map(len, claims))


@compiled
def test_pass_of_nothing_but_rejected_claims_is_answered_the_same(engine):
    claims = [claim_of(EXAMPLES[0], f"C{number}") for number in range(3)]
    for claim in claims:
        claim.facility_id = ""

    [answer] = assert_same(scored_of(engine, [claims]), [pb.VIEW_EVIDENCE])

    assert answer.totals.decisions == {pb.DECISION_REJECT: 3}


@st.composite
def odd_claims(draw) -> claim_pb2.Claim:
    """A claim of an example with texts and numbers of any kind where they are given back."""
    claim = claim_of(draw(st.sampled_from(EXAMPLES)), draw(st.text(max_size=30)))
    claim.claim_version = draw(st.integers(-(2**31), 2**31 - 1))
    claim.is_test = draw(st.booleans())
    for each in claim.lines:
        if draw(st.booleans()):
            each.line_number = draw(st.integers(-5, 2**31 - 1))
        each.charge_cents += draw(st.integers(0, 10**9))
    return claim


@compiled
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages=st.lists(st.lists(odd_claims(), max_size=3), max_size=3), data=st.data())
def test_any_claims_are_answered_the_same(engine, messages, data):
    views = [data.draw(st.sampled_from((*VIEWS, pb.VIEW_UNSPECIFIED))) for _ in messages]
    model = data.draw(st.sampled_from(MODELS))

    assert_same(scored_of(engine, messages, model=model), views)


@compiled
def test_any_columns_are_written_as_they_are_meant():
    done = subprocess.run(
        [sys.executable, str(WRITING), "1", "1000"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-4000:]


@compiled
def test_evidence_that_is_too_short_is_a_fault_of_its_rule(engine):
    scored = scored_of(engine, [[claim_of(example("a", line("45385"), line("45380")))]])
    hits = [
        replace(each, evidence={name: column[:0] for name, column in each.evidence.items()})
        for each in scored.findings.by_rule
    ]
    scored = replace(scored, findings=replace(scored.findings, by_rule=tuple(hits)))

    with pytest.raises(ValueError, match="for 1 hits"):
        assert_same(scored, [pb.VIEW_EVIDENCE])


# --- what they come to


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.status)
def test_totals_and_counts_are_what_the_answers_say(engine, model):
    claims = some_rejected(list(synthetic_claims(300, seed=32)), seed=2)
    scored = scored_of(engine, in_messages(claims, 60), model=model, degraded=("fees: timeout",))
    gaps = Gaps.of(scored.findings, scored.batch)

    found = answers(scored, gaps, [pb.VIEW_DECISION] * 5)

    messages = [list(each.parsed().results) for each in found]
    for answer, results in zip(found, messages, strict=True):
        assert answer.totals.decisions == Counter(each.decision for each in results)
        assert answer.totals.allowed_cents == sum(each.allowed_cents for each in results)
        assert answer.totals.exposure_cents == sum(each.exposure_cents for each in results)
        assert answer.totals.degraded_claims == sum(bool(each.degraded) for each in results)
    every = [each for results in messages for each in results]
    has_p = [each for each in every if each.HasField("approval_probability")]
    counted = counts(scored, gaps)
    assert counted.decisions == Counter(each.decision for each in every)
    assert counted.hits == Counter(hit.rule_id for each in every for hit in each.hits)
    assert counted.not_evaluated == Counter(g.reason for each in every for g in each.not_evaluated)
    assert counted.degraded == Counter(outage for each in every for outage in each.degraded)
    assert counted.probabilities.tolist() == [each.approval_probability for each in has_p]
    assert counted.model_statuses == Counter(
        each.model_status for each in every if not each.HasField("approval_probability")
    )
    assert counted.hits
    assert counted.not_evaluated


def test_answer_names_no_claim_where_it_is_shown(engine):
    [answer] = answers(
        scored := scored_of(engine, [[claim_of(EXAMPLES[0], "CANARY")]]),
        Gaps.of(scored.findings, scored.batch),
        [pb.VIEW_EVIDENCE],
    )

    assert b"CANARY" in answer.content
    assert "CANARY" not in repr(answer)
