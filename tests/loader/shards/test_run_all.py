"""Each shard is loaded by a process of its own; one that fails stops no other."""

import asyncio
import json
import multiprocessing
import os
import signal
from datetime import date

import asyncpg
import pytest

from loader import commands
from loader.progress import ClaimsLeased
from loader.shards import commands as shard_commands
from loader.shards.fence import Fence, set_fence
from loader.shards.intake import take_in_by_shard
from loader.shards.run_all import in_all, run_all
from loader.shards.settings import settings_of


@pytest.fixture
async def staged(shards, claims_file, make_claim):
    """Thirty claims in north, thirty in south."""
    facilities = [shards.facility_of("north"), shards.facility_of("south")]
    file = claims_file(
        *(make_claim(f"ok-{n}", facility_id=facilities[n % 2]) for n in range(60)),
    )
    await take_in_by_shard(shards.settings, [file], ingest_date=date(2025, 12, 31))


def loaders(shards):
    return [(s.name, settings_of(s, shards.tenant)) for s in shards.directory.in_use]


async def load(shards, tell=lambda *_: None):
    # In a thread: the service of the test answers in this loop.
    return await asyncio.to_thread(run_all, loaders(shards), tell)


async def test_every_shard_is_loaded_and_told_of(shards, staged):
    told = []

    outcomes = await load(shards, lambda name, event: told.append((name, event)))

    assert [each.shard for each in outcomes] == ["north", "south"]
    assert [each.summary.loaded for each in outcomes] == [30, 30]
    assert in_all(each.summary for each in outcomes).decisions == {"approve": 60}
    leased = [(name, event.claims) for name, event in told if isinstance(event, ClaimsLeased)]
    assert sorted(leased) == [("north", 5), ("north", 25), ("south", 5), ("south", 25)]
    assert len(await shards.ids("north", "production")) == 30
    assert len(await shards.ids("south", "production")) == 30


async def test_a_shard_that_cannot_be_reached_stops_no_other(shards, staged, monkeypatch):
    monkeypatch.setenv("NORTH_PRODUCTION_URL", "postgresql://canary:canary@127.0.0.1:9/none")
    monkeypatch.setenv("CLAIMGATE_DATABASE_ATTEMPTS", "1")

    north, south = await load(shards)

    assert north.summary is None
    assert "shard north cannot be reached" in north.failure
    assert "canary" not in north.failure
    assert south.summary.loaded == 30
    assert len(await shards.ids("south", "production")) == 30


async def test_a_loader_that_is_killed_stops_no_other(shards, staged):
    killed = []

    def kill_north(name, event):
        if name == "north" and not killed:
            [process] = [
                each for each in multiprocessing.active_children() if each.name == "load-north"
            ]
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)

    north, south = await load(shards, kill_north)

    assert killed
    assert north.failure == "its process ended (-9)"
    assert south.summary.loaded == 30


async def test_a_shard_that_is_moved_is_left_pending(shards, staged):
    owner = await asyncpg.connect(shards.directory.named("north").url("owner_staging_url"))
    await set_fence(owner, shards.tenant, Fence("closed", "north", "north_2"))

    north, south = await load(shards)
    await set_fence(owner, shards.tenant, Fence("open", "north", "north_2"))
    [again, _] = await load(shards)
    await owner.close()

    assert (north.failure, north.summary.loaded, south.summary.loaded) == ("", 0, 30)
    assert "shard north is being moved to north_2 (closed)" in north.moving
    assert (again.moving, again.summary.loaded) == ("", 30)


async def test_the_command_reports_each_shard_and_fails_when_one_did(
    shards, staged, monkeypatch, capsys
):
    done = await asyncio.to_thread(commands.load, as_json=True)
    whole = json.loads(capsys.readouterr().out.splitlines()[-1])
    monkeypatch.setenv("SOUTH_STAGING_URL", "postgresql://canary@127.0.0.1:9/none")
    monkeypatch.setenv("CLAIMGATE_DATABASE_ATTEMPTS", "1")
    failed = await asyncio.to_thread(commands.load)
    said = capsys.readouterr()

    assert (done, whole["loaded"]) == (0, 60)
    assert [whole["shards"][name]["loaded"] for name in ("north", "south")] == [30, 30]
    assert failed == 4
    assert "shard south" in said.err + said.out
    assert "canary" not in said.err + said.out


async def test_a_shard_is_loaded_alone_where_it_is_named(shards, staged, capsys):
    assert await asyncio.to_thread(lambda: commands.load(shard=["south"], as_json=True)) == 0

    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(done["shards"]) == ["south"]
    assert await shards.ids("north", "production") == []


async def test_the_same_claim_id_in_two_shards_is_no_conflict_and_the_check_finds_it(
    shards, claims_file, make_claim, capsys
):
    """A claim's key is unique within a shard: a facility that changes leaves its shard."""
    north, south = shards.facility_of("north"), shards.facility_of("south")
    files = [
        claims_file(make_claim("ok-1", facility_id=north), name="a.jsonl"),
        claims_file(make_claim("ok-1", facility_id=south), name="b.jsonl"),
        claims_file(make_claim("ok-1", facility_id=north, priority=3), name="c.jsonl"),
    ]
    await take_in_by_shard(shards.settings, files, ingest_date=date(2025, 12, 31))

    outcomes = await load(shards)

    # The other content in the same shard is a conflict; that in the other shard is not seen.
    assert [(o.summary.loaded, o.summary.failed) for o in outcomes] == [(1, 1), (1, 0)]
    assert await asyncio.to_thread(shard_commands.shards_check) == 0
    assert await asyncio.to_thread(lambda: shard_commands.shards_check(claims=True)) == 4
    said = capsys.readouterr()
    assert "north and south: claim ok-1 version 1 is in both" in said.err + said.out


async def test_a_replacement_from_another_facility_lands_beside_what_it_replaces(
    shards, claims_file, make_claim
):
    """A replacement (frequency 7) goes by its own facility: its history is that of its shard."""
    north, south = shards.facility_of("north"), shards.facility_of("south")
    same = shards.facility_of("north", 1)
    original = make_claim("ok-1", facility_id=north, member="M")
    replacements = [
        make_claim(f"ok-{n}", facility_id=facility, member="M", frequency_code="7",
            payer_claim_control_number="ok-1") for n, facility in ((2, south), (3, same))
    ]  # fmt: skip
    file = claims_file(original, *replacements)
    await take_in_by_shard(shards.settings, [file], ingest_date=date(2025, 12, 31))

    await load(shards)

    history = "SELECT claim_id FROM claim_history ORDER BY 1"
    assert [r[0] for r in await shards.fetch("north", "production", history)] == ["ok-1", "ok-3"]
    assert [r[0] for r in await shards.fetch("south", "production", history)] == ["ok-2"]
