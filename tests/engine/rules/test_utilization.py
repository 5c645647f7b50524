"""What units far above the usual put at risk."""

from claimgate.v1 import score_pb2

from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.rules.rule import example, line


def test_at_risk_are_the_units_above_the_mean_and_no_more(sample_reference):
    """Two units of 97530 are usual, and six are billed: four sixths of its price."""
    engine = Engine.with_all_rules(sample_reference)
    claim = claim_of(example("", line("97530", units=6)))

    read = engine.read([score_pb2.ClaimBatch(claims=[claim])])
    [answer] = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])

    [result] = answer.results
    [hit] = [hit for hit in result.hits if hit.rule_id == "UTIL_VOLUME_OUTLIER"]
    assert result.allowed_cents > 0
    assert hit.exposure_cents == result.allowed_cents * 666_666 // 1_000_000
    assert result.exposure_cents == hit.exposure_cents
