"""Staging, service, production: a claim that failed is repaired, retried over gRPC and loaded."""

import os

import asyncpg
import pytest
from claimgate.client import Client
from claimgate.v1 import claim_pb2
from claimgate.v1 import failed_claim_pb2 as pb

from loader import embedded
from loader.failed.repairs import repair, undo
from loader.places import prepared_snapshot
from loader.run import run
from loader.settings import LoaderSettings
from loader.source import Submitted, stage_claims, tenant_transaction

KEY = os.urandom(32).hex()


def claim(claim_id: str, *numbers: int, **fields) -> claim_pb2.Claim:
    values = {
        "claim_id": claim_id,
        "claim_type": claim_pb2.CLAIM_TYPE_PROFESSIONAL,
        "facility_id": "F1",
        "patient_account_number": "A1",
        "person_id": claim_id,
        "payer_id": "PAYER",
        "patient_last_name": "Canarysson",
        "patient_date_of_birth": "1960-02-29",
        "service_from_date": "2025-10-06",
        "service_to_date": "2025-10-06",
        "received_date": "2025-10-20",
        "total_charge_cents": 10_000 * len(numbers),
        "place_of_service": "11",
        "diagnoses": [claim_pb2.Diagnosis(code="I10")],
        "billing_provider": claim_pb2.Provider(npi="1234567893", zip="10001"),
        "lines": [
            claim_pb2.ServiceLine(
                line_number=number,
                service_from_date="2025-10-06",
                procedure_code=code,
                units_milli=1_000,
                charge_cents=10_000,
                diagnosis_pointers=[1],
            )
            for number, code in zip(numbers, ("99213", "85025", "80053"), strict=False)
        ],
    }
    return claim_pb2.Claim(**(values | fields))


@pytest.fixture
def loader_settings(own_postgres):
    postgres, _ = own_postgres
    return LoaderSettings(
        tenant="demo",
        staging_url=postgres.loading_url(embedded.STAGING),
        production_url=postgres.loading_url(embedded.PRODUCTION),
        key_hex=KEY,
    )


@pytest.fixture
async def production(loader_settings):
    connection = await asyncpg.connect(loader_settings.production_url)
    yield connection
    await connection.close()


async def test_from_failure_to_repair(loader_settings, production, started):
    vault = loader_settings.vault()
    staging = await asyncpg.connect(loader_settings.staging_url)
    sent = [
        claim("GOOD", 1, 2),
        claim("TWICE", 1, 1),
        claim("TOTAL", 1, 2, total_charge_cents=0),
        claim("LOST", 1, facility_id=""),
    ]
    await stage_claims(staging, vault, "demo", map(Submitted, sent))
    await staging.close()
    service = {"production_url": loader_settings.production_url, "key_hex": KEY}

    async with (
        started(prepared_snapshot(), failed_poll_ms="10", **service) as process,
        Client(process.address) as client,
    ):
        settings = loader_settings.model_copy(update={"service_address": process.address})
        first = await run(settings)
        failed = {each.claim_id: each async for each in client.failed_claims.list()}

        async with tenant_transaction(production, "demo"):
            for name in ("TWICE", "TOTAL"):
                await repair(production, vault, "demo", failed[name].failed_id)
            await undo(production, "demo", failed["TOTAL"].failed_id)
        await client.failed_claims.retry([failed["TOTAL"].failed_id])
        second = await run(settings)
        after = {
            name: await client.failed_claims.get(each.failed_id, include_payload=name == "TWICE")
            for name, each in failed.items()
        }

    assert (first.loaded, first.failed, second.loaded, second.failed) == (1, 3, 1, 1)
    codes = {name: {reason.code for reason in each.reasons} for name, each in failed.items()}
    assert codes == {"TWICE": {"V08"}, "TOTAL": {"V05"}, "LOST": {"V02"}}
    assert failed["TOTAL"].charge_cents == 20_000
    twice = after["TWICE"]
    assert twice.failed_claim.resolution == pb.FAILED_CLAIM_RESOLUTION_CORRECTED
    assert [line.line_number for line in twice.payload.lines] == [1, 2]
    undone = after["TOTAL"]
    assert (undone.failed_claim.status, undone.failed_claim.retry_count) == (
        pb.FAILED_CLAIM_STATUS_OPEN, 1,
    )  # fmt: skip
    assert undone.repairs[0].undo_author
    async with tenant_transaction(production, "demo"):
        loaded = await production.fetch("SELECT claim_id FROM claims ORDER BY 1")
    assert [row["claim_id"] for row in loaded] == ["GOOD", "TWICE"]
    [shown] = process.logged("failed_claim_opened")
    assert (shown["principal"], shown["failed_id"]) == ("development", failed["TWICE"].failed_id)
    assert not any("Canarysson" in line for line in process.lines)
