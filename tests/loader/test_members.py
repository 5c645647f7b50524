"""Member data: good rows in one commit, each bad row with its reason, earlier states kept."""

import csv
import json
import time

import asyncpg
import pytest
from claimgate.v1 import claim_pb2, score_pb2
from prometheus_client import CollectorRegistry

from engine.codes import code36
from engine.decode import decode
from engine.members import BASES
from engine.words import word_key
from loader import embedded, member_commands
from loader.lookup import Lookup
from loader.member_files import TABLES, MemberFileError
from loader.members import count_members, load_members
from server.database import open_database
from server.history import HistoryClient
from server.metrics import Metrics

KEY = bytes(range(32))


@pytest.fixture
async def connection(postgres):
    opened = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
    yield opened
    await opened.close()


@pytest.fixture
def load(connection, tenant, tmp_path):
    """Load lines of CSV into a table."""

    async def load(table, *lines, of=tenant, **options):
        path = tmp_path / f"{table}.csv"
        path.write_text("\n".join(lines) + "\n")
        return await load_members(connection, Lookup(KEY), of, TABLES[table], path, **options)

    return load


@pytest.fixture
async def read(postgres, tenant):
    """What a pass with claims of these members is given."""
    url = postgres.loading_url(embedded.PRODUCTION)
    async with open_database(url, connections_max=1, query_s=5) as database:
        client = HistoryClient(database, Lookup(KEY), 5, Metrics(CollectorRegistry(), 0.8))

        async def read(*members, of=tenant, watermark=None):
            claims = [
                claim_pb2.Claim(
                    claim_id=f"C{n}", person_id=member, payer_id="P", claim_type=1,
                    service_from_date="2025-10-06",
                )
                for n, member in enumerate(members)
            ]  # fmt: skip
            batch = decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)
            committed = await client.of(batch, of, watermark)
            assert committed.degraded == ()
            return committed.members

        yield read


def days(column):
    return column.astype(str).tolist()


async def test_every_table_comes_back_as_it_was_written(load, read):
    await load(
        "eligibility",
        "member_id,payer_id,plan_id,effective,termination",
        "M1,PAYER,gold,2025-01-01,2025-12-31",
        "M2,PAYER,,2025-01-01,",
    )
    await load(
        "accumulators",
        "member_id,benefit,period_from,period_to,used,as_of",
        "M1,therapy,2025-01-01,2025-12-31,12.5,2025-09-30",
        "M1,ivf,,,2,",
    )
    await load(
        "authorizations",
        "member_id,number,code_first,code_last,npi,effective,termination,approved,units,used,decided",
        "M1,A-1,97110,97140,1234567893,2025-01-01,2025-06-30,yes,10,2.5,2024-12-20",
        "M1,A-2,,,,2025-01-01,,no,,,",
    )
    await load(
        "coverages",
        "member_id,payer_id,rank,basis,effective,termination",
        "M1,OTHER,1,birthday_rule,2025-01-01,",
    )
    await load(
        "documents",
        "member_id,document,code_first,code_last,effective,termination",
        "M1,cmn,E0424,E0424,2025-02-01,2026-01-31",
    )

    found = await read("M3", "M2", "M1")

    assert found.eligibility.member.tolist() == [1, 2]
    assert found.eligibility.plan.tolist() == [0, word_key("GOLD")]
    assert days(found.eligibility.termination) == ["NaT", "2025-12-31"]
    assert sorted(found.accumulators.used_milli.tolist()) == [2_000, 12_500]
    lifetime = found.accumulators.benefit == word_key("ivf")
    assert days(found.accumulators.period_from[lifetime]) == ["NaT"]
    granted = found.authorizations.approved
    assert found.authorizations.units_milli[granted].tolist() == [10_000]
    assert found.authorizations.units_milli[~granted].tolist() == [-1]
    assert found.authorizations.code_first[granted].tolist() == [code36("97110")]
    assert found.authorizations.npi[granted].tolist() == [1234567893]
    assert found.coverages.basis.tolist() == [BASES.index("birthday_rule")]
    assert found.documents.member.tolist() == [2]
    assert days(found.documents.effective) == ["2025-02-01"]


async def test_a_table_that_was_never_loaded_is_told_from_one_without_rows(load, read):
    await load("eligibility", "member_id,payer_id,effective", "M9,P,2025-01-01")

    found = await read("M1")

    assert (len(found.eligibility), found.coverages) == (0, None)


HEADER = "member_id,payer_id,plan_id,effective,termination,remove"


