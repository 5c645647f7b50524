"""A facility's bucket is the same for ever, and in any other program."""

import asyncpg
import pytest

from loader import embedded
from loader.shards.hashing import BUCKETS, bucket_of

VECTORS = [
    ("demo", "F1", 1571),
    ("acme", "ST-MARY-01", 994),
    ("acme", "st-mary-01", 3359),
    ("acme", "", 1311),
    ("acme", "Krankenhaus Süd", 1576),
    ("ac", "meST-MARY-01", 2891),
]


@pytest.mark.parametrize(("tenant", "facility", "bucket"), VECTORS)
def test_buckets_never_change(tenant, facility, bucket):
    assert bucket_of(tenant, facility) == bucket


async def test_sql_of_the_docstring_gives_the_same_buckets(postgres):
    connection = await asyncpg.connect(postgres.superuser_url(embedded.STAGING))
    sql = bucket_of.__doc__.split("in SQL:")[1]
    sql = sql.replace("(tenant,", "($1::text,").replace("(facility_id,", "($2::text,")

    found = [await connection.fetchval(sql, tenant, facility) for tenant, facility, _ in VECTORS]
    await connection.close()

    assert found == [bucket for _, _, bucket in VECTORS]


def test_many_facilities_spread_evenly():
    quarters = [0] * 4
    for number in range(4_000):
        quarters[bucket_of("acme", f"FACILITY-{number}") * 4 // BUCKETS] += 1

    assert min(quarters) > 900
