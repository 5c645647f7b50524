"""What an operator sees of failed claims: how many have not ended, their money, their age."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from loader.failed.stats import Stats, stats
from server.database import Database
from server.polling import looked_again

_LABELS: Final = ("tenant", "category", "status")


class FailedMetrics:
    """Metrics of failed claims. Every worker sees the same table: the newest look of any counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._claims = Gauge(
            "claimgate_failed_claims",
            "Failed claims that have not ended.",
            _LABELS,
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._charge_cents = Gauge(
            "claimgate_failed_claims_charge_cents",
            "Money at risk on failed claims that have not ended.",
            _LABELS,
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._oldest_seconds = Gauge(
            "claimgate_failed_claims_oldest_seconds",
            "Age of the oldest failed claim that has not ended.",
            _LABELS,
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._due = Gauge(
            "claimgate_failed_claims_due",
            "Failed claims that the next run of a loader resubmits.",
            ("tenant",),
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._seen: set[tuple[str, str, str]] = set()

    def show(self, tenant: str, found: Stats) -> None:
        """Take over how a tenant's failed claims stand; what is no longer there is 0."""
        rows = {(tenant, each.category.value, each.status.value): each for each in found.unsettled}
        gone = {labels for labels in self._seen if labels[0] == tenant} - rows.keys()
        for labels in gone:
            for gauge in (self._claims, self._charge_cents, self._oldest_seconds):
                gauge.labels(*labels).set(0)
        for labels, each in rows.items():
            self._claims.labels(*labels).set(each.claims)
            self._charge_cents.labels(*labels).set(each.charge_cents)
            self._oldest_seconds.labels(*labels).set(each.oldest_s)
        self._seen |= rows.keys()
        self._due.labels(tenant).set(found.due)


class FailedWatch:
    """Looks again and again at the failed claims of the tenants that this process has served."""

    def __init__(
        self,
        database: Database,
        metrics: FailedMetrics,
        tenants: Callable[[], Iterable[str]],
        poll_ms: int,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._tenants = tenants
        self._poll_s = poll_ms / 1000

    async def look(self, tenant: str) -> None:
        """Look at a tenant's failed claims once."""
        async with self._database.transaction(tenant, readonly=True) as connection:
            self._metrics.show(tenant, await stats(connection, tenant))

    async def watch(self) -> None:
        """Look at every tenant that there is, until cancelled; what cannot be read stays."""
        while True:
            for tenant in list(self._tenants()):
                await looked_again("failed_claims_not_read", tenant, self.look)
            await asyncio.sleep(self._poll_s)
