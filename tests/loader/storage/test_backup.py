"""A backup is of one moment, says what it holds, and comes back with rows, rules and roles."""

import asyncio
import json
import shutil
import stat
import tempfile
from pathlib import Path

import asyncpg
import pytest

from loader import embedded
from loader.storage import backup, backup_commands
from loader.storage.archive import archive
from loader.storage.manifest import ManifestError
from loader.storage.month import Month
from loader.storage.owner import StorageError
from loader.storage.postgres_tools import ToolError, Tools, environment, find_tools
from tests.replicas import startable


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backup"


@pytest.fixture
async def empty(postgres, database):
    """An empty database beside the other one."""
    connection = await asyncpg.connect(postgres.superuser_url())
    name = f"{database.name}_restored"
    await connection.execute(f"CREATE DATABASE {name} OWNER claimgate_migrator TEMPLATE template0")
    yield postgres.superuser_url(name)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def test_a_backup_under_load_comes_back_as_of_one_moment(
    database, empty, load, folder, contents
):
    await load("acme", *(load.scored("acme", f"C{n}", hits=n % 3) for n in range(30)))
    stop = asyncio.Event()

    async def keep_loading():
        number = 0
        while not stop.is_set():
            await load("acme", *(load.scored("acme", f"L{number}-{n}") for n in range(3)))
            number += 1
        return number

    loading = asyncio.create_task(keep_loading())
    taken = await backup.back_up(database.superuser, folder)
    stop.set()
    batches = await loading

    done = await backup.restore_backup(folder, empty)

    restored = await asyncpg.connect(empty)
    found = await contents(restored)
    keys = await restored.fetchval("SELECT count(*) FROM claim_keys")
    last, count = await restored.fetchrow("SELECT max(commit_seq), count(*) FROM batches")
    await restored.close()
    assert batches > 0
    assert done.rows == taken.rows
    assert len(found["claims"]) == keys == 30 + 3 * (count - 1)
    assert (last, len(found["claim_lines"])) == (count, 2 * keys)


async def test_a_restored_database_keeps_tenants_apart_as_before(
    postgres, database, empty, load, folder
):
    for tenant in ("acme", "bolt"):
        await load(tenant, load.scored(tenant, "C1"))
    await backup.back_up(database.superuser, folder)
    await backup.restore_backup(folder, empty)

    loader = await asyncpg.connect(empty.replace("postgres@", "claimgate_loader@"))
    outside = await loader.fetchval("SELECT count(*) FROM claims")
    async with loader.transaction():
        await loader.execute("SELECT set_config('claimgate.tenant', 'acme', true)")
        inside = await loader.fetchval("SELECT array_agg(tenant_id) FROM claims")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await loader.execute("DELETE FROM claims")
    await loader.close()

    assert (outside, inside) == (0, ["acme"])


async def test_roles_that_are_missing_are_made_without_password(
    postgres, database, empty, folder, everything
):
    await everything.execute("CREATE ROLE claimgate_reader LOGIN IN ROLE claimgate_app")
    await everything.execute("CREATE ROLE claimgate_auditor NOLOGIN")
    await everything.execute("GRANT SELECT ON retention_actions TO claimgate_auditor")
    await backup.back_up(database.superuser, folder)
    await everything.execute("REVOKE ALL ON retention_actions FROM claimgate_auditor")
    await everything.execute("DROP ROLE claimgate_reader, claimgate_auditor")

    done = await backup.restore_backup(folder, empty)

    restored = await asyncpg.connect(empty)
    reads = await restored.fetchval(
        "SELECT has_table_privilege('claimgate_auditor', 'retention_actions', 'SELECT') "
        "AND pg_has_role('claimgate_reader', 'claimgate_app', 'MEMBER')"
    )
    await restored.execute("DROP OWNED BY claimgate_auditor; DROP ROLE claimgate_auditor")
    await restored.execute("DROP ROLE claimgate_reader")
    await restored.close()
    assert done.roles_made == ("claimgate_auditor", "claimgate_reader")
    assert reads


async def test_archives_are_part_of_a_backup(database, empty, load, folder, owner, tmp_path):
    from datetime import date

    await load("acme", load.scored("acme", "C1"))
    await archive(owner, Month(2025, 10), tmp_path / "archives", date(2026, 11, 25))

    await owner.close()
    await backup.back_up(database.superuser, folder)
    await backup.restore_backup(folder, empty)

    restored = await asyncpg.connect(empty)
    assert await restored.fetchval("SELECT state FROM storage.archives") == "archived"
    await restored.close()


async def test_what_came_back_different_is_an_error(database, empty, load, folder):
    await load("acme", load.scored("acme", "C1"))
    taken = await backup.back_up(database.superuser, folder)
    path = folder / "manifest.json"
    [claims] = [each for each in taken.contents.tables if each.table == "public.claims"]
    path.write_text(path.read_text().replace(claims.digest, "1"))

    with pytest.raises(StorageError, match=r"public\.claims: 1 rows, expected 1, with other"):
        await backup.restore_backup(folder, empty)


@pytest.mark.parametrize("fault", ["changed", "missing", "more", "no manifest"])
async def test_a_backup_that_is_not_whole_is_refused(database, folder, fault):
    await backup.back_up(database.superuser, folder)
    victim = next(path for path in sorted((folder / "dump").iterdir()) if path.suffix == ".gz")
    match fault:
        case "changed":
            victim.write_bytes(b"x" + victim.read_bytes()[1:])
        case "missing":
            victim.unlink()
        case "more":
            (folder / "dump" / "more").touch()
        case "no manifest":
            (folder / "manifest.json").unlink()

    with pytest.raises(ManifestError, match=r"not the file|missing|not of this backup|has no"):
        await backup.verify(folder)


