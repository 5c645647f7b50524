"""Staging, loader, service and Postgres: a claim of one run is judged by those of the last."""

import asyncpg
from claimgate.client import Client
from claimgate.v1 import claim_pb2, score_pb2

from loader import embedded, run, source
from loader.places import prepared_snapshot
from loader.settings import LoaderSettings

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


async def test_a_pair_across_two_loads_is_found_once_and_without_postgres_scoring_goes_on(
    own_postgres, started
):
    postgres, stop = own_postgres
    production = postgres.loading_url(embedded.PRODUCTION)
    async with started(prepared_snapshot(), production_url=production, key_hex=KEY) as service:
        settings = LoaderSettings(
            tenant="demo",
            staging_url=postgres.loading_url(embedded.STAGING),
            production_url=production,
            service_address=service.address,
            key_hex=KEY,
        )

        async def load(sent: claim_pb2.Claim) -> score_pb2.ClaimResult:
            """Stage and load a claim; return the answer that production holds."""
            staging = await asyncpg.connect(settings.staging_url)
            claims = [source.Submitted(sent)]
            await source.stage_claims(staging, settings.vault(), "demo", claims)
            await staging.close()
            assert (await run.run(settings)).loaded == 1
            admin = await asyncpg.connect(postgres.superuser_url(embedded.PRODUCTION))
            query = "SELECT answer FROM claim_results WHERE claim_id = $1"
            answer = await admin.fetchval(query, sent.claim_id)
            await admin.close()
            return score_pb2.ClaimResult.FromString(answer)

        first, second = await load(claim("A", "45385")), await load(claim("B", "45380"))
        async with Client(service.address) as client:
            alone = await client.score_batch([claim("C", "45380")])
            stop()
            without = await client.score_batch([claim("C", "45380")])

    def pairs(result: score_pb2.ClaimResult) -> list[str]:
        return [hit.rule_id for hit in result.hits if hit.rule_id.startswith("NCCI_")]

    assert (pairs(first), pairs(second)) == ([], ["NCCI_PTP"])
    assert alone.provenance.history_watermark == 2
    assert "NCCI_PTP" not in alone.provenance.partial_rule_ids
    assert pairs(alone.results[0]) == ["NCCI_PTP"]
    assert list(without.results[0].degraded) == ["history: unavailable"]
    assert "NCCI_PTP" in without.provenance.partial_rule_ids
    assert pairs(without.results[0]) == []
