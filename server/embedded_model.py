"""The model server that comes with the service, as a child process of it."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvloop
from claimgate.resources import find

from server.address import Address
from server.children import READY, Child, kept, until_stopped
from server.model_server import serve_model
from server.ports import held_port
from server.settings import EMBEDDED, Settings
from server.telemetry import configure_logging

_GRACE_S: Final = 5.0
_ANY_PORT: Final = Address("127.0.0.1", 0)


@asynccontextmanager
async def model_at(settings: Settings) -> AsyncIterator[str]:
    """Yield the model's address; an embedded one runs for as long as the block."""
    if settings.model_address != EMBEDDED:
        yield settings.model_address
        return
    with held_port(_ANY_PORT) as address:
        # One address all its lives: whoever asks it was told once.
        command = ("-m", "server.embedded_model", address)
        child = Child("model server", command, settings.environment())
        async with kept([child], _GRACE_S):
            yield address


async def _serve(settings: Settings, address: str) -> None:
    folder = settings.model_folder or find("model")
    async with await serve_model(address, folder, share_port=True) as server:
        print(f"{READY}{server.address}", flush=True)  # noqa: T201 - what the parent waits for
        await until_stopped(with_parent=True)


def main() -> None:
    """Serve the model of the settings until the parent ends or says so."""
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    uvloop.run(_serve(settings, sys.argv[1]))


if __name__ == "__main__":
    main()
