"""A shard moves while loaders load and intake takes in; killed at every step, it loses nothing."""

import asyncio
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from datetime import date

import asyncpg
import pytest

from loader import source
from loader.run import run
from loader.shards import commands
from loader.shards.copying import copy_table, differing
from loader.shards.directory import DirectoryError
from loader.shards.fence import read_fence
from loader.shards.fenced import is_fenced
from loader.shards.intake import take_in_by_shard
from loader.shards.move import Moved, prepared
from loader.shards.removal import remove_left
from loader.shards.settings import settings_of
from loader.shards.tables import MoveError, tables_of

DAY = date(2025, 12, 31)
KINDS = ("staging", "production")
ONCE_A_CLAIM = ("claim_keys", "claims", "claim_results", "claim_history")

# Dies at the point that it is told; small pieces, so that a table has several.
MOVE = """
import asyncio, functools, os, signal, sys
from pathlib import Path
from loader.shards import move as moving

file, source, target, dies_at = sys.argv[1:]

def reached(point):
    if point == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)

async def set_fence(connection, tenant, fence, really=moving.set_fence):
    await really(connection, tenant, fence)
    database = await connection.fetchval("SELECT current_database()")
    reached(f"{database.rpartition('_')[2]} {fence.state}")

moving.set_fence = set_fence
moving.copy_table = functools.partial(moving.copy_table, rows_at_once=7)

async def main():
    async with moving.prepared(Path(file), source, target) as move:
        await move.run(lambda moved: reached(f"{moved.step} {moved.table}".strip()), drain_s=0.3)

asyncio.run(main())
print("done")
"""
POINTS = (
    *("production receiving", "staging receiving", "receiving", "staging draining", "drained"),
    *("production closed", "staging closed"),
    *("copied claim_states", "copied claim_status_changes", "copied claims", "copied batches"),
    *("copied claim_history", "copied claim_keys", "copied claim_lines", "copied rule_hits"),
    *("staging verified", "handed_over", "production open", "staging open", "opened"),
    *("production moved", "staging moved"),
)
"""In their order: each is reached by going on from the one before."""


