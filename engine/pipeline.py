"""The hot path on one screen.

Read, then score. Between the two the server gathers what lies outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from claimgate.v1 import score_pb2, scoring_service_pb2

from engine.columns import Batch, Violation
from engine.decode import decode
from engine.encode import Scored, encode
from engine.facts import Facts, look_up
from engine.features import Features, features
from engine.findings import Coverage, coverage, find_hits
from engine.gathered import Gathered
from engine.policy import Policy
from engine.pricing import price
from engine.reference import Reference
from engine.rules import all_rules
from engine.rules.rule import Rule
from engine.tenant_fees import CONTRACT_RATES
from engine.verdict import decide


@dataclass(frozen=True, slots=True)
class Pass:
    """Claims that were read and looked up, ready to be scored."""

    batch: Batch
    facts: Facts
    features: Features


@dataclass(frozen=True, slots=True, repr=False)
class Engine:
    """What scoring needs: loaded once, never changed, shared by every pass."""

    rules: tuple[Rule, ...]
    reference: Reference
    policy: Policy

    def __repr__(self) -> str:
        """Name what it scores with."""
        return f"Engine({len(self.rules)} rules, {self.reference!r}, {self.policy.version})"

    @classmethod
    def with_all_rules(cls, reference: Reference, policy: Policy | None = None) -> Self:
        """Return an engine with every rule of the project, under the default policy if need be."""
        engine = cls(all_rules(), reference, policy or Policy())
        engine.policy.check(engine.rules)
        return engine

    def read(self, messages: Sequence[score_pb2.ClaimBatch]) -> Pass:
        """Messages to columns, with what the tables say.

        Claims that cannot be scored are marked with every reason.
        """
        batch = decode(messages, allow_zero_charge=self.policy.allow_zero_charge)
        facts = look_up(batch, self.reference)
        return Pass(batch, facts, features(batch, self.reference, facts))

    def score(
        self, read: Pass, gathered: Gathered, views: Sequence[int]
    ) -> list[scoring_service_pb2.MessageResult]:
        """Answer each message's claims, in order, from the columns and what the server gathered."""
        return encode(self.judge(read, gathered), views)

    def judge(self, read: Pass, gathered: Gathered) -> Scored:
        """Price, find and decide: everything but the words."""
        batch, facts = read.batch, read.facts
        allowed = price(batch, self.reference, facts, self.policy, gathered.fees)
        findings = find_hits(
            self.rules, batch, self.reference, facts, gathered, allowed, self.policy
        )
        verdict = decide(findings, gathered.model, batch, allowed, self.policy)
        return Scored(
            batch,
            facts,
            read.features,
            gathered,
            allowed,
            findings,
            verdict,
            self.reference,
            self.policy,
        )

    def validate(self, messages: Sequence[score_pb2.ClaimBatch]) -> list[list[Sequence[Violation]]]:
        """Return for each message and claim what would keep it from being scored."""
        batch = decode(messages, allow_zero_charge=self.policy.allow_zero_charge)
        faults = iter(batch.violations.get(n, ()) for n in range(len(batch.received.claim_ids)))
        return [[next(faults) for _ in range(n)] for n in batch.received.message_claims]


def coverage_of(scored: Scored) -> dict[str, Coverage]:
    """Return how many lines each rule could have judged and did, and how many have a price."""
    coded = scored.batch.lines.procedure > 0
    priced = Coverage(int(coded.sum()), int((scored.allowed.priced & coded).sum()))
    return coverage(scored.findings, scored.batch) | {"PRICE": priced}


def tenant_fee_lines(scored: Scored) -> int:
    """Count the lines that have their price from the tenant's own fee schedule."""
    listed = len(scored.reference.listing(CONTRACT_RATES))
    return int((scored.allowed.contract >= listed).sum()) if len(scored.gathered.fees.rows) else 0
