"""What if: the same claims under two policies, side by side."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from claimgate.v1 import reference_service_pb2 as pb
from claimgate.v1 import score_pb2

from engine.pipeline import Engine
from engine.policy import Policy
from server.engine_scorer import EngineScorer
from server.passes import Gather

if TYPE_CHECKING:
    from server.scorer import Answer


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores claims twice, one comparison at a time and apart from the passes."""

    gather: Gather
    claims_max: int
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(
        self, engine: Engine, base: Policy, candidate: Policy, request: pb.ComparePoliciesRequest
    ) -> pb.ComparePoliciesResponse:
        """Return both results of each claim, and the fields in which they differ."""
        async with self._turn:
            before, after = [
                await self._scored(EngineScorer(replace(engine, policy=policy)), request)
                for policy in (base, candidate)
            ]
        return pb.ComparePoliciesResponse(
            comparisons=[
                pb.ClaimComparison(
                    base=one, candidate=other, differing_fields=_differing(one, other)
                )
                for one, other in zip(before.results, after.results, strict=True)
            ],
            base_provenance=before.provenance,
            candidate_provenance=after.provenance,
        )

    async def _scored(self, scorer: EngineScorer, request: pb.ComparePoliciesRequest) -> "Answer":
        read = await asyncio.to_thread(scorer.read, [request.batch])
        gathered = await self.gather(read)
        judged = await asyncio.to_thread(scorer.score, read, gathered, [request.view])
        return judged.answers[0]


def _differing(one: score_pb2.ClaimResult, other: score_pb2.ClaimResult) -> list[str]:
    """Return the names of the fields in which two results differ, in the order of the API."""
    return [
        each.name
        for each in score_pb2.ClaimResult.DESCRIPTOR.fields
        if getattr(one, each.name) != getattr(other, each.name)
    ]
