"""Committed results are told once, in their order, and again from where one stopped."""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from loader import embedded, source
from loader.changes.change import Position, PositionError
from loader.changes.file import ChangesFile, FileError
from loader.changes.ledger import LedgerChanges
from loader.changes.pgoutput import Begin, Committed, Decoder, DecodingError
from loader.changes.slot import SlotChanges, SlotError
from loader.migrate import upgrade
from loader.run import run


@pytest.fixture
def load(staging, settings, vault, make_claim):
    """Stage claims and run the loader: batches of about 20."""

    async def load_claims(*claim_ids, into=settings):
        async def stage(connection):
            claims = [source.Submitted(make_claim(claim_id)) for claim_id in claim_ids]
            await source.stage_claims(connection, vault, into.tenant, claims)

        if into is settings:
            await stage(staging)
        else:
            connection = await asyncpg.connect(into.staging_url)
            await stage(connection)
            await connection.close()
        return await run(into)

    return load_claims


def ids(prefix, count):
    return [f"{prefix}-{number:03d}" for number in range(count)]


async def all_of(changes, after=None):
    return [change async for change in changes.read(after)]


def claim_ids(changes):
    return sorted(change.values["claim_id"] for change in changes)


# By commit number. ------------------------------------------------------------------------


@pytest.fixture
async def ledger(postgres, tenant):
    connection = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
    yield LedgerChanges(connection, tenant)
    await connection.close()


async def test_every_result_is_told_once_in_the_order_of_commits(ledger, load):
    await load(*ids("A", 50))

    changes = await all_of(ledger)

    assert claim_ids(changes) == ids("A", 50)
    positions = [change.position for change in changes]
    assert positions == sorted(positions)
    assert len({position.commit for position in positions}) >= 2
    lasts = [change.position.commit for change in changes if change.last]
    assert lasts == sorted({position.commit for position in positions})
    assert changes[0].values["decision"] == "approve"
    assert json.dumps(changes[0].values)


async def test_reading_goes_on_behind_any_position(ledger, load):
    await load(*ids("B", 45))
    changes = await all_of(ledger)

    for taken in (1, 19, 20, 21, 44, 45):
        rest = await all_of(ledger, Position.parse(str(changes[taken - 1].position)))
        assert [change.values for change in rest] == [c.values for c in changes[taken:]]

    await load(*ids("C", 5))
    news = await all_of(ledger, changes[-1].position)
    assert claim_ids(news) == ids("C", 5)


async def test_tenants_read_their_own(ledger, postgres, load):
    await load(*ids("D", 3))
    connection = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))

    theirs = await all_of(LedgerChanges(connection, "somebody-else"))

    await connection.close()
    assert theirs == []


def test_positions_read_back_as_they_are_written():
    for text in ("42", "42+17", "0/16B3748", "1A/0+3"):
        assert str(Position.parse(text)) == text
    with pytest.raises(PositionError, match="expected the number of a commit"):
        Position.parse("yesterday")


async def test_position_of_the_other_source_is_refused(ledger):
    with pytest.raises(PositionError, match="without --slot"):
        await all_of(ledger, Position.parse("0/16B3748"))


# Into a file. -----------------------------------------------------------------------------


