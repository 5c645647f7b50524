"""Hold the engine against the oracle, and make a difference as small as it gets."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from pprint import pformat
from typing import Any

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2
from google.protobuf.json_format import MessageToJson
from hypothesis import HealthCheck, Phase, assume, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from engine.gathered import OK, Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.policy import Policy
from engine.reference import Reference
from tests.oracle.answers import Answer, engines_answer, oracles_answer
from tests.oracle.claims import Claims
from tests.oracle.scoring import Thresholds
from tests.oracle.tables import Tables

PASS = 500
"""Messages of a pass of the engine."""
TOLD_MAX = 3
"""How many differences are made small and told."""
Message = Sequence[claim_pb2.Claim]
POLICIES = (
    Thresholds(),
    Thresholds(ml_reject_policy="review"),
    Thresholds(ml_reject_policy="deny", ml_sole_denial_attested=True, auto_partial=True),
    Thresholds(
        ml_reject_policy="deny",
        review_min=0.2,
        deny_min=0.4,
        approval_threshold=0.5,
        model_weight=0.7,
        format_reject_mode="reject",
    ),
    Thresholds(ml_reject_policy="review", score_mode="additive", base_score=0.05),
)
PROBABILITIES = (0.0, 0.25, 0.5, 0.7999999523162842, 0.800000011920929, 0.93, 0.9999, 1.0)


@dataclass(slots=True)
class Outcome:
    """What came of a number of claims."""

    claims: int = 0
    differences: int = 0
    seen: Counter = field(default_factory=Counter)
    """What the claims were of: hits by rule and variant, price statuses, decisions."""
    told: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What a run ends with: one JSON object."""
        return json.dumps({"claims": self.claims, "differences": self.differences})

    def add(self, other: "Outcome") -> None:
        self.claims += other.claims
        self.differences += other.differences
        self.seen += other.seen
        self.told = (self.told + other.told)[:TOLD_MAX]


