"""A month goes into files and comes back the same, whenever it is interrupted."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import date

import asyncpg
import pytest
from pyarrow import parquet

from loader.storage import archive_commands, partitions
from loader.storage.archive import archive, parts, plan
from loader.storage.manifest import Manifest, ManifestError
from loader.storage.month import Month
from loader.storage.owner import StorageError, owner_session
from loader.storage.restore import restore

MONTH = Month(2025, 10)
TODAY = date(2026, 11, 25)
ARCHIVING = ("detach", "write", "verify", "publish", "drop", "done")
RESTORING = ("check", "load", "verify", "attach", "done")


class Killed(BaseException):
    """Stands for a kill at a step: nothing of ours catches it, and the connection is cut."""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "archives"


@pytest.fixture
async def loaded(load):
    """Claims of two tenants in the month, and of the month after it."""
    await load("acme", *(load.scored("acme", f"A{n}", hits=n % 4) for n in range(20)))
    await load("bolt", load.scored("bolt", "A1"), load.scored("bolt", "B2", month="2025-11"))
    return load


def killed_at(connection, where):
    def step(name):
        if name == where:
            connection.terminate()
            raise Killed

    return step


async def interrupted(database, action, where):
    """Run an action that is killed at a step."""
    with pytest.raises(Killed):
        async with owner_session(database.owner) as connection:
            await action(connection, killed_at(connection, where))


async def ids_somewhere(database, everything, folder):
    """Claims in the tables, in the tables of the way, or in files of an archived part."""
    found = {tuple(row) for row in await everything.fetch("SELECT tenant_id, claim_id FROM claims")}
    for table in await everything.fetch(
        r"SELECT relname FROM pg_class WHERE relnamespace = 'storage'::regnamespace "
        r"AND relname ~ '^claims_\d' AND relkind = 'r'"
    ):
        rows = await everything.fetch(f'SELECT tenant_id, claim_id FROM storage."{table[0]}"')  # noqa: S608
        found |= {tuple(row) for row in rows}
    async with owner_session(database.owner, alone=False) as connection:
        known = await parts(connection)
    for part in known:
        if part.state == "archived":
            rows = parquet.read_table(part.place() / "claims.parquet").to_pylist()
            found |= {(row["tenant_id"], row["claim_id"]) for row in rows}
    return found


async def test_an_archived_month_comes_back_row_by_row(owner, everything, loaded, contents, folder):
    before = await contents(everything)

    done = await archive(owner, MONTH, folder, TODAY)
    without = await contents(everything)
    [back] = await restore(owner, MONTH, None)

    assert (done.state, done.claims, back.state) == ("archived", 21, "restored")
    assert [len(rows) for rows in without.values()] == [1, 2, 1, 1]
    assert await contents(everything) == before


async def test_manifest_says_what_the_files_hold(owner, loaded, folder):
    done = await archive(owner, MONTH, folder, TODAY)

    manifest = Manifest.read(done.place())

    manifest.check_files(done.place())
    rows = {table.table: table.rows for table in manifest.tables}
    assert rows == {"claims": 21, "claim_lines": 42, "claim_results": 21, "rule_hits": 31}
    assert manifest.rows == done.rows == sum(rows.values())
    assert (manifest.month, manifest.part, manifest.tenant_id) == ("2025-10", 1, None)
    assert manifest.schema_revision >= "0008"
    first, last = (
        getattr(manifest.tables[0], f"service_from_date_{end}") for end in ("min", "max")
    )
    assert date(2025, 10, 1) <= first < last <= date(2025, 10, 31)
    assert all(path.stat().st_mode & 0o077 == 0 for path in done.place().iterdir())


async def test_patient_data_stays_sealed_in_files(owner, load, folder):
    await load("acme", load.scored("acme", "C1", patient_last_name="CANARY"))

    done = await archive(owner, MONTH, folder, TODAY)

    for path in done.place().glob("*.parquet"):
        text = json.dumps(parquet.read_table(path).to_pylist(), default=str)
        assert "CANARY" not in text
    payload = parquet.read_table(done.place() / "claims.parquet").column("payload_encrypted")
    assert payload.to_pylist() == [b"sealedC1"]


@pytest.mark.parametrize("where", ARCHIVING)
async def test_archiving_that_was_killed_goes_on_and_loses_nothing(
    database, everything, loaded, contents, folder, where
):
    before = await contents(everything)
    ids = await ids_somewhere(database, everything, folder)

    await interrupted(
        database, lambda owner, step: archive(owner, MONTH, folder, TODAY, step), where
    )
    between = await ids_somewhere(database, everything, folder)
    async with owner_session(database.owner) as owner:
        if where != "done":
            await archive(owner, MONTH, folder, TODAY)
        archived = await ids_somewhere(database, everything, folder)
        await restore(owner, MONTH, folder)

    assert between == archived == ids
    assert await contents(everything) == before


@pytest.mark.parametrize("where", ARCHIVING)
async def test_archiving_that_was_killed_can_be_taken_back(
    database, everything, loaded, contents, folder, where
):
    before = await contents(everything)

    await interrupted(
        database, lambda owner, step: archive(owner, MONTH, folder, TODAY, step), where
    )
    async with owner_session(database.owner) as owner:
        if where != "detach":
            await restore(owner, MONTH, folder)

    assert await contents(everything) == before


@pytest.mark.parametrize("where", RESTORING)
async def test_restoring_that_was_killed_goes_on_and_loses_nothing(
    database, everything, loaded, contents, folder, where
):
    before = await contents(everything)
    ids = await ids_somewhere(database, everything, folder)
    async with owner_session(database.owner) as owner:
        await archive(owner, MONTH, folder, TODAY)

    await interrupted(database, lambda owner, step: restore(owner, MONTH, None, step), where)
    if where != "done":
        assert Manifest.read(folder / "2025-10" / "part-1").claims == 21
        async with owner_session(database.owner) as owner:
            await restore(owner, MONTH, None)

    assert await contents(everything) == before
    assert await ids_somewhere(database, everything, folder) == ids


KILLED = """
import asyncio, os, signal, sys
from datetime import date
from pathlib import Path
from loader.storage.archive import archive
from loader.storage.month import Month
from loader.storage.owner import owner_session

