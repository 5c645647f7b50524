"""Child processes: started as new programs (never forked after gRPC is loaded), kept alive.

A child prints `ready HOST:PORT` when it serves, and ends when its standard input closes: so it
never outlives its parent, however that ends.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

READY: Final = "ready "
_LOG: Final = structlog.get_logger("server.children")
_RESTART_DELAY_S: Final = 0.5
_RESTART_DELAY_S_MAX: Final = 10.0


class ChildFailedError(RuntimeError):
    """A child ended before it ever served."""


class Child:
    """One process that is started again whenever it dies."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        on_exit: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._command = (sys.executable, *arguments)
        self._environment = {**os.environ, **environment}
        self._on_exit = on_exit
        self._process: Process | None = None
        self._serving = False
        self._owed: set[signal.Signals] = set()

    async def keep_running(self) -> None:
        """Run the process for ever; raises if it never became ready."""
        delay_s = _RESTART_DELAY_S
        while True:
            served = await self._run_once()
            if not self.ready.done():
                raise ChildFailedError(
                    f"{self.name} ended before it was ready; its log, above, says why"
                )
            delay_s = _RESTART_DELAY_S if served else min(delay_s * 2, _RESTART_DELAY_S_MAX)
            await asyncio.sleep(delay_s)

    async def stop(self, grace_s: float) -> None:
        """Ask the process to end, and end it after the grace."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def tell(self, number: signal.Signals) -> None:
        """Send a signal; a process that does not serve yet gets it as soon as it does."""
        if self._serving and self._process:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
        else:
            self._owed.add(number)

    async def _run_once(self) -> bool:
        """Run the process until it ends; tell whether it served."""
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, env=self._environment, start_new_session=True
        )
        self._process = process
        served = False
        if process.stdout is None:
            raise ChildFailedError(f"{self.name} has no standard output")
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            if text.startswith(READY):
                served = self._serving = True
                while self._owed:
                    self.tell(self._owed.pop())
                if not self.ready.done():
                    self.ready.set_result(text.removeprefix(READY))
        self._serving = False
        code = await process.wait()
        self._on_exit(process.pid)
        _LOG.warning("child_ended", process=self.name, pid=process.pid, exit_code=code)
        return served


@asynccontextmanager
async def kept(children: Sequence[Child], grace_s: float) -> AsyncIterator[list[str]]:
    """Keep children running while the block runs; yields the addresses that they serve on."""
    async with asyncio.TaskGroup() as tasks:
        keepers = [tasks.create_task(child.keep_running()) for child in children]
        try:
            # A child that never gets ready fails the group, and so cancels this wait.
            yield [await child.ready for child in children]
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*(child.stop(grace_s) for child in children))


def on_hangup(call: Callable[[], None]) -> None:
    """Call a function on SIGHUP from now on, instead of ending."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, call)


async def until_stopped(*, with_parent: bool) -> None:
    """Wait for SIGTERM or SIGINT, or for the end of the parent where there is one."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if with_parent:
        await _until_either(stopped)
    else:
        await stopped.wait()


async def _until_either(stopped: asyncio.Event) -> None:
    """Wait for the event or the end of standard input."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    waits = {asyncio.create_task(stopped.wait()), asyncio.create_task(_end_of(reader))}
    _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
        with suppress(asyncio.CancelledError):
            await wait
    transport.close()


async def _end_of(reader: asyncio.StreamReader) -> None:
    while await reader.read(1024):
        pass
