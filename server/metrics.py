"""What an operator sees: metrics of calls, passes and findings, no label with a claim's values."""

import asyncio
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, perf_counter
from typing import Final, Protocol

import numpy as np
from claimgate.v1 import score_pb2
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from engine.answers import Counts
from server.observing import observe_all
from server.queue_metrics import QueueMetrics
from server.scorer import Judged

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CLAIMS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2048, 4096, 8192)
CONFIDENCES: Final = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 1)

_MODEL_OUTCOMES: Final[Mapping[int, str]] = {
    score_pb2.MODEL_STATUS_UNAVAILABLE: "unavailable",
    score_pb2.MODEL_STATUS_DISABLED: "disabled",
}


class Answered(Protocol):
    """What metrics need to know of a message that was answered."""

    @property
    def claims(self) -> int:
        """How many claims it has."""

    @property
    def accepted_at(self) -> float:
        """When it was taken, by the monotonic clock."""


class Rate:
    """Claims per second over the last seconds."""

    def __init__(self, window_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._started = clock()
        self._recent: deque[tuple[float, int]] = deque()
        self._claims = 0

    def add(self, claims: int) -> None:
        """Count claims that were answered now."""
        self._recent.append((self._clock(), claims))
        self._claims += claims

    def per_second(self) -> float:
        """Return the rate over the window, or since the start where that is shorter."""
        now = self._clock()
        while self._recent and self._recent[0][0] < now - self._window_s:
            self._claims -= self._recent.popleft()[1]
        return self._claims / max(min(self._window_s, now - self._started), 1e-3)


class Metrics:
    """Every metric of the service, in one registry."""

    def __init__(self, registry: CollectorRegistry, approval_threshold: float) -> None:
        self._approval_threshold = approval_threshold
        self._rates = {"minute": Rate(60), "now": Rate(5)}
        self._define_calls(registry)
        self._define_passes(registry)
        self._define_findings(registry)
        self._define_tables(registry)
        self._define_policies(registry)
        self.queue = QueueMetrics(registry)

    def _define_calls(self, registry: CollectorRegistry) -> None:
        """Define the metrics that gRPC dashboards expect, under the names they expect."""
        method = ("grpc_type", "grpc_service", "grpc_method")
        self.call_started = Counter(
            "grpc_server_started_total", "Calls started.", method, registry=registry
        )
        self.call_handled = Counter(
            "grpc_server_handled_total",
            "Calls ended, by status.",
            (*method, "grpc_code"),
            registry=registry,
        )
        self.call_received = Counter(
            "grpc_server_msg_received_total", "Messages received.", method, registry=registry
        )
        self.call_sent = Counter(
            "grpc_server_msg_sent_total", "Messages sent.", method, registry=registry
        )
        self.call_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Duration of calls; a stream counts whole.",
            method,
            buckets=SECONDS,
            registry=registry,
        )

        self.refusal_seconds = Histogram(
            "claimgate_refusal_duration_seconds",
            "From the arrival of a call that is refused for lack of room to its status.",
            buckets=SECONDS,
            registry=registry,
        )

    def _define_passes(self, registry: CollectorRegistry) -> None:
        self.claims = Counter(
            "claimgate_claims_processed_total", "Claims answered, by decision.", ("status",),
            registry=registry,
        )  # fmt: skip
        self.message_seconds = Histogram(
            "claimgate_claims_processing_duration_seconds",
            "From taking a message of claims to its answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self.pass_claims = Histogram(
            "claimgate_batch_size", "Claims in a pass.", buckets=CLAIMS, registry=registry
        )
        self.stage_seconds = Histogram(
            "claimgate_pass_stage_duration_seconds",
            "Duration of a stage of a pass: read, gather, score.",
            ("stage",),
            buckets=SECONDS,
            registry=registry,
        )
        self.poisoned_claims = Counter(
            "claimgate_poisoned_claims_total",
            "Claims that the service itself failed on, and rejected.",
            registry=registry,
        )
        self.throughput = Gauge(
            "claimgate_claims_throughput_per_second",
            "Claims answered per second over the last minute.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.throughput_now = Gauge(
            "claimgate_current_throughput_claims_per_second",
            "Claims answered per second over the last 5 seconds.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.dependency_up = Gauge(
            "claimgate_dependency_up",
            "1 while a dependency answers, 0 while it is out.",
            ("dependency",),
            registry=registry,
            multiprocess_mode="livemin",
        )

    def _define_policies(self, registry: CollectorRegistry) -> None:
        self.policy_faults = Counter(
            "claimgate_policy_faults_total",
            "Stored policies that were refused or not read; the last good one stays in use.",
            ("fault",),
            registry=registry,
        )

    def _define_tables(self, registry: CollectorRegistry) -> None:
        self.reference_info = Gauge(
            "claimgate_reference_info",
            "Processes that score with a snapshot of the reference tables, by its id.",
            ("release",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.reference_reloads = Counter(
            "claimgate_reference_reload_total",
            "Looks at the reference tables of a running service, by what came of it.",
            ("result",),
            registry=registry,
        )
        for result in ("loaded", "unchanged", "refused"):
            self.reference_reloads.labels(result)

    def _define_findings(self, registry: CollectorRegistry) -> None:
        self.predictions = Counter(
            "claimgate_ml_predictions_total",
            "Claims by what the model said: approve, reject, unavailable, disabled.",
            ("outcome",),
            registry=registry,
        )
        self.confidence = Histogram(
            "claimgate_ml_prediction_confidence",
            "The model's probability of the side that it is on.",
            buckets=CONFIDENCES,
            registry=registry,
        )
        self.rule_hits = Counter(
            "claimgate_rule_hits_total", "Findings, by rule.", ("rule_id",), registry=registry
        )
        self.not_evaluated = Counter(
            "claimgate_not_evaluated_total",
            "Claims with something that could not be checked, by reason.",
            ("reason",),
            registry=registry,
        )
        self.lines_applicable = Counter(
            "claimgate_rule_lines_applicable_total",
            "Lines that a rule (or PRICE) is about.",
            ("rule_id",),
            registry=registry,
        )
        self.lines_evaluated = Counter(
            "claimgate_rule_lines_evaluated_total",
            "Lines that a rule (or PRICE) could judge.",
            ("rule_id",),
            registry=registry,
        )
        self.tenant_fee_lines = Counter(
            "claimgate_tenant_fee_lines_total",
            "Lines that have their price from the tenant's own fee schedule.",
            registry=registry,
        )
        self.degraded = Counter(
            "claimgate_degraded_total",
            "Claims scored while a dependency was out.",
            ("dependency",),
            registry=registry,
        )

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Record how long a stage of a pass took."""
        self.stage_seconds.labels(stage).observe(seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record how long the block takes, as a stage of a pass."""
        started = perf_counter()
        try:
            yield
        finally:
            self.observe_stage(name, perf_counter() - started)

    def pass_answered(self, messages: Sequence[Answered], judged: Judged) -> None:
        """Record an answered pass."""
        now = monotonic()
        claims = sum(message.claims for message in messages)
        self.pass_claims.observe(claims)
        observe_all(self.message_seconds, [now - message.accepted_at for message in messages])
        for rate in self._rates.values():
            rate.add(claims)
        self.tenant_fee_lines.inc(judged.tenant_fee_lines)
        self._count_findings(judged.counts)
        for rule_id, coverage in judged.coverage.items():
            self.lines_applicable.labels(rule_id).inc(coverage.lines)
            self.lines_evaluated.labels(rule_id).inc(coverage.evaluated)

    def tables_in_use(self, release: str, *, instead_of: str = "") -> None:
        """Record which snapshot new claims are scored with."""
        if instead_of:
            self.reference_info.labels(instead_of).set(0)
        self.reference_info.labels(release).set(1)

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        self.throughput.set(self._rates["minute"].per_second())
        self.throughput_now.set(self._rates["now"].per_second())

    async def keep_fresh(self, refresh_others: Callable[[], None], every_s: float = 1.0) -> None:
        """Refresh the gauges for ever, others too."""
        while True:
            self.refresh()
            refresh_others()
            await asyncio.sleep(every_s)

    def _count_findings(self, counts: Counts) -> None:
        """Touch each metric once per pass."""
        p = counts.probabilities
        approvals = int((p >= self._approval_threshold).sum())
        outcomes = Tally(approve=approvals, reject=len(p) - approvals)
        for status, claims in counts.model_statuses.items():
            outcomes[_MODEL_OUTCOMES.get(status, "not_asked")] += claims
        outages: Tally[str] = Tally()
        for outage, claims in counts.degraded.items():
            outages[_dependency(outage)] += claims
        observe_all(self.confidence, np.maximum(p, 1 - p))
        words = {_word(decision): claims for decision, claims in counts.decisions.items()}
        for counter, found in (
            (self.claims, words),
            (self.predictions, outcomes),
            (self.rule_hits, counts.hits),
            (self.not_evaluated, counts.not_evaluated),
            (self.degraded, outages),
        ):
            for label, count in found.items():
                if count:
                    counter.labels(label).inc(count)


def _word(decision: int) -> str:
    return (
        score_pb2.Decision.Name(score_pb2.Decision.ValueType(decision))
        .removeprefix("DECISION_")
        .lower()
    )


def _dependency(text: str) -> str:
    """Return the name in a `name: reason` entry of a result."""
    return text.partition(":")[0].strip()
