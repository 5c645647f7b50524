"""A failed claim goes through staging, service and load once more; its row says what came of it."""

import json

import pytest
from claimgate.v1 import claim_pb2

from loader import embedded, source
from loader.failed.backoff import Backoff
from loader.failed.repairs import repair
from loader.failed.retry import Retrier
from loader.run import run
from loader.source import Submitted, tenant_transaction
from tests.loader.failed.conftest import count


async def _give_reason(production, tenant, field, code):
    """Let a tenant's failed claims have failed for this."""
    await production.execute(
        "UPDATE failed_claims SET reasons = $2 WHERE tenant_id = $1",
        tenant,
        json.dumps([{"field": field, "code": code, "message": "is at fault"}]),
    )


async def test_a_failure_says_what_is_at_stake(failing, failed, make_claim):
    await failing(make_claim("reject-1", lines=3), "poison-1")

    rows = {row["claim_id"]: row for row in await failed()}
    refused, fault = rows["reject-1"], rows["poison-1"]
    assert (refused["failure_category"], refused["charge_cents"]) == ("validation", 30_000)
    assert (refused["facility_id"], refused["retries"], refused["status"]) == ("F1", 0, "open")
    assert refused["next_attempt_at"] is None
    assert fault["failure_category"] == "service_fault"
    wait = fault["next_attempt_at"] - fault["failed_at"]
    assert 29 < wait.total_seconds() < 61


async def test_a_retry_that_loads_resolves_the_claim_in_the_load(
    failing, failed, due, heal, settings, production, tenant
):
    await failing("poison-1", "ok-1")
    await due()
    heal()

    summary = await run(settings)

    [row] = await failed()
    assert (row["status"], row["resolution"], row["resolved_by"]) == (
        "resolved", "reloaded", "loader",
    )  # fmt: skip
    batch = await production.fetchval(
        "SELECT batch_id FROM claim_keys WHERE tenant_id = $1 AND claim_id = 'poison-1'", tenant
    )
    assert row["resolved_batch_id"] == batch
    assert (summary.loaded, await count(production, tenant, "claims")) == (1, 2)


async def test_a_retry_that_fails_counts_once_and_waits_longer(failing, failed, due, settings):
    await failing("poison-1")
    first = (await failed())[0]
    for expected in (1, 2, 3):
        await due()
        await run(settings)
        [row] = await failed()
        assert (row["retries"], row["status"]) == (expected, "open")

    assert row["attempts"] == 4
    assert row["failed_at"] == first["failed_at"]
    assert row["next_attempt_at"] - row["updated_at"] >= (Backoff(chance=lambda: 0.0).wait(3))


async def test_after_enough_retries_a_claim_is_dead_and_left_alone(failing, failed, due, settings):
    await failing("poison-1")
    settings = settings.model_copy(update={"retries_max": 2})
    for _ in range(3):
        await due()
        await run(settings)

    [row] = await failed()
    assert (row["status"], row["retries"], row["next_attempt_at"]) == ("dead", 2, None)


async def test_what_is_not_due_is_not_resubmitted(failing, failed, settings, scorer):
    await failing("poison-1", "reject-1")
    asked = scorer.calls.total()

    await run(settings)

    assert scorer.calls.total() == asked
    assert [row["status"] for row in await failed()] == ["open", "open"]


async def test_the_most_urgent_claims_go_first(failing, due, make_claim, retrier):
    await failing(
        make_claim("reject-small", lines=1),
        make_claim("reject-big", lines=9),
        make_claim("reject-middle", lines=4),
    )
    await due()

    leased = [(await retrier().lease(1))[0].claim_id for _ in range(3)]

    assert leased == ["reject-big", "reject-middle", "reject-small"]


async def test_a_repaired_claim_is_loaded_under_its_own_key_and_linked(
    failing, failed, make_claim, vault, links, tenant, settings, heal, production, staging
):
    claim = make_claim("reject-1")
    claim.lines[1].line_number = 1
    await failing(claim)
    await _give_reason(production, tenant, "lines[1].line_number", "V08")
    [row] = await failed()
    heal()

    async def apply(connection):
        async with tenant_transaction(connection, tenant):
            return await repair(connection, vault, tenant, row["failed_id"])

    repaired = await links[0].run(apply)
    await run(settings)

    [row] = await failed()
    assert [each.step for each in repaired] == ["renumber_lines"]
    assert (row["status"], row["resolution"]) == ("resolved", "corrected")
    stored = await production.fetchrow("SELECT * FROM claim_keys WHERE tenant_id = $1", tenant)
    assert stored["content_sha256"] == row["resubmitted_sha256"] != row["content_sha256"]
    async with tenant_transaction(staging, tenant):
        files = await staging.fetch("SELECT source_file FROM claims ORDER BY staging_id")
    assert [each["source_file"] for each in files] == ["", f"failed:{row['failed_id']}"]


async def test_a_repaired_claim_that_fails_again_stays_one_row(
    failing, failed, make_claim, vault, links, tenant, settings, production
):
    claim = make_claim("reject-1", total_charge_cents=0)
    await failing(claim)
    await _give_reason(production, tenant, "total_charge_cents", "V05")
    [row] = await failed()

    async def apply(connection):
        async with tenant_transaction(connection, tenant):
            await repair(connection, vault, tenant, row["failed_id"])

    await links[0].run(apply)
    await run(settings)

    [row] = await failed()
    assert (row["status"], row["retries"], row["charge_cents"]) == ("open", 1, 20_000)


