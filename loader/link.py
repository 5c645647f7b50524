"""A database connection that is opened again when it is lost."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self, TypeVar

import asyncpg
import stamina

T = TypeVar("T")

CONNECTION_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,  # a ROLLBACK after the server's last words, before the end is seen
    OSError,
)
"""What says that a connection is lost, or a server that starts or stops."""
_REPEATED: Final = (*CONNECTION_LOST, asyncpg.DeadlockDetectedError)
"""After these a step is tried again: what it did was taken back, or will be found done."""
_CONNECT_S: Final = 10.0
_IDLE_S: Final = 60.0
_NAME: Final = "claimgate-loader"
_SERVER_SETTINGS: Final = {
    # A step sends thousands of values a statement: planned for their number, it never takes the
    # plan for ten rows.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # A batch stands in temporary tables on its way; with the default of 8 MB it would go through
    # the disk.
    "temp_buffers": "64MB",
}


async def connect(url: str, setting: str) -> asyncpg.Connection:
    """Return a new connection to the database that a setting names.

    Raises:
        OSError: It cannot be reached.
        ValueError: The setting is no URL of a database.
    """
    try:
        return await asyncpg.connect(url, timeout=_CONNECT_S)
    except asyncpg.ClientConfigurationError:
        raise ValueError(
            f"{setting} is no URL of a database; expected postgresql://ROLE@HOST/DATABASE"
        ) from None
    except OSError as error:
        raise unreachable(setting, error) from error


def unreachable(setting: str, error: OSError) -> OSError:
    """Return an error that names what to check; it shows no part of the URL."""
    why = type(error).__name__
    return OSError(
        f"the database of {setting} cannot be reached ({why}); check the URL and that it runs"
    )


class Link:
    """One connection to one database, for one task at a time."""

    def __init__(
        self, url: str, *, attempts: int, idle_s: float = _IDLE_S, name: str = _NAME
    ) -> None:
        """Name the database and how often a step is tried; nothing is opened yet.

        Args:
            url: URL of the database.
            attempts: How often a step is tried.
            idle_s: How long a transaction may stand still, of a process that is halted, before the
                server ends it: it holds locks that others wait for.
            name: What the session is called at the server.
        """
        self._url = url
        self._attempts = attempts
        self._settings = {
            **_SERVER_SETTINGS,
            "application_name": name,
            "idle_in_transaction_session_timeout": f"{round(idle_s * 1_000)}ms",
        }
        self._connection: asyncpg.Connection | None = None

    async def __aenter__(self) -> Self:
        await self.run(_nothing)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.terminate() if kind else await self._connection.close()

    async def run(self, step: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do a step; from its start on a new connection, where the old one was lost on the way.

        So is one that Postgres chose to end a deadlock with another, such as a person's change.
        The step's transaction may have been committed without the news of it arriving: a step has
        to bear repetition.
        """
        async for attempt in stamina.retry_context(
            on=_REPEATED, attempts=self._attempts, timeout=None, wait_max=2.0
        ):
            with attempt:
                try:
                    return await step(await self._open())
                except CONNECTION_LOST:
                    self._drop()
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _drop(self) -> None:
        """Let go of a connection that was lost; that it is closed may not have been seen yet."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _open(self) -> asyncpg.Connection:
        """Return the connection, a new one where there is none that lives."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._url, timeout=_CONNECT_S, server_settings=self._settings
            )
        return self._connection


async def _nothing(_: asyncpg.Connection) -> None:
    """Open the connection, no more."""