async def test_rows_are_replaced_by_key_and_an_earlier_watermark_sees_what_was(load, read):
    first = await load("eligibility", HEADER, "M1,P,A,2025-01-01,,", "M2,P,A,2025-01-01,,")
    second = await load(
        "eligibility", HEADER, "M1,P,A,2025-01-01,2025-03-31,", "M3,P,A,2025-01-01,,",
        "M2,P,A,2025-01-01,,",
    )  # fmt: skip
    third = await load("eligibility", HEADER, "M2,P,A,2025-01-01,,yes")

    async def at(loaded):
        spans = (await read("M1", "M2", "M3", watermark=loaded.commit_seq)).eligibility
        return list(zip(spans.member.tolist(), days(spans.termination), strict=True))

    assert (second.added, second.changed, second.unchanged) == (1, 1, 1)
    assert third.removed == 1
    assert await at(first) == [(0, "NaT"), (1, "NaT")]
    assert await at(second) == [(0, "2025-03-31"), (1, "NaT"), (2, "NaT")]
    assert await at(third) == [(0, "2025-03-31"), (2, "NaT")]


async def test_tenants_are_apart(load, read, tenant):
    await load("eligibility", HEADER, "M1,P,A,2025-01-01,,", of=f"{tenant}-other")

    assert (await read("M1")).eligibility is None
    assert len((await read("M1", of=f"{tenant}-other")).eligibility) == 1


ELIGIBILITY_FAULTS = {
    ",P,A,2025-01-01,,": ("member_id", "is left out"),
    "SECRET,,A,2025-01-01,,": ("payer_id", "is left out"),
    "SECRET,P,A,,,": ("effective", "is left out"),
    "SECRET,P,A,2025-02-30,,": ("effective", "is no day"),
    "SECRET,P,A,20250101,,": ("effective", "is no day"),
    "SECRET,P,A,1800-01-01,,": ("effective", "is no day"),
    "SECRET,P,A,2025-02-01,2025-01-31,": ("termination", "is before the first day"),
    f"SECRET,P,{'x' * 101},2025-01-01,,": ("plan_id", "is too long"),
    "SECRET,P,A,2025-01-01,,maybe": ("remove", "is neither yes nor no"),
    "SECRET,P,A,2025-01-01": ("", "has 4 cells"),
    "SECRET,P,B,2025-01-01,,yes": ("remove", "nothing is on file under its key"),
}
OTHER_FAULTS = [
    ("accumulators", "member_id,benefit,used,period_to", "SECRET,b,-1,", "used"),
    ("accumulators", "member_id,benefit,used,period_to", "SECRET,b,1.2345,", "used"),
    ("accumulators", "member_id,benefit,used,period_to", "SECRET,b,NaN,", "used"),
    ("accumulators", "member_id,benefit,used,period_to", "SECRET,b,1e400,", "used"),
    ("accumulators", "member_id,benefit,used,period_to", "SECRET,b,1,2025-12-31", "period_from"),
    ("authorizations", "member_id,number,effective,approved,npi", "SECRET,1,2025-01-01,yes,12",
     "npi"),
    ("authorizations", "member_id,number,effective,approved,npi",
     "SECRET,1,2025-01-01,yes,0000000000", "npi"),
    ("authorizations", "member_id,number,effective,approved,code_first",
     "SECRET,1,2025-01-01,yes,97110", "code_last"),
    ("authorizations", "member_id,number,effective,approved,code_first",
     "SECRET,1,2025-01-01,yes,9711", "code_first"),
    ("authorizations", "member_id,number,effective,approved", "SECRET,1,2025-01-01,", "approved"),
    ("coverages", "member_id,payer_id,rank,effective", "SECRET,P,0,2025-01-01", "rank"),
    ("coverages", "member_id,payer_id,rank,effective,basis", "SECRET,P,1,2025-01-01,x", "basis"),
]  # fmt: skip


async def test_every_kind_of_bad_row_is_said_and_the_good_ones_are_loaded(load, connection, tenant):
    good = "M1,P,A,2025-01-01,,"

    loaded = await load("eligibility", HEADER, good, *ELIGIBILITY_FAULTS)

    assert [(each.row, each.field, each.reason) for each in loaded.rejects] == [
        (row, field, reason) for row, (field, reason) in enumerate(ELIGIBILITY_FAULTS.values(), 3)
    ]
    assert loaded.added == 1
    assert (await count_members(connection, tenant))["eligibility"] == (1, 1)
    assert "SECRET" not in str(loaded.rejects)
    assert "M1" not in str(loaded.rejects)


