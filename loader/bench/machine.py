"""What a result has to say about where it was measured."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

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
    return round(sum(each.memory_info().rss for each in family) / 1e6, 1)


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
