"""What an operator sees of the models: requests, endpoints, hedges, and scores by version."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.metrics import SECONDS
from server.observing import observe_all

PROBABILITIES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1)
DIFFERENCES: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)

PRIMARY: Final = "primary"
CANDIDATE: Final = "candidate"

ANSWER: Final = "answer"
SHADOW: Final = "shadow"


class ModelMetrics:
    """Every metric of the models, in one registry; `model` is `primary` or `candidate`."""

    def __init__(self, registry: CollectorRegistry, approval_threshold: float) -> None:
        self._approval_threshold = approval_threshold
        self._define_requests(registry)
        self._define_endpoints(registry)
        self._define_scores(registry)

    def _define_requests(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "claimgate_model_requests_total",
            "Requests to an endpoint that ended, by what came of them.",
            ("model", "endpoint", "outcome"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "claimgate_model_request_duration_seconds",
            "Duration of requests to an endpoint.",
            ("model", "endpoint"),
            buckets=SECONDS,
            registry=registry,
        )
        self.retries = Counter(
            "claimgate_model_retries_total",
            "Requests sent again to another endpoint because the first one was unreachable.",
            ("model",),
            registry=registry,
        )
        self.hedges = Counter(
            "claimgate_model_hedges_total",
            "Second requests to another endpoint because the first one took long, by which won.",
            ("model", "outcome"),
            registry=registry,
        )

    def _define_endpoints(self, registry: CollectorRegistry) -> None:
        self.ejections = Counter(
            "claimgate_model_ejections_total",
            "How often an endpoint was left alone after failures in a row, or a failed probe.",
            ("model", "endpoint"),
            registry=registry,
        )
        self.endpoint_state = Gauge(
            "claimgate_model_endpoint_state",
            "State of an endpoint: 0 asked, 1 one probe under way, 2 left alone.",
            ("model", "endpoint"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.breaker_state = Gauge(
            "claimgate_model_breaker_state",
            "State of all endpoints together: 0 closed, 1 half-open, 2 open.",
            ("model",),
            registry=registry,
            multiprocess_mode="livemax",
        )

    def _define_scores(self, registry: CollectorRegistry) -> None:
        self.probability = Histogram(
            "claimgate_model_probability",
            "Probabilities by the version that gave them, in answers and in shadow.",
            ("version", "use"),
            buckets=PROBABILITIES,
            registry=registry,
        )
        self.shadow_passes = Counter(
            "claimgate_model_shadow_passes_total",
            "Passes that the candidate was to score in shadow, by what came of it.",
            ("outcome",),
            registry=registry,
        )
        self.shadow_claims = Counter(
            "claimgate_model_shadow_claims_total",
            "Claims scored by both models, by who approves at the default approval threshold.",
            ("approved_by",),
            registry=registry,
        )
        self.shadow_difference = Histogram(
            "claimgate_model_shadow_difference",
            "How far the candidate's probability is from the primary's.",
            buckets=DIFFERENCES,
            registry=registry,
        )

    def scored(self, version: str, use: str, probability: NDArray[np.float32]) -> None:
        """Record the probabilities that a version gave."""
        observe_all(self.probability.labels(version, use), probability)

    def compared(self, primary: NDArray[np.float32], candidate: NDArray[np.float32]) -> None:
        """Record how two models differ on the same claims."""
        observe_all(self.shadow_difference, np.abs(primary - candidate))
        one, other = primary >= self._approval_threshold, candidate >= self._approval_threshold
        for name, mask in (
            ("both", one & other),
            ("neither", ~one & ~other),
            (PRIMARY, one & ~other),
            (CANDIDATE, ~one & other),
        ):
            if count := int(mask.sum()):
                self.shadow_claims.labels(name).inc(count)
