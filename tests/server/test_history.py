"""History: what was loaded is seen by the next pass, as of one commit, and by its tenant alone."""

import asyncio
from dataclasses import fields
from itertools import count

import numpy as np
import pytest
from claimgate.v1 import claim_pb2, score_pb2
from prometheus_client import CollectorRegistry

from engine.as_earlier import earlier_lines
from engine.columns import Batch
from engine.decode import decode
from engine.gathered import Gathered, ModelAnswer
from loader import batch as batches
from loader import embedded, rows, sink
from loader.link import Link
from loader.lookup import MEMBER, Lookup
from loader.opened import Opened, facts_of
from loader.source import Leased
from loader.vault import Vault
from server.database import open_database
from server.gather import Gatherer, Wanted
from server.history import HistoryClient
from server.metrics import Metrics

KEY = bytes(range(32))
_NUMBERS = count(1)


def claim(claim_id, *codes, day="2025-10-06", member="M1", denied=False, **changed):
    values = {
        "claim_id": claim_id,
        "claim_type": claim_pb2.CLAIM_TYPE_PROFESSIONAL,
        "facility_id": "F1",
        "patient_account_number": "A1",
        "person_id": member,
        "payer_id": "PAYER",
        "patient_date_of_birth": "1960-02-29",
        "service_from_date": day,
        "service_to_date": day,
        "received_date": "2025-10-20",
        "place_of_service": "11",
        "frequency_code": "1",
        "diagnoses": [claim_pb2.Diagnosis(code="E119"), claim_pb2.Diagnosis(code="I10")],
        "billing_provider": claim_pb2.Provider(
            npi="1234567893", taxonomy="207Q00000X", last_or_org_name="Clinic"
        ),
    }
    sent = claim_pb2.Claim(**(values | changed))
    for number, code in enumerate(codes or ("99213",), 1):
        sent.lines.add(
            line_number=number,
            procedure_code=code,
            modifiers=["59"],
            units_milli=1_000,
            charge_cents=10_000,
            service_from_date=day,
            diagnosis_pointers=[2],
        )
    sent.total_charge_cents = 10_000 * len(sent.lines)
    return sent


def pass_of(*claims) -> Batch:
    return decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)


@pytest.fixture
def load(postgres, tenant):
    """Load claims in one batch, as the loader does; gives the commit_seq."""

    async def load(*claims, of=tenant, decision=score_pb2.DECISION_APPROVE, denied=()):
        vault = Vault(KEY)
        batch = batches.Batch()
        for sent in claims:
            number = next(_NUMBERS)
            content = number.to_bytes(32, "big")
            key = vault.lookup(of, MEMBER, sent.person_id)
            leased = Leased(number, sent.claim_id, sent.claim_version or 1, content, key, 1, b"s")
            result = score_pb2.ClaimResult(decision=decision)
            for line in sent.lines:
                deny = line.line_number in denied
                result.lines.add(
                    line_number=line.line_number,
                    disposition=score_pb2.DISPOSITION_DENY if deny else score_pb2.DISPOSITION_PAY,
                )
            opened = Opened(leased, sent.SerializeToString(), facts_of(sent))
            batch.claims.append(rows.load_claim(opened, result, (1, 0), vault, of))
        async with Link(postgres.loading_url(embedded.PRODUCTION), attempts=1) as link:
            loaded = await sink.Sink(link, of).load(batch)
        assert loaded.loaded == len(claims)
        return loaded.receipts[-1].commit_seq

    return load


@pytest.fixture
async def client(postgres):
    url = postgres.loading_url(embedded.PRODUCTION)
    async with open_database(url, connections_max=2, query_s=5) as database:
        metrics = Metrics(CollectorRegistry(), 0.8)
        yield HistoryClient(database, Lookup(KEY), 5, metrics)


