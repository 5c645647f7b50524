"""A scoring service as a child process: what the demo and the benchmarks run against."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_READY: Final = "ready "
_START_S_MAX: Final = 60
_STOP_S_MAX: Final = 15


class ServiceFailedError(RuntimeError):
    """The service ended, or said nothing, before it was ready."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    address: str
    metrics_address: str
    pid: int
    log: Path


@asynccontextmanager
async def running_service(
    snapshot: Path,
    log: Path,
    *,
    workers: int = 1,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Service]:
    """Serve on free ports of this machine for as long as the block; its log goes to a file.

    Args:
        snapshot: Folder of the reference snapshot.
        log: File that the log is added to.
        workers: Processes that share the port.
        arguments: More arguments of `claimgate serve`.
        environment: Variables beside those of this process.

    Raises:
        ServiceFailedError: It did not get ready.
    """
    metrics = free_address()
    command = (
        *(sys.executable, "-m", "claimgate.command", "serve"),
        *("--listen", "127.0.0.1:0", "--metrics", metrics),
        *("--reference", str(snapshot), "--workers", str(workers), "--with-parent", *arguments),
    )
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield Service(await _address(process, log), metrics, process.pid, log)
    finally:
        await _stop(process)


async def _address(process: Process, log: Path) -> str:
    if process.stdout is None:
        raise ServiceFailedError("the service has no standard output")
    try:
        async with asyncio.timeout(_START_S_MAX):
            async for line in process.stdout:
                text = line.decode().strip()
                if text.startswith(_READY):
                    return text.removeprefix(_READY)
    except TimeoutError:
        pass
    raise ServiceFailedError(f"the service did not get ready; its log says why: {log}")


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S_MAX):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def free_address() -> str:
    """Return an address of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
