"""Every index for analysts says which query it serves, and that query uses it."""

import json
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

FROM, TO = datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 11, tzinfo=UTC)
ARGUMENTS = {
    "claims_batch": ("acme", [UUID(int=(4 << 76) + (8 << 60) + 0x433)]),
    "claims_loaded": ("acme", FROM, TO),
    "claim_results_given": ("acme", FROM, TO),
    "claim_history_served": ("acme", date(2025, 7, 1), date(2025, 8, 1)),
    "daily_claim_summary_facility": ("acme", "F7", date(2026, 1, 1)),
    "rule_month_summary_rule": ("acme", "RULE7"),
}
# Rows as loads bring them: in the order of time, services some months before. Other tenants load
# beside.
_NUMBERED = """
FROM (SELECT n, ('00000000-0000-4000-8000-' || lpad((n / 1000 * 7919 % 1000)::text, 12, '0'))::uuid
        AS batch, CASE WHEN n % 4 = 0 THEN 'bolt' ELSE 'acme' END AS tenant,
    date '2025-07-01' + n / 400 AS day, timestamptz '2026-06-01 UTC' + n * interval '1 minute' AS at
FROM generate_series(0, 40000) AS n) AS numbered
"""
FILL = (
    "SELECT make_partitions('2025-07-01', '2025-10-31')",
    f"""
INSERT INTO claims SELECT tenant, day, 'C' || n, 1, day, NULL, NULL, day, 100, 0, 1, 0,
    batch, '', '', '', 'professional', 'F1', '1', '', '', '', '', '', '', '', '', '',
    '', '', '', '', '', '{{}}', decode(repeat('00', 700), 'hex'), at {_NUMBERED}
""",
    f"""
INSERT INTO claim_results SELECT tenant, day, 'C' || n, 1, 1, 0, 0, 0, 0, 0, batch,
    'review', '', '', '', 0, 0, 0, '{{}}', decode(repeat('00', 300), 'hex'), at {_NUMBERED}
""",
    f"""
INSERT INTO claim_history SELECT tenant, '', day, 'C' || n, 1, batch, day, 0, 0, 1, 0,
    false, 1, decode(repeat('00', 200), 'hex'), decode(repeat('00', 200), 'hex') {_NUMBERED}
""",
    f"""
INSERT INTO daily_claim_summary SELECT DISTINCT tenant, date '2025-01-01' + n / 60, 'F' || n % 30,
    '', 'review', 1, 1, 1, 1, 1, 1 {_NUMBERED}
""",
    f"""
INSERT INTO rule_month_summary SELECT DISTINCT tenant,
    (date '2010-01-01' + n / 200 * interval '1 month')::date, 'RULE' || n % 200, '', false, 1, 1, 1
{_NUMBERED}
""",
)
_SERVED = """
SELECT i.indexrelid::regclass::text AS name,
    substring(obj_description(i.indexrelid) FROM ': (SELECT .*)') AS query,
    ARRAY(SELECT relid::text FROM pg_partition_tree(i.indexrelid)) || i.indexrelid::regclass::text
        AS parts
FROM pg_index AS i WHERE obj_description(i.indexrelid) LIKE '%: SELECT %'
"""


@pytest.fixture
async def filled(everything):
    for statement in FILL:
        await everything.execute(statement)
    await everything.execute("VACUUM ANALYZE")
    return everything


def indexes(plan):
    """The indexes that a plan reads."""
    found = {plan["Index Name"]} if "Index Name" in plan else set()
    return found.union(*(indexes(each) for each in plan.get("Plans", [])))


async def plan_of(connection, query, arguments):
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *arguments)
    return json.loads(text)[0]["Plan"]


async def test_each_query_uses_the_index_that_serves_it(filled):
    served = await filled.fetch(_SERVED)

    assert {row["name"] for row in served} == set(ARGUMENTS)
    for row in served:
        plan = await plan_of(filled, row["query"], ARGUMENTS[row["name"]])
        assert indexes(plan), (row["name"], plan)
        assert indexes(plan) <= set(row["parts"]), (row["name"], plan)


async def test_what_is_loaded_gets_block_range_indexes_alone(everything):
    methods = await everything.fetch(
        "SELECT c.relname, a.amname FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam "
        "WHERE c.relname = ANY ($1) AND c.relkind IN ('i', 'I')",
        ["claims_loaded", "claim_results_given", "claim_history_served"],
    )

    assert [row["amname"] for row in methods] == ["brin"] * 3
