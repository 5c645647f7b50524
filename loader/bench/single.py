"""One claim a message over many streams, answers one by one and gathered."""

import tempfile
from pathlib import Path
from typing import Any, Final

from loader.bench.loads import middle, stream
from loader.bench.workload import batches, claims, requests
from loader.service import running_service

_STREAMS: Final = 64
_WINDOW: Final = 256


async def measure_single(snapshot: Path, *, count: int, runs: int, workers: int) -> dict[str, Any]:
    """Return claims a second with answers one by one and gathered, alternating.

    Args:
        snapshot: Folder of the reference snapshot.
        count: Claims, and messages, in each run.
        runs: Runs of each; the figures are medians.
        workers: Processes of the service.
    """
    wire = requests(batches(claims(count), 1))
    rates: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        async with running_service(snapshot, log, workers=workers) as service:
            for run in range(runs + 1):
                for gathered, found in rates.items():
                    streamed = await stream(
                        service.address,
                        wire,
                        1,
                        connections=_STREAMS,
                        window=_WINDOW,
                        gather_answers=gathered,
                    )
                    if run:  # the first of each only warms up
                        found.append(streamed.claims_per_s)
    return {
        "gathered_claims_per_s": middle(rates[True]),
        "one_by_one_claims_per_s": middle(rates[False]),
        "gathered_ratio": middle(
            [one / other for one, other in zip(rates[True], rates[False], strict=True)], 2
        ),
        "streams": _STREAMS,
        "workers": workers,
        "claims": count,
        "runs": runs,
    }
