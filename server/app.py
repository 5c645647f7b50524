"""The wiring: settings, engine, model, service; and the same backwards."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from engine.pipeline import Engine
from server.children import on_hangup, until_stopped
from server.claims import ClaimLifeServicer
from server.comparison import Comparison
from server.database import STAGING_URL, Database, open_database
from server.database_metrics import DatabaseMetrics
from server.embedded_model import model_at
from server.engines import Engines, TenantScorers
from server.failed_metrics import FailedMetrics, FailedWatch
from server.fee_metrics import FeeMetrics
from server.fees import open_fees
from server.gather import Gatherer
from server.history import HistoryClient
from server.memory import collect_rarely, keep_freed_memory
from server.metrics import Metrics
from server.model_metrics import ModelMetrics
from server.model_start import opened_models
from server.monitoring import monitored
from server.policies import Policies
from server.policy_database import PolicyDatabase
from server.policy_files import PolicyFiles
from server.reference import ReferenceServicer
from server.service import Parts, Serving, serving
from server.settings import Settings
from server.supervisor import supervise
from server.tables import Fingerprint, TablesWatch, open_tables
from server.telemetry import configure_logging, configure_tracing

_LOG: Final = structlog.get_logger("server.app")

_SWITCH_S: Final = 0.0002
"""How soon the engine's thread hands over to the event loop, when that has something to do.

Python's 5 ms are paid at every turn of the loop, several of which make one call.
"""

Ready = Callable[[str], None]


async def serve(settings: Settings, ready: Ready, *, with_parent: bool = False) -> None:
    """Serve until SIGTERM or SIGINT: in this process, or in as many as the settings say.

    With a parent: until standard input closes at the latest.
    """
    configure_logging(settings.log_level)
    with lone_errors():
        if settings.workers > 1:
            await supervise(settings, ready, with_parent=with_parent)
        else:
            await serve_here(settings, ready, with_parent=with_parent)


@contextmanager
def lone_errors() -> Iterator[None]:
    """Raise the one error of a task group as itself: a port that is taken is no group."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from error.__cause__


async def serve_here(
    settings: Settings, ready: Ready, *, with_parent: bool = False, share_port: bool = False
) -> None:
    """Serve in this process alone; with a parent, until the parent ends at the latest."""
    configure_tracing(os.environ)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    engines, opened = _engines(settings.reference)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    metrics = Metrics(registry, engines.engine.policy.approval_threshold)
    database_metrics = DatabaseMetrics(registry)
    model_metrics = ModelMetrics(registry, engines.engine.policy.approval_threshold)
    tables = TablesWatch(settings.reference, opened, engines, metrics, settings.reference_poll_ms)
    on_hangup(tables.ask)
    async with (
        model_at(settings) as model_address,
        opened_models(settings, model_address, model_metrics) as model,
        _database(settings, database_metrics) as database,
        _staging_database(settings, database_metrics) as staging,
        _history_database(settings, database, database_metrics) as history_database,
        open_fees(settings, database, metrics, FeeMetrics(registry)) as fees,
    ):
        policy_database = await _policy_database(settings, database)
        claims = ClaimLifeServicer(database, settings.vault(), staging)
        await claims.check()
        policies = Policies(
            engines.engine.policy,
            _policy_files(settings) or policy_database,
            metrics,
            settings.policy_poll_ms,
        )
        failed = database and FailedWatch(
            database, FailedMetrics(registry), policies.tenants, settings.failed_poll_ms
        )
        gatherer = Gatherer(model, metrics, _history(settings, history_database, metrics), fees)
        parts = Parts(
            scorer=TenantScorers(engines, policies).scorer,
            reference=ReferenceServicer(
                engines,
                policies,
                Comparison(gatherer.gather, settings.message_claims_max),
                policy_database,
            ),
            gather=gatherer.gather,
            metrics=metrics,
            claims=claims,
        )
        keep_freed_memory()
        collect_rarely()
        sys.setswitchinterval(_SWITCH_S)
        async with serving(settings, parts, share_port=share_port) as service:
            with monitored(settings.metrics_listen, registry):
                watches = (
                    gatherer.watch(),
                    tables.watch(),
                    policies.watch(),
                    *((fees.watch(),) if fees else ()),
                    *((failed.watch(),) if failed else ()),
                    metrics.keep_fresh(service.batcher.refresh_metrics),
                )
                await _until_stopped(service, watches, ready, with_parent=with_parent)
    _LOG.info("stopped")


