"""Claims of high value are lent first, and none waits for ever."""

import pytest

from loader import source
from loader.intake_files import take_in
from loader.settings import StagingSettings
from loader.source import HIGH_VALUE_PRIORITY, Submitted, priority_of

HIGH_CENTS = 50_000


@pytest.fixture
def stage(staging, vault, tenant):
    async def put(*claims, high_value_cents=None):
        return await source.stage_claims(
            staging, vault, tenant, map(Submitted, claims), high_value_cents=high_value_cents
        )

    return put


@pytest.fixture
def lend(staging, tenant):
    async def lease(claims):
        leased = await source.lease(staging, tenant, "me", claims=claims, seconds=60)
        return [each.claim_id for each in leased]

    return lease


@pytest.mark.parametrize(
    ("own", "cents", "priority"),
    [
        (0, HIGH_CENTS, 1),
        (0, HIGH_CENTS + 1, HIGH_VALUE_PRIORITY),
        (5, HIGH_CENTS + 1, HIGH_VALUE_PRIORITY),
        (9, HIGH_CENTS + 1, 9),
        (77, HIGH_CENTS, 9),
        (-3, HIGH_CENTS, 1),
    ],
)
def test_value_raises_a_priority_and_lowers_none(make_claim, own, cents, priority):
    claim = make_claim("C1", priority=own, total_charge_cents=cents)

    assert priority_of(claim, HIGH_CENTS) == priority


def test_without_a_limit_value_does_not_count(make_claim):
    assert priority_of(make_claim("C1", total_charge_cents=10**12)) == 1


async def test_claims_of_high_value_are_lent_before_older_ones(stage, lend, make_claim):
    await stage(
        make_claim("old"),
        make_claim("asked", priority=9),
        make_claim("dear", total_charge_cents=HIGH_CENTS + 1),
        make_claim("soon", priority=5),
        high_value_cents=HIGH_CENTS,
    )

    assert [await lend(1) for _ in range(4)] == [["asked"], ["dear"], ["soon"], ["old"]]


async def test_one_in_ten_that_are_lent_waits_longest(stage, lend, make_claim):
    await stage(
        *(make_claim(f"low-{n}") for n in range(5)),
        *(make_claim(f"high-{n}", priority=9) for n in range(100)),
    )

    first, second = await lend(20), await lend(20)

    assert first == [f"high-{n}" for n in range(20)] + ["low-0", "low-1"]
    assert second == [f"high-{n}" for n in range(20, 40)] + ["low-2", "low-3"]


async def test_a_claim_is_lent_though_urgent_ones_never_end(stage, lend, make_claim):
    """Behind K older claims it is lent within K / (a tenth of a lease) leases, and one more."""
    await stage(*(make_claim(f"older-{n}", priority=2) for n in range(10)), make_claim("low"))
    await stage(*(make_claim(f"high-{n}", priority=9) for n in range(20)))

    leases = 0
    while "low" not in await lend(20):
        leases += 1
        await stage(*(make_claim(f"more-{leases}-{n}", priority=9) for n in range(30)))

    assert leases == 10 // 2


async def test_of_one_priority_no_more_than_asked_for_is_lent(stage, lend, make_claim):
    await stage(*(make_claim(f"C{n}") for n in range(50)))

    assert await lend(20) == [f"C{n}" for n in range(20)]


async def test_intake_has_the_limit_from_its_settings(
    postgres, tenant, staging, tmp_path, make_claim
):
    from datetime import date

    from google.protobuf.json_format import MessageToJson

    from loader import embedded
    from loader.source import tenant_transaction

    claims = [make_claim("C1"), make_claim("C2", total_charge_cents=HIGH_CENTS + 1)]
    file = tmp_path / "claims.jsonl"
    file.write_text("\n".join(MessageToJson(each, indent=None) for each in claims))
    settings = StagingSettings(
        tenant=tenant,
        staging_url=postgres.loading_url(embedded.STAGING),
        key_hex=bytes(range(32)).hex(),
        high_value_cents=HIGH_CENTS,
    )

    [taken] = await take_in(settings, [file], ingest_date=date(2025, 11, 3))

    assert taken.staged == 2
    async with tenant_transaction(staging, tenant):
        rows = await staging.fetch(
            "SELECT priority FROM claim_states WHERE tenant_id = $1 ORDER BY staging_id", tenant
        )
    assert [row["priority"] for row in rows] == [1, HIGH_VALUE_PRIORITY]