async def move_in_process(shards, dies_at=""):
    """Move north in a process of its own; return its exit status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MOVE, str(shards.file), "north", "north_2", dies_at,
        stdout=asyncio.subprocess.PIPE, env=os.environ,
    )  # fmt: skip
    await process.communicate()
    return process.returncode


async def move(shards, tell=lambda _: None, *, drain_s=10.0):
    async with prepared(shards.file, "north", "north_2") as prepared_move:
        await prepared_move.run(tell, drain_s=drain_s)


class Load:
    """Intake and a loader for each shard, over and over, as operators run them."""

    def __init__(self, shards, claims_file, make_claim):
        self.shards = shards
        self.facilities = [
            shards.facility_of(name, number) for name in ("north", "south") for number in range(3)
        ]
        self.files = []
        self.ids = []
        self.claims_file, self.make_claim = claims_file, make_claim
        self.settings = shards.settings.model_copy(update={"shard_wait_s": 0.1})

    def new_file(self):
        names = ("ok", "ok", "review", "deny", "reject", "ok")
        claims = [
            self.make_claim(f"{name}-{len(self.files)}-{n}", member=f"M{n}", facility_id=facility)
            for n, (name, facility) in enumerate(zip(names, self.facilities, strict=True))
        ]
        self.ids += [claim.claim_id for claim in claims]
        self.files.append(self.claims_file(*claims, name=f"file-{len(self.files)}.jsonl"))
        return self.files[-1]

    async def take_in(self, *files):
        return await take_in_by_shard(self.settings, files, ingest_date=DAY)

    async def load_once(self):
        """Load every shard once; a shard that is moved says so."""
        for shard in self.shards.directory.in_use:
            try:
                await run(settings_of(shard, self.shards.tenant))
            except asyncpg.PostgresError as error:
                if not is_fenced(error):
                    raise

    async def go_on(self):
        async def taking():
            while True:
                await self.take_in(self.new_file())
                await asyncio.sleep(0.2)

        async def loading():
            while True:
                await self.load_once()
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(taking())
            tasks.create_task(loading())


@pytest.fixture
def load(shards, claims_file, make_claim):
    return Load(shards, claims_file, make_claim)


@pytest.fixture
async def connect(shards):
    """Open a database of a shard by the field that names it, until the test ends."""
    opened = []

    async def open_one(shard, field):
        opened.append(await asyncpg.connect(shards.directory.named(shard).url(field)))
        return opened[-1]

    yield open_one
    for connection in opened:
        await connection.close()


async def counts(shards, shard, kind):
    """Rows of every table of the tenant."""
    url = shards.directory.named(shard).url(f"owner_{kind}_url")
    connection = await asyncpg.connect(url)
    try:
        async with source.tenant_transaction(connection, shards.tenant):
            return {
                table.name: await connection.fetchval(f"SELECT count(*) FROM {table.name}")  # noqa: S608
                for table in await tables_of(connection)
            }
    finally:
        await connection.close()


async def everywhere(shards, names, kind, query):
    """What a query gives in some shards, counted."""
    return Counter([row[0] for name in names for row in await shards.fetch(name, kind, query)])


async def test_a_move_under_load_killed_at_every_step_loses_and_doubles_nothing(shards, load):
    await load.take_in(*(load.new_file() for _ in range(5)))
    south = "SELECT count(*) FROM claims"
    before = (await shards.fetch("south", "production", south))[0][0]
    going_on = asyncio.create_task(load.go_on())

    for point in POINTS:
        assert await move_in_process(shards, point) == -signal.SIGKILL, point
    assert await move_in_process(shards) == 0
    since = (await shards.fetch("south", "production", south))[0][0]
    going_on.cancel()
    with suppress(asyncio.CancelledError):
        await going_on
    for taken in await load.take_in(*load.files):
        assert taken.held_back == {}
    await load.load_once()

    assert since > before  # the other shard was loaded meanwhile
    assert shards.directory.version == 2
    assert [shard.name for shard in shards.directory.in_use] == ["south", "north_2"]
    in_use = ("south", "north_2")
    every = Counter(load.ids)
    loaded = Counter(name for name in load.ids if not name.startswith("reject"))
    assert await everywhere(shards, in_use, "staging", "SELECT claim_id FROM claims") == every
    pending = "SELECT status FROM claim_states"
    assert set(await everywhere(shards, in_use, "staging", pending)) == {
        "completed", "needs_review", "failed",
    }  # fmt: skip
    for table in ONCE_A_CLAIM:
        query = f"SELECT claim_id FROM {table}"  # noqa: S608  our own table names
        assert await everywhere(shards, in_use, "production", query) == loaded, table
    lines = await everywhere(shards, in_use, "production", "SELECT claim_id FROM claim_lines")
    assert lines == Counter(dict.fromkeys(loaded, 2))
    failed = await everywhere(shards, in_use, "production", "SELECT claim_id FROM failed_claims")
    assert failed == every - loaded
    facilities = "SELECT DISTINCT facility_id FROM claims"
    for name in in_use:
        for (facility,) in await shards.fetch(name, "production", facilities):
            assert shards.directory.shard_of(shards.tenant, facility).name == name
    commits = "SELECT commit_seq FROM batches ORDER BY 1"
    numbers = [row[0] for row in await shards.fetch("north_2", "production", commits)]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_every_row_arrives_as_it_was_and_its_history_counts(shards, load, connect):
    await load.take_in(*(load.new_file() for _ in range(4)))
    await load.load_once()
    here = {kind: await counts(shards, "north", kind) for kind in KINDS}

    await move(shards)

    assert here["staging"]["claim_status_changes"] > here["staging"]["claims"]
    assert here["production"]["provider_months"] > 0
    for kind in KINDS:
        assert await counts(shards, "north_2", kind) == here[kind]
        url = f"owner_{kind}_url"
        ends = [await connect(name, url) for name in ("north", "north_2")]
        assert await differing(*ends, shards.tenant, await tables_of(ends[0])) == {}


async def test_new_rows_at_the_target_are_numbered_behind_the_old_ones(shards, load):
    await load.take_in(load.new_file())
    await move(shards)

    await load.take_in(load.new_file())
    await load.load_once()

    assert len(await shards.ids("north_2", "staging")) == 6
    assert len(await shards.ids("north_2", "production")) == 6


async def test_a_writer_that_does_not_know_of_the_move_is_refused(
    shards, load, vault, make_claim, connect
):
    old = settings_of(shards.directory.named("north"), shards.tenant)
    await load.take_in(load.new_file())
    await move(shards)
    connection = await connect("north", "staging_url")

    with pytest.raises(asyncpg.PostgresError, match="was moved to north_2") as refused:
        await source.stage_claims(
            connection, vault, shards.tenant, [source.Submitted(make_claim("ok-1"))]
        )
    told = []
    summary = await run(old, told.append)

    assert is_fenced(refused.value)
    assert summary.claims_in == 0
    assert "was moved to north_2" in told[0].why


async def test_a_lease_that_does_not_end_is_taken_back_and_its_holder_can_do_no_harm(
    shards, load, monkeypatch, connect
):
    await load.take_in(load.new_file())
    holder = await connect("north", "staging_url")
    leased = await source.lease(holder, shards.tenant, "slow", claims=100, seconds=300)
    told = []

    await move(shards, told.append, drain_s=0.0)
    outcomes = [(item.staging_id, "completed") for item in leased]
    with pytest.raises(asyncpg.PostgresError, match="was moved"):
        await source.finish(holder, shards.tenant, "slow", outcomes)
    await load.load_once()

    assert len(leased) == 3
    assert Moved("taken_back", shards.tenant, rows=3) in told
    assert len(await shards.ids("north_2", "production")) == 3


async def test_leased_claims_may_end_before_the_source_is_shut(shards, load, vault, until, connect):
    await load.take_in(load.new_file())
    holder = await connect("north", "staging_url")
    leased = await source.lease(holder, shards.tenant, "busy", claims=100, seconds=300)
    told = []

    moving = asyncio.create_task(move(shards, told.append, drain_s=60.0))
    await until(lambda: Moved("draining", shards.tenant) in told)
    late = [source.Submitted(load.make_claim("late"))]
    with pytest.raises(asyncpg.PostgresError, match="draining"):
        await source.stage_claims(holder, vault, shards.tenant, late)
    done = await source.finish(
        holder, shards.tenant, "busy", [(item.staging_id, "completed") for item in leased]
    )
    await moving

    assert done == 3
    assert not [each for each in told if each.step == "taken_back"]
    query = "SELECT status, count(*)::int FROM claim_states GROUP BY 1"
    assert [tuple(row) for row in await shards.fetch("north_2", "staging", query)] == [
        ("completed", 3)
    ]


async def test_no_lease_begins_while_a_move_waits_for_the_others(shards, load, until, connect):
    await load.take_in(load.new_file(), load.new_file())
    holder = await connect("north", "staging_url")
    leased = await source.lease(holder, shards.tenant, "busy", claims=1, seconds=300)
    told = []

    moving = asyncio.create_task(move(shards, told.append, drain_s=60.0))
    await until(lambda: Moved("draining", shards.tenant) in told)
    with pytest.raises(asyncpg.PostgresError, match="draining"):
        await source.lease(holder, shards.tenant, "other", claims=100, seconds=300)
    await source.release(holder, shards.tenant, "busy")
    await moving

    assert 0 < len(leased) < 6


async def test_a_move_is_cancelled_until_it_is_handed_over(shards, load):
    await load.take_in(load.new_file())
    assert await move_in_process(shards, "copied claim_states") == -signal.SIGKILL

    async with prepared(shards.file, "north", "north_2") as begun:
        await begun.cancel(lambda _: None)
    await load.load_once()

    for kind in KINDS:
        assert set((await counts(shards, "north_2", kind)).values()) == {0}
    assert len(await shards.ids("north", "production")) == 3
    await move(shards)
    async with prepared(shards.file, "north", "north_2") as done:
        with pytest.raises(MoveError, match="handed over already"):
            await done.cancel(lambda _: None)


async def test_a_copy_that_differs_is_not_handed_over(shards, load, connect):
    await load.take_in(load.new_file())
    assert await move_in_process(shards, "copied claim_states") == -signal.SIGKILL
    target = await connect("north_2", "owner_staging_url")
    async with source.tenant_transaction(target, shards.tenant):
        await target.execute("ALTER TABLE claim_states DISABLE TRIGGER USER")
        await target.execute("UPDATE claim_states SET priority = 9")
        await target.execute("ALTER TABLE claim_states ENABLE TRIGGER USER")

    with pytest.raises(MoveError, match=r"differs in claim_states \(3 and 3 rows\)"):
        await move(shards)

    assert (await read_fence(target, shards.tenant)).state == "receiving"
    assert shards.directory.version == 1


async def test_what_was_left_is_removed_only_after_the_move(shards, load):
    await load.take_in(load.new_file())
    await load.load_once()

    with pytest.raises(MoveError, match="owns buckets"):
        await remove_left(shards.file, "north", lambda *_: None)
    await move(shards)
    assert len(await shards.ids("north", "production")) == 3
    await remove_left(shards.file, "north", lambda *_: None)

    for kind in KINDS:
        assert set((await counts(shards, "north", kind)).values()) == {0}
    assert len(await shards.ids("north_2", "production")) == 3


async def test_a_shard_moves_there_and_back(shards, load):
    await load.take_in(load.new_file())
    await move(shards)
    await remove_left(shards.file, "north", lambda *_: None)

    async with prepared(shards.file, "north_2", "north") as back:
        await back.run(lambda _: None, drain_s=1.0)
    await load.load_once()

    assert shards.directory.version == 3
    assert len(await shards.ids("north", "production")) == 3


async def test_moves_that_make_no_sense_are_refused(shards, load, monkeypatch):
    await load.take_in(load.new_file())

    async def refuse(source_name, target_name, said):
        with pytest.raises((MoveError, DirectoryError), match=said):
            async with prepared(shards.file, source_name, target_name) as unfit:
                await unfit.run(lambda _: None, drain_s=0.0)

    await refuse("north", "north", "both source and target")
    await refuse("north", "south", "owns buckets")
    await refuse("north", "west", "no shard 'west'")
    for kind in KINDS:
        url = os.environ[f"NORTH_OWNER_{kind.upper()}_URL"]
        monkeypatch.setenv(f"NORTH_2_OWNER_{kind.upper()}_URL", url)
    await refuse("north", "north_2", "database of another shard too")


async def test_a_target_that_holds_rows_is_refused_before_anything_waits(
    shards, load, vault, connect
):
    await load.take_in(load.new_file())
    other = await connect("north_2", "staging_url")
    claim = load.make_claim("ok-stranger")
    await source.stage_claims(other, vault, shards.tenant, [source.Submitted(claim)])

    with pytest.raises(MoveError, match="holds rows of tenant"):
        await move(shards)
    await load.load_once()

    assert len(await shards.ids("north", "production")) == 3


async def test_every_table_of_tenants_is_fenced_and_has_a_key_to_copy_by(shards, connect):
    for kind in KINDS:
        connection = await connect("north", f"{kind}_url")
        rows = await connection.fetch(
            "SELECT tgrelid::regclass::text FROM pg_trigger "
            "WHERE tgfoid = 'check_shard_fence'::regproc AND tgname LIKE '%_fence'"
        )
        tables = {table.name for table in await tables_of(connection)}

        assert {row[0] for row in rows} == tables


@pytest.fixture
async def archived(connect):
    """Keep a month in the archive of north; return how it may be changed."""
    production = await connect("north", "owner_production_url")

    async def put(state):
        await production.execute(
            "INSERT INTO storage.archives (month, part, state, folder) "
            "VALUES ('1999-01-01', 1, $1, '/archive') "
            "ON CONFLICT (month, part) DO UPDATE SET state = excluded.state",
            state,
        )

    yield put
    for shard in ("north", "north_2"):
        other = await connect(shard, "owner_production_url")
        await other.execute("DELETE FROM storage.archives")


async def test_a_month_in_the_archive_is_known_at_the_target(shards, load, archived, connect):
    await archived("archived")

    await move(shards)

    target = await connect("north_2", "owner_production_url")
    rows = await target.fetch("SELECT state, folder FROM storage.archives")
    assert [tuple(row) for row in rows] == [("archived", "/archive")]


async def test_a_month_on_its_way_to_the_archive_is_waited_for(shards, load, archived):
    await archived("detached")

    with pytest.raises(MoveError, match="being archived or restored"):
        await move(shards)
    await load.take_in(load.new_file())
    await load.load_once()

    assert len(await shards.ids("north", "production")) == 3


def test_the_commands_move_and_remove(shards, capsys):
    assert commands.shards_move("north", to="north_2") == 0
    assert commands.shards_remove("north") == 0

    said = "".join(capsys.readouterr())
    assert "north was moved to north_2" in said
    assert "north holds nothing any more" in said
    assert "postgresql" not in said


async def test_a_table_is_copied_in_pieces_by_its_key(shards, load, connect):
    await load.take_in(load.new_file(), load.new_file())
    ends = [await connect(name, "owner_staging_url") for name in ("north", "north_2")]
    [claims] = [table for table in await tables_of(ends[0]) if table.name == "claims"]
    pieces = []

    for _ in range(2):
        await copy_table(*ends, shards.tenant, claims, pieces.append, rows_at_once=4)
    same = await differing(*ends, shards.tenant, [claims])

    assert (pieces, same) == ([4, 2], {})
