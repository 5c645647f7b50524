"""Copies of a running Postgres, and one that follows it as a streaming replica."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from loader import embedded
from loader.storage.postgres_tools import find_tools


def startable(base: Path, data: Path) -> Path:
    """Copy the files of a base backup to where a server may start on them."""
    shutil.copytree(base, data)
    # The embedded server has its socket among its data, as no other has.
    (data / ".s.PGSQL.5432.lock").unlink()
    if os.geteuid() == 0:  # which Postgres never runs as
        data.parent.chmod(0o755)
        for path in (data, *data.rglob("*")):
            shutil.chown(path, "pgserver")
    return data


@asynccontextmanager
async def replica_of(
    primary: embedded.EmbeddedPostgres,
) -> AsyncIterator[embedded.EmbeddedPostgres]:
    """Run a hot standby that streams from a server, until the block ends."""
    # Not below pytest's own folder: as root the wheel opens the parents of its data to others.
    place = Path(tempfile.mkdtemp(prefix="claimgate-replica-"))
    try:
        connection = await asyncpg.connect(primary.superuser_url())
        major = connection.get_server_version().major
        await connection.close()
        await find_tools(major).run(
            "pg_basebackup", f"--pgdata={place / 'base'}", "--wal-method=stream",
            "--checkpoint=fast", "--write-recovery-conf", "--no-password",
            url=primary.superuser_url(),
        )  # fmt: skip
        with embedded.embedded_postgres(startable(place / "base", place / "data")) as replica:
            yield replica
    finally:
        shutil.rmtree(place, ignore_errors=True)