@pytest.fixture
def seen(client, tenant):
    """Ids of the earlier claims that a pass sees."""

    async def seen(*claims, watermark=None, of=tenant):
        committed = await client.of(pass_of(*claims), of, watermark)
        assert committed.degraded == ()
        return list(committed.history.claim_ids)

    return seen


async def test_a_later_pass_sees_what_was_committed_and_where_it_stands(load, client, tenant):
    await load(claim("A"))
    last = await load(claim("B", day="2025-10-07"))

    committed = await client.of(pass_of(claim("C")), tenant)

    assert (committed.history.watermark, list(committed.history.claim_ids)) == (last, ["A", "B"])


async def test_lines_come_back_as_a_claim_of_the_same_message_would_show_them(load, client, tenant):
    sent = claim("A", "99213", "45380", day="2025-02-28")
    sent.lines[1].ndc = "00002751001"
    sent.lines[1].revenue_code = "0450"
    sent.lines[1].is_rental = True
    sent.lines[1].rendering_provider.npi = "1245319599"
    await load(sent, denied=[2])

    history = (await client.of(pass_of(claim("C", day="2025-03-01")), tenant)).history

    expected = earlier_lines(pass_of(sent), np.arange(2), np.array([0, 0]))
    for column in fields(expected):
        found = getattr(history.lines, column.name)
        if column.name == "denied":
            assert found.tolist() == [False, True]
        else:
            assert found.tolist() == getattr(expected, column.name).tolist(), column.name
    assert not history.claims.in_process.any()
    assert history.claims.total_charge_cents.tolist() == [20_000]


async def test_a_claim_under_review_is_in_process(load, client, tenant):
    await load(claim("A"), decision=score_pb2.DECISION_REVIEW)

    history = (await client.of(pass_of(claim("C")), tenant)).history

    assert history.claims.in_process.tolist() == [True]


async def test_other_members_payers_and_tenants_are_not_seen(load, seen, tenant):
    await load(claim("A", member="M2"), claim("B", payer_id="OTHER"), claim("C"))
    await load(claim("D"), of=f"{tenant}-other")

    assert await seen(claim("X")) == ["C"]
    assert await seen(claim("X"), of=f"{tenant}-other") == ["D"]
    assert await seen(claim("X", payer_id=" payer ")) == ["C"]


async def test_a_member_whose_payer_is_written_in_two_ways_has_one_history(load, client, tenant):
    await load(claim("A"))

    both = pass_of(claim("X"), claim("Y", payer_id="payer"))
    history = (await client.of(both, tenant)).history

    assert list(history.claim_ids) == ["A", "A"]
    assert sorted(history.claims.member.tolist()) == [0, 1]


async def test_claims_beyond_the_look_back_are_left_out(load, seen):
    await load(claim("A", day="2024-08-31"), claim("B", day="2024-09-01"))

    assert await seen(claim("X", day="2025-10-06")) == ["B"]


@pytest.mark.parametrize("frequency", ["7", "8"])
async def test_replaced_and_voided_claims_are_gone_from_their_commit_on(load, seen, frequency):
    before = await load(claim("A"), claim("B"))
    await load(claim("C", frequency_code=frequency, payer_claim_control_number="a"))

    left = {"7": ["B", "C"], "8": ["B"]}[frequency]
    assert await seen(claim("X")) == left
    assert await seen(claim("X"), watermark=before) == ["A", "B"]


async def test_a_correction_that_moves_the_date_out_of_sight_still_counts(load, seen):
    await load(claim("A"))
    corrected = {"frequency_code": "7", "payer_claim_control_number": "A"}
    await load(claim("C", day="2023-10-06", **corrected))

    # The corrected claim is too old to be seen itself: its own days decide.
    history = await seen(claim("X"))

    assert "A" not in history


async def test_a_later_version_takes_the_place_of_the_former(load, client, tenant):
    await load(claim("A"))
    await load(claim("A", "99214", claim_version=2))

    history = (await client.of(pass_of(claim("X")), tenant)).history

    assert list(zip(history.claim_ids, history.claims.version.tolist(), strict=True)) == [("A", 2)]


