"""Each claim goes to the staging of its shard; a shard that is moved is waited for."""

import asyncio
from datetime import date

import asyncpg
import pytest

from loader import commands
from loader.shards.fence import Fence, set_fence
from loader.shards.intake import take_in_by_shard

DAY = date(2025, 12, 31)


@pytest.fixture
async def fence(shards):
    """Set the fence of north's staging, as its owner."""
    opened = await asyncpg.connect(shards.directory.named("north").url("owner_staging_url"))

    async def put(state):
        await set_fence(opened, shards.tenant, Fence(state, "north", "north_2"))

    yield put
    await opened.close()


async def test_each_claim_goes_to_the_staging_of_its_shard(shards, claims_file, make_claim):
    north, south = shards.facility_of("north"), shards.facility_of("south")
    file = claims_file(
        make_claim("C1", facility_id=north),
        make_claim("C2", facility_id=south),
        make_claim("C3", facility_id=north),
    )

    [first] = await take_in_by_shard(shards.settings, [file], ingest_date=DAY)
    [again] = await take_in_by_shard(shards.settings, [file], ingest_date=DAY)

    assert (first.staged, first.already_staged, first.held_back) == (3, 0, {})
    assert (again.staged, again.already_staged) == (0, 3)
    assert await shards.ids("north", "staging") == ["C1", "C3"]
    assert await shards.ids("south", "staging") == ["C2"]


async def test_what_cannot_be_read_is_kept_in_the_shard_of_the_first_bucket(shards, claims_file):
    file = claims_file(name="bad.jsonl")
    file.write_text("no claim\n")

    [taken] = await take_in_by_shard(shards.settings, [file], ingest_date=DAY)

    assert taken.errors == 1
    query = "SELECT source_file FROM intake_problems"
    assert [row[0] for row in await shards.fetch("north", "staging", query)] == ["bad.jsonl"]
    assert await shards.fetch("south", "staging", query) == []


async def test_claims_of_a_shard_that_is_moved_are_held_back_and_the_others_go_on(
    shards, claims_file, make_claim, fence
):
    north, south = shards.facility_of("north"), shards.facility_of("south")
    file = claims_file(*(make_claim(f"N{n}", facility_id=north) for n in range(3)),
        make_claim("S1", facility_id=south))  # fmt: skip
    await fence("draining")
    settings = shards.settings.model_copy(update={"shard_wait_s": 0.05})

    [held] = await take_in_by_shard(settings, [file], ingest_date=DAY)
    await fence("open")
    [again] = await take_in_by_shard(settings, [file], ingest_date=DAY)

    assert (held.staged, list(held.held_back.values())) == (1, [3])
    assert "shard north is being moved to north_2" in next(iter(held.held_back))
    assert (again.staged, again.already_staged, again.held_back) == (3, 1, {})


async def test_intake_waits_for_a_shard_until_its_move_is_done(
    shards, claims_file, make_claim, fence
):
    file = claims_file(make_claim("N1", facility_id=shards.facility_of("north")))
    await fence("closed")

    taking = asyncio.create_task(take_in_by_shard(shards.settings, [file], ingest_date=DAY))
    done, _ = await asyncio.wait([taking], timeout=0.3)
    await fence("open")
    [taken] = await taking

    assert not done
    assert (taken.staged, taken.held_back) == (1, {})


async def test_a_shard_that_cannot_be_reached_holds_its_claims_back(
    shards, claims_file, make_claim, monkeypatch
):
    monkeypatch.setenv("NORTH_STAGING_URL", "postgresql://canary:canary@127.0.0.1:9/none")
    file = claims_file(
        make_claim("N1", facility_id=shards.facility_of("north")),
        make_claim("S1", facility_id=shards.facility_of("south")),
    )

    [taken] = await take_in_by_shard(shards.settings, [file], ingest_date=DAY)

    assert (taken.staged, list(taken.held_back.values())) == (1, [1])
    [why] = taken.held_back
    assert "staging of shard north cannot be reached" in why
    assert "canary" not in why


def test_the_command_says_by_its_exit_status_that_claims_were_held_back(
    shards, claims_file, make_claim, monkeypatch, capsys
):
    monkeypatch.setenv("NORTH_STAGING_URL", "postgresql://canary@127.0.0.1:9/none")
    file = claims_file(make_claim("N1", facility_id=shards.facility_of("north")))

    assert commands.intake([file]) == 4

    said = capsys.readouterr()
    assert "1 held back" in said.out + said.err
    assert "canary" not in said.out + said.err


async def test_a_tenant_that_the_directory_does_not_have_is_refused(shards, claims_file):
    other = shards.settings.model_copy(update={"tenant": "somebody else"})

    with pytest.raises(ValueError, match="does not have tenant 'somebody else'"):
        await take_in_by_shard(other, [claims_file()], ingest_date=DAY)
