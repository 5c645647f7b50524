"""Production: a batch is loaded once and whole; what cannot be stored is a failed claim."""

import asyncio
import json
import random
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid4

import asyncpg
import pytest
from claimgate.v1 import claim_pb2, score_pb2

from loader import embedded, rows, sink
from loader.batch import Batch, BatchConflictError, CountMismatchError, SinkError
from loader.failed.words import Category
from loader.link import Link
from loader.load_tables import ROWS, stream_rows
from loader.opened import Opened, facts_of
from loader.sink import Sink
from loader.source import Leased


@pytest.fixture
async def link(postgres):
    async with Link(postgres.loading_url(embedded.PRODUCTION), attempts=3) as opened:
        yield opened


@pytest.fixture
def load(link, tenant):
    target = Sink(link, tenant)
    return target.load


@pytest.fixture
def scored(vault, tenant, make_claim):
    """Return a maker of scored claims, numbered by `staging_id`; fields may be changed."""
    numbers = iter(range(1, 1_000_000))

    def make(claim_id, *, hits=1, content=b"c", decision=score_pb2.DECISION_REVIEW, **fields):
        claim = make_claim(claim_id, **fields)
        leased = Leased(
            next(numbers), claim_id, claim.claim_version or 1, content * 32, b"m" * 16, 1, b"sealed"
        )
        result = score_pb2.ClaimResult(
            decision=decision, fraud_score=0.06425, allowed_cents=123_456, exposure_cents=7
        )
        for _ in range(hits):
            result.hits.add(rule_id="NCCI_MUE", line_numbers=[1], evidence={"limit": "1"})
        for line in claim.lines:
            result.lines.add(line_number=line.line_number, allowed_cents=99, rvu_total_e4=26_811)
        opened = Opened(leased, claim.SerializeToString(), facts_of(claim))
        return rows.load_claim(opened, result, (5, 9), vault, tenant)

    return make


async def count(production, tenant, table):
    query = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"  # noqa: S608  our own table names
    return await production.fetchval(query, tenant)


TABLES = ("claim_keys", "claims", "claim_lines", "claim_results", "rule_hits")


async def test_a_batch_arrives_whole_and_to_the_cent(load, scored, production, tenant):
    batch = Batch([scored("C1", total_charge_cents=99_999_999_999), scored("C2", hits=3)])

    loaded = await load(batch)

    assert [await count(production, tenant, table) for table in TABLES] == [2, 2, 4, 2, 4]
    [receipt] = loaded.receipts
    assert (receipt.loaded, receipt.rows, receipt.commit_seq) == (2, 14, 1)
    assert sorted(loaded.outcomes) == [(1, "needs_review"), (2, "needs_review")]
    claim = await production.fetchrow(
        "SELECT * FROM claims WHERE tenant_id = $1 AND claim_id = 'C1'", tenant
    )
    assert claim["total_charge_cents"] == 99_999_999_999
    assert claim["diagnosis_codes"] == ["E119", "I10"]
    line = await production.fetchrow(
        "SELECT * FROM claim_lines WHERE tenant_id = $1 AND claim_id = 'C1' AND line_number = 2",
        tenant,
    )
    assert (line["units"], line["rvu_total"]) == (Decimal("1.500"), Decimal("2.6811"))
    assert (line["modifier_codes"], line["diagnosis_pointers"]) == (["25", "59"], [1, 2])
    assert (line["charge_cents"], line["allowed_cents"], line["payable_cents"]) == (
        10_000,
        99,
        None,
    )
    result = await production.fetchrow(
        "SELECT * FROM claim_results WHERE tenant_id = $1 AND claim_id = 'C1'", tenant
    )
    assert result["fraud_score"] == Decimal("0.0643")
    assert (result["allowed_cents"], result["exposure_cents"]) == (123_456, 7)
    assert score_pb2.ClaimResult.FromString(result["answer"]).exposure_cents == 7
    evidence = await production.fetchval(
        "SELECT evidence FROM rule_hits WHERE tenant_id = $1 AND claim_id = 'C1'", tenant
    )
    assert json.loads(evidence) == {"limit": "1"}


