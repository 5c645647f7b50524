"""Staging, loader, service and Postgres: a claim of one run is judged by those of the last."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
from claimgate.client import Client
from claimgate.v1 import claim_pb2, score_pb2

from loader import embedded, run, source
from loader.places import prepared_snapshot
from loader.settings import LoaderSettings
from tests.replicas import replica_of

KEY = bytes(range(32)).hex()


def claim(claim_id: str, code: str, day: str = "2025-10-06") -> claim_pb2.Claim:
    return claim_pb2.Claim(
        claim_id=claim_id,
        claim_type=claim_pb2.CLAIM_TYPE_PROFESSIONAL,
        facility_id="F1",
        patient_account_number="A1",
        person_id="MEMBER",
        payer_id="PAYER",
        patient_date_of_birth="1960-02-29",
        patient_sex="F",
        service_from_date=day,
        service_to_date=day,
        received_date="2025-10-20",
        total_charge_cents=10_000,
        place_of_service="11",
        diagnoses=[claim_pb2.Diagnosis(code="K635")],
        billing_provider=claim_pb2.Provider(
            npi="1234567893", taxonomy="207RG0100X", last_or_org_name="Clinic", zip="10001"
        ),
        lines=[
            claim_pb2.ServiceLine(
                line_number=1,
                service_from_date=day,
                procedure_code=code,
                units_milli=1_000,
                charge_cents=10_000,
                diagnosis_pointers=[1],
            )
        ],
    )


async def load(postgres, service, sent: claim_pb2.Claim) -> score_pb2.ClaimResult:
    """Stage and load a claim; return the answer that production holds."""
    settings = LoaderSettings(
        tenant="demo",
        staging_url=postgres.loading_url(embedded.STAGING),
        production_url=postgres.loading_url(embedded.PRODUCTION),
        service_address=service.address,
        key_hex=KEY,
    )
    staging = await asyncpg.connect(settings.staging_url)
    await source.stage_claims(staging, settings.vault(), "demo", [source.Submitted(sent)])
    await staging.close()
    assert (await run.run(settings)).loaded == 1
    admin = await asyncpg.connect(postgres.superuser_url(embedded.PRODUCTION))
    query = "SELECT answer FROM claim_results WHERE claim_id = $1"
    answer = await admin.fetchval(query, sent.claim_id)
    await admin.close()
    return score_pb2.ClaimResult.FromString(answer)


def pairs(result: score_pb2.ClaimResult) -> list[str]:
    return [hit.rule_id for hit in result.hits if hit.rule_id.startswith("NCCI_")]


async def test_a_pair_across_two_loads_is_found_once_and_without_postgres_scoring_goes_on(
    own_postgres, started
):
    postgres, stop = own_postgres
    production = postgres.loading_url(embedded.PRODUCTION)
    async with started(prepared_snapshot(), production_url=production, key_hex=KEY) as service:
        first = await load(postgres, service, claim("A", "45385"))
        second = await load(postgres, service, claim("B", "45380"))
        async with Client(service.address) as client:
            alone = await client.score_batch([claim("C", "45380")])
            stop()
            without = await client.score_batch([claim("C", "45380")])

    assert (pairs(first), pairs(second)) == ([], ["NCCI_PTP"])
    assert alone.provenance.history_watermark == 2
    assert "NCCI_PTP" not in alone.provenance.partial_rule_ids
    assert pairs(alone.results[0]) == ["NCCI_PTP"]
    assert list(without.results[0].degraded) == ["history: unavailable"]
    assert "NCCI_PTP" in without.provenance.partial_rule_ids
    assert pairs(without.results[0]) == []


async def caught_up(primary, replica) -> None:
    """Wait until a replica has all that was committed."""
    at = await asyncpg.connect(primary.superuser_url())
    committed = await at.fetchval("SELECT pg_current_wal_lsn()")
    await at.close()
    behind = await asyncpg.connect(replica.superuser_url())
    query = "SELECT pg_last_wal_replay_lsn() >= $1"
    async with asyncio.timeout(30):
        while not await behind.fetchval(query, committed):  # noqa: ASYNC110 - no event is sent
            await asyncio.sleep(0.02)
    await behind.close()


async def test_history_from_a_replica_is_as_of_the_commit_it_has_got_to(own_postgres, started):
    postgres, _ = own_postgres
    urls = {"production_url": postgres.loading_url(embedded.PRODUCTION)}
    async with AsyncExitStack() as replica_runs:
        replica = await replica_runs.enter_async_context(replica_of(postgres))
        urls["history_url"] = replica.loading_url(embedded.PRODUCTION)
        async with (
            started(prepared_snapshot(), key_hex=KEY, **urls) as service,
            Client(service.address) as client,
        ):
            new = [claim("C", "45380")]
            follower = await asyncpg.connect(replica.superuser_url())
            await follower.execute("SELECT pg_wal_replay_pause()")
            await load(postgres, service, claim("A", "45385"))
            behind = await client.score_batch(new)

            await follower.execute("SELECT pg_wal_replay_resume()")
            await follower.close()
            await caught_up(postgres, replica)
            level = await client.score_batch(new)

            await replica_runs.aclose()
            without = await client.score_batch(new)

    assert behind.provenance.history_watermark == 0
    assert pairs(behind.results[0]) == []
    assert level.provenance.history_watermark == 1
    assert pairs(level.results[0]) == ["NCCI_PTP"]
    assert list(without.results[0].degraded) == ["history: unavailable"]
