"""`claimgate storage` as a user types it: groups within a group, options, errors."""

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from claimgate import command
from typer.testing import CliRunner

from loader.storage.owner import StorageSettings

PROJECT = Path(__file__).parents[3]
POINTS = [
    EntryPoint(name, value, command.GROUP)
    for name, value in tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"][
        "entry-points"
    ][command.GROUP].items()
]
STORAGE = [point.name for point in POINTS if point.name.startswith("storage.")]


@pytest.fixture
def run(monkeypatch):
    """Run a command line, with the commands of this folder's pyproject.toml."""
    monkeypatch.setattr(command, "entry_points", lambda **_: POINTS)
    return lambda *words: CliRunner().invoke(command._app(), words)


@pytest.mark.parametrize("name", STORAGE)
def test_every_command_has_help_for_each_option(run, name):
    done = run(*name.split("."), "--help")

    assert done.exit_code == 0
    options = [line.strip() for line in done.output.splitlines() if line.strip().startswith("--")]
    assert options
    assert all(len(line.split(maxsplit=1)) == 2 for line in options)


def test_groups_stand_within_the_group(run):
    done = run("storage", "--help")

    for word in ("archive", "partitions", "summaries", "retention", "holds", "backup"):
        assert word in done.output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("partitions", "list"), "CLAIMGATE_OWNER_URL"),
        (("backup", "--to", "x"), "CLAIMGATE_BACKUP_URL"),
        (("partitions", "make", "--ahead", "61"), "expected 0 to 60"),
        (("partitions", "list", "--url", "nonsense"), "expected postgresql://"),
        (("retention", "set", "claims", "shred", "--tenant", "a", "--keep-months", "90",
          "--reason", "r", "--by", "b"), "expected claims, history, failed or staging"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_was_expected(run, monkeypatch, words, named):
    for name in ("OWNER", "BACKUP"):
        monkeypatch.delenv(f"CLAIMGATE_{name}_URL", raising=False)

    done = run("storage", *words)

    assert named in str(done.exception)


def test_a_command_of_a_group_in_a_group_runs(run, database):
    done = run("storage", "partitions", "make", "--ahead", "0", "--url", database.owner, "--json")

    assert len(json.loads(done.stdout)["made"]) == 4


def test_every_setting_and_command_is_on_the_pages(run):
    operating, page = (
        (PROJECT / "docs" / name).read_text() for name in ("operating.md", "storage.md")
    )

    for name in StorageSettings.model_fields:
        assert f"`{name}`" in operating
        assert f"CLAIMGATE_{name.upper()}" in page
    for name in STORAGE:
        assert name.rpartition(".")[2] in page