async def test_rows_lie_in_the_partition_of_their_month_and_odd_dates_in_the_default(
    load, scored, production, tenant
):
    odd = {"service_from_date": "1931-05-05", "lines": 0}

    await load(Batch([scored("C1"), scored("C2", **odd)]))

    found = await production.fetch(
        "SELECT claim_id, tableoid::regclass::text AS part FROM claims "
        "WHERE tenant_id = $1 ORDER BY 1",
        tenant,
    )
    assert [tuple(row) for row in found] == [("C1", "claims_2025_10"), ("C2", "claims_default")]


async def test_no_patient_data_stands_in_the_open(load, scored, production, tenant):
    await load(Batch([scored("C1", member="CANARY-MEMBER", medical_record_number="CANARY-MRN")]))

    whole = ""
    for table in (*TABLES, "claim_history", "provider_months", "batches", "outbox"):
        query = f"SELECT t::text FROM {table} AS t WHERE tenant_id = $1"  # noqa: S608  our own names
        found = await production.fetch(query, tenant)
        whole += "".join(row[0] for row in found)

    for canary in ("CANARY-MEMBER", "CANARY-MRN", "Canarysson", "1960-02-29", "ACCOUNT-C1"):
        assert canary not in whole
        assert canary.encode().hex() not in whole


async def test_the_same_batch_again_gets_the_same_receipt(load, scored, production, tenant):
    batch = Batch([scored("C1"), scored("C2", decision=score_pb2.DECISION_APPROVE)])

    first = await load(batch)
    second = await load(batch)

    assert second.receipts == first.receipts
    assert sorted(second.outcomes) == sorted(first.outcomes)
    assert [await count(production, tenant, table) for table in TABLES] == [2, 2, 4, 2, 2]
    assert await count(production, tenant, "outbox") == 1


async def test_many_loaders_with_the_same_batch_load_it_once(postgres, scored, production, tenant):
    batch = Batch([scored(f"C{n}") for n in range(50)])

    async def replay():
        async with Link(postgres.loading_url(embedded.PRODUCTION), attempts=3) as own:
            return (await Sink(own, tenant).load(batch)).receipts

    receipts = await asyncio.gather(*(replay() for _ in range(12)))

    assert len({tuple(receipt) for receipt in receipts}) == 1
    assert [await count(production, tenant, table) for table in TABLES] == [50, 50, 100, 50, 50]


async def test_the_same_id_for_other_content_is_an_error(load, scored):
    batch_id = uuid4()
    await load(Batch([scored("C1")]), batch_id)

    with pytest.raises(BatchConflictError, match=str(batch_id)):
        await load(Batch([scored("C2")]), batch_id)


async def test_a_claim_that_is_there_already_is_not_doubled_and_keeps_its_first_decision(
    load, scored, production, tenant
):
    await load(Batch([scored("C1", decision=score_pb2.DECISION_REVIEW)]))
    again = scored("C1", decision=score_pb2.DECISION_APPROVE)
    new = scored("C2", decision=score_pb2.DECISION_APPROVE)

    loaded = await load(Batch([again, new]))

    [receipt] = loaded.receipts
    assert (receipt.loaded, receipt.already_loaded) == (1, 1)
    assert dict(loaded.outcomes) == {
        again.leased.staging_id: "needs_review",
        new.leased.staging_id: "completed",
    }
    assert [await count(production, tenant, table) for table in TABLES] == [2, 2, 4, 2, 2]


