"""New tables for a running service: opened aside, checked, and in use from the next pass on."""

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from engine.reference import Reference, SnapshotError
from server.engines import Engines
from server.metrics import Metrics
from server.telemetry import stack_of

LOADED: Final = "loaded"
UNCHANGED: Final = "unchanged"
REFUSED: Final = "refused"

_LOG: Final = structlog.get_logger("server.tables")
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Where a path leads, and name, inode, size and time of every file there."""

    target: Path
    files: tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True, repr=False)
class OpenedTables:
    """A snapshot, and how it lay in its folder when it was opened."""

    reference: Reference
    fingerprint: Fingerprint


def open_tables(folder: Path) -> OpenedTables:
    """Open the snapshot that a path leads to now, its content verified.

    A path that is led elsewhere meanwhile is followed again: what comes out is one snapshot.

    Raises:
        SnapshotError: names the file at fault and what is wrong with it.
    """
    for _ in range(_ATTEMPTS):
        before = fingerprint(folder)
        try:
            reference = Reference.open(before.target, verify=True)
        except SnapshotError:
            if fingerprint(folder) == before:
                raise
            continue
        if fingerprint(folder) == before:
            return OpenedTables(reference, before)
    raise SnapshotError(
        f"{folder} changes while it is opened; lay a new snapshot beside it, and then rename"
    )


def fingerprint(folder: Path) -> Fingerprint:
    """Return what tells one state of a folder from another without reading its files."""
    target = folder.resolve()
    files = []
    for parent, _, names in os.walk(target):
        for name in names:
            file = Path(parent, name)
            try:
                status = file.stat()
            except OSError:  # gone since the folder was listed: the next look tells
                continue
            files.append((str(file), status.st_ino, status.st_size, status.st_mtime_ns))
    return Fingerprint(target, tuple(sorted(files)))


class TablesWatch:
    """Puts the tables that a path leads to in use, whenever it is asked to or they change.

    Tables that cannot be used change nothing: the log says why, and a metric that it happened.
    """

    def __init__(
        self, folder: Path, opened: Fingerprint, engines: Engines, metrics: Metrics, poll_ms: int
    ) -> None:
        self._folder = folder
        self._seen = opened
        self._engines = engines
        self._metrics = metrics
        self._poll_s = poll_ms / 1000 or None
        self._asked = asyncio.Event()
        metrics.tables_in_use(engines.engine.reference.release)

    def ask(self) -> None:
        """Have the path looked at now, changed or not."""
        self._asked.set()

    async def watch(self) -> None:
        """Look at the path when asked and, where it is polled, when what it leads to changed."""
        while True:
            asked = await self._asked_in_time()
            try:
                if asked or await asyncio.to_thread(fingerprint, self._folder) != self._seen:
                    await self._load()
            except Exception as error:  # noqa: BLE001 - claims are scored on, whatever happened here
                self._refuse(type(error).__name__, raised_at=stack_of(error))

    async def _asked_in_time(self) -> bool:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    async def _load(self) -> None:
        # Noted first: tables that are refused are not tried again before they change.
        self._seen = await asyncio.to_thread(fingerprint, self._folder)
        try:
            opened = await asyncio.to_thread(open_tables, self._folder)
            self._check_datasets(opened.reference)
        except SnapshotError as error:
            self._refuse(str(error))
            return
        self._seen = opened.fingerprint
        engine = self._engines.engine
        before, after = engine.reference.release, opened.reference.release
        if after == before:
            self._metrics.reference_reloads.labels(UNCHANGED).inc()
            return
        self._engines.replace(replace(engine, reference=opened.reference))
        self._metrics.tables_in_use(after, instead_of=before)
        self._metrics.reference_reloads.labels(LOADED).inc()
        _LOG.info("tables_replaced", reference_release=after)

    def _check_datasets(self, new: Reference) -> None:
        """Refuse tables without a dataset of those in use: its rules would fall silent."""
        known = self._engines.engine.reference.manifest.datasets
        missing = sorted(known.keys() - new.manifest.datasets.keys())
        if missing:
            raise SnapshotError(
                f"the snapshot in {self._folder} lacks {', '.join(missing)}, which the tables in "
                "use have: claims would no longer be judged by them; build it with them, or "
                "restart the service if this is meant"
            )

    def _refuse(self, reason: str, **facts: Any) -> None:
        release = self._engines.engine.reference.release
        self._metrics.reference_reloads.labels(REFUSED).inc()
        _LOG.error("tables_refused", reason=reason, reference_release=release, **facts)
