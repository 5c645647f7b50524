"""Months are made ahead, and rows of default partitions find their way into months."""

import asyncio
import json
from datetime import date

import asyncpg
import pytest

from loader import embedded
from loader.storage import partition_commands, partitions
from loader.storage.month import Month
from loader.storage.owner import StorageError, owner_session

ODD = "1931-05"


async def test_months_are_made_ahead_once(owner):
    made = await partitions.make_ahead(owner, date(2030, 11, 30), 2)
    again = await partitions.make_ahead(owner, date(2030, 11, 30), 2)

    assert len(made) == 12
    assert {name[-7:] for name in made} == {"2030_11", "2030_12", "2031_01"}
    assert again == []


async def test_what_would_be_made_is_what_is_made(owner):
    missing = await partitions.missing_ahead(owner, date(2030, 11, 30), 2)

    assert missing == await partitions.make_ahead(owner, date(2030, 11, 30), 2)


async def test_partitions_are_listed_with_rows_and_sizes(owner, load):
    await load("acme", load.scored("acme", "C1"), load.scored("acme", "C2", month=ODD))

    found = {each.partition: each for each in await partitions.partitions(owner, count=True)}

    assert (found["claims_2025_10"].rows, found["claim_lines_2025_10"].rows) == (1, 2)
    assert (found["claims_2025_10"].month, found["claims_default"].month) == ("2025-10", "")
    assert found["claims_default"].rows == 1
    assert found["claims_2025_10"].size_bytes > 8_192


async def test_rows_of_default_partitions_move_into_their_months_unchanged(
    owner, everything, load, contents
):
    await load("acme", load.scored("acme", "C1", month=ODD), load.scored("acme", "C2"))
    await load("bolt", load.scored("bolt", "C1", month=ODD, hits=3))
    before = await contents(everything)
    assert [each.facts() for each in await partitions.strays(owner)] == [{"month": ODD, "rows": 12}]

    moved = await partitions.adopt(owner, Month.read(ODD))

    assert moved == 12
    assert await partitions.strays(owner) == []
    assert await contents(everything) == before
    parts = await everything.fetch("SELECT DISTINCT tableoid::regclass::text AS part FROM claims")
    assert {row["part"] for row in parts} == {"claims_1931_05", "claims_2025_10"}


async def test_an_adopted_month_is_closed_like_any_other(owner, everything, load, database):
    await load("acme", load.scored("acme", "C1", month=ODD))
    await partitions.adopt(owner, Month.read(ODD))

    flags = await everything.fetchrow(
        "SELECT relrowsecurity, relforcerowsecurity, "
        "(SELECT array_agg(polname::text ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid) "
        "FROM pg_class AS c WHERE relname = 'claims_1931_05'"
    )
    loader = await asyncpg.connect(database.loading)

    assert list(flags.values()) == [True, True, ["operator", "tenant"]]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await loader.fetch("SELECT FROM claims_1931_05")
    await loader.close()


async def test_a_month_is_adopted_while_claims_are_loaded(owner, everything, load):
    await load("acme", load.scored("acme", "C0", month=ODD))

    async def keep_loading():
        for number in range(1, 21):
            await load("acme", load.scored("acme", f"C{number}", month=ODD))

    loading = asyncio.create_task(keep_loading())
    moved = await partitions.adopt(owner, Month.read(ODD))
    await loading

    assert moved >= 5
    assert await everything.fetchval("SELECT count(*) FROM claims") == 21
    assert await partitions.strays(owner) == []


async def test_who_does_not_own_the_tables_is_refused(database):
    with pytest.raises(StorageError, match=r"claimgate_loader does not own .* claimgate_migrator"):
        async with owner_session(database.loading):
            pass


async def test_a_database_before_storage_is_refused(postgres):
    with pytest.raises(StorageError, match="claimgate migrate production"):
        async with owner_session(postgres.migrating_url(embedded.STAGING)):
            pass


async def test_only_one_changes_storage_at_a_time(owner, database):
    with pytest.raises(StorageError, match="another"):
        async with owner_session(database.owner):
            pass


async def test_the_application_cannot_act_for_all_tenants(load, database):
    await load("acme", load.scored("acme", "C1"))
    loader = await asyncpg.connect(database.loading)

    await loader.execute("SELECT set_config('claimgate.all_tenants', 'on', false)")

    assert await loader.fetchval("SELECT count(*) FROM claims") == 0
    await loader.close()


async def test_the_owner_acts_for_all_tenants_only_by_saying_so(owner, load, database):
    await load("acme", load.scored("acme", "C1"))
    quiet = await asyncpg.connect(database.owner)

    seen = [await each.fetchval("SELECT count(*) FROM claims") for each in (owner, quiet)]

    assert seen == [1, 0]
    await quiet.close()


async def test_commands_show_what_they_do_and_warn_of_default_partitions(database, load, capsys):
    await load("acme", load.scored("acme", "C1", month=ODD))

    def run(command, *arguments, **options):
        status = command(*arguments, url=database.owner, as_json=True, **options)
        said = capsys.readouterr()
        return status, json.loads(said.out), said.err

    def in_turn():
        return (
            run(partition_commands.partitions_make, ahead=1, dry_run=True),
            run(partition_commands.partitions_make, ahead=1),
            run(partition_commands.partitions_adopt, dry_run=True),
            run(partition_commands.partitions_adopt),
            run(partition_commands.partitions_list),
        )

    dry, made, would, moved, listed = await asyncio.to_thread(in_turn)

    assert len(dry[1]["missing"]) == 8
    assert made[1]["made"] == dry[1]["missing"]
    assert "claimgate storage partitions adopt" in made[2]
    stray = {"month": ODD, "rows": made[1]["in_default"][0]["rows"]}
    assert would[1] == {"would_move": [stray]}
    assert moved[1] == {"moved": [stray]}
    assert (listed[1]["in_default"], listed[2]) == ([], "")


@pytest.mark.parametrize("text", ["2025", "2025-13", "10/2025", "2025-1-1"])
def test_a_month_that_is_none_is_named(text):
    with pytest.raises(ValueError, match="expected one such as 2025-10"):
        Month.read(text)


def test_months_are_counted_over_years():
    december = Month(2025, 12)

    assert [str(december.after(n)) for n in (-12, -1, 0, 1, 13)] == [
        "2024-12", "2025-11", "2025-12", "2026-01", "2027-01",
    ]  # fmt: skip
