"""A run takes every pending claim to its end, exactly once, whatever dies on the way."""

import asyncio
import json
from collections import Counter

import asyncpg
import pytest
from claimgate.client import CallError
from claimgate.v1.claim_pb2 import Claim
from claimgate.v1.scoring_service_pb2 import ScoreClaimsRequest

from loader import embedded, messages, progress, source
from loader.opened import Opened, facts_of
from loader.run import run
from loader.score_step import ServiceAtFaultError
from loader.source import Leased, Submitted

TABLES = ("claim_keys", "claims", "claim_results")


@pytest.fixture
def stage(staging, vault, tenant):
    async def put(*claims):
        await source.stage_claims(staging, vault, tenant, map(Submitted, claims))

    return put


@pytest.fixture
def statuses(staging, tenant):
    async def read():
        return await source.count_by_status(staging, tenant)

    return read


async def count(production, tenant, table):
    query = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"  # noqa: S608  our own table names
    return await production.fetchval(query, tenant)


async def test_every_claim_reaches_its_end(
    settings, stage, statuses, make_claim, production, tenant
):
    names = ["ok"] * 60 + ["review"] * 8 + ["deny"] * 4 + ["reject"] * 3
    await stage(*(make_claim(f"{name}-{n}") for n, name in enumerate(names)))

    summary = await run(settings)

    assert await statuses() == {"completed": 64, "needs_review": 8, "failed": 3}
    assert [await count(production, tenant, table) for table in TABLES] == [72, 72, 72]
    assert (summary.claims_in, summary.scored, summary.loaded, summary.failed) == (75, 75, 72, 3)
    assert summary.decisions == {"approve": 60, "review": 8, "deny": 4, "reject": 3}
    assert summary.rules == {"NCCI_PTP": 12}
    assert summary.failures == {"V06": 3, "V02": 3}
    assert summary.exposure_cents == 12 * 4_000
    assert summary.charged_cents == 75 * 20_000
    assert summary.claims_per_s > 0


async def test_a_refused_claim_is_kept_with_every_reason(
    settings, stage, make_claim, production, tenant
):
    await stage(make_claim("reject-1"))

    await run(settings)

    [row] = await production.fetch("SELECT * FROM failed_claims WHERE tenant_id = $1", tenant)
    assert [reason["code"] for reason in json.loads(row["reasons"])] == ["V06", "V02"]
    assert (row["processing_stage"], row["failure_category"]) == ("score", "validation")


async def test_a_claim_that_the_service_set_aside_failed_by_the_service(
    settings, stage, make_claim, production, tenant
):
    await stage(make_claim("aside-1"), make_claim("ok-1"))

    await run(settings)

    [row] = await production.fetch("SELECT * FROM failed_claims WHERE tenant_id = $1", tenant)
    assert (row["claim_id"], row["failure_category"]) == ("aside-1", "service_fault")


async def test_test_claims_are_scored_and_never_written(
    settings, stage, statuses, make_claim, production, tenant
):
    await stage(make_claim("review-test", is_test=True), make_claim("ok-1"))

    summary = await run(settings)

    assert (summary.scored, summary.loaded, summary.tests) == (2, 1, 1)
    assert await statuses() == {"completed": 2}
    assert [await count(production, tenant, table) for table in TABLES] == [1, 1, 1]


async def test_the_releases_behind_the_answers_are_kept(
    settings, stage, make_claim, production, tenant
):
    await stage(make_claim("ok-1"), make_claim("ok-2"))

    await run(settings)

    [row] = await production.fetch(
        "SELECT DISTINCT p.*, r.history_watermark FROM provenances AS p "
        "JOIN claim_results AS r USING (tenant_id, provenance_id) WHERE tenant_id = $1",
        tenant,
    )
    assert (row["reference_release"], row["model_version"]) == ("snapshot-1", "7/litert")
    assert (row["partial_rule_ids"], row["history_watermark"]) == (["DUPLICATE_SAME_DAY"], 3)


async def test_a_members_claims_travel_in_one_message(settings, stage, scorer, make_claim):
    await stage(*(make_claim(f"ok-{n}", member=f"M{n % 7}") for n in range(70)))

    await run(settings)

    carried = Counter()
    for ids in scorer.messages:
        carried.update({f"M{int(claim_id[3:]) % 7}" for claim_id in ids})
    assert set(carried.values()) == {1}


async def test_one_poisoned_claim_costs_itself_only(
    settings, stage, statuses, make_claim, production, tenant
):
    claims = [make_claim(f"ok-{n}") for n in range(45)]
    claims[13] = make_claim("poison-1")
    await stage(*claims)

    summary = await run(settings)

    assert await statuses() == {"completed": 44, "failed": 1}
    assert await count(production, tenant, "claims") == 44
    assert summary.failures == {"INTERNAL": 1}
    [row] = await production.fetch("SELECT * FROM failed_claims WHERE tenant_id = $1", tenant)
    assert (row["claim_id"], row["failure_category"]) == ("poison-1", "service_fault")


async def test_each_message_with_a_poisoned_claim_is_sought_through_once(
    settings, stage, statuses, make_claim, scorer
):
    await stage(*(make_claim(f"poison-{n}" if n % 10 == 3 else f"ok-{n}") for n in range(100)))

    await run(settings)

    assert await statuses() == {"completed": 90, "failed": 10}
    # The stream, perhaps once more; the whole message, a quarter, alone: not once a bad claim.
    assert max(scorer.calls.values()) <= 5


