"""What transport alone does: echo servers beside the service, with its own median answer."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from claimgate.client import Client

from loader.service import free_address

_ASKED: Final = 50


async def median_answer(address: str, wire: Sequence[bytes]) -> bytes:
    """Return a service's answer of median length to the first messages, as a MessageResult.

    It is without its sequence, which an echo server puts in itself.
    """
    answers = []
    async with Client(address) as client:
        async for answer in client.score(wire[:_ASKED]):
            answer.ClearField("sequence")
            answers.append(answer.SerializeToString())
    return sorted(answers, key=len)[len(answers) // 2]


@asynccontextmanager
async def running_echo(answer: bytes, folder: Path, workers: int) -> AsyncIterator[str]:
    """Run echo servers on one port, and yield its address.

    Raises:
        RuntimeError: One did not get ready.
    """
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
