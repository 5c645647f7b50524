"""The commands on failed claims, with the databases that a user names by the environment."""

import asyncio
import json
import tomllib
from pathlib import Path

import pytest
import typer
from claimgate.command.adapt import adapt
from typer.testing import CliRunner

from loader import embedded
from loader.failed.words import Category
from loader.run import run
from loader.source import Submitted, stage_claims

PROJECT = Path(__file__).parents[3]
KEY_HEX = bytes(range(32)).hex()


def application() -> typer.Typer:
    """The commands that pyproject offers as `claimgate failed`."""
    from importlib import import_module

    points = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]
    app = typer.Typer()
    for name, target in points["claimgate.commands"].items():
        if name.startswith("failed."):
            module, _, function = target.partition(":")
            app.command(name.removeprefix("failed."))(
                adapt(getattr(import_module(module), function))
            )
    return app


@pytest.fixture
def command(postgres, tenant, scorer):
    environment = {
        "CLAIMGATE_TENANT": tenant,
        "CLAIMGATE_STAGING_URL": postgres.loading_url(embedded.STAGING),
        "CLAIMGATE_PRODUCTION_URL": postgres.loading_url(embedded.PRODUCTION),
        "CLAIMGATE_KEY_HEX": KEY_HEX,
    }

    async def run_command(*words, **changes):
        return await asyncio.to_thread(
            CliRunner().invoke,
            application(),
            [str(word) for word in words],
            env={**environment, **changes},
        )

    return run_command


def of(done) -> dict:
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


async def test_a_person_finds_repairs_and_reloads_a_claim(
    command, settings, staging, vault, tenant, make_claim, production
):
    claim = make_claim("reject-1")
    claim.lines[1].line_number = 1
    await stage_claims(staging, vault, tenant, [Submitted(claim)])
    await run(settings)
    await production.execute(
        """UPDATE failed_claims SET reasons = '[{"code": "V08", "field": "f", "message": "m"}]'
        WHERE tenant_id = $1""",
        tenant,
    )

    [row] = of(await command("list", "--json"))["claims"]
    one = row["failed_id"]
    plan = of(await command("repair", one, "--dry-run", "--json"))
    made = of(await command("repair", one, "--by", "ann", "--json"))
    retried = of(await command("retry", one, "--json"))
    shown = of(await command("show", one, "--json"))

    assert (row["category"], row["charge_cents"], row["reasons"][0]["code"]) == (
        "validation", 20_000, "V08",
    )  # fmt: skip
    assert plan == made == [
        {"failed_id": one, "step": "renumber_lines", "fields": ["lines[1].line_number"]}
    ]  # fmt: skip
    assert (retried["changed"], retried["resubmitted"]) == ([one], 1)
    assert (shown["status"], shown["repairs_made"][0]["repaired_by"]) == ("resubmitted", "ann")
    assert {"open", "resubmitted"} == {each["to_status"] for each in shown["changes"]}


async def test_tables_are_shown_to_people(command, add_failed):
    one = await add_failed("C1")
    await command("assign", "bob", one, "--by", "ann")
    await command("note", "called the provider", one, "--by", "ann")

    listed, shown, figures, steps = [
        await command(*words) for words in (("list",), ("show", one), ("stats",), ("steps",))
    ]

    assert "C1" in listed.stdout
    assert "200.00" in listed.stdout
    assert "called the provider" in shown.stdout
    assert "assigned" in figures.stdout
    assert "rederive_total" in steps.stdout
    assert [each.exit_code for each in (listed, shown, figures, steps)] == [0] * 4


async def test_a_payload_is_shown_only_when_it_is_asked_for_and_with_the_key(command, add_failed):
    one = await add_failed("C1")

    plain = await command("show", one)
    opened = await command("show", one, "--payload", "--json")
    refused = await command("show", one, "--payload", CLAIMGATE_KEY_HEX="00" * 32)

    assert "Canarysson" not in plain.stdout
    assert json.loads(opened.stdout)["payload"]["patient_last_name"] == "Canarysson"
    assert refused.exit_code == 1
    assert "start with the key that sealed it" in str(refused.exception)


