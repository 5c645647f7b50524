"""Both schemas, forward and back: alembic runs the numbered SQL files under `migrations/`."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import asyncpg
from alembic import command, context, op
from alembic.config import Config
from alembic.migration import MigrationContext
from claimgate import resources
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

Database = Literal["staging", "production"]

HEAD: Final = "head"
BASE: Final = "base"


async def upgrade(url: str, database: Database, revision: str = HEAD) -> None:
    """Bring the database at `url` forward to a revision."""
    await _with_connection(url, lambda bind: command.upgrade(_config(database, bind), revision))


async def downgrade(url: str, database: Database, revision: str = BASE) -> None:
    """Take the database at `url` back to a revision."""
    await _with_connection(url, lambda bind: command.downgrade(_config(database, bind), revision))


async def current(url: str) -> str | None:
    """Return the revision of the database at `url`, None before the first."""
    revisions: list[str | None] = []
    await _with_connection(
        url, lambda bind: revisions.append(MigrationContext.configure(bind).get_current_revision())
    )
    return revisions[0]


async def _with_connection(url: str, action: Callable[[Connection], None]) -> None:
    """Run a synchronous action on one connection, committed at its end or not at all."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url, timeout=30),
        poolclass=NullPool,
    )
    async with engine.begin() as connection:
        await connection.run_sync(action)


def _config(database: Database, bind: Connection) -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(resources.find("migrations") / database))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = bind
    return config


def run_migrations() -> None:
    """What each `env.py` calls: run the revisions on the connection that was handed over."""
    context.configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()


def plain_sql(revision_file: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the two directions of a revision: the `.up.sql` and `.down.sql` beside its file."""
    stem = Path(revision_file).with_suffix("")
    return (lambda: _execute(Path(f"{stem}.up.sql"))), (lambda: _execute(Path(f"{stem}.down.sql")))


def _execute(path: Path) -> None:
    """Run a file of several statements, which alembic's own `execute` refuses, on the driver."""
    statements = path.read_text(encoding="utf-8")
    driver = op.get_bind().connection.dbapi_connection
    driver.run_async(lambda raw: raw.execute(statements))  # type: ignore[union-attr]
