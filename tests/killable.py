"""Parts of an installation that a test can kill at any time and start again."""

import asyncio
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from loader import embedded, migrate

MODEL = "from server.commands import model_server; model_server(listen={!r})"


class Killable:
    """A process of its own that can be killed at any time."""

    _process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """Kill it and its children at once, as a machine does that loses power."""
        if self._process:
            for each in _family(self._process.pid):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


class OwnPostgres(Killable):
    """A Postgres that can be killed and started again on the same data and socket."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        with embedded.embedded_postgres(self._data) as server:
            self.server = server
            self._command = shlex.split((self._data / "postmaster.opts").read_text())
        # After a kill every file is synced one by one, which takes a second, or the disk at once.
        self._command += ["-c", "recovery_init_sync_method=syncfs"]
        # Postgres refuses to run as root.
        self._owner = self._data.stat().st_uid

    async def start(self) -> None:
        """Start it, again if it ends: it refuses while children of a killed one are there."""
        async with asyncio.timeout(30):
            while not await self._answers():
                if self._process is None or self._process.poll() is not None:
                    self.kill()
                    self._process = _program(self._command, user=self._owner)
                await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.server.superuser_url())
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True


class ModelProcess(Killable):
    """A model server that keeps its address when it is started again."""

    def __init__(self) -> None:
        self.address = "127.0.0.1:0"

    async def start(self) -> None:
        self._process = _program([sys.executable, "-c", MODEL.format(self.address)])
        ready = await asyncio.to_thread(self._process.stdout.readline)
        self.address = ready.decode().split()[1]


def _program(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options)


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all below it, the children last: none is left to start another."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@asynccontextmanager
async def killable_databases() -> AsyncIterator[OwnPostgres]:
    """Run a server with both databases at the head, which can be killed, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="claimgate-killable-"))
    own = OwnPostgres(folder)
    try:
        await own.start()
        await embedded.create_databases(own.server)
        for database, name in ((embedded.STAGING, "staging"), (embedded.PRODUCTION, "production")):
            await migrate.upgrade(own.server.migrating_url(database), name)
        yield own
    finally:
        own.kill()
        shutil.rmtree(folder, ignore_errors=True)
