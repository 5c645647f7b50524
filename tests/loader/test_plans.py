"""The statements that a load rests on keep to their indexes, whatever the planner believes."""

import json
from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID

import asyncpg
import pytest

from loader import embedded, leases, sink, source, taking
from loader.changes import ledger
from loader.failed import ledger as failed_ledger
from loader.run import run
from server import history

KEYS = [f"P-{number:04d}" for number in range(50)]
NPI, MONTH = 1234567893, date(2025, 10, 1)


def nodes(plan):
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


async def explain(connection, statement, *values):
    """Return the plan of a statement, as the planner's tree of nodes."""
    # Types of the values are the statement's own: prepared first, explained as it would be run.
    types = [each.name for each in (await connection.prepare(statement)).get_parameters()]
    casts = [f"${place}::{name}" for place, name in enumerate(types, 1)]
    explained = statement
    for place in range(len(casts), 0, -1):
        explained = explained.replace(f"${place}", f"({casts[place - 1]})")
    [row] = await connection.fetch(f"EXPLAIN (FORMAT JSON) {explained}", *values)
    return json.loads(row[0])[0]["Plan"]


async def plan_of(connection, statement, *values):
    """Return the indexes that a plan uses, and the tables that it reads from end to end."""
    found = list(nodes(await explain(connection, statement, *values)))
    indexes = {each["Index Name"] for each in found if "Index Name" in each}
    whole = {each["Relation Name"] for each in found if each["Node Type"] == "Seq Scan"}
    return indexes, {table for table in whole if not table.endswith("_default")}


def parent_of(index):
    """Return the name of an index without what partitions add: `claims_2025_10_pkey`."""
    parts = [part for part in index.split("_") if not part.isdigit() and part != "default"]
    return "_".join(parts)


@pytest.fixture
async def loaded(staging, settings, vault, make_claim):
    """Some thousand claims in both databases, a few of them pending."""
    claims = [source.Submitted(make_claim(f"P-{number:04d}")) for number in range(1_500)]
    await source.stage_claims(staging, vault, settings.tenant, claims)
    await run(settings.model_copy(update={"batch_claims": 500, "lease_claims": 500}))
    late = [source.Submitted(make_claim(f"Q-{number:04d}")) for number in range(300)]
    await source.stage_claims(staging, vault, settings.tenant, late)


@pytest.fixture
async def links(postgres, tenant) -> AsyncIterator[dict[str, asyncpg.Connection]]:
    """Connections as the loader has them, each in a transaction of the tenant."""
    opened = {}
    for name in (embedded.STAGING, embedded.PRODUCTION):
        connection = await asyncpg.connect(postgres.loading_url(name))
        await connection.execute("SET jit = off")
        await connection.execute("SET plan_cache_mode = force_custom_plan")
        await connection.execute("BEGIN")
        await connection.execute("SELECT set_config('claimgate.tenant', $1, true)", tenant)
        opened[name] = connection
    yield opened
    for connection in opened.values():
        await connection.execute("ROLLBACK")
        await connection.close()


STAGING = {
    "finish": (source._FINISH, ([1, 2, 3], ["completed"] * 3, "owner"), {"claim_states_pkey"}),
    "lend": (source._LEND, (100, "owner", 300.0), {"claim_states_queue", "claim_states_member"}),
    "take over": (leases._TAKE_OVER, (), {"claim_states_leased"}),
}
PRODUCTION = {
    "stored keys": (taking._STORED, (KEYS, [1] * 50), {"claim_keys_pkey", "claim_results_pkey"}),
    "failed claims that a load ends": (
        failed_ledger._RESOLVE_HELD,
        (UUID(int=1), "loader", KEYS, [1] * 50, [b"c" * 32] * 50),
        {"failed_claims_unsettled"},
    ),
    "next commit": (ledger._NEXT, (1,), {"batches_commit_seq"}),
    "history of members": (
        history._CLAIMS,
        ([b"m" * 16] * 50, date(2024, 1, 1), 10**6),
        {"claim_history_pkey"},
    ),
    "months of billers": (
        history._MONTHS,
        ([NPI] * 20, MONTH, MONTH, 10**6),
        {"provider_months_pkey"},
    ),
}


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("analyzed", [False, True], ids=["fresh", "analyzed"])
async def test_statements_of_the_queue_use_their_indexes(links, tenant, postgres, analyzed):
    if analyzed:
        await analyze(postgres, embedded.STAGING)
    connection = links[embedded.STAGING]
    for name, (statement, values, expected) in STAGING.items():
        if name != "finish":
            await connection.execute(source.LOCK_QUEUE, tenant)  # sets how the others are planned
        indexes, whole = await plan_of(connection, statement, tenant, *values)
        assert expected <= indexes, name
        assert not whole & {"claims", "claim_states"}, name


@pytest.mark.usefixtures("loaded")
async def test_number_of_pages_says_nothing_on_how_the_queue_is_read(links, tenant):
    # An index that was large and is nearly empty has many pages until it is built anew, and each
    # look-up seems to read a share of them. How many there are here depends on what vacuum could
    # reach, so it is the price of a page that goes up.
    connection = links[embedded.STAGING]
    await connection.execute("SET LOCAL enable_seqscan = off")
    await connection.execute("SET LOCAL random_page_cost = 1000000")
    statement, values, expected = STAGING["lend"]
    alone = await explain(connection, statement, tenant, *values)
    await connection.execute(source.LOCK_QUEUE, tenant)
    locked = await explain(connection, statement, tenant, *values)

    assert alone["Total Cost"] > 1_000_000 > locked["Total Cost"]
    assert expected <= {each.get("Index Name") for each in nodes(locked)}


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("analyzed", [False, True], ids=["fresh", "analyzed"])
async def test_statements_of_production_use_their_indexes(links, tenant, postgres, analyzed):
    if analyzed:
        await analyze(postgres, embedded.PRODUCTION)
    connection = links[embedded.PRODUCTION]
    await connection.execute(sink._BEGIN)
    for name, (statement, values, expected) in PRODUCTION.items():
        if name in {"history of members", "months of billers"}:
            await connection.fetch(history._BEGIN, tenant)  # sets how the others are planned
        indexes, whole = await plan_of(connection, statement, tenant, *values)
        assert expected <= {parent_of(index) for index in indexes}, name
        assert not whole - {"batches"}, name


@pytest.mark.usefixtures("loaded")
async def test_plan_that_loses_its_index_is_noticed(tenant, postgres):
    connection = await asyncpg.connect(postgres.migrating_url(embedded.STAGING))
    undone = connection.transaction()
    await undone.start()
    await connection.execute("DROP INDEX claim_states_queue")
    await connection.execute("SELECT set_config('claimgate.tenant', $1, true)", tenant)

    indexes, _ = await plan_of(connection, source._LEND, tenant, 100, "owner", 300.0)

    await undone.rollback()
    await connection.close()
    assert "claim_states_queue" not in indexes


async def stage(staging, vault, tenant, claims):
    await source.stage_claims(staging, vault, tenant, (source.Submitted(each) for each in claims))


async def analyze(postgres, database):
    connection = await asyncpg.connect(postgres.superuser_url(database))
    await connection.execute("ANALYZE")
    await connection.close()
