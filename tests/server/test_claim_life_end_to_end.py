"""Staging, loader, service and Postgres: a claim from its submission to its void."""

import asyncio

import asyncpg
import pytest
from claimgate.client import Client
from claimgate.v1 import claim_pb2, score_pb2

from loader import embedded, source
from loader.places import prepared_snapshot
from loader.run import run
from loader.settings import LoaderSettings
from loader.source import Submitted

KEY = bytes(range(32)).hex()


def claim(claim_id: str, **fields) -> claim_pb2.Claim:
    values = {
        "claim_id": claim_id,
        "claim_type": claim_pb2.CLAIM_TYPE_PROFESSIONAL,
        "facility_id": "F1",
        "patient_account_number": "A1",
        "person_id": "MEMBER",
        "payer_id": "PAYER",
        "patient_date_of_birth": "1960-02-29",
        "patient_sex": "F",
        "service_from_date": "2025-10-06",
        "service_to_date": "2025-10-06",
        "received_date": "2025-10-20",
        "total_charge_cents": 10_000,
        "place_of_service": "11",
        "diagnoses": [claim_pb2.Diagnosis(code="I10")],
        "billing_provider": claim_pb2.Provider(
            npi="1234567893", taxonomy="207RG0100X", last_or_org_name="Clinic", zip="10001"
        ),
        "lines": [
            claim_pb2.ServiceLine(
                line_number=1,
                service_from_date="2025-10-06",
                procedure_code="99213",
                units_milli=1_000,
                charge_cents=10_000,
                diagnosis_pointers=[1],
            )
        ],
    }
    return claim_pb2.Claim(**(values | fields))


@pytest.fixture
def settings(own_postgres):
    postgres, _ = own_postgres
    return LoaderSettings(
        tenant="demo",
        staging_url=postgres.loading_url(embedded.STAGING),
        production_url=postgres.loading_url(embedded.PRODUCTION),
        key_hex=KEY,
    )


async def test_from_submission_to_void(settings, started):
    staging = await asyncpg.connect(settings.staging_url)

    async def load(address, *claims):
        await source.stage_claims(staging, settings.vault(), "demo", map(Submitted, claims))
        return await run(settings.model_copy(update={"service_address": address}))

    async def hits(client, claim_id):
        return {hit.rule_id for hit in (await client.claims.get(claim_id)).result.hits}

    urls = {name: getattr(settings, name) for name in ("production_url", "staging_url")}
    async with (
        started(prepared_snapshot(), key_hex=KEY, **urls) as process,
        Client(process.address) as client,
    ):
        await load(process.address, claim("C1", batch_id="B"))
        [ended] = [progress async for progress in client.batches.watch("B")]
        await load(process.address, claim("SAME-BILL"))
        amended = await client.claims.amend(
            "C1", claim_pb2.Claim(patient_sex="M"), base_version=1, fields=["patient_sex"]
        )
        await load(process.address)
        await client.claims.void("C1", base_version=2)
        await load(process.address)
        versions = await client.claims.versions("C1")
        stored = await client.claims.get("C1", version=2)

        assert ended.has_ended
        assert sum(ended.claims_by_decision.values()) == 1
        assert amended.claim_version == 2
        assert [v.frequency_code for v in versions] == ["1", "7", "8"]
        assert [v.superseded_by_version for v in versions] == [2, 3, 0]
        # Judged by what was loaded before, and never by its own former versions.
        assert "DUPLICATE_EXACT" in await hits(client, "SAME-BILL")
        assert not [hit for hit in stored.result.hits if "C1" in hit.evidence.values()]
        assert stored.result.decision != score_pb2.DECISION_REJECT
        assert stored.provenance.history_watermark == 2
    await staging.close()


async def test_a_batch_is_watched_and_cancelled_while_it_runs(settings, started):
    staging = await asyncpg.connect(settings.staging_url)
    claims = [claim(f"C{n}", person_id=f"M{n}", batch_id="B") for n in range(120)]
    await source.stage_claims(staging, settings.vault(), "demo", map(Submitted, claims))
    urls = {name: getattr(settings, name) for name in ("production_url", "staging_url")}
    leased = asyncio.Event()
    async with (
        started(prepared_snapshot(), key_hex=KEY, **urls) as process,
        Client(process.address) as client,
    ):
        slow = settings.model_copy(
            update={
                "service_address": process.address, "lease_claims": 10, "message_claims": 5,
                "messages_waiting_max": 1, "batch_claims": 10, "batches_waiting_max": 1,
            }
        )  # fmt: skip
        running = asyncio.create_task(run(slow, lambda _event: leased.set()))
        await leased.wait()
        done = await client.batches.cancel("B", reason="sent twice")
        summary = await running
        heard = [progress async for progress in client.batches.watch("B")]

    assert done.cancelled_count > 0
    assert summary.loaded + done.cancelled_count == 120
    assert heard[-1].claims_by_status["cancelled"] == done.cancelled_count
    assert sum(heard[-1].claims_by_decision.values()) == summary.loaded
    await staging.close()


async def test_messages_of_more_entries_than_the_service_takes_are_cut(settings, started):
    staging = await asyncpg.connect(settings.staging_url)
    claims = [claim(f"C{n}", person_id=f"M{n}") for n in range(400)]
    await source.stage_claims(staging, settings.vault(), "demo", map(Submitted, claims))
    async with started(prepared_snapshot(), message_entries_max="150") as process:
        summary = await run(settings.model_copy(update={"service_address": process.address}))

    assert (summary.loaded, summary.failed) == (400, 0)
    await staging.close()
