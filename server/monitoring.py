"""What machines ask over HTTP: /metrics, /health (it lives), /ready (what it needs answers)."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from claimgate import __version__
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from server.address import split_address

_DEPENDENCY: Final = "claimgate_dependency_up"
_JSON: Final = "application/json"

Page = tuple[HTTPStatus, str, bytes]


@contextmanager
def monitored(listen: str, registry: CollectorRegistry) -> Iterator[str]:
    """Serve the pages while the block runs; yields the address, empty where none is served."""
    if not listen:
        yield ""
        return
    address = split_address(listen)
    pages = {
        "/metrics": lambda: _metrics(registry),
        "/health": _health,
        "/ready": lambda: _ready(registry),
    }
    with _bound(listen, pages) as http:
        thread = threading.Thread(target=http.serve_forever, name="monitoring", daemon=True)
        thread.start()
        try:
            yield address.with_port(http.server_port)
        finally:
            http.shutdown()
            thread.join()


def _bound(listen: str, pages: dict[str, Callable[[], Page]]) -> ThreadingHTTPServer:
    address = split_address(listen)
    server = type("Server", (ThreadingHTTPServer,), {"address_family": address.family})
    try:
        bound: ThreadingHTTPServer = server(address, _handler(pages))
    except OSError as error:
        raise OSError(
            f"metrics_listen is {listen} and cannot be listened on ({error.strerror}); "
            "choose another with CLAIMGATE_METRICS_LISTEN, or none by leaving it empty"
        ) from error
    return bound


def _handler(pages: dict[str, Callable[[], Page]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers GET with one of the pages."""

        timeout = 10

        def do_GET(self) -> None:
            """Answer one request."""
            page = pages.get(self.path.partition("?")[0], _not_found)
            status, content_type, body = page()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: probes come every few seconds."""

    return Handler


def _metrics(registry: CollectorRegistry) -> Page:
    return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)


def _health() -> Page:
    return _json(
        HTTPStatus.OK,
        {"status": "ok", "timestamp": datetime.now(UTC).isoformat(), "version": __version__},
    )


def _ready(registry: CollectorRegistry) -> Page:
    """Say what is out; nothing known yet counts as not ready."""
    checks = {
        sample.labels["dependency"]: sample.value > 0
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == _DEPENDENCY
    }
    ready = bool(checks) and all(checks.values())
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    words = {name: "ok" if up else "out" for name, up in checks.items()}
    return _json(status, {"status": "ready" if ready else "not ready", "checks": words})


def _not_found() -> Page:
    return _json(HTTPStatus.NOT_FOUND, {"status": "there are /metrics, /health and /ready"})


def _json(status: HTTPStatus, content: object) -> Page:
    return status, _JSON, json.dumps(content).encode() + b"\n"
