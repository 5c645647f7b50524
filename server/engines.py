"""The engine in use: whoever scores takes it once and keeps it, so that no answer rests on two."""

from dataclasses import dataclass, replace

from engine.pipeline import Engine
from engine.policy import Policy
from engine.reference import Reference
from server.engine_scorer import EngineScorer
from server.policies import Policies


class Engines:
    """Holds the engine that new work is done with, until another takes its place."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tables: dict[str, Reference] = {}
        self._scorers: dict[tuple[str, str], EngineScorer] = {}

    @property
    def engine(self) -> Engine:
        """The engine in use now, under the default policy; ask once for what has to fit."""
        return self._engine

    def under(self, policy: Policy, tenant: str) -> EngineScorer:
        """Return what a pass that begins now scores with, to its end, under a checked policy.

        The listings are those that the tenant sees.
        """
        scorer = self._scorers.get((policy.version, tenant))
        if scorer is None:
            if tenant not in self._tables:
                self._tables[tenant] = self._engine.reference.for_tenant(tenant)
            engine = replace(self._engine, policy=policy, reference=self._tables[tenant])
            scorer = EngineScorer(engine)
            # One for each policy in use: those of earlier versions are few and hold no tables of
            # their own.
            self._scorers[policy.version, tenant] = scorer
        return scorer

    def replace(self, engine: Engine) -> None:
        """Have new work done with another engine; the old one ends with the last pass on it."""
        self._engine = engine
        self._tables = {}
        self._scorers = {}


@dataclass(frozen=True, slots=True)
class TenantScorers:
    """The engine in use, under the policy of whoever's claims are scored."""

    engines: Engines
    policies: Policies

    async def scorer(self, tenant: str) -> EngineScorer:
        """Return what a pass of a tenant that begins now scores with, to its end."""
        return self.engines.under((await self.policies.of(tenant)).policy, tenant)