async def test_pages_of_a_list_are_asked_for_one_after_the_other(command, add_failed):
    ids = [await add_failed(f"C{number}") for number in range(5)]

    first = of(await command("list", "--limit", 3, "--json"))
    rest = of(await command("list", "--limit", 3, "--after", first["next"], "--json"))

    seen = [each["failed_id"] for each in first["claims"] + rest["claims"]]
    assert (sorted(seen), rest["next"]) == (sorted(ids), "")


async def test_many_are_changed_by_a_filter_after_a_dry_run(command, add_failed):
    for number in range(3):
        await add_failed(f"C{number}", Category.DECODE, "PAYLOAD_UNREADABLE")
    words = ("resolve", "--action", "returned", "--category", "decode")

    tried = await command(*words, "--dry-run")
    done = await command(*words, "--limit", 2)

    assert tried.stdout == "3 would be resolved\n"
    assert done.stdout == "2 resolved; 1 more fit, do it again for them\n"


async def test_what_is_refused_is_said_and_the_rest_is_done(command, add_failed):
    one = await add_failed("C1")

    done = await command("reopen", one, 999_999_999)

    assert done.exit_code == 3
    assert f"failed claim {one} is open: its status has to be resolved or dead" in done.stderr
    assert "failed claim 999999999: there is no such failed claim" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("list", "--category", "odd"),
            "--category: there is no 'odd'; expected one of validation",
        ),
        (("list", "--status", "odd"), "--status: there is no 'odd'; expected one of open"),
        (("list", "--order", "odd"), "--order: there is no 'odd'; expected one of urgency"),
        (("list", "--min-charge", "1.234"), "--min-charge is '1.234'; expected dollars"),
        (("list", "--min-charge", "NaN"), "--min-charge is 'NaN'; expected dollars"),
        (("list", "--min-charge", "1e999999"), "--min-charge is '1e999999'; expected dollars"),
        (("list", "--older-than-days", "-1"), "--older-than-days is -1.0; expected 0 or more"),
        (("list", "--limit", "0"), "--limit is 0; expected 1 or more"),
        (("list", "--after", "x"), "page_token: expected next_page_token of an earlier answer"),
        (("assign", "bob"), "which claims? name ids, or say which by --category"),
        (("assign", "bob", "1", "--reason", "V08"), "which claims? name ids, or say which"),
        (("resolve", "1", "--action", "reloaded"), "--action: there is no 'reloaded'; expected"),
        (("note", " ", "1"), "text: expected 1 to 4000 characters"),
        (("repair", "999999999"), "there is no failed claim 999999999"),
        (("undo", "999999999"), "there is no failed claim 999999999"),
        (("stats", "--days", "0"), "--days is 0; expected 1 or more"),
    ],
)
async def test_wrong_input_is_refused_with_what_is_expected(command, words, message):
    done = await command(*words)

    assert done.exit_code == 1
    assert message in str(done.exception)


async def test_a_claim_that_no_step_can_repair_needs_a_person(command, add_failed):
    one = await add_failed("C1", code="V06")

    done = await command("repair", one)

    assert done.exit_code == 3
    assert "a person has to correct it" in done.stderr


async def test_show_says_when_there_is_no_such_claim(command):
    done = await command("show", 999_999_999)

    assert done.exit_code == 1
    assert "there is no failed claim 999999999" in done.stderr


async def test_a_database_that_is_out_is_named(command):
    done = await command("list", CLAIMGATE_PRODUCTION_URL="postgresql://x@127.0.0.1:1/y")

    assert done.exit_code == 1
    assert "the database of CLAIMGATE_PRODUCTION_URL cannot be reached" in str(done.exception)
