"""One claim a call: alone, beside a saturating stream; and batches at a share of the capacity."""

import tempfile
from pathlib import Path
from typing import Any, Final

from loader.bench.loads import call_at, percentiles_ms, stream
from loader.bench.streaming_process import saturating
from loader.bench.workload import batches, claims, requests
from loader.service import running_service

_MESSAGE_CLAIMS: Final = 256
_BULK_CLAIMS: Final = 20_480
_SHARES: Final = (0.5, 0.8)
_SETTLE_S: Final = 2.0


async def measure_interactive(
    snapshot: Path, *, workers: int, rate: float, seconds: float
) -> dict[str, Any]:
    """Return latencies from intended send time, in milliseconds.

    Args:
        snapshot: Folder of the reference snapshot.
        workers: Processes of the service.
        rate: Calls of one claim a second.
        seconds: For how long each is measured.
    """
    rows = claims(_BULK_CLAIMS)
    single, bulk = batches(rows[:500], 1), batches(rows, _MESSAGE_CLAIMS)
    wire = requests(bulk)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        async with running_service(snapshot, log, workers=workers) as service:
            await stream(service.address, wire, _MESSAGE_CLAIMS)
            capacity = (await stream(service.address, wire, _MESSAGE_CLAIMS)).claims_per_s
            alone = await call_at(service.address, single, rate=rate, seconds=seconds)
            async with saturating(
                service.address,
                count=_BULK_CLAIMS,
                message_claims=_MESSAGE_CLAIMS,
                seconds=seconds + _SETTLE_S,
            ) as streaming:
                beside = await call_at(service.address, single, rate=rate, seconds=seconds)
                streamed = await streaming
            shares = {
                f"{share:.0%}": percentiles_ms(
                    (
                        await call_at(
                            service.address,
                            bulk,
                            rate=share * capacity / _MESSAGE_CLAIMS,
                            seconds=seconds,
                        )
                    ).answered_s
                )
                for share in _SHARES
            }
    failed = {**alone.failed, **beside.failed}
    if failed or alone.refused_s or beside.refused_s:
        raise RuntimeError(f"single calls were refused or failed: {failed}; see the log")
    return {
        "alone": percentiles_ms(alone.answered_s),
        "beside_a_saturating_stream": percentiles_ms(beside.answered_s),
        "calls_per_s": rate,
        "stream_claims_per_s_beside": round(streamed["claims"] / streamed["seconds"]),
        "stream_claims_per_s_alone": round(capacity),
        **{f"batches_of_256_at_{share}_of_capacity": each for share, each in shares.items()},
        "workers": workers,
        "seconds": seconds,
    }
