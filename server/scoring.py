"""ScoringService: check, hand over, translate."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

import grpc
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb

from engine.messages import as_message
from server.batcher import Batcher, Work
from server.calls import Context, current_call
from server.errors import DeadlineError
from server.priorities import checked_priority
from server.requests import BatchRequest, StreamRequest, validation_request
from server.schedule.terms import Priority
from server.scorer import Answer, CurrentScorer, EngineThread, Violation
from server.streams import ScoringStream, StreamLimits, check_batch, checked_view

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ScoringService"].full_name
SCORE_BATCH: Final = f"/{SERVICE}/ScoreBatch"
"""Path of the method whose calls are refused while the queue is full."""

T = TypeVar("T")


class ScoringServicer:
    """Scores streams and batches of claims."""

    def __init__(
        self,
        batcher: Batcher,
        scorer: CurrentScorer,
        thread: EngineThread,
        limits: StreamLimits,
        call_deadline_s: float,
        draining: asyncio.Event,
        entries_max: int,
    ) -> None:
        self._batcher = batcher
        self._scorer = scorer
        self._thread = thread
        self._limits = limits
        self._call_deadline_s = call_deadline_s
        self._draining = draining
        self._entries_max = entries_max

    async def ScoreClaims(  # noqa: N802
        self, requests: AsyncIterator[StreamRequest], context: Context
    ) -> None:
        """Score a stream of messages."""
        await ScoringStream(current_call(), self._batcher, self._limits, self._draining).run(
            requests, context
        )

    async def ScoreBatch(  # noqa: N802
        self, request: BatchRequest, context: Context
    ) -> bytes:
        """Score one batch; the answer is written already."""
        check_batch(request.message.claims, self._limits.claims_max)
        answer = await self._answer(request, self._deadline_s(context))
        return answer.content

    async def ValidateClaims(  # noqa: N802
        self, request: pb.ValidateClaimsRequest, context: Context
    ) -> pb.ValidateClaimsResponse:
        """Check the structure of claims."""
        check_batch(len(request.batch.claims), self._limits.claims_max)
        scorer = await self._scorer(current_call().principal.tenant)
        checking = self._thread.run("validate", scorer.validate, [as_message(request.batch)])
        [violations] = await _within(checking, self._deadline_s(context))
        return pb.ValidateClaimsResponse(
            validations=[
                pb.ClaimValidation(
                    claim_id=claim.claim_id, violations=map(_field_violation, faults)
                )
                for claim, faults in zip(request.batch.claims, violations, strict=True)
            ]
        )

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve the methods: claims and answers are bytes in both that score."""
        most = self._entries_max
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "ScoreClaims": grpc.stream_stream_rpc_method_handler(
                self.ScoreClaims, request_deserializer=partial(StreamRequest.read, entries_max=most)
            ),
            "ScoreBatch": grpc.unary_unary_rpc_method_handler(
                self.ScoreBatch, request_deserializer=partial(BatchRequest.read, entries_max=most)
            ),
            "ValidateClaims": grpc.unary_unary_rpc_method_handler(
                self.ValidateClaims,
                request_deserializer=partial(validation_request, entries_max=most),
                response_serializer=pb.ValidateClaimsResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_registered_method_handlers(SERVICE, handlers)

    async def _answer(self, request: BatchRequest, deadline_s: float) -> Answer:
        call = current_call()
        work = Work(
            message=request.message,
            tenant=call.principal.tenant,
            view=checked_view(request.view),
            history=not request.without_history,
            priority=checked_priority(request.priority, Priority.INTERACTIVE),
            expires_at=monotonic() + deadline_s,
            request_id=call.request_id,
            caller=call.span,
        )
        self._batcher.offer(work)
        return await _within(work.answered, deadline_s)

    def _deadline_s(self, context: Context) -> float:
        """Return how long the caller waits: as long as the setting where it does not say."""
        left_s: float | None = context.time_remaining()
        return self._call_deadline_s if left_s is None else left_s


async def _within(work: Awaitable[T], deadline_s: float) -> T:
    """Wait for work no longer than the caller does."""
    try:
        async with asyncio.timeout(deadline_s):
            return await work
    except TimeoutError:
        raise DeadlineError(
            f"no answer within {deadline_s:g} s; send fewer claims or allow more time"
        ) from None


def _field_violation(fault: Violation) -> score_pb2.FieldViolation:
    return score_pb2.FieldViolation(field=fault.field, code=fault.code, message=fault.message)
