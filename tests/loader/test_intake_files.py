"""Files into staging: every claim of a file is there, and every problem is kept with its place."""

import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from claimgate import resources

from loader import embedded
from loader.intake_files import take_in
from loader.settings import LoaderSettings

DAY = date(2025, 12, 31)


@pytest.fixture
def settings_of(postgres: embedded.EmbeddedPostgres) -> Callable[[str], LoaderSettings]:
    def settings(tenant: str) -> LoaderSettings:
        return LoaderSettings(
            tenant=tenant,
            staging_url=postgres.loading_url(embedded.STAGING),
            production_url=postgres.loading_url(embedded.PRODUCTION),
            key_hex="00" * 32,
        )

    return settings


async def staged_rows(postgres: embedded.EmbeddedPostgres, tenant: str) -> tuple[int, int, int]:
    """Claims, lines and problems that staging really holds for a tenant."""
    import asyncpg

    connection = await asyncpg.connect(postgres.superuser_url(embedded.STAGING))
    try:
        claims = await connection.fetchrow(
            "SELECT count(*), coalesce(sum(line_count), 0) FROM claims WHERE tenant_id = $1", tenant
        )
        problems = await connection.fetchval(
            "SELECT count(*) FROM intake_problems WHERE tenant_id = $1", tenant
        )
        return claims[0], claims[1], problems
    finally:
        await connection.close()


async def test_a_file_is_staged_once(postgres, settings_of, tenant) -> None:
    file = resources.find("claims-sample") / "professional.837"

    (first,) = await take_in(settings_of(tenant), [file], ingest_date=DAY)
    (again,) = await take_in(settings_of(tenant), [file], ingest_date=DAY)

    assert (first.staged, first.already_staged, first.errors) == (3, 0, 0)
    assert (again.staged, again.already_staged) == (0, 3)
    assert (await staged_rows(postgres, tenant))[0] == 3


async def test_problems_are_kept_beside_the_claims_that_load(postgres, settings_of, tenant) -> None:
    files = [resources.find("claims-sample") / "faults.837", Path("no-such-file.837")]

    faults, missing = await take_in(settings_of(tenant), files, ingest_date=DAY)

    claims, _, problems = await staged_rows(postgres, tenant)
    assert claims == faults.staged == 5
    assert problems == faults.errors + faults.warnings + 1
    assert (missing.errors, missing.staged) == (1, 0)


async def test_each_published_file_fills_an_empty_staging_as_the_manifest_counts(
    postgres, settings_of, tenant, shared_data
) -> None:
    with (shared_data / "claims" / "x12" / "MANIFEST.csv").open() as manifest:
        rows = list(csv.DictReader(manifest))

    for number, row in enumerate(rows):
        empty = f"{tenant}-{number}"
        file = shared_data / "claims" / row["file"]
        (taken,) = await take_in(settings_of(empty), [file], ingest_date=DAY)
        claims, lines, problems = await staged_rows(postgres, empty)

        assert problems == taken.errors + taken.warnings
        if row["class"] == "valid-by-source":
            expected = (int(row["claims"]), int(row["service_lines"]))
            assert (claims, lines) == expected, row["file"]
            assert not taken.errors, row["file"]
        else:
            assert problems > 0, row["file"]
            assert all(p.segment >= 1 for p in taken.first_problems), row["file"]
        if row["class"] in {"4010", "other-guide"}:
            assert claims == 0, row["file"]
            assert any("00" in p.message for p in taken.first_problems), row["file"]
