"""The one wait of a pass: what lies outside, with what is out marked as such."""

import asyncio
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.features import FEATURES
from engine.gathered import OK, Gathered, ModelAnswer
from server.metrics import Metrics

_PROBE_EVERY_S: Final = 5.0
_EMPTY_CLAIM: Final = np.zeros((1, len(FEATURES)), np.float32)


class Model(Protocol):
    """Whoever answers for the model; it never raises and never makes an answer up."""

    async def predict(self, features: NDArray[np.float32], /) -> ModelAnswer:
        """Answer for each row, or say why there is no answer."""


class Gatherer:
    """Asks the model for a pass, and keeps watch on it while it is out."""

    def __init__(self, model: Model | None, metrics: Metrics) -> None:
        self._model = model
        self._up = metrics.dependency_up.labels("model") if model else None
        self._known_up = False

    async def gather(self, read: Any) -> Gathered:
        """Gather what a pass needs."""
        if self._model is None:
            return Gathered(ModelAnswer.disabled())
        features: NDArray[np.float32] = read.features.values
        if len(features):
            return Gathered(await self._ask(self._model, features))
        # An answer names its model, whether or not a claim of its pass could be scored.
        answer = await self._ask(self._model, _EMPTY_CLAIM)
        return Gathered(replace(answer, probability=_none_of(answer.probability)))

    async def watch(self) -> None:
        """Ask a model that is out, or was never asked, about an empty claim until it answers."""
        while self._model:
            if not self._known_up:
                await self._ask(self._model, _EMPTY_CLAIM)
            await asyncio.sleep(_PROBE_EVERY_S)

    async def _ask(self, model: Model, features: NDArray[np.float32]) -> ModelAnswer:
        answer = await model.predict(features)
        self._known_up = answer.status == OK
        if self._up:
            self._up.set(self._known_up)
        return answer


def _none_of(probability: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    return None if probability is None else probability[:0]