def step(name):
    if name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with owner_session(sys.argv[1]) as owner:
        await archive(owner, Month(2025, 10), Path(sys.argv[2]), date(2026, 11, 25), step)

asyncio.run(main())
"""


@pytest.mark.parametrize("where", ["publish", "drop"])
async def test_a_process_that_is_killed_leaves_a_month_that_can_be_archived(
    database, everything, loaded, contents, folder, where
):
    before = await contents(everything)

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, database.owner, str(folder), where],
        check=False,
        env=os.environ,
    )
    async with owner_session(database.owner) as owner:
        await archive(owner, MONTH, folder, TODAY)
        await restore(owner, MONTH, None)

    assert done.returncode == -signal.SIGKILL
    assert await contents(everything) == before


async def test_claims_that_come_late_stay_when_their_month_is_restored(
    owner, everything, loaded, contents, folder
):
    await archive(owner, MONTH, folder, TODAY)
    # One over a connection that knew the month, one that makes it anew.
    await loaded("acme", loaded.scored("acme", "LATE1"))
    assert [each.rows for each in await partitions.strays(owner)] == [5]
    loaded.sinks.clear()
    await partitions.adopt(owner, MONTH)
    await loaded("acme", loaded.scored("acme", "LATE2"))
    before = await contents(everything)

    await restore(owner, MONTH, None)

    after = await contents(everything)
    assert len(after["claims"]) == 24
    assert all(set(before[table]) <= set(after[table]) for table in before)
    assert await partitions.strays(owner) == []


async def test_late_claims_in_the_default_partition_come_along_when_the_month_is_attached(
    owner, everything, loaded, folder
):
    await archive(owner, MONTH, folder, TODAY)
    await loaded("acme", loaded.scored("acme", "LATE1"))

    await restore(owner, MONTH, None)

    assert await partitions.strays(owner) == []
    part = await everything.fetchval(
        "SELECT tableoid::regclass::text FROM claims WHERE claim_id = 'LATE1'"
    )
    assert part == "claims_2025_10"


async def test_late_claims_are_archived_as_the_next_part_and_all_parts_come_back(
    owner, everything, loaded, contents, folder
):
    await archive(owner, MONTH, folder, TODAY)
    loaded.sinks.clear()
    await loaded("acme", loaded.scored("acme", "LATE"))

    second = await archive(owner, MONTH, folder, TODAY)
    back = await restore(owner, MONTH, None)

    assert (second.part, second.claims) == (2, 1)
    assert [part.part for part in back] == [1, 2]
    assert await everything.fetchval("SELECT count(*) FROM claims") == 23


async def test_an_id_stays_taken_while_its_month_is_archived(owner, everything, loaded, folder):
    await archive(owner, MONTH, folder, TODAY)
    loaded.sinks.clear()

    await loaded("acme", loaded.scored("acme", "A1"))

    assert await everything.fetchval("SELECT count(*) FROM claims WHERE claim_id = 'A1'") == 0
    assert (
        await everything.fetchval("SELECT count(*) FROM claim_history WHERE claim_id = 'A1'") == 2
    )


async def test_a_month_is_archived_while_others_are_loaded(owner, everything, loaded, folder):
    async def keep_loading():
        for number in range(20):
            await loaded("acme", loaded.scored("acme", f"N{number}", month="2025-11"))

    loading = asyncio.create_task(keep_loading())
    done = await archive(owner, MONTH, folder, TODAY)
    await loading

    assert done.state == "archived"
    assert await everything.fetchval("SELECT count(*) FROM claims") == 21


async def test_archiving_gives_way_to_those_who_read_and_changes_nothing(
    owner, everything, loaded, contents, folder
):
    before = await contents(everything)

    async with everything.transaction():
        await everything.fetch("SELECT FROM claims LIMIT 1")
        with pytest.raises(StorageError, match=r"in use for 0\.1 seconds; try again"):
            await archive(owner, MONTH, folder, TODAY, patience_s=0.1)

    assert await contents(everything) == before
    assert await parts(owner) == []


async def test_a_load_that_is_under_way_is_waited_for_and_not_cut(
    owner, everything, loaded, folder, database
):
    loader = await asyncpg.connect(database.loading)
    loading = loader.transaction()
    await loading.start()
    await loader.execute("SELECT set_config('claimgate.tenant', 'acme', true)")
    await loader.execute("LOCK TABLE claims IN ROW EXCLUSIVE MODE")

    archiving = asyncio.create_task(archive(owner, MONTH, folder, TODAY))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while not await everything.fetchval(waits):  # noqa: ASYNC110 - a lock has no event
        await asyncio.sleep(0.02)
    await loading.commit()
    await loader.close()

    assert (await archiving).state == "archived"


async def test_a_file_that_was_changed_is_refused(owner, everything, loaded, folder):
    done = await archive(owner, MONTH, folder, TODAY)
    path = done.place() / "claim_lines.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(ManifestError, match=r"claim_lines\.parquet is not the file"):
        await restore(owner, MONTH, None)

    assert [part.state for part in await parts(owner)] == ["archived"]


async def test_a_manifest_of_another_archive_is_refused(owner, loaded, folder):
    done = await archive(owner, MONTH, folder, TODAY)
    path = done.place() / "manifest.json"
    path.write_text(path.read_text().replace('"acme"', '"bolt"').replace('"part": 1', '"part": 2'))

    with pytest.raises(ManifestError, match="not the manifest"):
        await restore(owner, MONTH, None)


async def test_the_archive_of_another_database_is_never_replaced(
    owner, everything, loaded, contents, folder
):
    done = await archive(owner, MONTH, folder, TODAY)
    await restore(owner, MONTH, None)
    await everything.execute("DELETE FROM storage.archives")
    manifest = (done.place() / "manifest.json").read_bytes()
    before = await contents(everything)

    with pytest.raises(StorageError, match="part-1 is there and not of this archive"):
        await archive(owner, MONTH, folder, TODAY)

    assert await contents(everything) == before
    assert (done.place() / "manifest.json").read_bytes() == manifest


async def test_a_missing_file_is_named(owner, loaded, folder):
    done = await archive(owner, MONTH, folder, TODAY)
    (done.place() / "rule_hits.parquet").unlink()

    with pytest.raises(ManifestError, match=r"rule_hits\.parquet is missing"):
        await restore(owner, MONTH, None)


async def test_what_cannot_be_archived_is_refused_with_what_to_do(owner, load, folder):
    with pytest.raises(StorageError, match="no claims of 2025-10"):
        await archive(owner, MONTH, folder, TODAY)
    with pytest.raises(StorageError, match="2025-10 is not over"):
        await archive(owner, MONTH, folder, date(2025, 10, 31))
    await load("acme", load.scored("acme", "C1", month="1931-05"))
    with pytest.raises(StorageError, match="partitions adopt 1931-05"):
        await archive(owner, Month(1931, 5), folder, TODAY)
    with pytest.raises(StorageError, match="no part of 2025-10"):
        await restore(owner, MONTH, None)


async def test_columns_that_came_since_get_their_default(owner, everything, loaded, folder):
    await archive(owner, MONTH, folder, TODAY)
    await everything.execute("ALTER TABLE claims ADD COLUMN note text NOT NULL DEFAULT 'new'")

    await restore(owner, MONTH, None)

    notes = await everything.fetch("SELECT DISTINCT note FROM claims")
    assert [row["note"] for row in notes] == ["new"]


async def test_columns_that_went_since_refuse_to_lose_data(owner, everything, loaded, folder):
    await archive(owner, MONTH, folder, TODAY)
    await everything.execute("ALTER TABLE claims DROP COLUMN drg_code")

    with pytest.raises(StorageError, match="no column drg_code of that type any more"):
        await restore(owner, MONTH, None)


async def test_a_restored_month_is_closed_like_any_other(owner, loaded, folder, database):
    await archive(owner, MONTH, folder, TODAY)
    await restore(owner, MONTH, None)
    loader = await asyncpg.connect(database.loading)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await loader.fetch("SELECT FROM claims_2025_10")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await loader.fetch("SELECT FROM storage.archives")
    assert await loader.fetchval("SELECT count(*) FROM claims") == 0
    await loader.close()


async def test_plan_counts_and_changes_nothing(owner, everything, loaded, contents):
    before = await contents(everything)

    found = await plan(owner, MONTH)

    assert (found.claims, found.held, found.in_default, found.under_way) == (21, 0, 0, "")
    assert found.size_bytes > 0
    assert await contents(everything) == before


async def test_commands_archive_list_and_restore(database, loaded, folder, capsys):
    def run(command, *arguments, **options):
        assert command(*arguments, url=database.owner, as_json=True, **options) == 0
        return json.loads(capsys.readouterr().out)

    def in_turn():
        return (
            run(archive_commands.archive_month, "2025-10", to=folder, dry_run=True),
            run(archive_commands.archive_month, "2025-10", to=folder),
            run(archive_commands.archives_list),
            run(archive_commands.restore_month, "2025-10", dry_run=True),
            run(archive_commands.restore_month, "2025-10", from_=folder),
        )

    planned, archived, listed, checked, restored = await asyncio.to_thread(in_turn)

    assert planned["claims"] == archived["parts"][0]["claims"] == 21
    assert archived == listed == checked
    assert restored["parts"][0]["state"] == "restored"
