"""The policy that a tenant's claims are scored under: read when first asked for, then watched."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from engine.policy import Policy, PolicyError
from server.errors import PolicyUnusableError
from server.metrics import Metrics
from server.polling import looked_again

_LOG: Final = structlog.get_logger("server.policies")


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A policy, and how it came to be one; a version of 0 was never stored."""

    policy: Policy
    version: int = 0
    author: str = ""
    approver: str = ""
    reason: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A stored policy that cannot be used."""

    version: int
    error: PolicyError


@dataclass(frozen=True, slots=True)
class Loaded:
    """The newest usable policy in force, if any, and newer ones that cannot be used."""

    version: PolicyVersion | None
    refused: tuple[Refused, ...] = ()


class PolicyStore(Protocol):
    """Where policies are kept."""

    async def mark(self, tenant: str) -> Hashable:
        """Return something that differs whenever the policy in force may have changed."""

    async def load(self, tenant: str) -> Loaded:
        """Return the policy in force."""


class Policies:
    """Holds the policy of every tenant that was asked for, and follows its store.

    What cannot be used or read changes nothing: the last good policy stays, the log says why, and
    a metric that it happened.
    """

    def __init__(
        self, default: Policy, store: PolicyStore | None, metrics: Metrics, poll_ms: int
    ) -> None:
        self._default = PolicyVersion(default)
        self._store = store
        self._metrics = metrics
        self._poll_s = poll_ms / 1000
        self._held: dict[str, PolicyVersion | Refused] = {}
        self._marks: dict[str, Hashable] = {}

    async def of(self, tenant: str) -> PolicyVersion:
        """Return the policy that a tenant's claims are scored under from now on.

        Raises:
            PolicyUnusableError: every policy of the tenant in force is one that cannot be used.
            DatabaseUnavailableError: the tenant's policy was never read, and cannot be.
        """
        if self._store is None:
            return self._default
        if tenant not in self._held:
            await self._refresh(self._store, tenant)
        held = self._held[tenant]
        if isinstance(held, Refused):
            raise PolicyUnusableError(held.error.field, held.error.expected)
        return held

    def tenants(self) -> list[str]:
        """Return the tenants that were asked for so far."""
        return list(self._held)

    async def look(self, tenant: str) -> None:
        """Read a tenant's policy again, if it may have changed."""
        if self._store is not None:
            await self._refresh(self._store, tenant)

    async def _refresh(self, store: PolicyStore, tenant: str) -> None:
        # Noted first: a change while the policy is read is seen the next time.
        mark = await store.mark(tenant)
        if tenant in self._held and self._marks[tenant] == mark:
            return
        loaded = await store.load(tenant)
        for each in loaded.refused:
            self._refuse(tenant, each)
        held = self._held.get(tenant)
        self._marks[tenant] = mark
        if loaded.version or not loaded.refused:
            self._take(tenant, loaded.version or self._default)
        elif not isinstance(held, PolicyVersion):
            self._held[tenant] = loaded.refused[0]

    def _take(self, tenant: str, new: PolicyVersion) -> None:
        held, self._held[tenant] = self._held.get(tenant), new
        if not isinstance(held, PolicyVersion) or held.policy.version != new.policy.version:
            _LOG.info("policy_in_use", tenant=tenant, version=new.policy.version)

    async def watch(self) -> None:
        """Look at the policy of every tenant that was asked for, again and again."""
        while self._store is not None:
            await asyncio.sleep(self._poll_s)
            for tenant in list(self._held):
                await self._look_again(tenant)

    async def _look_again(self, tenant: str) -> None:
        if not await looked_again("policy_not_read", tenant, self.look):
            self._metrics.policy_faults.labels("unread").inc()

    def _refuse(self, tenant: str, refused: Refused) -> None:
        _LOG.error(
            "policy_refused",
            tenant=tenant,
            version=refused.version,
            setting=refused.error.field,
            expected=refused.error.expected,
        )
        self._metrics.policy_faults.labels("refused").inc()
