"""The one wait of a pass: what lies outside, with what is out marked as such."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Protocol

from engine.columns import Batch, Ints
from engine.gathered import Gathered, ModelAnswer
from server.fees import FoundFees
from server.history import Committed
from server.metrics import Metrics

_PROBE_EVERY_S: Final = 5.0


class Model(Protocol):
    """Whoever answers for the model; it never raises and never makes an answer up."""

    @property
    def up(self) -> bool:
        """Whether the model answered last time."""

    async def answer(self, read: Any, tenant: str, /) -> ModelAnswer:
        """Answer for each scorable claim of a pass, or say why there is no answer."""

    async def probe(self) -> None:
        """Find out whether the model answers."""


class History(Protocol):
    """Whoever knows what was committed; it never raises and never makes an answer up."""

    async def of(self, batch: Batch, tenant: str, watermark: int | None, /) -> Committed:
        """Return what was committed about the members and billers of a pass, or why it is not."""


class Fees(Protocol):
    """Whoever knows the tenants' fee schedules; it never raises and never makes an answer up."""

    async def of(self, codes: Ints, tenant: str, number: int | None, /) -> FoundFees:
        """Return what the tenant's fee schedule says of the codes of a pass, or why it is not."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the callers of a pass want gathered."""

    tenant: str
    history: bool = True
    """Earlier claims and member data; without them what rests on them is partial."""
    watermark: int | None = None
    """The last commit that counts; left out, the last there is."""
    fee_schedule: int | None = None
    """Version of the tenant's fee schedule; left out, the one in use."""


class Gatherer:
    """Asks model, history and fees for a pass, and keeps watch on the model while it is out."""

    def __init__(
        self,
        model: Model | None,
        metrics: Metrics,
        history: History | None = None,
        fees: Fees | None = None,
    ) -> None:
        self._model = model
        self._history = history
        self._fees = fees
        self._up = metrics.dependency_up.labels("model") if model else None
        if self._up and model:
            self._up.set(model.up)

    async def gather(self, read: Any, wanted: Wanted) -> Gathered:
        """Gather what a pass needs, all at once."""
        answer, committed, found = await asyncio.gather(
            self._answer(read, wanted.tenant),
            self._committed(read, wanted),
            self._own_fees(read, wanted),
        )
        degraded = (*committed.degraded, *found.degraded)
        return Gathered(answer, committed.history, committed.members, found.fees, degraded)

    async def _answer(self, read: Any, tenant: str) -> ModelAnswer:
        if self._model is None:
            return ModelAnswer.disabled()
        answer = await self._model.answer(read, tenant)
        if self._up:
            self._up.set(self._model.up)
        return answer

    async def _committed(self, read: Any, wanted: Wanted) -> Committed:
        if self._history is None or not wanted.history:
            return Committed()
        return await self._history.of(read.batch, wanted.tenant, wanted.watermark)

    async def _own_fees(self, read: Any, wanted: Wanted) -> FoundFees:
        if self._fees is None:
            return FoundFees()
        codes = read.facts.distinct_codes
        return await self._fees.of(codes[codes > 0], wanted.tenant, wanted.fee_schedule)

    async def watch(self) -> None:
        """Ask a model that is out about an empty claim until it answers."""
        while self._model and self._up:
            if not self._model.up:
                await self._model.probe()
            self._up.set(self._model.up)
            await asyncio.sleep(_PROBE_EVERY_S)
