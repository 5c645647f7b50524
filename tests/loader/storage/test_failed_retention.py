"""Failed claims that came to an end are deleted; what a hold names or may name stays."""

import asyncio
from datetime import date

import asyncpg
import pytest

from loader import migrate
from loader.storage.holds import place
from loader.storage.retention import actions, apply, due
from loader.storage.retention_policies import RetentionPolicy, set_policy

TODAY = date(2026, 11, 25)
OLD = "2018-03"
NPI = "1497758544"
BY = {"reason": "matter 1", "by": "counsel"}
FAILED = """
INSERT INTO failed_claims (tenant_id, claim_id, claim_version, content_sha256, batch_id,
    facility_id, failure_category, processing_stage, reasons, payload_encrypted, attempts, status,
    resolution, resolved_at)
VALUES ($1, $2, 1, 'content', gen_random_uuid(), $3, 'validation', 'score', '[]', 'sealed', 1, $4,
    CASE $4 WHEN 'resolved' THEN 'corrected' END,
    CASE $4 WHEN 'resolved' THEN $5::date::timestamp AT TIME ZONE 'UTC' END)
RETURNING failed_id
"""
NOTE = "INSERT INTO failed_claim_notes (tenant_id, failed_id, text) VALUES ($1, $2, 'called')"
REPAIR = """
INSERT INTO claim_repairs (tenant_id, failed_id, step, fields, before_sha256, after_sha256,
    values_encrypted, payload_encrypted, automatic)
VALUES ($1, $2, 'rederive_total', '{total_charge_cents}', 'b', 'a', 'v', 'p', false)
"""
LONG_AGO = date(2018, 3, 31)


@pytest.fixture
def fail(everything, load):
    """Have a claim failed, with a note and a repair, and say how it stands and since when."""

    async def fail(claim_id, status="resolved", on=LONG_AGO, *, tenant="acme", facility="F1"):
        if tenant not in load.sinks:
            await load(tenant, load.scored(tenant, f"other of {tenant}"))
        values = (tenant, claim_id, facility, status, on)
        failed_id = await everything.fetchval(FAILED, *values)
        await everything.execute(NOTE, tenant, failed_id)
        await everything.execute(REPAIR, tenant, failed_id)

    return fail


async def left_of(everything):
    """Claims that stand as failed; each with its note and repair, or there is none of it."""
    found = [
        row["claim_id"]
        for row in await everything.fetch("SELECT claim_id FROM failed_claims ORDER BY 1")
    ]
    for table in ("failed_claim_notes", "claim_repairs"):
        query = f"SELECT count(*) FROM {table} JOIN failed_claims USING (tenant_id, failed_id)"  # noqa: S608
        assert await everything.fetchval(query) == len(found)
        assert await everything.fetchval(f"SELECT count(*) FROM {table}") == len(found)  # noqa: S608
    return found


async def test_failed_claims_that_came_to_an_end_are_deleted_with_all_that_was_done_to_them(
    owner, everything, folder, delete, fail
):
    for number in range(3):
        await fail(f"ended {number}")
    await fail("ended since", on=date(2026, 11, 1))
    for status in ("open", "dead"):
        await fail(status, status)
    await fail("of another", tenant="bolt")
    await delete("acme", "failed")

    planned = await due(owner, TODAY)
    await apply(owner, folder, TODAY, at_once=2)

    assert [(each.kind, str(each.month), each.claims) for each in planned] == [("failed", OLD, 3)]
    assert await left_of(everything) == ["dead", "ended since", "of another", "open"]
    names = ("kind", "month", "claims", "rows", "held")
    done = [tuple(each[name] for name in names) for each in await actions(owner)]
    assert done == [("failed", OLD, 2, 6, 0), ("failed", OLD, 1, 3, 0)]
    # Who changed what stays: it holds no claim.
    assert await everything.fetchval("SELECT count(*) FROM failed_claim_status_changes") == 7


@pytest.mark.parametrize(
    ("scope", "value", "held"),
    [
        ("claim", "A", ["A"]),
        ("facility", "F1", ["A", "unread"]),
        ("member", b"M" * 16, ["A", "B", "unread"]),
        ("provider", NPI, ["A", "B", "unread"]),
        ("tenant", "", ["A", "B", "unread"]),
    ],
)
async def test_a_hold_keeps_failed_claims_that_it_names_or_may_name(
    owner, everything, folder, delete, fail, scope, value, held
):
    for claim_id, facility in (("A", "F1"), ("B", "F2"), ("unread", "")):
        await fail(claim_id, facility=facility)
    await delete("acme", "failed")
    await place(owner, "acme", scope, value, **BY)

    [planned] = await due(owner, TODAY)
    await apply(owner, folder, TODAY)

    assert (planned.claims, planned.held) == (3 - len(held), len(held))
    assert await left_of(everything) == held
    assert [(a["claims"], a["held"]) for a in await actions(owner)] == [(3 - len(held), len(held))]


async def test_a_failed_claim_that_is_reopened_meanwhile_stays(
    owner, everything, folder, delete, fail
):
    await fail("reopened")
    await fail("ended")
    await delete("acme", "failed")
    reopening = everything.transaction()
    await reopening.start()
    await everything.execute(
        "UPDATE failed_claims SET status = 'open', resolution = NULL, resolved_at = NULL "
        "WHERE claim_id = 'reopened'"
    )

    applying = asyncio.create_task(apply(owner, folder, TODAY))
    async with asyncio.timeout(10):
        while not await everything.fetchval(  # noqa: ASYNC110 - a lock has no event
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid' "
            "AND transactionid = pg_current_xact_id()::xid"
        ):
            await asyncio.sleep(0.01)
    await reopening.commit()
    await applying

    assert await left_of(everything) == ["reopened"]


async def test_failed_claims_are_not_archived(owner):
    policy = RetentionPolicy("acme", "failed", "archive", 72, "space", "clerk")

    with pytest.raises(ValueError, match="failed is not archived; expected keep or delete"):
        await set_policy(owner, policy)
    with pytest.raises(asyncpg.CheckViolationError, match="only_claims_are_archived"):
        await owner.execute(
            "INSERT INTO retention_policies (tenant_id, kind, action, keep_months, reason) "
            "VALUES ('acme', 'failed', 'archive', 72, 'space')"
        )


async def test_code_of_before_finds_no_policy_that_it_does_not_know(
    database, everything, delete, fail
):
    await fail("ended")
    for kind in ("claims", "failed", "staging"):
        await delete("acme", kind)

    await migrate.downgrade(database.owner, "production", "0011")
    kinds = [row["kind"] for row in await everything.fetch("SELECT kind FROM retention_policies")]
    forced = await everything.fetchval(
        "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'retention_policies'"
    )
    await migrate.upgrade(database.owner, "production")

    assert (kinds, forced) == (["claims"], True)
    assert await left_of(everything) == ["ended"]
