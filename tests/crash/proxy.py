"""Between a client and Postgres: bytes go through, but the answer to a COMMIT may not arrive."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from loader.embedded import EmbeddedPostgres

Cut = Literal["before", "after"]
"""A connection is cut before a COMMIT reaches the server, or after it was done."""

_STARTUP_BYTES: Final = 4
_HEAD_BYTES: Final = 5
_QUERY: Final = b"Q"
_READY: Final = b"Z"
_SSL_REQUEST: Final = 80_877_103
_SOCKET: Final = ".s.PGSQL.5432"


@dataclass
class Proxy:
    """Decides at each COMMIT whether its connection is cut, and counts."""

    folder: Path
    target: Path
    decide: Callable[[], Cut | None]
    commits: int = 0
    cuts: list[Cut] = field(default_factory=list)

    def url(self, of_server: str) -> str:
        """Return the URL by which a database of the server is reached through here."""
        parts = urlsplit(of_server)
        return urlunsplit(parts._replace(query=f"host={quote(str(self.folder), safe='')}"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, until one side ends it or it is cut."""
        try:
            there, back = await asyncio.open_unix_connection(str(self.target / _SOCKET))
        except OSError:
            writer.close()
            return
        answers = _Answers(there, writer)
        returning = asyncio.create_task(answers.carry())
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._requests(reader, back, answers)
        for each in (back, writer):
            each.close()
        returning.cancel()
        with suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            await returning

    async def _requests(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, answers: "_Answers"
    ) -> None:
        """Pass on what the client sends, message by message; return where it is cut."""
        back.write(await _startup(reader))
        while True:
            head = await reader.readexactly(_HEAD_BYTES)
            body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
            cut = None
            if head[:1] == _QUERY and body.startswith(b"COMMIT"):
                self.commits += 1
                cut = self.decide()
            if cut:
                self.cuts.append(cut)
            if cut == "before":
                return
            if cut == "after":
                answers.hold()
            back.write(head + body)
            await back.drain()
            if cut == "after":
                await answers.held.wait()
                return


async def _startup(reader: asyncio.StreamReader) -> bytes:
    """Return the first message, the only one without a letter."""
    size = await reader.readexactly(_STARTUP_BYTES)
    body = await reader.readexactly(int.from_bytes(size, "big") - _STARTUP_BYTES)
    if int.from_bytes(body[:4], "big") == _SSL_REQUEST:
        raise ValueError("over a socket there is no TLS")
    return size + body


class _Answers:
    """What the server says, message by message; from a hold on it is read and thrown away."""

    def __init__(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._there = there
        self._writer = writer
        self._holding = False
        self.held = asyncio.Event()
        """Set when the server is ready for more, and the client was not told."""

    def hold(self) -> None:
        self._holding = True

    async def carry(self) -> None:
        try:
            while True:
                head = await self._there.readexactly(_HEAD_BYTES)
                body = await self._there.readexactly(int.from_bytes(head[1:], "big") - 4)
                if self._holding:
                    if head[:1] == _READY:
                        self.held.set()
                else:
                    self._writer.write(head + body)
                    await self._writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            self._writer.close()
            self.held.set()


@asynccontextmanager
async def proxied(
    server: EmbeddedPostgres, decide: Callable[[], Cut | None]
) -> AsyncIterator[Proxy]:
    """Stand before a server for as long as the block."""
    with tempfile.TemporaryDirectory(prefix="claimgate-proxy-") as folder:
        proxy = Proxy(Path(folder), server.socket_folder, decide)
        listening = await asyncio.start_unix_server(proxy.serve, str(Path(folder) / _SOCKET))
        try:
            yield proxy
        finally:
            listening.close()
