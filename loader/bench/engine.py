"""The engine alone on one core: bytes of messages to bytes of answers, by stage and by rule."""

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np
from claimgate.v1 import score_pb2

from engine.answers import answers, counts
from engine.findings import denied_for_certain, hits_of, rule_inputs
from engine.gaps import Gaps
from engine.gathered import OK, Gathered, ModelAnswer
from engine.messages import Rows
from engine.overrides import effects_of
from engine.pipeline import Engine, coverage_of
from engine.pricing import price
from engine.reference import Reference
from engine.rules.rule import Rule
from loader.bench.machine import rss_mb
from loader.bench.workload import batches, claims

PASS_CLAIMS: Final = 2_048
_MESSAGE_CLAIMS: Final = 128


def measure_engine(snapshot: Path, *, count: int, runs: int) -> dict[str, Any]:
    """Return claims a second over the whole engine, microseconds a claim by stage and by rule.

    Args:
        snapshot: Folder of the reference snapshot.
        count: Claims in each run.
        runs: Runs; the figures are medians.
    """
    started = perf_counter()
    reference = Reference.open(snapshot)
    open_s = perf_counter() - started
    engine = Engine.with_all_rules(reference)
    wire = [message.SerializeToString() for message in batches(claims(count), _MESSAGE_CLAIMS)]
    per_pass = PASS_CLAIMS // _MESSAGE_CLAIMS
    passes = [wire[first : first + per_pass] for first in range(0, len(wire), per_pass)]
    stages: list[dict[str, float]] = [_run(engine, passes) for _ in range(runs + 1)][1:]
    by_stage = {name: median(run[name] for run in stages) for name in stages[0]}
    total_s = median(sum(run.values()) for run in stages)
    rules = _rules(engine, passes[0], runs)
    return {
        "claims_per_s": round(count / total_s),
        "columns_to_verdict_claims_per_s": round(count / by_stage["judge"]),
        "rules": len(engine.rules),
        "us_per_claim": {name: round(s / count * 1e6, 2) for name, s in by_stage.items()},
        "rules_us_per_1000_claims": {name: round(us, 1) for name, us in rules.items()},
        "rules_share_percent": {
            name: round(100 * us / sum(rules.values()), 1) for name, us in rules.items()
        },
        "crowded_pass_ratio": _crowded_ratio(engine, passes[0], runs),
        "evaluated_share": _shares(engine, passes[0]),
        "snapshot_open_s": round(open_s, 3),
        "rss_mb": rss_mb(),
        "claims": count,
        "runs": runs,
    }


def _sent(wire: list[bytes]) -> list[Rows]:
    return list(map(Rows.read, wire))


def _gathered(claims_read: int) -> Gathered:
    return Gathered(ModelAnswer(OK, np.full(claims_read, 0.9, np.float32), "bench"))


def _run(engine: Engine, passes: list[list[bytes]]) -> dict[str, float]:
    """Seconds by stage over all passes."""
    spent = dict.fromkeys(("check", "read", "judge", "answer", "count"), 0.0)
    for wire in passes:
        started = perf_counter()
        messages = _sent(wire)
        checked = perf_counter()
        read = engine.read(messages)
        was_read = perf_counter()
        scored = engine.judge(read, _gathered(len(read.batch.claims)))
        judged = perf_counter()
        gaps = Gaps.of(scored.findings, scored.batch)
        answers(scored, gaps, [score_pb2.VIEW_EVIDENCE] * len(messages))
        answered = perf_counter()
        counts(scored, gaps)
        ends = (checked, was_read, judged, answered, perf_counter())
        for stage, end, begin in zip(spent, ends, (started, *ends), strict=False):
            spent[stage] += end - begin
    return spent


def _rules(engine: Engine, wire: list[bytes], runs: int) -> dict[str, float]:
    """Microseconds per 1,000 claims of each rule, dearest first."""
    read = engine.read(_sent(wire))
    batch, facts = read.batch, read.facts
    allowed = price(batch, engine.reference, facts, engine.policy)
    effects = effects_of(engine.policy, batch)

    inputs = rule_inputs(
        engine.rules, batch, engine.reference, facts, _gathered(len(batch.claims)), allowed
    )
    others = [rule for rule in engine.rules if "denied" not in rule.needs]
    found = [(each, *effects.weigh(each, hits_of(each, inputs, effects))) for each in others]
    inputs["denied"] = denied_for_certain(found, len(batch.lines))

    def cost(rule: Rule) -> float:
        def once() -> float:
            started = perf_counter()
            hits_of(rule, inputs, effects)
            return perf_counter() - started

        return median(once() for _ in range(max(runs, 3))) / len(batch.claims) * 1e9

    costs = {rule.id: cost(rule) for rule in engine.rules}
    return dict(sorted(costs.items(), key=lambda each: -each[1]))


def _crowded_ratio(engine: Engine, wire: list[bytes], runs: int) -> float:
    """Time of a pass that is one message of one member and day, in times of an ordinary pass."""
    template = _sent(wire)[0].rows().claims[0]
    crowd = score_pb2.ClaimBatch(claims=[template] * PASS_CLAIMS)
    for number, claim in enumerate(crowd.claims):
        claim.claim_id = f"CROWD{number}"
    crowded = [crowd.SerializeToString()]
    seconds = [
        [sum(_run(engine, [each]).values()) for each in (crowded, wire)] for _ in range(runs)
    ]
    return round(median(one / other for one, other in seconds), 2)


def _shares(engine: Engine, wire: list[bytes]) -> dict[str, float]:
    read = engine.read(_sent(wire))
    scored = engine.judge(read, _gathered(len(read.batch.claims)))
    return {
        name: round(each.evaluated / max(each.lines, 1), 4)
        for name, each in coverage_of(scored).items()
    }