async def test_a_restore_into_a_database_that_holds_something_is_refused(database, folder):
    await backup.back_up(database.superuser, folder)

    with pytest.raises(StorageError, match="not empty"):
        await backup.restore_backup(folder, database.superuser)


async def test_who_does_not_see_every_row_is_told_which_role_does(database, folder):
    with pytest.raises(StorageError, match=r"claimgate_migrator does not see .* BYPASSRLS"):
        await backup.back_up(database.owner, folder)

    assert not folder.exists()


async def test_the_role_that_the_error_names_can_back_up(database, everything, postgres, folder):
    await everything.execute("CREATE ROLE backup_test LOGIN BYPASSRLS IN ROLE pg_read_all_data")

    done = await backup.back_up(database.superuser.replace("postgres@", "backup_test@"), folder)

    await everything.execute("DROP ROLE backup_test")
    assert done.contents.schema_revision >= "0008"


async def test_no_backup_begins_while_months_are_moved(database, owner, folder):
    with pytest.raises(StorageError, match="months are being moved"):
        await backup.back_up(database.superuser, folder)


async def test_a_folder_that_is_there_is_left_alone(database, folder):
    folder.mkdir()

    with pytest.raises(StorageError, match="name a new folder"):
        await backup.back_up(database.superuser, folder)


async def test_what_a_killed_backup_left_is_written_anew(database, folder):
    left = folder.with_name("backup.partial")
    left.mkdir()
    (left / "rubbish").touch()

    await backup.back_up(database.superuser, folder)

    assert sorted(path.name for path in folder.iterdir()) == ["dump", "manifest.json"]
    assert not left.exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_version_that_is_not_installed_says_what_is_and_what_to_install(tmp_path):
    with pytest.raises(ToolError, match=r"Postgres 99 .* \(found: .*\); install .*-client-99"):
        find_tools(99)
    with pytest.raises(ToolError, match="found: none"):
        find_tools(18, tmp_path)


async def test_a_program_that_fails_says_why_and_shows_no_values(tmp_path):
    program = tmp_path / "pg_restore"
    program.write_text(
        "#!/bin/sh\necho 'error: no good' >&2; echo 'DETAIL: error CANARY' >&2; exit 1\n"
    )
    program.chmod(0o700)

    with pytest.raises(ToolError, match=r"pg_restore failed: error: no good$"):
        await Tools(tmp_path, 18).run("pg_restore")


async def test_a_password_is_in_no_argument(tmp_path):
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@"; echo "$PGPASSWORD $PGHOST $PGUSER"\n')
    program.chmod(0o700)
    url = "postgresql://me:s%40cret@db.example:5433/claims?sslmode=require"

    said = await Tools(tmp_path, 18).run("pg_dump", "--format=directory", url=url)

    assert said.splitlines() == ["--format=directory", "s@cret db.example me"]


def test_a_url_becomes_the_variables_of_postgres():
    found = environment("postgresql://me@/claims?host=%2Frun%2Fpg&sslmode=require")

    assert found == {
        "PGHOST": "/run/pg", "PGUSER": "me", "PGDATABASE": "claims", "PGSSLMODE": "require",
    }  # fmt: skip
    with pytest.raises(ValueError, match="the URL has pool"):
        environment("postgresql://me@h/claims?pool=1")


async def test_a_copy_of_the_server_starts_and_holds_the_same(
    postgres, database, load, contents, everything
):
    await load("acme", load.scored("acme", "C1"))
    before = await contents(everything)
    # Not below pytest's own folder: as root the wheel opens the parents of its data to others.
    place = Path(tempfile.mkdtemp(prefix="claimgate-physical-"))
    try:
        await backup.back_up_server(postgres.superuser_url(database.name), place / "copy")
        verified = await backup.verify(place / "copy")
        with pytest.raises(StorageError, match="is a copy of a server"):
            await backup.restore_backup(place / "copy", database.superuser)
        version = place / "copy" / "base" / "PG_VERSION"
        version.write_text("17\n")
        with pytest.raises(ManifestError, match="PG_VERSION is missing or not the file"):
            await backup.verify(place / "copy")
        version.write_text("18\n")
        with embedded.embedded_postgres(startable(place / "copy" / "base", place / "data")) as copy:
            connection = await asyncpg.connect(copy.superuser_url(database.name))
            after = await contents(connection)
            await connection.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)

    assert (verified.kind, after) == ("physical", before)


async def test_commands_back_up_verify_and_restore(database, empty, load, folder, capsys):
    await load("acme", load.scored("acme", "C1"))

    def run(command, *arguments, **options):
        assert command(*arguments, as_json=True, **options) == 0
        return json.loads(capsys.readouterr().out)

    def in_turn():
        return (
            run(backup_commands.backup, to=folder, url=database.superuser, jobs=2),
            run(backup_commands.verify_backup, folder),
            run(backup_commands.restore_backup, folder, into=empty, jobs=2),
        )

    taken, verified, restored = await asyncio.to_thread(in_turn)

    assert taken == verified
    assert restored["rows"] == taken["rows"] > 0
    assert restored["roles_made"] == []