class Comparison:
    """An engine and an oracle over the same tables."""

    def __init__(self, source: Path, reference: Reference) -> None:
        self.tables = Tables(source)
        self.claims = Claims(self.tables)
        self.engines = [
            Engine.with_all_rules(
                reference,
                Policy(**{name: getattr(each, name) for name in Thresholds.__dataclass_fields__}),
            )
            for each in POLICIES
        ]

    def run(self, seed: int, count: int, told_max: int = TOLD_MAX) -> Outcome:
        """Compare the claims of a seed, pass by pass, under one policy after the other."""
        outcome, messages = Outcome(), self.claims.make(seed, count)
        number = 0
        while batch := list(islice(messages, PASS)):
            policy = (seed + number) % len(POLICIES)
            self._compare(outcome, seed, batch, policy, told_max)
            number += 1
        return outcome

    def _compare(
        self, outcome: Outcome, seed: int, messages: Sequence[Message], policy: int, told_max: int
    ) -> None:
        for message, results in zip(messages, self.answers(messages, policy), strict=True):
            same = True
            for claim, result in zip(message, results, strict=True):
                outcome.claims += 1
                ours, theirs = self.both(claim, message, result, policy)
                count(outcome.seen, theirs)
                outcome.differences += ours != theirs
                same &= ours == theirs
            if not same and len(outcome.told) < told_max:
                outcome.told.append(self.tell(seed, self.shrink(message, policy), policy))

    def answers(
        self, messages: Sequence[Message], policy: int
    ) -> list[Sequence[score_pb2.ClaimResult]]:
        engine = self.engines[policy]
        read = engine.read([score_pb2.ClaimBatch(claims=each) for each in messages])
        claims = [claim for message in messages for claim in message]
        p = np.array([probability(claim) for claim in claims], np.float32)
        scorable = np.array([n not in read.batch.violations for n in range(len(claims))], bool)
        gathered = Gathered(ModelAnswer(OK, p[scorable], "oracle"))
        found = engine.score(read, gathered, [score_pb2.VIEW_EVIDENCE] * len(messages))
        return [answer.results for answer in found]

    def both(
        self,
        claim: claim_pb2.Claim,
        message: Message,
        result: score_pb2.ClaimResult,
        policy: int,
    ) -> tuple[Answer, Answer]:
        ours = oracles_answer(claim, message, result, self.tables, POLICIES[policy])
        return ours, engines_answer(result)

    def differences(self, message: Message, policy: int) -> list[tuple[Answer, Answer]]:
        """Return the two answers to each claim of a message that they differ about."""
        [results] = self.answers([message], policy)
        answers = [
            self.both(claim, message, result, policy)
            for claim, result in zip(message, results, strict=True)
        ]
        return [(ours, theirs) for ours, theirs in answers if ours != theirs]

    def shrink(self, message: Message, policy: int) -> Message:
        """Return the smallest message within a message that is still answered differently."""
        try:
            return find(
                smaller_messages(message),
                lambda each: bool(self.differences(each, policy)),
                settings=settings(
                    max_examples=3_000,
                    derandomize=True,
                    database=None,
                    deadline=None,
                    phases=(Phase.generate, Phase.shrink),
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except NoSuchExample:
            return message

    def tell(self, seed: int, message: Message, policy: int) -> str:
        """Tell a difference: the claims, and the two answers side by side where they differ."""
        differing = [
            f"{name}\n  engine {pformat(theirs[name])}\n  oracle {pformat(ours[name])}"
            for ours, theirs in self.differences(message, policy)
            for name in ours
            if ours[name] != theirs[name]
        ]
        claims = [MessageToJson(claim, indent=None) for claim in message]
        return "\n".join((f"seed {seed}, {POLICIES[policy]}", *claims, *differing))


def probability(claim: claim_pb2.Claim) -> float:
    """What the model says of a claim: any of several values, by its charge."""
    return PROBABILITIES[claim.total_charge_cents % len(PROBABILITIES)]


def count(seen: Counter, answer: Mapping[str, Any]) -> None:
    """Count what a claim was of, so that a run can say what it has seen."""
    seen.update(f"{rule} {variant}".strip() for rule, variant, *_ in answer["edits"])
    seen.update(answer["not_evaluated"].keys())
    seen.update(f"{status} {reason}".strip() for _, status, reason, *_ in answer["prices"])
    seen[answer["decision"]] += 1
    seen["suppressed"] += sum(out for _, out in answer["suppressed"])
    seen["rejected as faulty"] += bool(answer["violations"])


PARTICULARS = ("rendering_provider", "facility_provider", "service_to_date", "place_of_service",
               "unit_basis")  # fmt: skip


@st.composite
def smaller_messages(draw: Callable, message: Message) -> Message:
    """Draw messages within a message: claims, lines, modifiers and particulars kept or left out.

    What is drawn for one of them does not depend on what is drawn for another, so that each can be
    left out by itself.
    """

    def kept() -> bool:
        return draw(st.integers(0, 30)) > 0

    found = []
    for claim in message:
        keep, small = kept(), smaller_claim(claim, kept)
        if keep and small.lines:
            found.append(small)
    assume(found)
    return found


def smaller_claim(claim: claim_pb2.Claim, kept: Callable[[], bool]) -> claim_pb2.Claim:
    """Leave out of a claim what is not kept."""
    small = claim_pb2.Claim()
    small.CopyFrom(claim)
    del small.lines[:]
    for line in claim.lines:
        keep, modifiers = kept(), [each for each in line.modifiers if kept()]
        cleared = [name for name in PARTICULARS if not kept()]
        plain_units, plain_charge = not kept(), not kept()
        if not keep:
            continue
        added = small.lines.add()
        added.CopyFrom(line)
        added.modifiers[:] = modifiers
        for name in cleared:
            added.ClearField(name)
        if plain_units:
            added.units_milli = 1000
        if plain_charge:
            added.charge_cents = 10_000
    for name in ("rendering_provider", "facility_provider", "line_of_business"):
        if not kept():
            small.ClearField(name)
    if not kept():
        small.billing_provider.taxonomy = ""
    if not kept():
        small.received_date = small.service_to_date
    if not kept():
        small.ClearField("frequency_code")
        small.ClearField("payer_claim_control_number")
    small.total_charge_cents = max(sum(line.charge_cents for line in small.lines), 1)
    return small
