"""The service over gRPC, beside an echo server with the same messages, client and worker count."""

import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from loader.bench.loads import alternating, stream
from loader.bench.machine import rss_mb_each
from loader.bench.transport import median_answer, running_echo
from loader.bench.workload import batches, claims, requests
from loader.service import running_service

_RUN_S: Final = 3.0
"""Length of a run: long enough that the first and the last passes, which are short, do not count.
"""


async def measure_stream(
    snapshot: Path, *, count: int, runs: int, workers: int, message_claims: int
) -> dict[str, Any]:
    """Return claims a second through service and client, as rows and as columns.

    The echo server gets the rows; the ratio is that of the rows to it.

    Args:
        snapshot: Folder of the reference snapshot.
        count: Claims that are sent over and over.
        runs: Runs of each; the three alternate, and the figures are medians.
        workers: Processes of the service, and of the echo server.
        message_claims: Claims in a message.
    """
    count -= count % message_claims  # so that every message holds as many
    messages = batches(claims(count), message_claims)
    wire, columnar = requests(messages), requests(messages, "columns")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        async with running_service(snapshot, log, workers=workers) as service:
            answer = await median_answer(service.address, wire)
            async with running_echo(answer, Path(folder), workers) as echo_address:
                one = partial(stream, message_claims=message_claims, seconds=_RUN_S)
                ours, columns, echo = await alternating(
                    runs,
                    [
                        partial(one, service.address, wire),
                        partial(one, service.address, columnar),
                        partial(one, echo_address, wire),
                    ],
                )
            memory = rss_mb_each(service.pid)
    return {
        "row_claims_per_s": round(median(ours)),
        "columnar_claims_per_s": round(median(columns)),
        "echo_claims_per_s": round(median(echo)),
        "echo_ratio": round(median(a / b for a, b in zip(ours, echo, strict=True)), 4),
        "rss_mb": memory[0],
        "rss_mb_all_processes": round(sum(memory), 1),
        "request_bytes_per_claim": round(sum(map(len, wire)) / count),
        "columnar_request_bytes_per_claim": round(sum(map(len, columnar)) / count),
        "answer_bytes_per_claim": round(len(answer) / message_claims),
        "message_claims": message_claims,
        "workers": workers,
        "claims": count,
        "runs": runs,
        "run_s": _RUN_S,
    }