async def test_steps_of_the_settings_are_applied_by_themselves_and_once(
    failing, failed, make_claim, settings, production, tenant
):
    claim = make_claim("reject-1")
    await failing(claim)
    await _give_reason(production, tenant, "lines[1].line_number", "V08")
    settings = settings.model_copy(update={"repair_steps": ("renumber_lines",)})

    await run(settings)
    await run(settings)

    [row] = await failed()
    assert (row["steps_tried"], row["retries"]) == (["renumber_lines"], 0)
    assert await count(production, tenant, "claim_repairs") == 0


async def test_a_claim_corrected_by_its_submitter_supersedes_the_failed_one(
    failing, failed, make_claim, settings, staging, vault, tenant, heal
):
    await failing("reject-1")
    heal()
    await source.stage_claims(
        staging, vault, tenant, [Submitted(make_claim("reject-1", facility_id="F2"))]
    )

    await run(settings)

    assert [row["resolution"] for row in await failed()] == ["superseded"]


async def test_other_content_that_came_too_late_stays_a_conflict(
    failing, failed, make_claim, settings
):
    await failing("ok-1")
    await failing(make_claim("ok-1", facility_id="F2"))

    await run(settings)

    [row] = await failed()
    assert (row["failure_category"], row["status"]) == ("conflict", "open")


async def test_a_test_claim_that_passes_is_resolved_though_it_is_not_loaded(
    failing, failed, due, make_claim, heal, settings, production, tenant
):
    await failing(make_claim("reject-1", is_test=True))
    await due()
    heal()

    await run(settings)
    await run(settings)

    assert [row["resolution"] for row in await failed()] == ["reloaded"]
    assert await count(production, tenant, "claims") == 0


async def test_a_claim_that_staging_no_longer_has_is_put_there_again(
    failing, failed, due, heal, settings, postgres, tenant, production
):
    import asyncpg

    await failing("reject-1")
    await due()
    heal()
    owner = await asyncpg.connect(postgres.superuser_url(embedded.STAGING))
    for table in ("claim_states", "claims"):
        await owner.execute(
            f"DELETE FROM {table} WHERE tenant_id = $1",  # noqa: S608 - our own table names
            tenant,
        )
    await owner.close()

    await run(settings)

    assert [row["resolution"] for row in await failed()] == ["reloaded"]
    assert await count(production, tenant, "claims") == 1


async def test_a_payload_of_another_key_fails_again_as_sealed(
    failing, failed, due, links, tenant, postgres
):
    import asyncpg

    from loader.vault import Vault

    await failing("reject-1")
    await due()
    owner = await asyncpg.connect(postgres.superuser_url(embedded.STAGING))
    for table in ("claim_states", "claims"):
        await owner.execute(
            f"DELETE FROM {table} WHERE tenant_id = $1",  # noqa: S608 - our own table names
            tenant,
        )
    await owner.close()
    other = Retrier(*links, tenant, Vault(bytes(32)), Backoff())

    done = await other.retry_due()

    [row] = await failed()
    assert (done.resubmitted, done.unreadable) == (0, 1)
    assert (row["failure_category"], row["status"], row["retries"]) == ("sealed", "open", 1)


async def test_tenants_do_not_retry_each_others_claims(failing, due, links, tenant, vault):
    await failing("reject-1")
    await due()
    other = Retrier(*links, f"{tenant}-other", vault, Backoff())

    done = await other.retry_due()

    assert done.resubmitted == 0


def test_a_claim_in_a_failure_is_not_shown():
    from loader.failed.words import Category
    from loader.rows import FailedClaim
    from loader.source import Leased

    leased = Leased(1, "C1", 1, b"c" * 32, b"", 1, b"")
    claim = claim_pb2.Claim(claim_id="C1", patient_last_name="Canarysson")

    shown = repr(FailedClaim(leased, Category.VALIDATION, "score", [], claim))

    assert "Canarysson" not in shown


async def test_a_repair_that_equals_what_the_submitter_sent_and_failed_too_comes_back(
    failing, failed, make_claim, vault, links, tenant, settings, production
):
    twice, once = make_claim("reject-1"), make_claim("reject-1")
    twice.lines[1].line_number = 1
    await failing(twice)
    await failing(once)
    await _give_reason(production, tenant, "lines[1].line_number", "V08")
    first, second = await failed()

    async def apply(connection):
        async with tenant_transaction(connection, tenant):
            await repair(connection, vault, tenant, first["failed_id"])

    await links[0].run(apply)
    await run(settings)

    rows = await failed()
    assert rows[0]["resubmitted_sha256"] == second["content_sha256"]
    assert [(row["status"], row["retries"]) for row in rows] == [("open", 1), ("open", 0)]


@pytest.fixture
async def own_rule(production):
    """A rule of the operator's own, which only the database knows; gives what takes it away."""
    rule = "own_rule"
    await production.execute(
        f"ALTER TABLE claims ADD CONSTRAINT {rule} CHECK (facility_id <> 'FORBIDDEN')"
    )

    async def lift():
        await production.execute(f"ALTER TABLE claims DROP CONSTRAINT IF EXISTS {rule}")

    yield lift
    await lift()


async def test_a_claim_that_the_database_refused_is_loaded_once_it_no_longer_does(
    failing, failed, due, settings, make_claim, own_rule, production, tenant
):
    await failing(make_claim("ok-1"), make_claim("ok-2", facility_id="FORBIDDEN"))
    for retries in (1, 2):  # alone it is by its content the same batch each time
        await due()
        await run(settings)
        [row] = await failed()
        assert (row["failure_category"], row["retries"]) == ("data_refused", retries)

    await own_rule()
    await due()
    summary = await run(settings)

    [row] = await failed()
    assert (summary.loaded, row["status"], row["resolution"]) == (1, "resolved", "reloaded")
    assert await count(production, tenant, "claims") == 2
