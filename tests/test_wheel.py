"""The wheel in an empty environment: what a user installs serves, migrates and explains itself."""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from loader import embedded

pytestmark = pytest.mark.full
PROJECT = Path(__file__).parents[1]
CONSTRAINTS = PROJECT / "ops" / "constraints.txt"
INSTALL_S = 600


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and what it asks for, and no checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    wheel = next(folder.glob("*.whl"))
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    extras = f"claimgate[server,loader] @ {wheel.as_uri()}"
    subprocess.run([*pip, "-c", str(CONSTRAINTS), extras], check=True, timeout=INSTALL_S)
    return folder / "venv" / "bin"


def test_installed_package_serves_and_scores(environment: Path, tmp_path: Path, served) -> None:
    claimgate = str(environment / "claimgate")
    sample = PROJECT / "ops" / "claims-sample" / "professional.837"

    with served("--listen", "127.0.0.1:0", command=(claimgate,)) as address:
        scored = subprocess.run(
            [claimgate, "score", "--address", address, "--json", str(sample)],
            capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path,
        )  # fmt: skip

    assert len([json.loads(line) for line in scored.stdout.splitlines()]) == 3


def test_installed_package_migrates(environment: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="claimgate-wheel-"))
    claimgate = str(environment / "claimgate")
    try:
        with embedded.embedded_postgres(folder / "data") as server:
            asyncio.run(embedded.create_databases(server))
            for database, name in (
                (embedded.STAGING, "staging"),
                (embedded.PRODUCTION, "production"),
            ):
                url = server.migrating_url(database)
                done = subprocess.run(
                    [claimgate, "migrate", name, "--url", url],
                    capture_output=True, text=True, check=True, timeout=120, cwd=folder,
                )  # fmt: skip
                assert f"{name} is at revision 0" in done.stdout
    finally:
        shutil.rmtree(folder, ignore_errors=True)
