"""What an operator sees of the tenants' fee schedules and the caches before them."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
PROCESS: Final = "process"
MEMCACHED: Final = "memcached"


class FeeMetrics:
    """Metrics of looking fees up; no label holds a tenant, a code or a rate."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.cache_hits = Counter(
            "claimgate_cache_hits_total",
            "Codes whose fees a cache had, be it that there are none: process, memcached.",
            ("cache_type",),
            registry=registry,
        )
        self.cache_misses = Counter(
            "claimgate_cache_misses_total",
            "Codes whose fees a cache was asked for and did not have.",
            ("cache_type",),
            registry=registry,
        )
        self.memcached_errors = Counter(
            "claimgate_memcached_errors_total",
            "Calls to a node of memcached that failed or took too long; it is then left alone.",
            ("node",),
            registry=registry,
        )
        self.memcached_seconds = Histogram(
            "claimgate_memcached_duration_seconds",
            "Duration of calls to memcached that came to their end.",
            ("operation",),
            buckets=SECONDS,
            registry=registry,
        )
        self.query_seconds = Histogram(
            "claimgate_fees_query_duration_seconds",
            "Duration of questions to the database for fees that no cache had.",
            buckets=SECONDS,
            registry=registry,
        )
        self.faults = Counter(
            "claimgate_fees_faults_total",
            "What went wrong with fees: version_unread, checksum, timeout, unavailable, error.",
            ("fault",),
            registry=registry,
        )

    def looked_up(self, cache: str, hits: int, misses: int) -> None:
        """Count what a cache was asked for."""
        self.cache_hits.labels(cache).inc(hits)
        self.cache_misses.labels(cache).inc(misses)
