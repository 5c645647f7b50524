"""Minutes at a steady share of the capacity: memory must not grow, and nothing may fail."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from loader.bench.loads import call_at, call_in_turn, percentiles_ms
from loader.bench.machine import rss_mb
from loader.bench.workload import batches, claims
from loader.service import running_service

_MESSAGE_CLAIMS: Final = 256
_CLAIMS: Final = 20_480
_CALLERS: Final = 16
_CAPACITY_S: Final = 5.0
_SHARE: Final = 0.7
_SETTLE_SHARE: Final = 0.25
"""Part of the time that is left out of the slope: caches fill, and the heap finds its size."""
_LOOK_EVERY_S: Final = 1.0
_LOOKS: Final = 10


async def measure_soak(snapshot: Path, *, workers: int, seconds: float) -> dict[str, Any]:
    """Return the slope of resident memory, megabytes a minute, latencies and failures.

    Args:
        snapshot: Folder of the reference snapshot.
        workers: Processes of the service.
        seconds: For how long.
    """
    sent = batches(claims(_CLAIMS), _MESSAGE_CLAIMS)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        async with running_service(snapshot, log, workers=workers) as service:
            await call_in_turn(service.address, sent, seconds=1.0, callers=_CALLERS)
            calls_per_s = await call_in_turn(
                service.address, sent, seconds=_CAPACITY_S, callers=_CALLERS
            )
            seen: list[tuple[float, float]] = []
            watching = asyncio.create_task(_watch(service.pid, seen))
            calls = await call_at(
                service.address,
                sent,
                rate=_SHARE * calls_per_s,
                seconds=seconds,
                connections=_CALLERS,
            )
            watching.cancel()
    settled = seen[int(len(seen) * _SETTLE_SHARE) :]
    _, megabytes = np.array(settled).T
    return {
        "rss_slope_mb_per_minute": _slope(settled),
        "rss_slope_between_passes_mb_per_minute": _slope(_least(settled)),
        "rss_comes_and_goes_mb": round(float(np.ptp(megabytes)), 1),
        "rss_mb": round(float(megabytes[-1]), 1),
        "claims_per_s": round(len(calls.answered_s) * _MESSAGE_CLAIMS / calls.seconds),
        "capacity_claims_per_s": round(calls_per_s * _MESSAGE_CLAIMS),
        "refused_calls": len(calls.refused_s),
        "failed_calls": calls.failed,
        **percentiles_ms(calls.answered_s),
        "workers": workers,
        "seconds": seconds,
    }


def _slope(seen: Sequence[tuple[float, float]]) -> float:
    """Return megabytes a minute of a line through what was seen; 0 where that is one moment."""
    minutes, megabytes = np.array(seen).T
    return round(float(np.polyfit(minutes, megabytes, 1)[0]), 3) if len(seen) > 1 else 0.0


def _least(seen: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the least of each ten seconds: what stays when a pass gives back what it had."""
    looks = range(0, len(seen), _LOOKS)
    return [min(seen[first : first + _LOOKS], key=lambda look: look[1]) for first in looks]


async def _watch(pid: int, seen: list[tuple[float, float]]) -> None:
    started = perf_counter()
    while True:
        seen.append(((perf_counter() - started) / 60, rss_mb(pid)))
        await asyncio.sleep(_LOOK_EVERY_S)
