"""Fixtures that every folder of tests uses."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


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
