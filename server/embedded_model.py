"""The model server that comes with the service, as a child process of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvloop
from claimgate.resources import find

from server.children import READY, Child, kept, until_stopped
from server.model_server import serve_model
from server.settings import EMBEDDED, Settings
from server.telemetry import configure_logging

_GRACE_S: Final = 5.0


@asynccontextmanager
async def model_at(settings: Settings) -> AsyncIterator[str]:
    """Yield the model's address; an embedded one runs for as long as the block."""
    if settings.model_address != EMBEDDED:
        yield settings.model_address
        return
    child = Child("model server", ("-m", "server.embedded_model"), settings.environment())
    async with kept([child], _GRACE_S) as [address]:
        yield address


async def _serve(settings: Settings) -> None:
    folder = settings.model_folder or find("model")
    async with await serve_model("127.0.0.1:0", folder) as server:
        print(f"{READY}{server.address}", flush=True)  # noqa: T201 - what the parent waits for
        await until_stopped(with_parent=True)


def main() -> None:
    """Serve the model of the settings until the parent ends or says so."""
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    uvloop.run(_serve(settings))


if __name__ == "__main__":
    main()
