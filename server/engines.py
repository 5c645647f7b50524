"""The engine in use: whoever scores takes it once and keeps it, so that no answer rests on two."""

from engine.pipeline import Engine
from server.engine_scorer import EngineScorer


class Engines:
    """Holds the engine that new work is done with, until another takes its place."""

    def __init__(self, engine: Engine) -> None:
        self._scorer = EngineScorer(engine)

    @property
    def engine(self) -> Engine:
        """The engine in use now; ask once for what has to fit together."""
        return self._scorer.engine

    def scorer(self) -> EngineScorer:
        """Return what a pass that begins now scores with, to its end."""
        return self._scorer

    def replace(self, engine: Engine) -> None:
        """Have new work done with another engine; the old one ends with the last pass on it."""
        self._scorer = EngineScorer(engine)
