"""One pass: read, gather, score. Only the gather waits for somebody else."""

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Final

import structlog
from claimgate.columns import ColumnError
from claimgate.v1 import score_pb2
from opentelemetry import trace

from engine.gathered import Gathered
from engine.messages import Message, Rows
from server.batcher import Work
from server.errors import (
    CallFaultError,
    DeadlineError,
    InternalFaultError,
    InvalidColumnError,
    new_error_id,
)
from server.gather import Wanted
from server.metrics import Metrics
from server.poison import Poisoned, without_poisoned
from server.scorer import CurrentScorer, EngineThread, Judged
from server.telemetry import stack_of, trace_id_of

Gather = Callable[[Any, Wanted], Awaitable[Gathered]]
"""Waits for everything that a pass needs from outside, given what was read and is wanted."""

_LOG: Final = structlog.get_logger("server.passes")
_TRACER: Final = trace.get_tracer("claimgate.server")


class Passes:
    """Runs passes: a fault costs the claim that it is in, or the message if it is in no claim."""

    def __init__(
        self, scorer: CurrentScorer, thread: EngineThread, gather: Gather, metrics: Metrics
    ) -> None:
        self._scorer = scorer
        self._thread = thread
        self._gather = gather
        self._metrics = metrics

    async def run(self, works: Sequence[Work]) -> None:
        """Answer the messages of a pass; if it fails, each alone, without what it failed by."""
        started = monotonic()
        try:
            judged = await self._judged(works, [work.message for work in works])
        except CallFaultError as fault:
            # Of the tenant, not of a message: its policy cannot be had.
            for work in works:
                work.fail(fault)
            return
        except Exception as error:  # noqa: BLE001 - the outermost edge of a pass
            await self._run_alone(works, error)
            return
        self._deliver(works, judged)
        _LOG.debug(
            "pass_answered",
            messages=len(works),
            claims=sum(work.claims for work in works),
            duration_s=round(monotonic() - started, 6),
        )

    def _deliver(self, works: Sequence[Work], judged: Judged) -> None:
        for work, answer in zip(works, judged.answers, strict=True):
            work.deliver(answer)
        self._metrics.pass_answered(works, judged)

    async def _run_alone(self, works: Sequence[Work], error: Exception) -> None:
        if len(works) == 1 and isinstance(error, ColumnError):
            works[0].fail(InvalidColumnError(error.column, error.expected))
            return
        if len(works) == 1:
            await self._run_without_poisoned(works[0], error)
            return
        for work in works:
            if work.wanted:
                await self.run([work])

    async def _run_without_poisoned(self, work: Work, error: Exception) -> None:
        """Answer a message that failed, without the claims that it failed by; or fail it."""

        async def judge(batch: score_pb2.ClaimBatch) -> Judged:
            if not work.wanted:
                raise DeadlineError("nobody waits for the answer any more")
            return await self._judged([work], [Rows.of(batch)])

        def report(poisoned: Poisoned) -> str:
            self._metrics.poisoned_claims.inc()
            return _logged(poisoned.error, work, ordinal=poisoned.ordinal).error_id

        try:
            # As rows, which claims can be taken out of.
            rows = await self._thread.run("read", work.message.rows)
            judged = await without_poisoned(rows, error, judge, report)
        except CallFaultError as fault:
            work.fail(fault)
        except Exception as left:  # noqa: BLE001 - the outermost edge of a pass
            work.fail(_logged(left, work))
        else:
            self._deliver([work], judged)

    async def _judged(self, works: Sequence[Work], messages: Sequence[Message]) -> Judged:
        links = [trace.Link(work.caller) for work in works if work.caller]
        facts = {"messages": len(works), "claims": sum(work.claims for work in works)}
        # A span would take over the text of an exception, twice; the log has what may be told.
        with _TRACER.start_as_current_span(
            "pass",
            links=links,
            attributes=facts,
            record_exception=False,
            set_status_on_exception=False,
        ):
            # Taken once: what was read with one set of tables must be scored with the same.
            scorer = await self._scorer(works[0].tenant)
            read = await self._thread.run("read", scorer.read, messages)
            with self._metrics.stage("gather"):
                gathered = await self._gather(read, Wanted(works[0].tenant, works[0].history))
            if not any(work.wanted for work in works):
                raise DeadlineError("nobody waits for the answer any more")
            views = [work.view for work in works]
            return await self._thread.run("score", scorer.score, read, gathered, views)


def _logged(error: Exception, work: Work, **facts: int) -> InternalFaultError:
    """Return the fault that the caller sees; the log names the place, never the error's text."""
    fault = InternalFaultError(new_error_id())
    _LOG.error(
        "claim_failed" if facts else "message_failed",
        error_id=fault.error_id,
        error_type=type(error).__name__,
        raised_at=stack_of(error),
        claims=work.claims,
        **facts,
        tenant=work.tenant,
        request_id=work.request_id,
        trace_id=trace_id_of(work.caller),
    )
    return fault
