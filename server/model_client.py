"""Asks one model at one or several servers: a probability per row, or the reason why not."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.gathered import OK, ModelAnswer
from server.model_endpoint import UNREACHABLE, ModelEndpoint
from server.model_health import HedgeBudget, Patience
from server.model_metrics import PRIMARY, ModelMetrics
from server.model_pool import Member, ModelPool
from server.model_spec import ModelChoice

CIRCUIT_OPEN: Final = "circuit_open"
VERSION_CHANGED: Final = "version_changed"


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """How a model is asked."""

    timeout_s: float = 0.5
    """Longest for the answer to a pass, whatever is tried for it."""
    rows_max: int = 4096
    """Most rows in one request."""
    hedge_s: float = 0.0
    """After this long another endpoint is asked too; 0: never."""
    patience: Patience = field(default_factory=Patience)


class ModelClient:
    """Asks one model, inside an `async with` block; `predict` never raises or makes a score up."""

    def __init__(
        self,
        addresses: Sequence[str],
        choice: ModelChoice,
        limits: ModelLimits,
        metrics: ModelMetrics,
        role: str = PRIMARY,
    ) -> None:
        self.role = role
        self.limits = limits
        self.choice = choice
        self._metrics = metrics
        self._budget = HedgeBudget()
        self._tasks = asyncio.TaskGroup()
        self._probing: list[asyncio.Task[None]] = []
        self.pool = ModelPool(
            role,
            [ModelEndpoint(address, choice) for address in addresses],
            limits.patience,
            limits.timeout_s,
            metrics,
        )

    async def __aenter__(self) -> Self:
        """Keep watch on the endpoints; connections are made by the first call."""
        await self._tasks.__aenter__()
        self._probing = [
            self._tasks.create_task(self.pool.keep_probing(member)) for member in self.pool.members
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        for task in self._probing:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)
        for member in self.pool.members:
            await member.endpoint.close()

    async def predict(self, features: NDArray[np.float32]) -> ModelAnswer:
        """Return the model's answer for each row of features, of which there is at least one.

        One version answers all rows, or none does.
        """
        deadline = asyncio.get_running_loop().time() + self.limits.timeout_s
        if len(features) <= self.limits.rows_max:
            return await self._asked(features, deadline)
        parts = np.array_split(features, -(-len(features) // self.limits.rows_max))
        answer = _joined(await asyncio.gather(*(self._asked(each, deadline) for each in parts)))
        if answer.reason != VERSION_CHANGED:
            return answer
        # Endpoints may differ while a new version is rolled out: one of them answers it all.
        member = self.pool.choose()
        if member is None:
            return ModelAnswer.unavailable(CIRCUIT_OPEN)
        return _joined(
            await asyncio.gather(*(self.pool.ask(member, each, deadline) for each in parts))
        )

    async def _asked(self, features: NDArray[np.float32], deadline: float) -> ModelAnswer:
        """Ask one endpoint; another where that one is unreachable, or takes long."""
        first = self.pool.choose()
        if first is None:
            return ModelAnswer.unavailable(CIRCUIT_OPEN)
        self._budget.earn()
        if self.limits.hedge_s:
            return await self._hedged(first, features, deadline)
        return await self._retried(
            first, await self.pool.ask(first, features, deadline), features, deadline
        )

    async def _retried(
        self, first: Member, answer: ModelAnswer, features: NDArray[np.float32], deadline: float
    ) -> ModelAnswer:
        """Return an answer, or that of another endpoint where the first was unreachable."""
        if answer.reason != UNREACHABLE:
            return answer
        other = self.pool.choose(but=first)
        if other is None:
            return answer
        self._metrics.retries.labels(self.role).inc()
        return await self.pool.ask(other, features, deadline)

    async def _hedged(
        self, first: Member, features: NDArray[np.float32], deadline: float
    ) -> ModelAnswer:
        """Return the first answer of two, the second asked where the first one takes long."""
        async with asyncio.TaskGroup() as tasks:
            slow = tasks.create_task(self.pool.ask(first, features, deadline))
            await asyncio.wait([slow], timeout=self.limits.hedge_s)
            if slow.done():
                return await self._retried(first, slow.result(), features, deadline)
            other = self.pool.choose(but=first)
            if other is None or not self._budget.spend():
                return await self._retried(first, await slow, features, deadline)
            second = tasks.create_task(self.pool.ask(other, features, deadline))
            used = await _earlier(slow, second)
            self._metrics.hedges.labels(self.role, "won" if used is second else "lost").inc()
            slow.cancel()
            second.cancel()
        return used.result()


async def _earlier(
    one: asyncio.Task[ModelAnswer], other: asyncio.Task[ModelAnswer]
) -> asyncio.Task[ModelAnswer]:
    """Return the one of two requests that was answered first, if any was answered."""
    await asyncio.wait([one, other], return_when=asyncio.FIRST_COMPLETED)
    early, late = (one, other) if one.done() else (other, one)
    if early.result().status == OK:
        return early
    return late if (await late).status == OK else early


def _joined(answers: Sequence[ModelAnswer]) -> ModelAnswer:
    """Return the answers to the parts of a pass as one, if there is one of one version to each."""
    for answer in answers:
        if answer.status != OK:
            return answer
    if len({answer.version for answer in answers}) > 1:
        return ModelAnswer.unavailable(VERSION_CHANGED)
    found = [answer.probability for answer in answers if answer.probability is not None]
    return ModelAnswer(OK, np.concatenate(found), answers[0].version)
