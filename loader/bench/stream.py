"""The service over gRPC, beside an echo server with the same messages, client and worker count."""

import asyncio
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

from claimgate.client import Client
from claimgate.v1 import scoring_service_pb2

from loader.bench.machine import rss_mb_each
from loader.bench.workload import batches, claims, requests
from loader.service import free_address, running_service

_CONNECTIONS: Final = 8
"""More than workers: the system spreads connections over processes by hash, not evenly."""
_WINDOW: Final = 4


async def measure_stream(
    snapshot: Path, *, count: int, runs: int, workers: int, message_claims: int
) -> dict[str, Any]:
    """Return claims a second through service and client, as rows and as columns.

    The echo server gets the rows; the ratio is that of the rows to it.

    Args:
        snapshot: Folder of the reference snapshot.
        count: Claims in each run.
        runs: Runs of each; the three alternate, and the figures are medians.
        workers: Processes of the service, and of the echo server.
        message_claims: Claims in a message.
    """
    messages = batches(claims(count), message_claims)
    wire, columnar = requests(messages), requests(messages, "columns")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        async with running_service(snapshot, log, workers=workers) as service:
            answers = await _answers(service.address, wire[:50])
            answer = sorted(answers, key=len)[len(answers) // 2]
            async with _echo(answer, Path(folder), workers) as echo_address:
                await _through(service.address, wire)
                await _through(service.address, columnar)
                await _through(echo_address, wire)
                ours, columns, echo = [], [], []
                for _ in range(runs):
                    ours.append(count / await _through(service.address, wire))
                    columns.append(count / await _through(service.address, columnar))
                    echo.append(count / await _through(echo_address, wire))
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
    }


async def _answers(address: str, wire: Sequence[bytes]) -> list[bytes]:
    """Return real answers without their sequence, which the echo server puts in itself."""
    answers = []
    async with Client(address) as client:
        async for answer in client.score(wire):
            answer.ClearField("sequence")
            answers.append(answer.SerializeToString())
    return answers


async def _through(address: str, wire: Sequence[bytes]) -> float:
    """Send all messages over several connections; return the seconds until the last answer."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(address)) for _ in range(_CONNECTIONS)]
        started = perf_counter()
        answered = await asyncio.gather(
            *(_drain(client, wire[n::_CONNECTIONS]) for n, client in enumerate(clients))
        )
        elapsed = perf_counter() - started
    if sum(answered) != len(wire):
        raise RuntimeError(f"{len(wire)} messages sent, {sum(answered)} answered; see the log")
    return elapsed


async def _drain(client: Client, wire: Sequence[bytes]) -> int:
    count = 0
    async for answer in client.score(wire, window=_WINDOW):
        count += isinstance(answer, scoring_service_pb2.MessageResult)
    return count


@asynccontextmanager
async def _echo(answer: bytes, folder: Path, workers: int) -> AsyncIterator[str]:
    """Run echo servers on one port."""
    file, address = folder / "answer", free_address()
    file.write_bytes(answer)
    command = (sys.executable, "-m", "loader.bench.echo", str(file), address)
    processes = [
        await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE)
        for _ in range(workers)
    ]
    try:
        for process in processes:
            if process.stdout is None or not (await process.stdout.readline()).startswith(b"ready"):
                raise RuntimeError("the echo server did not get ready")
        yield address
    finally:
        for process in processes:
            process.terminate()
            await process.wait()
