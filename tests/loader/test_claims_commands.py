"""The commands on claims and batches, with the databases that a user names by the environment."""

import asyncio
import json
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import typer
from claimgate.command.adapt import adapt
from claimgate.command.display import Board
from rich.console import Console
from typer.testing import CliRunner

from loader import embedded
from loader.run import run
from loader.source import Submitted, stage_claims

PROJECT = Path(__file__).parents[2]
KEY_HEX = bytes(range(32)).hex()


def application() -> typer.Typer:
    """The commands that pyproject offers as `claimgate claims` and `claimgate batches`."""
    points = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]
    app = typer.Typer()
    groups = {name: typer.Typer() for name in ("claims", "batches")}
    for name, target in points["claimgate.commands"].items():
        group, _, command = name.partition(".")
        if group in groups:
            module, _, function = target.partition(":")
            found = getattr(import_module(module), function)
            groups[group].command(command)(adapt(found))
    for name, group in groups.items():
        app.add_typer(group, name=name)
    return app


@pytest.fixture
def command(postgres, tenant):
    environment = {
        "CLAIMGATE_TENANT": tenant,
        "CLAIMGATE_STAGING_URL": postgres.loading_url(embedded.STAGING),
        "CLAIMGATE_PRODUCTION_URL": postgres.loading_url(embedded.PRODUCTION),
        "CLAIMGATE_KEY_HEX": KEY_HEX,
    }

    async def run_command(*words):
        words = [str(word) for word in words]
        return await asyncio.to_thread(CliRunner().invoke, application(), words, env=environment)

    return run_command


@pytest.fixture
def stage(staging, vault, tenant):
    async def put(*claims):
        return await stage_claims(staging, vault, tenant, map(Submitted, claims))

    return put


def of(done) -> dict:
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


async def test_a_person_amends_a_claim_and_looks_at_its_versions(
    command, stage, settings, make_claim
):
    await stage(make_claim("deny-1"))
    await run(settings)

    made = of(
        await command(
            "claims", "amend", "deny-1", "--base", 1, "--set", "drg_code=470",
            "--set", "lines.2.units_milli=2000", "--json",
        )
    )  # fmt: skip
    again = await command("claims", "amend", "deny-1", "--base", 1, "--set", "drg_code=471")
    await run(settings)
    first, second = of(await command("claims", "history", "deny-1", "--json"))["versions"]
    shown = of(await command("claims", "show", "deny-1", "--payload"))
    table = await command("claims", "history", "deny-1")

    assert made["version"] == 2
    assert (again.exit_code, "has version 2 (pending)" in again.stderr) == (3, True)
    assert (first["frequency_code"], first["superseded_by_version"]) == ("1", 2)
    assert (second["frequency_code"], second["superseded_by_version"]) == ("7", None)
    assert second["content_sha256"] == made["content_sha256"]
    assert shown["result"]["decision"] == "DECISION_DENY"
    assert shown["payload"]["drg_code"] == "470"
    assert "superseded by" in table.stdout


async def test_a_claim_is_not_shown_unless_asked_for(command, stage, settings, make_claim):
    await stage(make_claim("ok-1"))
    await run(settings)

    shown = await command("claims", "show", "ok-1")

    assert set(of(shown)) == {"version", "result", "provenance"}
    assert "Canarysson" not in shown.output


async def test_a_file_may_say_what_changes(command, stage, settings, make_claim, tmp_path):
    await stage(make_claim("ok-1"))
    await run(settings)
    file = tmp_path / "patch.json"
    file.write_text('{"drg_code": "470", "lines": {"1": {"ndc": "00002143380"}}}')

    made = of(await command("claims", "amend", "ok-1", "--base", 1, "--file", file, "--json"))

    assert made["version"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say what changes"),
        (("--void", "--set", "drg_code=1"), "say what changes"),
        (("--set", "drg_cod=Canarysson"), "not drg_cod, but one of"),
        (("--set", "priority=Canarysson"), "priority: expected a value"),
    ],
)
async def test_a_change_that_cannot_be_made_is_refused_without_its_value(command, words, told):
    done = await command("claims", "amend", "C1", "--base", 1, *words)

    assert done.exit_code == 1
    assert told in str(done.exception)
    assert "Canarysson" not in str(done.exception)


async def test_what_is_not_there_has_an_exit_status_of_its_own(command):
    for words in (
        ("claims", "history", "C1"),
        ("claims", "show", "C1"),
        ("claims", "amend", "C1", "--base", 1, "--void"),
        ("batches", "show", "B"),
        ("batches", "watch", "B"),
        ("batches", "cancel", "B", "--reason", "r"),
    ):
        done = await command(*words)
        assert (done.exit_code, done.exception.code) == (1, 1), words
        assert "no such" in done.stderr or "no claim of this batch" in done.stderr


async def test_a_person_watches_and_cancels_a_batch(command, stage, settings, make_claim):
    await stage(make_claim("ok-1", batch_id="B"))
    await run(settings)
    await stage(make_claim("ok-2", batch_id="B"), make_claim("ok-3", batch_id="B2"))

    listed = of(await command("batches", "list", "--running", "--json"))["batches"]
    cancelled = of(
        await command("batches", "cancel", "B", "--reason", "twice", "--by", "ann", "--json")
    )
    shown = of(await command("batches", "show", "B", "--json"))
    watched = await command("batches", "watch", "B")
    watched_json = of(await command("batches", "watch", "B", "--json"))

    assert [each["batch"] for each in listed] == ["B2", "B"]
    assert (cancelled["cancelled"], cancelled["ended"]) == (1, True)
    assert shown["statuses"] == {"cancelled": 1, "completed": 1}
    assert shown["decisions"] == {"approve": 1}
    [kept] = shown["cancellations"]
    assert (kept["by"], kept["reason"], kept["claims"]) == ("ann", "twice", 1)
    assert watched.stdout == (
        "Batch B: 2 of 2 claims (cancelled 1 · completed 1 · decided approve 1; ended)\n"
    )
    assert watched_json["decisions"] == {"approve": 1}
    for words in (("list",), ("show", "B"), ("cancel", "B2", "--reason", "r")):
        assert (await command("batches", *words)).exit_code == 0


def test_a_board_is_drawn_on_a_terminal_only():
    terminal, pipe = Console(force_terminal=True, width=80, record=True), Console()

    with Board(terminal) as board:
        drawn = board.draw("Batch B: 1 of 4 claims", 1, 4, {"pending": "3"}, "2 claims/s")
    with Board(pipe) as board:
        passed = board.draw("Batch B", 1, 4, {}, "")

    assert (drawn, passed) == (True, False)
    text = terminal.export_text()
    assert "Batch B: 1 of 4 claims" in text
    assert "pending" in text
    assert "2 claims/s" in text
