"""Three times what the service can do: it must go on working, and refuse the rest at once."""

import asyncio
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from urllib.request import urlopen

from claimgate.client import CallError, Client
from claimgate.v1 import score_pb2
from prometheus_client.parser import text_string_to_metric_families

from loader.bench.loads import call_at, call_in_turn, percentiles_ms
from loader.bench.machine import peak_rss, rss_mb
from loader.bench.workload import batches, claims
from loader.service import running_service

_MESSAGE_CLAIMS: Final = 256
_CLAIMS: Final = 20_480
_CALLERS: Final = 16
_TIMES: Final = 3.0
_CAPACITY_S: Final = 5.0
_REFUSALS: Final = "claimgate_refusal_duration_seconds"
_SHARES: Final = (0.5, 0.99)
_NORMAL_S_MAX: Final = 30.0
_NORMAL_TIMES: Final = 3.0


async def measure_overload(snapshot: Path, *, workers: int, seconds: float) -> dict[str, Any]:
    """Return goodput as a share of capacity, how fast the rest was refused, memory, recovery.

    Args:
        snapshot: Folder of the reference snapshot.
        workers: Processes of the service.
        seconds: How long three times the capacity is offered.
    """
    sent = batches(claims(_CLAIMS), _MESSAGE_CLAIMS)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        async with running_service(snapshot, log, workers=workers) as service:
            await call_in_turn(service.address, sent, seconds=1.0, callers=_CALLERS)
            calls_per_s = await call_in_turn(
                service.address, sent, seconds=_CAPACITY_S, callers=_CALLERS
            )
            async with Client(service.address) as client:
                quiet_s = await _one(client, sent[0])
            before = rss_mb(service.pid)
            async with peak_rss(service.pid) as peak:
                calls = await call_at(
                    service.address,
                    sent,
                    rate=_TIMES * calls_per_s,
                    seconds=seconds,
                    connections=_CALLERS,
                )
                normal_s = await _normal_after(service.address, sent[0], quiet_s)
            refused = await asyncio.to_thread(_refused_ms, service.metrics_address)
    capacity = calls_per_s * _MESSAGE_CLAIMS
    goodput = len(calls.answered_s) * _MESSAGE_CLAIMS / calls.seconds
    return {
        "capacity_claims_per_s": round(capacity),
        "goodput_claims_per_s": round(goodput),
        "goodput_ratio": round(goodput / capacity, 3),
        "refused_calls": len(calls.refused_s),
        "refused": percentiles_ms(calls.refused_s),
        "refused_in_the_service": refused,
        "answered": percentiles_ms(calls.answered_s),
        "caller_late": percentiles_ms(calls.late_s),
        "failed_calls": calls.failed,
        "rss_growth_mb": round(peak.mb - before, 1),
        "normal_again_after_s": round(normal_s, 2),
        "client_share_of_cpu": round(calls.client_cpu_s / calls.seconds, 3),
        "workers": workers,
        "seconds": seconds,
    }


async def _one(client: Client, batch: score_pb2.ClaimBatch) -> float:
    started = perf_counter()
    await client.score_batch(batch)
    return perf_counter() - started


def _refused_ms(metrics_address: str) -> dict[str, float]:
    """Return within what time the service itself had refused calls, by the buckets that it keeps.

    Beside what callers saw this tells its part from what the machine took to wake them up.
    """
    with urlopen(f"http://{metrics_address}/metrics") as page:
        families = text_string_to_metric_families(page.read().decode())
        buckets = {
            float(sample.labels["le"]): sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"{_REFUSALS}_bucket"
        }
    count = max(buckets.values(), default=0.0)
    return {
        f"p{share:.0%}_ms_at_most".replace("%", ""): next(
            bound * 1000 for bound, below in sorted(buckets.items()) if below >= share * count
        )
        for share in _SHARES
        if count
    }


async def _normal_after(address: str, batch: score_pb2.ClaimBatch, quiet_s: float) -> float:
    """Return after how many seconds a call is as fast again as before, or nearly."""
    started = perf_counter()
    async with Client(address) as client:
        while (passed := perf_counter() - started) < _NORMAL_S_MAX:
            try:
                if await _one(client, batch) <= quiet_s * _NORMAL_TIMES:
                    return passed
            except CallError as error:
                await asyncio.sleep(error.retry_after_s or 0.0)
    return _NORMAL_S_MAX
