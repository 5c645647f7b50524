"""What a result has to say about where it was measured."""

import asyncio
import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

_LOOK_EVERY_S: Final = 0.2
_VERSIONS: Final = (
    "claimgate",
    "grpcio",
    "protobuf",
    "numpy",
    "uvloop",
    "asyncpg",
    "ai-edge-litert",
)


def machine() -> dict[str, Any]:
    """Return processor, memory, system and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _VERSIONS},
    }


def rss_mb(pid: int | None = None) -> float:
    """Return the resident memory of a process (left out: this one) and its children."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return round(sum(map(_rss, family)) / 1e6, 1)


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def rss_mb_each(pid: int) -> list[float]:
    """Return the resident memory of each process of a family, largest first."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return sorted((round(each.memory_info().rss / 1e6, 1) for each in family), reverse=True)


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@dataclass(slots=True)
class Peak:
    """The most memory that a process and its children were seen to hold."""

    mb: float = 0.0


@asynccontextmanager
async def peak_rss(pid: int | None = None) -> AsyncIterator[Peak]:
    """Watch the resident memory of a process (left out: this one) and its children in the block."""
    peak = Peak()

    async def watch() -> None:
        while True:
            peak.mb = max(peak.mb, rss_mb(pid))
            await asyncio.sleep(_LOOK_EVERY_S)

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