@pytest.mark.parametrize("same_batch", [True, False])
async def test_other_content_under_a_key_is_refused_with_a_reason(
    load, scored, production, tenant, same_batch
):
    first, other = scored("C1", content=b"a"), scored("C1", content=b"b")

    if same_batch:
        loaded = await load(Batch([first, other]))
    else:
        await load(Batch([first]))
        loaded = await load(Batch([other]))

    assert dict(loaded.outcomes)[other.leased.staging_id] == "failed"
    [row] = await production.fetch("SELECT * FROM failed_claims WHERE tenant_id = $1", tenant)
    assert (row["content_sha256"], row["failure_category"]) == (b"b" * 32, "conflict")
    assert json.loads(row["reasons"])[0]["code"] == "CONTENT_CONFLICT"
    assert await count(production, tenant, "claims") == 1


async def test_a_failed_claim_is_one_row_however_often_it_fails(load, scored, production, tenant):
    leased = scored("C1").leased
    reasons = [{"field": "lines", "code": "V06", "message": "none, expected at least one"}] * 2

    await load(Batch(failed=[rows.FailedClaim(leased, Category.VALIDATION, "score", reasons)]))
    await load(
        Batch(
            failed=[
                rows.FailedClaim(leased._replace(attempts=2), Category.VALIDATION, "score", reasons)
            ]
        ),
        uuid4(),
    )

    [row] = await production.fetch("SELECT * FROM failed_claims WHERE tenant_id = $1", tenant)
    assert (row["attempts"], row["status"], row["payload_encrypted"]) == (2, "open", b"sealed")
    assert json.loads(row["reasons"]) == reasons
    assert await count(production, tenant, "failed_claim_status_changes") == 1


@pytest.mark.parametrize(
    ("field", "code", "change"),
    [
        ("claim.service_from_date", "MISSING", {"service_from_date": "soon"}),
        ("claim.received_date", "MISSING", {"received_date": ""}),
        ("claim.service_to_date", "ORDER", {"service_to_date": "2025-10-01"}),
        ("claim.total_charge_cents", "RANGE", {"total_charge_cents": -1}),
        ("claim.total_charge_cents", "RANGE", {"total_charge_cents": 2**62}),
        ("claim.payer_id", "NUL", {"payer_id": "a\0b"}),
        (
            "lines.line_number",
            "REPEATED",
            {"lines_": [claim_pb2.ServiceLine(line_number=1, units_milli=1)] * 2},
        ),
        (
            "lines[0].units_milli",
            "RANGE",
            {"lines_": [claim_pb2.ServiceLine(line_number=1, units_milli=-1)]},
        ),
        (
            "lines[0].line_number",
            "RANGE",
            {"lines_": [claim_pb2.ServiceLine(line_number=70_000, units_milli=1)]},
        ),
    ],
)
async def test_one_bad_row_costs_one_claim_and_names_its_column(
    load, scored, vault, make_claim, production, tenant, field, code, change
):
    lines = change.pop("lines_", None)
    bad = scored("BAD", **change)
    if lines is not None:
        claim = make_claim("BAD")
        del claim.lines[:]
        claim.lines.extend(lines)
        opened = Opened(bad.leased, claim.SerializeToString(), facts_of(claim))
        bad = rows.load_claim(opened, score_pb2.ClaimResult(), (5, 9), vault, tenant)

    loaded = await load(Batch([scored("C1"), bad, scored("C2")]))

    assert dict(loaded.outcomes)[bad.leased.staging_id] == "failed"
    assert await count(production, tenant, "claims") == 2
    [row] = await production.fetch("SELECT * FROM failed_claims WHERE tenant_id = $1", tenant)
    [reason] = json.loads(row["reasons"])
    assert (reason["field"], reason["code"]) == (field, code)