def _engines(folder: Path) -> tuple[Engines, Fingerprint]:
    """Open the tables; nothing but the engine keeps them, so that they end with its last pass."""
    opened = open_tables(folder)
    return Engines(Engine.with_all_rules(opened.reference)), opened.fingerprint


async def _until_stopped(
    service: Serving,
    watches: Sequence[Coroutine[None, None, None]],
    ready: Ready,
    *,
    with_parent: bool,
) -> None:
    """Keep watch, each watch in a task of its own, until the process is told to stop."""
    async with asyncio.TaskGroup() as tasks:
        watching = [tasks.create_task(watch) for watch in watches]
        _LOG.info("serving", address=service.address)
        ready(service.address)
        await until_stopped(with_parent=with_parent)
        for watch in watching:
            watch.cancel()


@asynccontextmanager
async def _database(settings: Settings, metrics: DatabaseMetrics) -> AsyncIterator[Database | None]:
    """Yield production Postgres, where the settings name it."""
    if settings.production_url is None:
        yield None
        return
    async with open_database(
        settings.production_url,
        connections_max=settings.database_connections_max,
        query_s=settings.database_query_ms / 1000,
        metrics=metrics.of("production", settings.database_connections_max),
    ) as database:
        yield database


@asynccontextmanager
async def _staging_database(
    settings: Settings, metrics: DatabaseMetrics
) -> AsyncIterator[Database | None]:
    """Yield staging Postgres, where the settings name it."""
    if settings.staging_url is None:
        yield None
        return
    async with open_database(
        settings.staging_url,
        connections_max=settings.database_connections_max,
        query_s=settings.database_query_ms / 1000,
        setting=STAGING_URL,
        metrics=metrics.of("staging", settings.database_connections_max),
    ) as staging:
        yield staging


@asynccontextmanager
async def _history_database(
    settings: Settings, production: Database | None, metrics: DatabaseMetrics
) -> AsyncIterator[Database | None]:
    """Yield where history is read: a replica, where the settings name one."""
    if settings.history_url is None:
        yield production
        return
    async with open_database(
        settings.history_url,
        connections_max=settings.database_connections_max,
        query_s=settings.database_query_ms / 1000,
        setting="CLAIMGATE_HISTORY_URL",
        metrics=metrics.of("history", settings.database_connections_max),
    ) as replica:
        yield replica


def _history(
    settings: Settings, database: Database | None, metrics: Metrics
) -> HistoryClient | None:
    """Return who knows what was committed, where there is a database and the key to ask it with."""
    if database is None:
        return None
    lookup = settings.lookup()
    if lookup is None:
        _LOG.warning("history_off", reason="no key: set CLAIMGATE_KEY_FILE or CLAIMGATE_KEY_HEX")
        return None
    return HistoryClient(database, lookup, settings.history_deadline_ms / 1000, metrics)


def _policy_files(settings: Settings) -> PolicyFiles | None:
    """Return the folder of policies, where the settings name it; a wrong file ends the start."""
    if settings.policy_folder is None:
        return None
    files = PolicyFiles(settings.policy_folder)
    files.check()
    return files


async def _policy_database(settings: Settings, database: Database | None) -> PolicyDatabase | None:
    """Return where policies are stored, unless they come from files."""
    if database is None or settings.policy_folder is not None:
        return None
    store = PolicyDatabase(database)
    await store.check()
    return store
