"""Streams from a process of their own, so that a saturating load does not slow down who measures.

`python -m loader.bench.streaming_process HOST:PORT CLAIMS MESSAGE_CLAIMS SECONDS`: prints `ready`
when the first answers came, and one JSON object at the end.
"""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import uvloop

from loader.bench.loads import stream
from loader.bench.workload import batches, claims, requests


async def run(address: str, count: int, message_claims: int, seconds: float) -> None:
    """Stream the workload over and over; say when it flows, and what it came to."""
    wire = requests(batches(claims(count), message_claims))
    await stream(address, wire[:8], message_claims)
    print("ready", flush=True)  # noqa: T201 - whoever started it waits for this line
    streamed = await stream(address, wire, message_claims, seconds=seconds)
    print(json.dumps(asdict(streamed)), flush=True)  # noqa: T201 - and for this one


@asynccontextmanager
async def saturating(
    address: str, *, count: int, message_claims: int, seconds: float
) -> AsyncIterator["asyncio.Task[dict[str, Any]]"]:
    """Stream in the background for some seconds; yields what will tell how much was answered."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loader.bench.streaming_process"),
        *(address, str(count), str(message_claims), str(seconds)),
        stdin=DEVNULL,
        stdout=PIPE,
    )
    try:
        if process.stdout is None or not (await process.stdout.readline()).startswith(b"ready"):
            raise RuntimeError("the streams did not start; see above")
        yield asyncio.create_task(_result(process))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _result(process: Process) -> dict[str, Any]:
    if process.stdout is None:
        raise RuntimeError("the streams have no standard output")
    found: dict[str, Any] = json.loads(await process.stdout.readline())
    return found


if __name__ == "__main__":
    address, count, message_claims, seconds = sys.argv[1:]
    uvloop.run(run(address, int(count), int(message_claims), float(seconds)))
