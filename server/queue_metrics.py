"""What an operator sees of the queue: how much waits, how long, and who is refused."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.observing import observe_all
from server.schedule.terms import Priority, Why

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
EXPIRED: Final = "expired"


class Waited(Protocol):
    """What the metrics need to know of a message that goes into a pass."""

    @property
    def priority(self) -> Priority:
        """Who waits for the answer."""

    @property
    def accepted_at(self) -> float:
        """When it was read, by the monotonic clock."""


class QueueMetrics:
    """Every metric of the queue."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._queued_claims = Gauge(
            "claimgate_queued_claims",
            "Claims that wait for a pass, by priority.",
            ("priority",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._wait_seconds = Histogram(
            "claimgate_queue_wait_seconds",
            "From reading a message to the start of its pass, by priority.",
            ("priority",),
            buckets=SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "claimgate_refused_messages_total",
            "Messages that were never scored: full, tenant_full, quota, expired.",
            ("priority", "reason"),
            registry=registry,
        )
        self._quota_left = Gauge(
            "claimgate_quota_claims_left",
            "Claims that a tenant with a quota may send at once; below 0 is a debt.",
            ("tenant",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        for priority in Priority:
            self._queued_claims.labels(priority.value)
            self._wait_seconds.labels(priority.value)
            for reason in (*(why.value for why in Why), EXPIRED):
                self._refused.labels(priority.value, reason)

    def pass_started(self, messages: Sequence[Waited], now: float) -> None:
        """Record how long the messages of a pass waited."""
        waits = defaultdict(list)
        for message in messages:
            waits[message.priority].append(now - message.accepted_at)
        for priority, seconds in waits.items():
            observe_all(self._wait_seconds.labels(priority.value), seconds)

    def refused(self, priority: Priority, reason: str) -> None:
        """Record a message that is never scored."""
        self._refused.labels(priority.value, reason).inc()

    def refresh(self, claims: Mapping[Priority, int], quotas_left: Mapping[str, float]) -> None:
        """Bring the gauges up to date."""
        for priority, count in claims.items():
            self._queued_claims.labels(priority.value).set(count)
        for tenant, left in quotas_left.items():
            self._quota_left.labels(tenant).set(left)