async def test_a_row_that_only_the_database_refuses_is_found_by_a_probe(
    load, scored, production, tenant, monkeypatch
):
    monkeypatch.setattr("loader.refused.suspects", lambda _: [])
    monkeypatch.setattr("loader.refused.faults", lambda _: [])
    claims = [scored(f"C{n}") for n in range(8)]
    # No index entry can be so long, and none can be compressed to it.
    odd = claims[5] = scored("C5", facility_id=random.Random(1).randbytes(9_000).hex())

    loaded = await load(Batch(claims))

    assert dict(loaded.outcomes)[odd.leased.staging_id] == "failed"
    assert await count(production, tenant, "claims") == 7
    assert len([status for _, status in loaded.outcomes if status == "needs_review"]) == 7
    reasons = await production.fetchval(
        "SELECT reasons FROM failed_claims WHERE tenant_id = $1", tenant
    )
    assert json.loads(reasons)[0]["code"] == "ProgramLimitExceededError"


async def test_commit_numbers_have_no_gaps_and_follow_the_order_of_commits(
    postgres, scored, production, tenant
):
    batches = [Batch([scored(f"C{n}")]) for n in range(20)]

    async def load_all(some):
        async with Link(postgres.loading_url(embedded.PRODUCTION), attempts=3) as own:
            target = Sink(own, tenant)
            return [(await target.load(batch)).receipts[0].commit_seq for batch in some]

    numbers = await asyncio.gather(*(load_all(batches[start::4]) for start in range(4)))

    assert sorted(number for part in numbers for number in part) == list(range(1, 21))
    assert all(part == sorted(part) for part in numbers)
    ledger = await production.fetch(
        "SELECT commit_seq FROM batches WHERE tenant_id = $1 ORDER BY loaded_at", tenant
    )
    assert len(ledger) == 20


async def test_tenants_do_not_see_each_others_claims(postgres, link, scored, tenant):
    await Sink(link, tenant).load(Batch([scored("C1")]))

    other = await Sink(link, f"{tenant}-other").load(Batch([scored("C1", content=b"z")]))

    assert other.receipts[0].loaded == 1
    assert other.receipts[0].commit_seq == 1


async def test_a_lost_commit_reply_neither_loses_nor_doubles(
    load, link, scored, production, tenant
):
    batch = Batch([scored("C1")])
    commit_lost = iter([True])
    real = sink._close

    async def commit_then_lose(connection, *arguments):
        receipt = await real(connection, *arguments)
        if next(commit_lost, False):
            # Committed on the server; the client is cut off before it can learn so.
            await connection.execute("COMMIT")
            connection.terminate()
        return receipt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink, "_close", commit_then_lose)
        loaded = await load(batch)

    assert loaded.receipts[0].loaded == 1
    assert dict(loaded.outcomes) == {1: "needs_review"}
    assert [await count(production, tenant, table) for table in TABLES] == [1, 1, 2, 1, 1]


async def test_an_outage_in_the_middle_leaves_nothing_behind(load, scored, production, tenant):
    batch = Batch([scored("C1")])

    async def fail(*_):
        raise CountMismatchError("claims", 2, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink, "_close", fail)
        with pytest.raises(SinkError, match="nothing was committed"):
            await load(batch)

    assert [await count(production, tenant, table) for table in (*TABLES, "batches")] == [0] * 6
    assert (await load(batch)).receipts[0].loaded == 1


async def test_the_batch_id_follows_from_the_claims(scored):
    one, two = scored("C1"), scored("C2")

    assert Batch([one, two]).batch_id() == Batch([one, two]).batch_id()
    assert Batch([one]).batch_id() != Batch([one, two]).batch_id()
    assert isinstance(Batch().batch_id(), UUID)


async def test_durable_commit_is_the_default(link, scored, load, monkeypatch):
    seen = []
    real = sink._close

    async def look(connection, *arguments):
        seen.append(await connection.fetchval("SHOW synchronous_commit"))
        return await real(connection, *arguments)

    monkeypatch.setattr(sink, "_close", look)
    await link.run(lambda connection: connection.execute("SET synchronous_commit = off"))
    await load(Batch([scored("C1")]))

    assert seen == ["on"]