async def test_a_service_that_fails_on_everything_ends_the_run(
    settings, stage, statuses, make_claim
):
    await stage(*(make_claim(f"poison-{n}") for n in range(30)))

    with pytest.raises(CallError, match="INTERNAL"):
        await run(settings.model_copy(update={"service_faults_max": 5}))

    assert (await statuses())["pending"] >= 24


async def test_a_service_that_sets_everything_aside_ends_the_run(settings, stage, make_claim):
    await stage(*(make_claim(f"aside-{n}") for n in range(30)))

    with pytest.raises(ServiceAtFaultError, match="failed on 6 claims"):
        await run(settings.model_copy(update={"service_faults_max": 5}))


async def test_a_service_that_is_gone_leaves_claims_pending_and_counts_no_attempt(
    settings, stage, statuses, make_claim, staging, tenant
):
    await stage(make_claim("ok-1"))
    away = settings.model_copy(update={"service_address": "127.0.0.1:9"})

    with pytest.raises(CallError, match="UNAVAILABLE"):
        await run(away)

    assert await statuses() == {"pending": 1}
    [leased] = await source.lease(staging, tenant, "me", claims=1, seconds=0)
    assert leased.attempts == 1


async def test_an_unreadable_payload_is_a_failed_claim(
    settings, stage, statuses, make_claim, postgres, tenant
):
    await stage(make_claim("ok-1"), make_claim("ok-2"))
    admin = await asyncpg.connect(postgres.superuser_url(embedded.STAGING))
    await admin.execute(
        "UPDATE claims SET payload_encrypted = set_byte(payload_encrypted, 40, "
        "get_byte(payload_encrypted, 40) # 255) WHERE claim_id = 'ok-1' AND tenant_id = $1",
        tenant,
    )
    await admin.close()

    summary = await run(settings)

    assert summary.failures == {"PAYLOAD_SEALED": 1}
    assert await statuses() == {"completed": 1, "failed": 1}


async def test_a_claim_that_takes_loaders_down_is_set_aside(
    settings, stage, statuses, make_claim, staging, tenant
):
    await stage(make_claim("ok-1"))
    async with source.tenant_transaction(staging, tenant):
        await staging.execute("UPDATE claim_states SET attempts = $1", settings.attempts_max)

    summary = await run(settings)

    assert summary.failures == {"ATTEMPTS_EXHAUSTED": 1}
    assert await statuses() == {"failed": 1}


async def test_two_loaders_share_the_work_and_double_nothing(
    settings, stage, statuses, make_claim, production, tenant
):
    await stage(*(make_claim(f"ok-{n}") for n in range(200)))

    done = await asyncio.gather(run(settings), run(settings))
    rest = await run(settings)

    assert sum(summary.loaded for summary in (*done, rest)) == 200
    assert await statuses() == {"completed": 200}
    assert [await count(production, tenant, table) for table in TABLES] == [200, 200, 200]


async def test_a_run_without_pending_claims_does_nothing(settings):
    summary = await run(settings)

    assert (summary.claims_in, summary.loaded, summary.claims_per_s) == (0, 0, 0.0)


async def test_events_add_up_to_the_summary(settings, stage, make_claim):
    await stage(*(make_claim(f"{name}-{n}") for n, name in enumerate(["ok"] * 30 + ["reject"] * 5)))
    events = []

    summary = await run(settings, events.append)

    def total(kind):
        return sum(event.claims for event in events if isinstance(event, kind))

    assert total(progress.ClaimsLeased) == summary.claims_in == 35
    assert total(progress.ClaimsScored) == summary.scored == 35
    assert total(progress.BatchLoaded) == summary.loaded == 30
    assert total(progress.ClaimsFailed) == summary.failed == 5


# Messages. --------------------------------------------------------------------------------


def item(number, member, size=100):
    leased = Leased(number, f"C{number}", 1, b"", member, 1, b"")
    return Opened(leased, bytes(size), facts_of(Claim()))


def shape(formed):
    return [[claim.leased.staging_id for claim in message.claims] for message in formed]


def test_messages_are_filled_with_whole_members():
    claims = [item(1, b"a"), item(2, b"b"), item(3, b"c"), item(4, b"a"), item(5, b"b")]

    formed = shape(messages.form(claims, claims_max=4, bytes_max=10_000))

    assert formed == [[1, 4, 2, 5], [3]]


def test_a_big_member_has_a_message_of_its_own():
    claims = [item(1, b"x"), *(item(n, b"a") for n in range(2, 8)), item(8, b"y")]

    formed = shape(messages.form(claims, claims_max=4, bytes_max=10_000))

    assert formed == [[1], [2, 3, 4, 5, 6, 7], [8]]


def test_only_bytes_cut_a_member():
    claims = [item(n, b"a", size=400) for n in range(5)]

    formed = shape(messages.form(claims, claims_max=100, bytes_max=1_000))

    assert formed == [[0, 1], [2, 3], [4]]


def test_a_message_is_the_request_that_its_claims_make():
    claims = [Claim(claim_id="C1"), Claim(claim_id="C2" * 200), Claim(claim_id="C3")]
    opened = [
        Opened(item(number, b"a").leased, claim.SerializeToString(), facts_of(claim))
        for number, claim in enumerate(claims)
    ]

    request = ScoreClaimsRequest.FromString(messages.message_of(opened).request())

    assert list(request.batch.claims) == claims
    assert messages.message_of(opened).batch() == request.batch
