"""What if: the same claims under two policies, side by side."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from claimgate.v1 import reference_service_pb2 as pb
from claimgate.v1 import score_pb2

from engine.pipeline import Engine
from engine.policy import Policy
from server.engine_scorer import EngineScorer
from server.gather import Wanted
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
        self,
        engine: Engine,
        base: Policy,
        candidate: Policy,
        request: pb.ComparePoliciesRequest,
        tenant: str,
    ) -> pb.ComparePoliciesResponse:
        """Return both results of each claim, and the fields in which they differ."""
        under_base, under_candidate = (
            EngineScorer(
                replace(engine, policy=policy, reference=engine.reference.for_tenant(tenant))
            )
            for policy in (base, candidate)
        )
        async with self._turn:
            before = await self._scored(under_base, request, Wanted(tenant))
            # As of the same commit and fees: a load in between is no difference of policies.
            same = Wanted(
                tenant,
                watermark=before.provenance.history_watermark,
                fee_schedule=before.provenance.fee_schedule_version or None,
            )
            after = await self._scored(under_candidate, request, same)
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

    async def _scored(
        self, scorer: EngineScorer, request: pb.ComparePoliciesRequest, wanted: Wanted
    ) -> "Answer":
        read = await asyncio.to_thread(scorer.read, [request.batch])
        gathered = await self.gather(read, wanted)
        judged = await asyncio.to_thread(scorer.score, read, gathered, [request.view])
        return judged.answers[0]


def _differing(one: score_pb2.ClaimResult, other: score_pb2.ClaimResult) -> list[str]:
    """Return the names of the fields in which two results differ, in the order of the API."""
    return [
        each.name
        for each in score_pb2.ClaimResult.DESCRIPTOR.fields
        if getattr(one, each.name) != getattr(other, each.name)
    ]
