"""Several processes on one port: started as new programs, kept alive, stopped together."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from server.children import Child, kept, on_hangup, until_stopped
from server.cores import CORE_FLAG, cores_of
from server.embedded_model import model_at
from server.monitoring import monitored
from server.ports import held_port
from server.settings import Settings

WORKER_FLAG: Final = "--worker"

_LOG: Final = structlog.get_logger("server.supervisor")
_STOP_MARGIN_S: Final = 5.0


async def supervise(
    settings: Settings, ready: Callable[[str], None], *, with_parent: bool = False
) -> None:
    """Run the workers until SIGTERM or SIGINT; ready once all of them serve.

    SIGHUP is passed on: each worker looks for new tables by itself.
    """
    workers: list[Child] = []
    cores = cores_of(settings.workers, pinned=settings.pin_workers)

    def hang_up() -> None:
        for worker in workers:
            worker.tell(signal.SIGHUP)

    on_hangup(hang_up)
    with (
        held_port(settings.listen_address) as address,
        TemporaryDirectory(prefix="claimgate-metrics-") as folder,
        monitored(settings.metrics_listen, _registry(folder)),
    ):
        async with model_at(settings) as model_address:
            workers += [
                Child(
                    f"worker {number}",
                    ("-m", "server", WORKER_FLAG, *_on(core)),
                    _environment(settings, address, model_address, folder),
                    on_exit=lambda pid: _forget(pid, folder),
                )
                for number, core in enumerate(cores)
            ]
            async with kept(workers, settings.drain_ms / 1000 + _STOP_MARGIN_S):
                facts = {"workers": settings.workers, "pid": os.getpid(), "cores": cores}
                _LOG.info("serving", address=address, **facts)
                ready(address)
                await until_stopped(with_parent=with_parent)
    _LOG.info("stopped")


def _on(core: int | None) -> tuple[str, ...]:
    return () if core is None else (CORE_FLAG, str(core))


def _environment(
    settings: Settings, address: str, model_address: str, metrics_folder: str
) -> dict[str, str]:
    """Return what a worker is told: the same settings, but for what the supervisor does for all."""
    told = {
        "listen": address,
        "workers": 1,
        "model_address": model_address,
        "metrics_listen": "",
    }
    return {
        **settings.model_copy(update=told).environment(),
        "PROMETHEUS_MULTIPROC_DIR": metrics_folder,
    }


def _registry(folder: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return registry


def _forget(pid: int, folder: str) -> None:
    """Drop the gauges of a process that ended; its counters stay."""
    if Path(folder).is_dir():
        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
