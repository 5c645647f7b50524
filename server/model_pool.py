"""The endpoints of one model: which is asked, which is left alone, and probes to bring it back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from engine.features import FEATURES
from engine.gathered import OK, ModelAnswer
from server.model_endpoint import ModelEndpoint
from server.model_health import Health, Patience, State, breaker
from server.model_metrics import ModelMetrics
from server.telemetry import stack_of

EMPTY_CLAIM: Final = np.zeros((1, len(FEATURES)), np.float32)

FAULT: Final = "fault"
"""Reason of what failed by a fault of our own; the log has it."""

_LOG: Final = structlog.get_logger("server.model")
_NOT_ITS_FAULT: Final = frozenset({"invalid_argument"})
"""Reasons that lie in the request: every endpoint would say the same."""


@dataclass(slots=True, eq=False)
class Member:
    """One endpoint, and what is known of it."""

    endpoint: ModelEndpoint
    health: Health = field(default_factory=Health)
    outstanding: int = 0
    """Requests under way."""
    ejected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it is left alone."""


class ModelPool:
    """Chooses endpoints by requests under way and by health; health is what answers say."""

    def __init__(
        self,
        role: str,
        endpoints: Sequence[ModelEndpoint],
        patience: Patience,
        probe_s: float,
        metrics: ModelMetrics,
    ) -> None:
        self.members = [Member(endpoint) for endpoint in endpoints]
        self._role = role
        self._patience = patience
        self._probe_s = probe_s
        self._metrics = metrics
        self._random = Random()  # noqa: S311 - spreads load and waits, keeps no secret
        for member in self.members:
            metrics.ejections.labels(role, member.endpoint.address)
            self._show(member)

    def choose(self, *, but: Member | None = None) -> Member | None:
        """Return the less busy of two endpoints that may be asked; None where there is none."""
        free = [
            each for each in self.members if each.health.state is State.CLOSED and each is not but
        ]
        if not free:
            return None
        two = self._random.sample(free, min(2, len(free)))
        return min(two, key=lambda each: each.outstanding)

    async def ask(
        self, member: Member, features: NDArray[np.float32], deadline: float
    ) -> ModelAnswer:
        """Ask one endpoint, and remember how it went."""
        answer = await self._ask(member, features, deadline)
        if answer.status == OK:
            self._now(member, member.health.answered())
        elif answer.reason not in _NOT_ITS_FAULT:
            failed = member.health.failed(_time(), self._patience, self._random.random())
            self._now(member, failed, answer.reason)
        return answer

    async def keep_probing(self, member: Member) -> None:
        """Try an endpoint that is left alone until it answers, for ever."""
        while True:
            await member.ejected.wait()
            await asyncio.sleep(max(0.0, member.health.retry_at - _time()))
            self._now(member, member.health.probing(_time()))
            if member.health.state is State.HALF_OPEN:
                answer = await self._probe(member)
                probed = member.health.probed(
                    _time(), self._patience, self._random.random(), answered=answer.status == OK
                )
                self._now(member, probed, answer.reason)

    async def _probe(self, member: Member) -> ModelAnswer:
        try:
            return await self._ask(member, EMPTY_CLAIM, _time() + self._probe_s, patient=True)
        except Exception as error:  # noqa: BLE001 - no probe may end the watch, and the service
            log_fault(self._role, error)
            return ModelAnswer.unavailable(FAULT)

    async def _ask(
        self,
        member: Member,
        features: NDArray[np.float32],
        deadline: float,
        *,
        patient: bool = False,
    ) -> ModelAnswer:
        labels = self._role, member.endpoint.address
        started, outcome = perf_counter(), "cancelled"
        member.outstanding += 1
        try:
            answer = await member.endpoint.predict(features, deadline, patient=patient)
            outcome = answer.reason or OK
        finally:
            member.outstanding -= 1
            self._metrics.requests.labels(*labels, outcome).inc()
            self._metrics.request_seconds.labels(*labels).observe(perf_counter() - started)
        return answer

    def _now(self, member: Member, health: Health, reason: str = "") -> None:
        """Take over what is known of an endpoint now, and tell of what changed."""
        before, member.health = member.health.state, health
        if health.state is before:
            return
        address = member.endpoint.address
        if health.state is State.OPEN:
            self._metrics.ejections.labels(self._role, address).inc()
            _LOG.warning("model_endpoint_ejected", model=self._role, address=address, reason=reason)
            member.ejected.set()
        elif health.state is State.CLOSED:
            _LOG.info("model_endpoint_back", model=self._role, address=address)
            member.ejected.clear()
        self._show(member)

    def _show(self, member: Member) -> None:
        self._metrics.endpoint_state.labels(self._role, member.endpoint.address).set(
            member.health.state
        )
        self._metrics.breaker_state.labels(self._role).set(
            breaker(each.health for each in self.members)
        )


def log_fault(role: str, error: Exception) -> None:
    """Log a fault of our own in what nobody waits for: its type and place, never its text."""
    _LOG.error(
        "model_fault", model=role, error_type=type(error).__name__, raised_at=stack_of(error)
    )


def _time() -> float:
    return asyncio.get_running_loop().time()
