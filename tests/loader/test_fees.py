"""Fee schedules: a file is the next version whole, or nothing; earlier versions stay readable."""

import asyncio
import csv
import json

import asyncpg
import pytest
from claimgate.v1 import score_pb2

from engine.codes import code36
from engine.tenant_fees import SPEC
from engine.words import word_key
from loader import embedded, fee_commands
from loader.fee_files import HEADERS, KEY, FeeFileError, read_rows
from loader.fees import fee_versions, load_fees
from loader.rows import provenance_row

HEADER = "code,contract,setting,rate_kind,rate,net,effective_from,effective_to"
FIRST = ("99213,,any,cents_per_unit,90,no,2025-01-01,", "99214,C1,any,percent_of_fee,1.1,no,,")


@pytest.fixture
async def connection(postgres):
    opened = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
    yield opened
    await opened.close()


@pytest.fixture
def load(connection, tenant, tmp_path):
    """Load lines of CSV as a tenant's fee schedule."""

    async def load(*lines, of=tenant, header=HEADER):
        path = tmp_path / "fees.csv"
        path.write_text("\n".join((header, *lines)) + "\n")
        return await load_fees(connection, of, path)

    return load


@pytest.fixture
def stored(connection, tenant):
    """Code and rate of the rows of a version."""

    async def stored(version, of=tenant):
        async with connection.transaction():
            await connection.execute("SELECT set_config('claimgate.tenant', $1, true)", of)
            rows = await connection.fetch(
                "SELECT code, rate FROM fee_rates WHERE from_version <= $1 "
                "AND (to_version IS NULL OR to_version > $1) ORDER BY code",
                version,
            )
        return [(row["code"], row["rate"]) for row in rows]

    return stored


def codes(*pairs):
    return [(code36(code), rate) for code, rate in pairs]


def test_fields_are_those_of_the_listing_with_one_code_for_a_range():
    listing = [name for name in SPEC.headers if name not in ("tenant_id", "code_from", "code_to")]

    assert ("code", *listing) == HEADERS
    assert ("code", *(each.name for each in SPEC.fields if each.key)) == KEY


async def test_file_becomes_the_first_version(load, stored):
    loaded = await load(*FIRST)

    assert (loaded.version, loaded.rows, loaded.added, loaded.ended) == (1, 2, 2, 0)
    assert loaded.changed
    assert await stored(1) == codes(("99213", 90_0000), ("99214", 1_1000))


async def test_next_file_takes_the_place_of_the_whole_schedule(load, stored):
    await load(*FIRST)

    loaded = await load("99213,,any,cents_per_unit,91,no,2025-01-01,", FIRST[1])

    assert (loaded.version, loaded.rows, loaded.added, loaded.ended) == (2, 2, 1, 1)
    assert await stored(2) == codes(("99213", 91_0000), ("99214", 1_1000))


async def test_earlier_versions_can_be_read_again(load, stored):
    await load(*FIRST)
    await load(FIRST[1])
    await load(*FIRST)

    read = [await stored(version) for version in (1, 2, 3)]

    both = codes(("99213", 90_0000), ("99214", 1_1000))
    assert read == [both, both[1:], both]


async def test_file_that_changes_nothing_makes_no_version(load, connection, tenant):
    await load(*FIRST)

    again = await load(*reversed(FIRST))

    assert (again.version, again.changed) == (1, False)
    assert [each.version for each in await fee_versions(connection, tenant)] == [1]


async def test_a_changed_last_day_is_a_change(load):
    await load("99213,,any,cents_per_unit,90,no,2025-01-01,2025-06-30")

    loaded = await load("99213,,any,cents_per_unit,90,no,2025-01-01,2025-07-31")

    assert (loaded.version, loaded.added, loaded.ended) == (2, 1, 1)


async def test_bad_rows_are_named_and_nothing_is_loaded(load, stored):
    await load(*FIRST)

    loaded = await load(
        "9921,,any,cents_per_unit,90,no,,",
        "99213,,somewhere,per_day,-1,maybe,2025-13-01,",
        "99214,,any,cents_per_unit,,no,2025-02-01,2025-01-31",
        "99215,,any,cents_per_unit,999999999999,no,,",
        "99216,,any",
        "99217,,any,cents_per_unit,1,no,,",
    )

    assert [(each.row, each.field) for each in loaded.rejects] == [
        (2, "code"),
        (3, "effective_to"),
        (3, "net"),
        (3, "rate"),
        (3, "rate_kind"),
        (3, "setting"),
        (4, "effective_to"),
        (4, "rate"),
        (5, "rate"),
        (6, ""),
    ]
    assert all(each.reason and each.expected for each in loaded.rejects)
    assert (loaded.version, await stored(1)) == (None, codes(("99213", 90_0000), ("99214", 1_1000)))


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (("99213,,any,cents_per_unit,1,no,,", "99213,,any,cents_per_unit,2,no,,"), [2, 3]),
        (
            (
                "99213,,any,cents_per_unit,1,no,2025-01-01,2025-06-30",
                "99213,,any,cents_per_unit,2,no,2025-06-30,",
            ),
            [2, 3],
        ),
        (
            (
                "99213,,any,cents_per_unit,1,no,2025-01-01,2025-06-30",
                "99213,,any,cents_per_unit,2,no,2025-07-01,",
            ),
            [],
        ),
        (
            (
                "99213,,any,cents_per_unit,1,no,,",
                "99214,,any,cents_per_unit,1,no,,",
                "99213,,any,cents_per_unit,2,no,2025-01-01,2025-01-31",
                "99213,,any,cents_per_unit,3,no,2025-03-01,2025-03-31",
            ),
            [2, 4, 5],
        ),
        (("99213,c1,any,cents_per_unit,1,no,,", "99213,C1,any,cents_per_unit,2,no,,"), [2, 3]),
        (("99213,C1,any,cents_per_unit,1,no,,", "99213,C2,any,cents_per_unit,2,no,,"), []),
        (("99213,,any,cents_per_unit,1,no,,", "99213,,facility,cents_per_unit,2,no,,"), []),
    ],
)
async def test_rows_of_a_key_do_not_share_a_day(load, lines, refused):
    loaded = await load(*lines)

    assert [each.row for each in loaded.rejects] == refused
    assert {each.field for each in loaded.rejects} <= {"effective_from"}
    assert (loaded.version is None) == bool(refused)


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        ("code,setting,rate_kind,rate", "lacks net"),
        (HEADER + ",tenant_id", "does not know column 9"),
        (HEADER + ",code", "names a column twice"),
        ("", "lacks code"),
    ],
)
async def test_another_header_refuses_the_file(load, header, wrong):
    with pytest.raises(FeeFileError, match=wrong):
        await load("1", header=header)


