"""Service, Postgres and memcached: a tenant's fee prices a line, whatever of the two dies."""

import asyncio

import asyncpg
import pytest
from claimgate.client import Client
from claimgate.v1 import claim_pb2, score_pb2

from loader import embedded
from loader.fees import load_fees
from loader.places import prepared_snapshot

HEADER = "code,setting,rate_kind,rate,net"


def claim(claim_id: str, *codes: str) -> claim_pb2.Claim:
    return claim_pb2.Claim(
        claim_id=claim_id,
        claim_type=claim_pb2.CLAIM_TYPE_PROFESSIONAL,
        facility_id="F1",
        patient_account_number="A1",
        person_id="MEMBER",
        payer_id="PAYER",
        patient_date_of_birth="1960-02-29",
        patient_sex="F",
        service_from_date="2025-10-06",
        service_to_date="2025-10-06",
        received_date="2025-10-20",
        total_charge_cents=99_999 * len(codes),
        place_of_service="11",
        diagnoses=[claim_pb2.Diagnosis(code="K635")],
        billing_provider=claim_pb2.Provider(
            npi="1234567893", taxonomy="207RG0100X", last_or_org_name="Clinic", zip="10001"
        ),
        lines=[
            claim_pb2.ServiceLine(
                line_number=number,
                service_from_date="2025-10-06",
                procedure_code=code,
                units_milli=1_000,
                charge_cents=99_999,
                diagnosis_pointers=[1],
            )
            for number, code in enumerate(codes, 1)
        ],
    )


async def load(postgres, tmp_path, *lines):
    path = tmp_path / "fees.csv"
    path.write_text("\n".join((HEADER, *lines)))
    connection = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
    try:
        return await load_fees(connection, "demo", path)
    finally:
        await connection.close()


def told(answer):
    """What a line says of its price."""
    [line] = answer.results[0].lines
    return line.allowed_cents, line.no_price_reason, score_pb2.PriceBasis.Name(line.price_basis)


@pytest.fixture
def settings(own_postgres):
    postgres, _ = own_postgres
    return {
        "production_url": postgres.loading_url(embedded.PRODUCTION),
        "fees_poll_ms": "20",
        "database_query_ms": "2000",
    }


async def test_prices_stay_when_memcached_dies_and_are_withheld_when_postgres_dies(
    own_postgres, settings, started, memcached_process, tmp_path
):
    postgres, stop = own_postgres
    node = memcached_process()
    await load(
        postgres,
        tmp_path,
        "99213,any,cents_per_unit,77.00,no",
        "99214,any,percent_of_fee,1.1,no",
        "99215,any,percent_of_charge,0.5,no",
    )
    own, charge = "PRICE_BASIS_TENANT_FEE", "PRICE_BASIS_CHARGE"
    more = {"memcached": node.address, "fees_cache_ttl_ms": "1"}
    async with (
        started(prepared_snapshot(), **settings, **more) as service,
        Client(service.address) as client,
    ):

        async def ask(code: str):
            return await client.score_batch([claim("A", code)])

        before = [await ask(code) for code in ("99213", "99214", "99215", "93000")]
        node.stop()
        without_node = [await ask(code) for code in ("99213", "99214", "99215", "93000")]
        stop()
        without_both = [await ask(code) for code in ("99213", "93000")]

    assert told(before[0]) == (77_00, "", own)
    assert told(before[1])[1:] == ("", own)
    assert told(before[2]) == (499_99 + 1, "", charge)
    assert told(before[3])[2] == "PRICE_BASIS_FEE_SCHEDULE"
    assert {each.provenance.fee_schedule_version for each in before} == {1}
    assert [list(each.results) for each in without_node] == [list(each.results) for each in before]
    assert {told(each) for each in without_both} == {
        (0, "fees_unavailable", "PRICE_BASIS_UNSPECIFIED")
    }
    for each in without_both:
        assert list(each.results[0].degraded) == ["fees: unavailable"]
        assert each.provenance.fee_schedule_version == 1


async def test_first_schedule_is_taken_up_and_prices_on_from_the_process_without_postgres(
    own_postgres, settings, started, tmp_path
):
    postgres, stop = own_postgres
    async with (
        started(prepared_snapshot(), **settings) as service,
        Client(service.address) as client,
    ):
        without = await client.score_batch([claim("A", "99213", "93000")])
        await load(postgres, tmp_path, "99213,any,cents_per_unit,77.00,no")
        before = without
        async with asyncio.timeout(10):
            while not before.provenance.fee_schedule_version:
                before = await client.score_batch([claim("A", "99213", "93000")])
        stop()
        known = await client.score_batch([claim("A", "99213", "93000")])
        partly = await client.score_batch([claim("A", "99213"), claim("B", "99214")])

    bases = [[each.price_basis for each in answer.results[0].lines] for answer in (without, before)]
    schedule, own = score_pb2.PRICE_BASIS_FEE_SCHEDULE, score_pb2.PRICE_BASIS_TENANT_FEE
    assert bases == [[schedule, schedule], [own, schedule]]
    assert list(known.results) == list(before.results)
    assert [each.lines[0].no_price_reason for each in partly.results] == ["", "fees_unavailable"]


async def test_database_without_the_migration_ends_the_start(own_postgres, failed_start):
    from loader import migrate

    postgres, _ = own_postgres
    await migrate.downgrade(postgres.migrating_url(embedded.PRODUCTION), "production", "0004")

    status, errors = await failed_start(
        prepared_snapshot(), production_url=postgres.loading_url(embedded.PRODUCTION)
    )

    assert status != 0
    assert "fee schedules" in errors