def told(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


async def follow(settings, file, *options):
    environment = {
        **os.environ,
        "CLAIMGATE_PRODUCTION_URL": settings.production_url,
        "CLAIMGATE_TENANT": settings.tenant,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "claimgate.command", "changes", "--to", str(file), *options),
        env=environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_reader_that_is_killed_tells_each_once(tmp_path, load, settings, until):
    file, chance = tmp_path / "changes.jsonl", random.Random(5)
    for round_number in range(4):
        reader = await follow(settings, file, "--follow")
        await until(file.exists)
        await load(*ids(f"E{round_number}", 60))
        await asyncio.sleep(1.5 * chance.random())  # anywhere: in between, or at rest
        reader.send_signal(signal.SIGKILL)
        await reader.wait()

    reader = await follow(settings, file)
    assert await reader.wait() == 0

    every = [claim_id for number in range(4) for claim_id in ids(f"E{number}", 60)]
    assert sorted(line["claim_id"] for line in told(file)) == sorted(every)


async def test_line_that_was_cut_off_is_written_again(tmp_path, load, settings):
    file = tmp_path / "changes.jsonl"
    await load(*ids("F", 30))
    assert await (await follow(settings, file)).wait() == 0
    content = file.read_bytes()
    file.write_bytes(content[:-25])

    assert await (await follow(settings, file)).wait() == 0

    assert file.read_bytes() == content


def test_file_of_something_else_is_refused(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("one\ntwo\n")

    with pytest.raises(FileError, match="name another file"):
        ChangesFile(file)
    assert file.read_text() == "one\ntwo\n"


async def test_two_positions_are_one_too_many(settings, tmp_path):
    reader = await follow(settings, tmp_path / "f", "--from", "3")

    _, said = await reader.communicate()

    assert reader.returncode == 1
    assert b"the file's last line is where it is" in said


# By a slot. -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logical_server(postgres):
    """A server of its own, which decodes its log."""
    folder = Path(tempfile.mkdtemp(prefix="claimgate-logical-"))

    async def prepare(server):
        await embedded.create_databases(server)
        for database, name in ((embedded.STAGING, "staging"), (embedded.PRODUCTION, "production")):
            await upgrade(server.migrating_url(database), name)
        connection = await asyncpg.connect(server.superuser_url())
        await connection.execute("ALTER SYSTEM SET wal_level = logical")
        await connection.close()

    try:
        with embedded.embedded_postgres(folder / "data") as server:
            asyncio.run(prepare(server))
        with embedded.embedded_postgres(folder / "data") as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def logical_settings(logical_server, settings):
    return settings.model_copy(
        update={
            "staging_url": logical_server.loading_url(embedded.STAGING),
            "production_url": logical_server.loading_url(embedded.PRODUCTION),
        }
    )


@pytest.fixture
async def slot(logical_server, tenant):
    connection = await asyncpg.connect(logical_server.superuser_url(embedded.PRODUCTION))
    changes = SlotChanges(connection, f"slot_{tenant.replace('-', '_').lower()}", None)
    assert await changes.create()
    yield changes
    await changes.drop()
    await connection.close()


async def test_slot_tells_every_result_once_until_it_is_confirmed(slot, load, logical_settings):
    await load(*ids("S", 50), into=logical_settings)

    first, again = await all_of(slot), await all_of(slot)

    assert claim_ids(first) == ids("S", 50)
    assert [c.values for c in again] == [c.values for c in first]
    assert first[0].values.keys() == (await all_of(slot))[0].values.keys()
    middle = next(n for n, change in enumerate(first) if change.last)
    assert len(await all_of(slot, first[middle].position)) == len(first) - middle - 1
    await slot.confirm(first[middle].position)
    assert [c.values for c in await all_of(slot)] == [c.values for c in first[middle + 1 :]]


async def test_commit_that_was_read_in_part_is_not_confirmed(slot, load, logical_settings):
    await load(*ids("P", 20), into=logical_settings)
    first = await all_of(slot)

    await slot.confirm(first[5].position)

    assert len(await all_of(slot)) == len(first)
    assert len(await all_of(slot, first[5].position)) == len(first) - 6


async def test_ledger_and_slot_tell_the_same(slot, load, logical_settings):
    await load(*ids("L", 30), into=logical_settings)
    connection = await asyncpg.connect(logical_settings.production_url)

    by_ledger = await all_of(LedgerChanges(connection, logical_settings.tenant))
    by_slot = await all_of(slot)

    await connection.close()

    def key(values):
        return values["claim_id"], values["claim_version"], values["result_no"], values["decision"]

    assert sorted(key(c.values) for c in by_ledger) == sorted(key(c.values) for c in by_slot)
    assert by_ledger[0].values.keys() == by_slot[0].values.keys()


async def test_server_that_cannot_decode_is_named_with_what_it_needs(postgres):
    connection = await asyncpg.connect(postgres.superuser_url(embedded.PRODUCTION))

    with pytest.raises(SlotError, match="wal_level"):
        await SlotChanges(connection, "slot_never", None).create()
    with pytest.raises(SlotError, match="make it with"):
        await all_of(SlotChanges(connection, "slot_never", None))

    await connection.close()


def test_decoder_refuses_what_it_does_not_know():
    with pytest.raises(DecodingError, match="expected one of protocol version 1"):
        Decoder().decode(b"?")
    with pytest.raises(DecodingError, match="not described"):
        Decoder().decode(b"I\0\0\0\7N\0\0")
    assert Decoder().decode(b"B" + (5).to_bytes(8, "big") + bytes(12)) == Begin(5)
    end = (9).to_bytes(8, "big")
    assert Decoder().decode(b"C\0" + bytes(8) + end + bytes(8)) == Committed(9)
