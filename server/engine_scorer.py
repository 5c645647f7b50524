"""The real engine behind the interface that passes use."""

from collections.abc import Sequence
from dataclasses import dataclass

from claimgate.v1 import score_pb2

from engine.columns import Violation
from engine.encode import encode
from engine.gathered import Gathered
from engine.pipeline import Engine, Pass, coverage_of, tenant_fee_lines
from server.scorer import Judged


@dataclass(frozen=True, slots=True)
class EngineScorer:
    """Scores passes with an engine, and says how much each rule could judge."""

    engine: Engine

    def read(self, messages: Sequence[score_pb2.ClaimBatch]) -> Pass:
        """Turn messages into columns, with what the tables say."""
        return self.engine.read(messages)

    def score(self, read: Pass, gathered: Gathered, views: Sequence[int]) -> Judged:
        """Answer each message."""
        scored = self.engine.judge(read, gathered)
        return Judged(encode(scored, views), coverage_of(scored), tenant_fee_lines(scored))

    def validate(self, messages: Sequence[score_pb2.ClaimBatch]) -> list[list[Sequence[Violation]]]:
        """Return the faults of each claim of each message."""
        return self.engine.validate(messages)
