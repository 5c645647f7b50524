"""What an operator sees: counts, rates, pages, spans."""

import json
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.v1.scoring_service_pb2_grpc import ScoringServiceStub
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from server import passes
from server.metrics import Metrics, Rate
from server.monitoring import monitored
from server.scorer import Judged
from server.telemetry import configure_tracing


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own page
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_pages_are_served(registry):
    metrics = Metrics(registry, 0.8)
    metrics.dependency_up.labels("model").set(1)
    with monitored("127.0.0.1:0", registry) as address:
        status, text = get(f"http://{address}/metrics")
        health = get(f"http://{address}/health")
        ready = get(f"http://{address}/ready")
        lost = get(f"http://{address}/elsewhere")

    assert status == 200
    assert 'claimgate_dependency_up{dependency="model"} 1.0' in text
    assert json.loads(health[1]).keys() == {"status", "timestamp", "version"}
    assert ready == (200, '{"status": "ready", "checks": {"model": "ok"}}\n')
    assert lost[0] == 404


def test_service_with_a_dependency_out_is_not_ready_and_says_which(registry):
    metrics = Metrics(registry, 0.8)
    metrics.dependency_up.labels("engine").set(1)
    metrics.dependency_up.labels("model").set(0)

    with monitored("127.0.0.1:0", registry) as address:
        status, text = get(f"http://{address}/ready")

    assert status == 503
    assert json.loads(text)["checks"] == {"engine": "ok", "model": "out"}


def test_service_that_knows_nothing_yet_is_not_ready(registry):
    with monitored("127.0.0.1:0", registry) as address:
        assert get(f"http://{address}/ready")[0] == 503


def test_page_port_that_is_taken_is_named(registry):
    with (
        monitored("127.0.0.1:0", registry) as address,
        pytest.raises(OSError, match="CLAIMGATE_METRICS_LISTEN"),
        monitored(address, registry),
    ):
        pass


def test_answered_pass_is_counted_by_what_was_found(registry):
    metrics = Metrics(registry, approval_threshold=0.8)
    result = score_pb2.ClaimResult
    results = [
        result(decision=score_pb2.DECISION_APPROVE, approval_probability=0.95),
        result(
            decision=score_pb2.DECISION_DENY,
            approval_probability=0.3,
            hits=[score_pb2.RuleHit(rule_id="NCCI_PTP"), score_pb2.RuleHit(rule_id="NCCI_PTP")],
            not_evaluated=[score_pb2.NotEvaluated(reason="no_price")],
        ),
        result(
            decision=score_pb2.DECISION_REVIEW,
            model_status=score_pb2.MODEL_STATUS_UNAVAILABLE,
            degraded=["model: timeout"],
        ),
        result(decision=score_pb2.DECISION_REJECT),
    ]
    judged = Judged(
        [SimpleNamespace(results=results, provenance=score_pb2.Provenance())],
        {"NCCI_PTP": SimpleNamespace(lines=9, evaluated=7)},
    )

    metrics.pass_answered([SimpleNamespace(claims=4, accepted_at=0.0)], judged)

    expected = {
        ("claimgate_claims_processed_total", "status", "deny"): 1,
        ("claimgate_claims_processed_total", "status", "reject"): 1,
        ("claimgate_ml_predictions_total", "outcome", "approve"): 1,
        ("claimgate_ml_predictions_total", "outcome", "reject"): 1,
        ("claimgate_ml_predictions_total", "outcome", "unavailable"): 1,
        ("claimgate_ml_predictions_total", "outcome", "not_asked"): 1,
        ("claimgate_rule_hits_total", "rule_id", "NCCI_PTP"): 2,
        ("claimgate_not_evaluated_total", "reason", "no_price"): 1,
        ("claimgate_degraded_total", "dependency", "model"): 1,
        ("claimgate_rule_lines_applicable_total", "rule_id", "NCCI_PTP"): 9,
        ("claimgate_rule_lines_evaluated_total", "rule_id", "NCCI_PTP"): 7,
    }
    for (name, label, value), count in expected.items():
        assert registry.get_sample_value(name, {label: value}) == count, (name, value)
    assert registry.get_sample_value("claimgate_batch_size_sum") == 4
    assert registry.get_sample_value("claimgate_ml_prediction_confidence_sum") == pytest.approx(
        1.65
    )


def test_rate_counts_the_last_seconds_alone():
    now = [100.0]
    rate = Rate(5, clock=lambda: now[0])

    rate.add(1000)
    now[0] += 4
    rate.add(50)
    before = rate.per_second()
    now[0] += 3
    after = rate.per_second()

    assert before == pytest.approx(1050 / 4)
    assert after == pytest.approx(50 / 5)


async def test_calls_and_passes_are_counted(server, channel, batch):
    stub = ScoringServiceStub(channel)

    await stub.ScoreBatch(pb.ScoreBatchRequest(batch=batch("a", "b")))

    method = {
        "grpc_type": "unary",
        "grpc_service": "claimgate.v1.ScoringService",
        "grpc_method": "ScoreBatch",
    }
    assert server.sample("grpc_server_started_total", **method) == 1
    assert server.sample("grpc_server_handled_total", grpc_code="OK", **method) == 1
    assert server.sample("grpc_server_msg_received_total", **method) == 1
    assert server.sample("grpc_server_msg_sent_total", **method) == 1
    assert server.sample("claimgate_claims_processed_total", status="approve") == 2
    for stage in ("read", "gather", "score"):
        assert server.sample("claimgate_pass_stage_duration_seconds_count", stage=stage) == 1


async def test_span_of_a_pass_is_linked_to_the_traces_of_its_callers(channel, batch, monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(passes, "_TRACER", provider.get_tracer("test"))

    await ScoringServiceStub(channel).ScoreBatch(
        pb.ScoreBatchRequest(batch=batch("a")),
        metadata=(("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),),
    )

    [span] = exporter.get_finished_spans()
    assert span.name == "pass"
    assert dict(span.attributes) == {"messages": 1, "claims": 1}
    assert f"{span.links[0].context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


async def test_span_of_a_failed_pass_holds_no_text(channel, batch, monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(passes, "_TRACER", provider.get_tracer("test"))

    with pytest.raises(Exception, match="internal error"):
        await ScoringServiceStub(channel).ScoreBatch(pb.ScoreBatchRequest(batch=batch("poison")))

    spans = exporter.get_finished_spans()
    assert spans
    for span in spans:
        assert "123-45-6789" not in span.to_json()


def test_traces_that_are_asked_for_and_cannot_be_exported_are_refused():
    with pytest.raises(RuntimeError, match="opentelemetry-exporter-otlp"):
        configure_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317"})


def test_no_traces_are_made_unless_asked_for():
    configure_tracing({})

    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