async def test_an_earlier_watermark_gives_the_same_columns_after_more_loads(load, client, tenant):
    mark = await load(claim("A"), claim("B", "45380"))
    asked = pass_of(claim("X"))
    before = (await client.of(asked, tenant)).history
    for number in range(3):
        await load(claim(f"L{number}"), claim("A", claim_version=number + 2))

    again = (await client.of(asked, tenant, mark)).history

    assert again.watermark == before.watermark == mark
    assert list(again.claim_ids) == list(before.claim_ids)
    for table in ("claims", "lines", "provider_months"):
        one, other = getattr(before, table), getattr(again, table)
        for column in fields(one):
            mine, theirs = getattr(one, column.name), getattr(other, column.name)
            assert (mine.dtype, mine.tobytes()) == (theirs.dtype, theirs.tobytes()), column.name


async def test_what_is_not_committed_yet_is_not_seen(load, seen, postgres, tenant, monkeypatch):
    await load(claim("A"))
    reached, go_on = asyncio.Event(), asyncio.Event()
    close = sink._close

    async def held(*arguments):
        reached.set()
        await go_on.wait()
        return await close(*arguments)

    monkeypatch.setattr(sink, "_close", held)
    loading = asyncio.create_task(load(claim("B")))
    await reached.wait()

    during = await seen(claim("X"))
    go_on.set()
    await loading

    assert during == ["A"]
    assert await seen(claim("X")) == ["A", "B"]


async def test_months_of_a_biller_add_up_and_replacements_are_no_new_claims(load, client, tenant):
    mark = await load(claim("A", "99213", "99214"), claim("B", day="2025-09-30"))
    await load(claim("C"), claim("D", frequency_code="7", payer_claim_control_number="C"))

    async def months(watermark=None):
        found = (await client.of(pass_of(claim("X")), tenant, watermark)).history.provider_months
        columns = (found.month.astype(str), found.claims, found.lines, found.distinct_lines)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    assert await months() == [("2025-09-01", 1, 1, 1), ("2025-10-01", 2, 3, 3)]
    assert await months(mark) == [("2025-09-01", 1, 1, 1), ("2025-10-01", 1, 2, 2)]


async def test_nothing_committed_is_a_history_all_the_same(client, tenant):
    committed = await client.of(pass_of(claim("X")), tenant)

    assert (committed.history.watermark, len(committed.history.claims)) == (0, 0)
    assert committed.degraded == ()


async def test_a_database_that_is_too_slow_or_goes_away_is_said(load, postgres, tenant):
    await load(claim("A"))
    url, registry = postgres.loading_url(embedded.PRODUCTION), CollectorRegistry()
    async with open_database(url, connections_max=1, query_s=5) as database:
        slow = HistoryClient(database, Lookup(KEY), 0.000_001, Metrics(registry, 0.8))

        late = await slow.of(pass_of(claim("X")), tenant)
        up = registry.get_sample_value("claimgate_dependency_up", {"dependency": "history"})

    gone = await HistoryClient(database, Lookup(KEY), 5, Metrics(CollectorRegistry(), 0.8)).of(
        pass_of(claim("X")), tenant
    )

    assert (late.history, late.degraded, up) == (None, ("history: timeout",), 0)
    assert (gone.history, gone.degraded) == (None, ("history: unavailable",))


async def test_a_call_without_history_asks_nobody(client, tenant, load):
    await load(claim("A"))

    class Read:
        batch = pass_of(claim("X"))
        features = type("F", (), {"values": np.zeros((1, 7), np.float32)})

    gatherer = Gatherer(None, Metrics(CollectorRegistry(), 0.8), client)

    without = await gatherer.gather(Read, Wanted(tenant, history=False))
    with_it = await gatherer.gather(Read, Wanted(tenant))

    assert without == Gathered(ModelAnswer.disabled())
    assert list(with_it.history.claim_ids) == ["A"]
