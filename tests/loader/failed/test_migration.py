"""Failed claims of before keep their meaning, forward and back, of every tenant."""

import asyncpg
import pytest

from loader import migrate

INSERT = """
INSERT INTO failed_claims (tenant_id, claim_id, claim_version, content_sha256, batch_id,
    failure_category, processing_stage, reasons, payload_encrypted, attempts, status)
VALUES ($1, $2, 1, 'c', gen_random_uuid(), $3, 'score', $4::jsonb, 'p', 1, $5)
"""
OLD = {
    "structure": "validation",
    "unreadable": "decode",
    "attempts": "attempts_exhausted",
    "service": "service_fault",
    "content_conflict": "conflict",
    "database": "data_refused",
}


@pytest.fixture
async def before(postgres):
    """A production database of its own, just before failed claims became a queue."""
    admin = await asyncpg.connect(postgres.superuser_url())
    await admin.execute("CREATE DATABASE scratch_failed OWNER claimgate_migrator")
    await admin.close()
    url = postgres.migrating_url("scratch_failed")
    await migrate.upgrade(url, "production", "0005")
    owner = await asyncpg.connect(postgres.superuser_url("scratch_failed"))
    yield owner, url
    await owner.close()


async def categories(owner):
    rows = await owner.fetch("SELECT claim_id, failure_category FROM failed_claims")
    return {row["claim_id"]: row["failure_category"] for row in rows}


async def test_old_words_become_new_ones_and_old_ones_again(before):
    owner, url = before
    for place, category in enumerate(OLD):
        await owner.execute(INSERT, f"tenant-{place % 2}", category, category, "[]", "open")
    sealed = '[{"code": "PAYLOAD_SEALED"}]'
    await owner.execute(INSERT, "tenant-0", "sealed", "unreadable", sealed, "resolved")

    await migrate.upgrade(url, "production", "0007")
    forward = await categories(owner)
    row = await owner.fetchrow("SELECT * FROM failed_claims WHERE claim_id = 'sealed'")
    forced = await owner.fetchval(
        "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'failed_claims'"
    )
    await owner.execute("UPDATE failed_claims SET status = 'dead' WHERE claim_id = 'service'")
    await migrate.downgrade(url, "production", "0005")
    back = await categories(owner)
    status = await owner.fetchval("SELECT status FROM failed_claims WHERE claim_id = 'service'")

    assert forward == {**OLD, "sealed": "sealed"}
    assert (row["resolution"], row["resolved_by"], row["urgency"] < 0) == (
        "corrected", "unknown", True,
    )  # fmt: skip
    assert forced
    assert back == {**{word: word for word in OLD}, "sealed": "unreadable"}
    assert status == "open"
