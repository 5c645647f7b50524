"""One claim a message over many streams: answers one by one, gathered, and from an echo server."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

from loader.bench.loads import alternating, middle, stream
from loader.bench.transport import median_answer, running_echo
from loader.bench.workload import batches, claims, requests
from loader.service import running_service

_STREAMS: Final = 64
_WINDOW: Final = 256


async def measure_single(snapshot: Path, *, count: int, runs: int, workers: int) -> dict[str, Any]:
    """Return claims a second with answers one by one and gathered, and what transport alone does.

    The echo server answers one by one; the ratio is that of the gathered answers to it.

    Args:
        snapshot: Folder of the reference snapshot.
        count: Claims, and messages, in each run.
        runs: Runs of each; the three alternate, and the figures are medians.
        workers: Processes of the service, and of the echo server.
    """
    wire = requests(batches(claims(count), 1))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        async with running_service(snapshot, log, workers=workers) as service:
            answer = await median_answer(service.address, wire)
            async with running_echo(answer, Path(folder), workers) as echo_address:
                one = partial(
                    stream, wire=wire, message_claims=1, connections=_STREAMS, window=_WINDOW
                )
                together, one_by_one, echo = await alternating(
                    runs,
                    [
                        partial(one, service.address, gather_answers=True),
                        partial(one, service.address, gather_answers=False),
                        partial(one, echo_address, gather_answers=False),
                    ],
                )
    return {
        "gathered_claims_per_s": middle(together),
        "one_by_one_claims_per_s": middle(one_by_one),
        "echo_claims_per_s": middle(echo),
        "gathered_ratio": middle([a / b for a, b in zip(together, one_by_one, strict=True)], 2),
        "echo_ratio": middle([a / b for a, b in zip(together, echo, strict=True)], 2),
        "streams": _STREAMS,
        "workers": workers,
        "claims": count,
        "runs": runs,
    }
