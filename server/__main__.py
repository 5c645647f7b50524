"""`python -m server`: serve with the settings of the environment."""

import sys

import uvloop

from engine.reference import SnapshotError
from server.app import lone_errors, serve, serve_here
from server.children import READY
from server.cores import CORE_FLAG, keep_to
from server.settings import Settings
from server.supervisor import WORKER_FLAG
from server.telemetry import configure_logging


def main() -> None:
    """Serve until told to stop; as one of several workers where the supervisor says so."""
    arguments = sys.argv[1:]
    try:
        if CORE_FLAG in arguments:
            keep_to(int(arguments[arguments.index(CORE_FLAG) + 1]))
        settings = Settings.from_environment()
        if WORKER_FLAG in arguments:
            uvloop.run(_serve_as_worker(settings))
        else:
            uvloop.run(serve(settings, say_ready))
    except (OSError, RuntimeError, ValueError, SnapshotError) as error:
        sys.exit(f"cannot serve: {error}")


async def _serve_as_worker(settings: Settings) -> None:
    configure_logging(settings.log_level)
    with lone_errors():
        await serve_here(settings, say_ready, with_parent=True, share_port=True)


def say_ready(address: str) -> None:
    """Tell whoever started this process that it serves, and where."""
    print(f"{READY}{address}", flush=True)  # noqa: T201 - the one line that others wait for


if __name__ == "__main__":
    main()