@pytest.mark.parametrize(("table", "header", "row", "field"), OTHER_FAULTS)
async def test_cells_of_every_kind_are_checked(load, table, header, row, field):
    loaded = await load(table, header, row)

    assert [each.field for each in loaded.rejects] == [field]
    assert "SECRET" not in str(loaded.rejects)


async def test_a_key_that_comes_twice_is_loaded_once(load):
    row = "M1,P,A,2025-01-01,,"

    loaded = await load("eligibility", HEADER, row, row)

    [reject] = loaded.rejects
    assert (reject.row, reject.reason) == (3, "has the key of row 2")


async def test_overlaps_within_the_file_and_with_what_is_on_file_are_refused(load):
    await load("eligibility", HEADER, "M1,P,A,2025-01-01,2025-06-30,", "M2,P,A,2025-01-01,,")

    loaded = await load(
        "eligibility",
        HEADER,
        "M1,P,A,2025-06-30,,",  # the last day on file
        "M1,P,B,2025-06-30,,",  # another plan
        "M3,P,A,2025-01-01,2025-03-31,",
        "M3,P,A,2025-03-01,,",  # the row before
        "M2,P,A,2025-01-01,2025-06-30,",  # what is on file ends here,
        "M2,P,A,2025-07-01,,",  # and goes on there
    )

    assert [each.row for each in loaded.rejects] == [2, 4, 5]
    assert (loaded.added, loaded.changed) == (2, 1)


async def test_a_refused_row_leaves_on_file_what_it_was_to_replace(load):
    await load("eligibility", HEADER, "M1,P,A,2025-01-01,,")

    loaded = await load(
        "eligibility",
        HEADER,
        "M1,P,A,2025-01-01,2025-06-30,",
        "M1,P,A,2025-06-01,2025-08-31,",  # overlaps the row before; both are refused,
        "M1,P,A,2025-10-01,,",  # so what is on file has no end, and this overlaps it
    )

    assert [each.row for each in loaded.rejects] == [2, 3, 4]


async def test_all_or_nothing_loads_nothing(load, connection, tenant):
    for bad in ("M2,P,A,nonsense,,", "M1,P,A,2025-02-01,,"):
        loaded = await load("eligibility", HEADER, "M1,P,A,2025-01-01,,", bad, all_or_nothing=True)

        assert loaded.rejects
        assert loaded.commit_seq is None
    assert (await count_members(connection, tenant))["eligibility"] is None


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("member_id,payer_id", "lacks effective"),
        ("member_id,payer_id,effective,SECRET", "does not know column 4"),
        ("member_id,payer_id,effective,effective", "names a column twice"),
    ],
)
async def test_another_header_refuses_the_file(load, header, said):
    with pytest.raises(MemberFileError, match=said) as refused:
        await load("eligibility", header, "M1,P,2025-01-01,x")

    assert "SECRET" not in str(refused.value)


async def test_100_000_rows_take_seconds(load, connection, tenant):
    rows = [f"M{n},P,A,2025-01-01,2025-12-31," for n in range(100_000)]

    started = time.perf_counter()
    loaded = await load("eligibility", HEADER, *rows)
    seconds = time.perf_counter() - started

    assert (loaded.added, loaded.rejects) == (100_000, [])
    assert seconds < 60
    assert (await count_members(connection, tenant))["eligibility"] == (100_000, 100_000)


def test_the_command_writes_rejects_and_says_what_was_done(
    postgres, tenant, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CLAIMGATE_PRODUCTION_URL", postgres.loading_url(embedded.PRODUCTION))
    monkeypatch.setenv("CLAIMGATE_KEY_HEX", KEY.hex())
    path = tmp_path / "spans.csv"
    path.write_text(f"{HEADER}\nM1,P,A,2025-01-01,,\nSECRET,P,A,never,,\n")

    status = member_commands.members_load("eligibility", path, tenant=tenant)
    said = capsys.readouterr()
    member_commands.members_show(tenant=tenant, as_json=True)
    counts = json.loads(capsys.readouterr().out)

    assert status == 3
    assert json.loads(said.out)["added"] == 1
    assert "SECRET" not in said.out + said.err
    with (tmp_path / "spans.csv.rejects.csv").open() as file:
        [reject] = csv.DictReader(file)
    assert (reject["row"], reject["field"], reject["reason"]) == ("3", "effective", "is no day")
    assert counts["eligibility"] == {"rows": 1, "members": 1}
    assert counts["documents"] is None


def test_tables_have_the_columns_of_the_engine():
    from server.member_data import _TABLES, _stored

    assert {name: {each.name for each in _stored(table)} for name, table in _TABLES.items()} == {
        name: set(table.names) for name, table in TABLES.items()
    }
