"""What an operator sees of the connections to the databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10)


class PoolMetrics:
    """Of one pool."""

    def __init__(self, metrics: "DatabaseMetrics", database: str, connections_max: int) -> None:
        metrics.connections_max.labels(database).set(connections_max)
        self._busy = metrics.connections_busy.labels(database)
        self._wait = metrics.wait_seconds.labels(database)
        self._held = metrics.held_seconds.labels(database)
        self._timeouts = metrics.wait_timeouts.labels(database)

    @contextmanager
    def held(self, asked_at: float) -> Iterator[None]:
        """Count a connection that was asked for at a moment of `perf_counter` and is held now."""
        started = perf_counter()
        self._wait.observe(started - asked_at)
        self._busy.inc()
        try:
            yield
        finally:
            self._busy.dec()
            self._held.observe(perf_counter() - started)

    def count_timeout(self) -> None:
        """Count a question that got no connection in time."""
        self._timeouts.inc()


class DatabaseMetrics:
    """Of all pools; `database` is `production` or `history`, its read replica."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ("database",)
        self.connections_max = Gauge(
            "claimgate_database_connections_max",
            "Most connections to the database.",
            label,
            registry=registry,
        )
        self.connections_busy = Gauge(
            "claimgate_database_connections_busy",
            "Connections in use; at the most there are, questions wait.",
            label,
            registry=registry,
        )
        self.wait_seconds = Histogram(
            "claimgate_database_wait_seconds",
            "How long a question waited for a connection.",
            label,
            buckets=SECONDS,
            registry=registry,
        )
        self.held_seconds = Histogram(
            "claimgate_database_held_seconds",
            "How long a transaction held its connection.",
            label,
            buckets=SECONDS,
            registry=registry,
        )
        self.wait_timeouts = Counter(
            "claimgate_database_wait_timeouts_total",
            "Questions that got no connection in time.",
            label,
            registry=registry,
        )

    def of(self, database: str, connections_max: int) -> PoolMetrics:
        """Return the metrics of one pool."""
        return PoolMetrics(self, database, connections_max)
