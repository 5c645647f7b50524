"""Both databases of a measurement, empty, for as long as it runs."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from loader.embedded import (
    PRODUCTION,
    STAGING,
    EmbeddedPostgres,
    create_databases,
    embedded_postgres,
)
from loader.migrate import upgrade
from loader.places import working_folder

KEY: Final = "5e" * 32
"""The key for patient data, hexadecimal; the claims are invented."""


@asynccontextmanager
async def bench_databases() -> AsyncIterator[tuple[EmbeddedPostgres, Path]]:
    """Yield a server with both databases, and the folder that holds its data as `postgres`."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=working_folder()))
    try:
        with embedded_postgres(folder / "postgres") as server:
            await create_databases(server)
            await upgrade(server.migrating_url(STAGING), "staging")
            await upgrade(server.migrating_url(PRODUCTION), "production")
            yield server, folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