@pytest.mark.parametrize(
    ("units_milli", "rvu_total_e4"),
    [
        (1, 0),
        (999, 1),
        (1_000, 10_000),
        (10_000_000, 100_000_000),
        (12_345_678, 26_811),
        (999_999_999_999, 9_999_999_999),
        (100_010_000, -12_345),
    ],
)
async def test_decimals_arrive_to_the_last_digit(
    load, vault, scored, make_claim, production, tenant, units_milli, rvu_total_e4
):
    line = claim_pb2.ServiceLine(line_number=1, units_milli=units_milli)
    price = score_pb2.LineResult(line_number=1, rvu_total_e4=rvu_total_e4)
    claim = make_claim("C1", lines=0)
    claim.lines.append(line)
    result = score_pb2.ClaimResult(lines=[price])

    opened = Opened(scored("C1").leased, claim.SerializeToString(), facts_of(claim))
    await load(Batch([rows.load_claim(opened, result, (5, 9), vault, tenant)]))

    [row] = await production.fetch("SELECT * FROM claim_lines WHERE tenant_id = $1", tenant)
    assert row["units"] == Decimal(units_milli) / 1_000
    assert row["rvu_total"] == Decimal(rvu_total_e4) / 10_000
    assert (row["modifier_codes"], row["diagnosis_pointers"]) == ([], [])
    assert (row["service_date"], row["price_status"]) == (date(2025, 10, 6), "unspecified")


def test_scores_are_stored_half_up():
    assert [rows.score_e4(value) for value in (0.06425, 0.00005, 0.99995, 0.1, 0.049949999)] == [
        643,
        1,
        10_000,
        1_000,
        499,
    ]


async def test_dates_come_back_as_dates(load, scored, production, tenant):
    await load(Batch([scored("C1")]))

    assert await production.fetchval(
        "SELECT received_date FROM claims WHERE tenant_id = $1", tenant
    ) == date(2025, 10, 20)


async def test_a_server_that_is_gone_is_an_error_not_a_hang(tmp_path):
    with pytest.raises((OSError, asyncpg.PostgresError)):
        async with Link(f"postgresql://nobody@/none?host={tmp_path}", attempts=2):
            pass


async def test_a_batch_with_refused_rows_is_replayed_with_the_same_outcome(
    link, tenant, scored, production
):
    batch = Batch([scored("C1"), scored("BAD", service_to_date="2025-10-01"), scored("C2")])
    target = Sink(link, tenant)

    first, again = await target.load(batch), await target.load(batch)

    assert sorted(first.outcomes) == sorted(again.outcomes)
    assert first.receipts == again.receipts
    assert (first.loaded, again.already_loaded) == (2, 2)
    assert await count(production, tenant, "claims") == 2
    assert await count(production, tenant, "failed_claims") == 1


async def test_a_claim_that_stands_twice_is_loaded_in_the_place_of_the_refused_one(
    load, scored, production, tenant
):
    bad = scored("C1", content=b"a", service_to_date="2025-10-01")

    loaded = await load(Batch([bad, scored("C1", content=b"b")]))

    assert loaded.loaded == 1
    assert await count(production, tenant, "claims") == 1


async def test_a_claim_that_stands_twice_beside_a_refused_one_has_nothing_sent_again(
    link, scored, production, tenant
):
    sent = []

    async def noted(table, claims, owner):
        sent.append(table)
        async for part in stream_rows(table, claims, owner):
            yield part

    refused = scored("C1", service_to_date="2025-10-01")
    batch = Batch([refused, scored("C2", content=b"a"), scored("C2", content=b"b")])
    loaded = await Sink(link, tenant, stream=noted).load(batch)

    assert (loaded.loaded, len(loaded.failed)) == (1, 2)
    assert sorted(sent) == sorted(ROWS)
    assert await count(production, tenant, "failed_claims") == 2