async def test_file_without_a_row_is_refused(load):
    with pytest.raises(FeeFileError, match="no row"):
        await load()


async def test_file_in_another_encoding_is_refused(connection, tenant, tmp_path):
    path = tmp_path / "fees.csv"
    path.write_bytes(HEADER.encode() + b"\n99213,\xe9,any,cents_per_unit,1,no,,\n")

    with pytest.raises(FeeFileError, match="UTF-8"):
        await load_fees(connection, tenant, path)


async def test_columns_stand_in_any_order_and_may_be_left_out(tmp_path):
    path = tmp_path / "fees.csv"
    path.write_text("rate,net,rate_kind,setting,plan,code\n1.5,yes,percent_of_fee,any,Gold,99213\n")

    [row] = read_rows(path)

    assert row.values[:3] == (code36("99213"), 0, word_key("gold"))
    assert row.values[6:10] == (0, 1, 1_5000, True)


async def test_another_tenants_schedule_stays_as_it_is(load, stored, connection):
    await load(*FIRST, of="fees-other")

    await load("99213,,any,cents_per_unit,1,no,,")

    assert len(await stored(1, "fees-other")) == 2
    assert await stored(1) == codes(("99213", 1_0000))
    assert len(await fee_versions(connection, "fees-other")) == 1


async def test_rows_are_seen_by_their_tenant_alone_even_by_the_owner(load, postgres, tenant):
    await load(*FIRST)
    owner = await asyncpg.connect(postgres.migrating_url(embedded.PRODUCTION))

    try:
        seen = await owner.fetchval("SELECT count(*) FROM fee_rates")
        seen += await owner.fetchval("SELECT count(*) FROM fee_schedules")
    finally:
        await owner.close()

    assert seen == 0


async def test_loaders_role_changes_no_rate_and_deletes_none(load, connection, tenant):
    await load(*FIRST)

    for statement in ("UPDATE fee_rates SET rate = 1", "DELETE FROM fee_rates"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_loads_at_the_same_time_become_versions_one_after_the_other(
    postgres, tenant, tmp_path, stored
):
    async def one(number):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"{HEADER}\n99213,,any,cents_per_unit,{number},no,,\n")
        opened = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
        try:
            return number, await load_fees(opened, tenant, path)
        finally:
            await opened.close()

    loaded = await asyncio.gather(*(one(number) for number in range(1, 6)))

    assert sorted(each.version for _, each in loaded) == [1, 2, 3, 4, 5]
    for number, each in loaded:
        assert await stored(each.version) == codes(("99213", number * 10_000))


@pytest.fixture
def command(postgres, tenant, monkeypatch):
    """What the commands need in their environment."""
    monkeypatch.setenv("CLAIMGATE_PRODUCTION_URL", postgres.loading_url(embedded.PRODUCTION))
    monkeypatch.setenv("CLAIMGATE_TENANT", tenant)


def test_commands_load_and_list(command, tmp_path, capsys):
    path = tmp_path / "fees.csv"
    path.write_text("\n".join((HEADER, *FIRST)))

    assert fee_commands.fees_load(path) == 0
    assert fee_commands.fees_list(as_json=True) == 0

    loaded, listed = map(json.loads, capsys.readouterr().out.splitlines())
    assert loaded == {"version": 1, "rows": 2, "added": 2, "ended": 0, "changed": True}
    assert [(each["version"], each["rows"]) for each in listed] == [(1, 2)]


def test_command_writes_what_is_wrong_row_by_row(command, tmp_path, capsys):
    path = tmp_path / "fees.csv"
    path.write_text("\n".join((HEADER, FIRST[0], "99214,,any,cents_per_unit,x,no,,")))

    assert fee_commands.fees_load(path) == 3

    rows = list(csv.reader((tmp_path / "fees.csv.rejects.csv").read_text().splitlines()))
    assert rows[0] == ["row", "field", "reason", "expected"]
    assert rows[1][:2] == ["3", "rate"]
    assert "row 3, rate" in capsys.readouterr().err


def test_provenance_in_production_keeps_the_version():
    without, third, fourth = (
        provenance_row(score_pb2.Provenance(engine_version="3", fee_schedule_version=version))
        for version in (0, 3, 4)
    )

    assert (without[-1], third[-1], fourth[-1]) == (0, 3, 4)
    assert len({without[0], third[0], fourth[0]}) == 3
