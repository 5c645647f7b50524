"""What leaves the process besides answers: JSON log lines through an allow-list, and spans.

A log line keeps only the keys named here: ids that the service made, counts, durations, names out
of the code. A value from a claim has no key to leave by, and an exception's text is never logged,
only its type and where it was raised.
"""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final, TextIO

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ALLOWED: Final = frozenset(
    {
        "address",
        "batch_size",
        "claims",
        "ordinal",
        "code",
        "dependency",
        "duration_s",
        "error_id",
        "error_type",
        "event",
        "exit_code",
        "expected",
        "failed_id",
        "level",
        "logger",
        "messages",
        "method",
        "model",
        "pid",
        "principal",
        "process",
        "reason",
        "reference_release",
        "request_id",
        "setting",
        "signal",
        "raised_at",
        "tenant",
        "timestamp",
        "trace_id",
        "version",
        "workers",
    }
)

_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"
_STACK_FRAMES_MAX: Final = 24


def keep_allowed(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop every key that is not on the allow-list."""
    return {key: value for key, value in event.items() if key in ALLOWED}


def _safe_exception(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Turn `exc_info` into type and places, without the text."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()[1]
    elif isinstance(info, tuple):
        info = info[1]
    if isinstance(info, BaseException):
        event.setdefault("error_type", type(info).__name__)
        event.setdefault("raised_at", stack_of(info))
    return event


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Write structured lines to a stream, else standard error; libraries' lines lose their text."""
    # A line that cannot be written would otherwise go to standard error past the allow-list.
    logging.raiseExceptions = False
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _safe_exception,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _foreign_event],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                keep_allowed,
                structlog.processors.JSONRenderer(),
            ],
            # The traceback of a foreign record would carry the exception's text.
            keep_exc_info=False,
            keep_stack_info=False,
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _foreign_event(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace a library's text, which may quote anything, by the fact that it logged."""
    return {**event, "event": "library_message"}


def configure_tracing(environment: Mapping[str, str]) -> None:
    """Export spans where the standard OTEL_ variables ask for it; otherwise make none."""
    wanted = environment.get("OTEL_TRACES_EXPORTER") == "otlp" or any(
        environment.get(name)
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    )
    if not wanted or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        exporter = import_module(_EXPORTER).OTLPSpanExporter()
    except ImportError as error:
        raise RuntimeError(
            "OTEL_ variables ask for traces over OTLP, and the exporter is not installed: "
            "pip install opentelemetry-exporter-otlp-proto-grpc, or unset them"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "claimgate"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def caller_span(traceparent: str) -> SpanContext | None:
    """Return the caller's trace context; None where it brings none that is valid."""
    if not traceparent:
        return None
    carrier = {"traceparent": traceparent}
    context = TraceContextTextMapPropagator().extract(carrier)
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


def trace_id_of(caller: SpanContext | None) -> str:
    """Return the id of a trace as traceparent writes it; empty where there is none."""
    return trace.format_trace_id(caller.trace_id) if caller else ""


def stack_of(error: BaseException) -> list[str]:
    """Return where an error was raised, as `file:line function`, without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-_STACK_FRAMES_MAX:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
