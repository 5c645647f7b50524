"""The model of the service, and a candidate beside it: each message is answered by one of them.

The candidate answers its share of the messages. In shadow it scores others too, after their
answer: what it says then is counted, and neither waited for nor used.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.columns import Bools
from engine.gathered import OK, UNAVAILABLE, ModelAnswer
from server.model_client import ModelClient
from server.model_metrics import ANSWER, SHADOW, ModelMetrics
from server.model_pool import EMPTY_CLAIM, FAULT, log_fault
from server.model_split import Shares

_SHADOWS_MAX: Final = 2
_SKIPPED: Final = "skipped"
_CANDIDATE: Final = "candidate_"
"""How reasons of the candidate begin."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is tried out."""

    client: ModelClient
    shares: Shares


class ModelVersions:
    """Answers for the models, inside an `async with` block; it never raises."""

    def __init__(
        self, primary: ModelClient, metrics: ModelMetrics, candidate: Candidate | None = None
    ) -> None:
        self._primary = primary
        self._metrics = metrics
        self._candidate = candidate
        self._clients = AsyncExitStack()
        self._tasks = asyncio.TaskGroup()
        self._shadows: set[asyncio.Task[None]] = set()
        self.up = False
        """Whether the model answered last time; the candidate does not count."""

    async def __aenter__(self) -> Self:
        """Keep watch on every endpoint."""
        await self._clients.enter_async_context(self._primary)
        if self._candidate:
            await self._clients.enter_async_context(self._candidate.client)
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give up what is scored in shadow, and close every connection."""
        for shadow in self._shadows:
            shadow.cancel()
        await self._tasks.__aexit__(kind, error, trace)
        await self._clients.aclose()

    async def probe(self) -> None:
        """Ask the model about an empty claim, to know whether it answers."""
        self.up = (await self._primary.predict(EMPTY_CLAIM)).status == OK

    async def answer(self, read: Any, tenant: str) -> ModelAnswer:
        """Return what the models say of each scorable claim of a pass, or why they do not."""
        features = read.features.values
        if self._candidate is None:
            return await self._by_primary(features)
        answered, shadowed = self._candidate.shares.split(read.batch.received, tenant)
        message = read.batch.claims.message
        answer = await self._split(self._candidate, features, message, answered)
        self._shadow(self._candidate, features, answer.probability, shadowed[message])
        return answer

    async def _split(
        self,
        candidate: Candidate,
        features: NDArray[np.float32],
        message: NDArray[Any],
        answered: Bools,
    ) -> ModelAnswer:
        """Ask each model about the messages that are its own, both at once."""
        if not answered.any():
            return await self._by_primary(features)
        if answered.all():
            return await self._by_candidate(candidate, features)
        of_candidate = answered[message]
        ours, theirs = await asyncio.gather(
            self._by_primary(features[~of_candidate]),
            self._by_candidate(candidate, features[of_candidate]),
        )
        probability = np.full(len(features), np.nan, np.float32)
        for each, rows in ((ours, ~of_candidate), (theirs, of_candidate)):
            if each.probability is not None:
                probability[rows] = each.probability
        by_message = tuple(theirs if mine else ours for mine in answered.tolist())
        return replace(ours, probability=probability, by_message=by_message)

    async def _by_primary(self, features: NDArray[np.float32]) -> ModelAnswer:
        answer = await self._counted(self._primary, features)
        self.up = answer.status == OK
        return answer

    async def _by_candidate(
        self, candidate: Candidate, features: NDArray[np.float32]
    ) -> ModelAnswer:
        # Nobody steps in for it: a message that now and then met the other model would spoil the
        # comparison, and the answer to a message that is sent again.
        answer = await self._counted(candidate.client, features)
        if answer.status == UNAVAILABLE:
            return ModelAnswer.unavailable(_CANDIDATE + answer.reason)
        return answer

    async def _counted(self, client: ModelClient, features: NDArray[np.float32]) -> ModelAnswer:
        if not len(features):
            # An answer names its model, whether or not a claim of its message could be scored.
            answer = await client.predict(EMPTY_CLAIM)
            none = None if answer.probability is None else answer.probability[:0]
            return replace(answer, probability=none)
        answer = await client.predict(features)
        if answer.probability is not None:
            self._metrics.scored(answer.version, ANSWER, answer.probability)
        return answer

    def _shadow(
        self,
        candidate: Candidate,
        features: NDArray[np.float32],
        probability: NDArray[np.float32] | None,
        rows: Bools,
    ) -> None:
        """Have the candidate score claims that the primary has answered for, later."""
        if probability is None:
            return
        rows = rows & ~np.isnan(probability)
        if not rows.any():
            return
        if len(self._shadows) >= _SHADOWS_MAX:
            # A slow candidate must not pile up work.
            self._metrics.shadow_passes.labels(_SKIPPED).inc()
            return
        task = self._tasks.create_task(
            self._scored_in_shadow(candidate, features[rows], probability[rows])
        )
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _scored_in_shadow(
        self,
        candidate: Candidate,
        features: NDArray[np.float32],
        probability: NDArray[np.float32],
    ) -> None:
        outcome = FAULT
        try:
            answer = await candidate.client.predict(features)
            if answer.probability is not None:
                self._metrics.scored(answer.version, SHADOW, answer.probability)
                self._metrics.compared(probability, answer.probability)
            outcome = answer.reason or OK
        except Exception as error:  # noqa: BLE001 - nothing here may reach an answer or the service
            log_fault(candidate.client.role, error)
        self._metrics.shadow_passes.labels(outcome).inc()
