"""A tenant's own fees for the codes of a pass: from the process, memcached, then Postgres."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import asyncpg
import numpy as np
import structlog

from engine.columns import Ints
from engine.tenant_fees import FEE, NO_FEES, TenantFees
from server.database import Database
from server.errors import DatabaseUnavailableError
from server.fee_cache import ProcessCache
from server.fee_database import FeeDatabase
from server.fee_metrics import MEMCACHED, PROCESS, FeeMetrics
from server.fee_values import FeeVersion, key_of, opened, prefix_of, sealed
from server.fee_versions import FeeVersions
from server.memcached import Memcached
from server.metrics import Metrics
from server.settings import Settings
from server.telemetry import stack_of

T = TypeVar("T")

_LOG: Final = structlog.get_logger("server.fees")


class FeeStore(Protocol):
    """Where fees are kept."""

    async def rows(self, tenant: str, version: int, codes: Sequence[int], /) -> dict[int, bytes]:
        """Return the records of each code at a version; none for a code without rows."""


@dataclass(frozen=True, slots=True)
class FoundFees:
    """What was found, and why some of it was not."""

    fees: TenantFees = NO_FEES
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Fetched:
    """The records of codes that were not in the process, and why some are missing."""

    rows: Mapping[int, bytes]
    reason: str = ""


class FeesClient:
    """Looks fees up for passes, within an `async with` block.

    A pass waits up to its deadline. What it asked for is fetched to the end all the same, for the
    next pass; passes that miss the same code share one fetch. Keys name the version of the fee
    schedule, and rows of a version never change, so that nothing is ever stale.
    """

    def __init__(
        self,
        versions: FeeVersions,
        store: FeeStore,
        cache: ProcessCache,
        memcached: Memcached | None,
        deadline_s: float,
        metrics: Metrics,
        fee_metrics: FeeMetrics,
    ) -> None:
        self._versions = versions
        self._store = store
        self._cache = cache
        self._memcached = memcached
        self._deadline_s = deadline_s
        self._up = metrics.dependency_up.labels("fees")
        self._metrics = fee_metrics
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[Any]] = set()
        self._pending: dict[bytes, asyncio.Task[_Fetched]] = {}

    async def __aenter__(self) -> Self:
        """Begin; whoever starts this has asked the database before."""
        self._up.set(1)
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what is under way and close the connections to memcached."""
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)
        if self._memcached:
            await self._memcached.close()

    async def watch(self) -> None:
        """Follow the versions of the tenants that were asked for, for ever."""
        await self._versions.watch()

    async def of(self, codes: Ints, tenant: str, number: int | None = None) -> FoundFees:
        """Return what the tenant's fee schedule says of codes, all of it of one version.

        Args:
            codes: The procedure codes of a pass, each once, ascending.
            tenant: Whose fee schedule.
            number: The version to be read; left out, the one in use.
        """
        ends_at = monotonic() + self._deadline_s
        try:
            async with asyncio.timeout(self._deadline_s):
                version = await self._versions.of(tenant, number)
        except TimeoutError:
            return self._without(codes, "timeout")
        except DatabaseUnavailableError:
            return self._without(codes, "unavailable")
        except asyncpg.PostgresError as error:
            _LOG.exception("fees_failed", error_type=type(error).__name__, exc_info=False)
            return self._without(codes, "error")
        if version is None and number is None:
            return FoundFees()
        if version is None:
            return self._without(codes, "no_such_version")
        rows, reason = await self._rows(tenant, version, codes.tolist(), ends_at)
        unknown = np.array([code for code in codes.tolist() if code not in rows], np.int64)
        fees = TenantFees(version.number, np.frombuffer(b"".join(rows.values()), FEE), unknown)
        return FoundFees(fees, self._said(reason if len(unknown) else ""))

    def _without(self, codes: Ints, reason: str) -> FoundFees:
        return FoundFees(TenantFees(unknown=codes), self._said(reason))

    def _said(self, reason: str) -> tuple[str, ...]:
        self._up.set(not reason)
        if not reason:
            return ()
        self._metrics.faults.labels(reason).inc()
        return (f"fees: {reason}",)

    async def _rows(
        self, tenant: str, version: FeeVersion, codes: Sequence[int], ends_at: float
    ) -> tuple[dict[int, bytes], str]:
        """Return the records of each code that could be had in time, and why others could not."""
        prefix = prefix_of(tenant, version)
        keys = {code: key_of(prefix, code) for code in codes}
        held = {code: self._cache.get(key) for code, key in keys.items()}
        found = {code: rows for code, rows in held.items() if rows is not None}
        missing = {code: key for code, key in keys.items() if code not in found}
        self._metrics.looked_up(PROCESS, len(found), len(missing))
        if not missing:
            return found, ""
        fetches = self._fetches(tenant, version, missing)
        done, late = await asyncio.wait(fetches, timeout=max(0.0, ends_at - monotonic()))
        reasons = ["timeout"] if late else []
        for fetch in done:
            fetched = fetch.result()
            reasons += [fetched.reason] if fetched.reason else []
            found |= {code: rows for code, rows in fetched.rows.items() if code in missing}
        return found, (reasons or [""])[0]

    def _fetches(
        self, tenant: str, version: FeeVersion, missing: Mapping[int, bytes]
    ) -> set[asyncio.Task[_Fetched]]:
        """Return what fetches the codes: what is under way already, and one more for the rest."""
        fetches = {self._pending[key] for key in missing.values() if key in self._pending}
        fresh = {code: key for code, key in missing.items() if key not in self._pending}
        if fresh:
            task = self._start(self._fetch(tenant, version, fresh))
            self._pending |= dict.fromkeys(fresh.values(), task)
            task.add_done_callback(lambda _: [self._pending.pop(key) for key in fresh.values()])
            fetches.add(task)
        return fetches

    async def _fetch(
        self, tenant: str, version: FeeVersion, asked: Mapping[int, bytes]
    ) -> _Fetched:
        """Ask memcached, then Postgres for all that is missing; it never raises."""
        found: dict[int, bytes] = {}
        try:
            found = await self._from_memcached(asked)
            missing = [code for code in asked if code not in found]
            if missing:
                fresh = await self._from_store(tenant, version, missing)
                found |= fresh
                if self._memcached:
                    values = {asked[code]: sealed(asked[code], r) for code, r in fresh.items()}
                    self._start(self._fill(self._memcached, values))
        except DatabaseUnavailableError:
            reason = "unavailable"
        except Exception as error:  # noqa: BLE001 - the edge of a task that passes wait for
            _LOG.error("fees_failed", error_type=type(error).__name__, raised_at=stack_of(error))
            reason = "error"
        else:
            reason = ""
        for code, rows in found.items():
            self._cache.put(asked[code], rows)
        return _Fetched(found, reason)

    async def _from_memcached(self, asked: Mapping[int, bytes]) -> dict[int, bytes]:
        if not self._memcached:
            return {}
        values = await self._memcached.get(asked.values())
        found: dict[int, bytes] = {}
        for code, key in asked.items():
            rows = opened(key, values[key]) if key in values else None
            if rows is not None:
                found[code] = rows
            elif key in values:
                self._metrics.faults.labels("checksum").inc()
        self._metrics.looked_up(MEMCACHED, len(found), len(asked) - len(found))
        return found

    async def _from_store(
        self, tenant: str, version: FeeVersion, codes: Sequence[int]
    ) -> dict[int, bytes]:
        started = perf_counter()
        rows = await self._store.rows(tenant, version.number, codes)
        self._metrics.query_seconds.observe(perf_counter() - started)
        return rows

    async def _fill(self, memcached: Memcached, values: Mapping[bytes, bytes]) -> None:
        """Have memcached hold what it did not, for other processes; no pass waits for it."""
        try:
            await memcached.set(values)
        except Exception as error:  # noqa: BLE001 - the edge of a task that nobody waits for
            _LOG.error("fees_not_kept", error_type=type(error).__name__, raised_at=stack_of(error))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


@asynccontextmanager
async def open_fees(
    settings: Settings, database: Database | None, metrics: Metrics, fee_metrics: FeeMetrics
) -> AsyncIterator[FeesClient | None]:
    """Yield who knows the tenants' fee schedules, where there is a database to hold them.

    Raises:
        SettingsError: the database has no place for them.
    """
    if database is None:
        yield None
        return
    store = FeeDatabase(database)
    await store.check()
    nodes = settings.memcached_nodes
    memcached = Memcached.at(nodes, settings.memcached_timeout_ms / 1000, fee_metrics)
    async with FeesClient(
        FeeVersions(store, fee_metrics, settings.fees_poll_ms),
        store,
        ProcessCache(settings.fees_cache_bytes_max, settings.fees_cache_ttl_ms / 1000),
        memcached if nodes else None,
        settings.fees_deadline_ms / 1000,
        metrics,
        fee_metrics,
    ) as fees:
        yield fees
