"""One file of rates, as a listing and as a fee schedule: the same prices, bit by bit.

Both go their whole way: built into a snapshot, and loaded into Postgres and read for the pass.
"""

import csv
from pathlib import Path
from random import Random

import asyncpg
import pytest
from claimgate.v1 import score_pb2
from prometheus_client import CollectorRegistry

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.policy import Policy
from engine.pricing import PriceBasis, price
from engine.reference import Reference
from engine.rules.rule import example, line
from engine.tables.listings import LISTINGS
from loader import embedded
from loader.fees import load_fees
from loader.snapshot.build import build
from server.database import open_database
from server.fee_metrics import FeeMetrics
from server.fees import open_fees
from server.metrics import Metrics
from server.settings import Settings

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
NPI, TIN = "1234567893", "123456789"
FIELDS = (
    *("code", "contract", "plan", "billing_npi", "billing_tin", "modifier", "setting"),
    *("rate_kind", "rate", "net", "effective_from", "effective_to"),
)
ROWS = f"""\
99213,,,,,,any,cents_per_unit,90.00,no,2025-01-01,2025-10-14
99213,,,,,,any,cents_per_unit,88.00,no,2025-10-15,2025-10-15
99213,,,,,,any,cents_per_unit,86.00,no,2025-10-16,
99213,C1,,,,,any,cents_per_unit,95.00,no,,
99213,C1,,,,,facility,cents_per_unit,60.00,no,,2025-10-15
99213,c2,Gold,,,,any,cents_per_unit,99.1234,no,,
99213,C1,,{NPI},,,any,cents_per_unit,97.00,no,,
99213,,,,{TIN},,any,cents_per_unit,91.00,yes,,
99214,,,,,,any,percent_of_fee,1.25,no,,
99203,,,,,,non_facility,percent_of_charge,0.6,no,,
20610,,,,,,any,cents_per_unit,200,no,,
11042,C1,,,,,any,cents_per_unit,300.00,yes,2025-10-15,
17110,C2,,,,,any,percent_of_fee,2,yes,,
71046,,,,,,any,cents_per_unit,50.00,no,,
71046,,,,,26,any,cents_per_unit,12.00,no,,
97110,,,,,,any,percent_of_fee,0.8,no,,
00100,,,,,,any,cents_per_unit,40.00,no,,
80053,,,,,,any,cents_per_unit,11,no,,
E0601,,,,,RR,any,cents_per_unit,80.00,no,,
""".splitlines()
DAYS = ("2024-12-31", "2025-10-14", "2025-10-15", "2025-10-16")
CODES = (
    *("99213", "99213", "99214", "99203", "20610", "11042", "17110", "71046", "71046-26"),
    *("97110", "80053", "99215", "45378", "E0601-RR"),
)


def built(folder, rows):
    """The sample tables with these rows as the listing of contract rates."""
    source = folder / "source"
    (source / "claimgate").mkdir(parents=True)
    for each in SAMPLE.iterdir():
        if each.name != "claimgate":
            (source / each.name).symlink_to(each)
    for each in (SAMPLE / "claimgate").iterdir():
        (source / "claimgate" / each.name).symlink_to(each)
    if rows:
        with (source / "claimgate" / "contract_rates.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(LISTINGS["contract_rates"].headers)
            lines.writerows(("", row.split(",")[0], "", *row.split(",")[1:]) for row in rows)
    build(source, folder / "snapshot")
    return Reference.open(folder / "snapshot")


def random_claims(count):
    random = Random(20)
    found = []
    for number in range(count):
        lines = [
            line(
                random.choice(CODES),
                units=random.choice((1, 1, 2, 1.5)),
                charge=random.choice((99_999, 123.45)),
            )
            for _ in range(random.randint(1, 5))
        ]
        billing = {
            "npi": random.choice((NPI, "1111111112")),
            "tin": random.choice(("", TIN)),
            "contract_id": random.choice(("", "C1", "C2", "C9")),
        }
        made = example(
            "a",
            *lines,
            day=random.choice(DAYS),
            pos=random.choice(("11", "22")),
            billing_provider=billing,
            insurance_plan_id=random.choice(("", "GOLD")),
            institutional=random.random() < 0.1,
        )
        found.append(claim_of(made, f"R-{number}"))
    return found


@pytest.fixture
async def fees(postgres, tmp_path):
    """Who knows the fee schedules, as the service opens it."""
    url = postgres.loading_url(embedded.PRODUCTION)
    settings = Settings(reference=tmp_path, production_url=url)
    registry = CollectorRegistry()
    metrics, fee_metrics = Metrics(registry, 0.8), FeeMetrics(registry)
    async with (
        open_database(url, connections_max=1, query_s=5) as database,
        open_fees(settings, database, metrics, fee_metrics) as opened,
    ):
        yield opened


async def test_a_file_prices_the_same_as_listing_and_as_fee_schedule(
    postgres, tenant, fees, tmp_path
):
    path = tmp_path / "fees.csv"
    path.write_text("\n".join((",".join(FIELDS), *ROWS)))
    connection = await asyncpg.connect(postgres.loading_url(embedded.PRODUCTION))
    loaded = await load_fees(connection, tenant, path)
    await connection.close()
    assert loaded.rows == len(ROWS)
    with_listing, bare = built(tmp_path / "with", ROWS), built(tmp_path / "bare", ())
    batch = decode([score_pb2.ClaimBatch(claims=random_claims(400))], allow_zero_charge=True)
    assert not batch.violations
    facts = look_up(batch, bare)
    codes = facts.distinct_codes

    found = await fees.of(codes[codes > 0], tenant)
    by_schedule = price(batch, bare, facts, Policy(), found.fees)
    by_listing = price(batch, with_listing, look_up(batch, with_listing), Policy())

    for column in ("status", "reason", "fee_cents", "capped_cents", "amount_cents"):
        assert getattr(by_schedule, column).tolist() == getattr(by_listing, column).tolist()
    assert by_schedule.allowed_cents.tolist() == by_listing.allowed_cents.tolist()
    assert by_schedule.changes.tolist() == by_listing.changes.tolist()
    own = by_schedule.basis == PriceBasis.TENANT_FEE
    assert own.tolist() == (by_listing.basis == PriceBasis.CONTRACT).tolist()
    assert own.sum() > 300
    used = with_listing.listing("contract_rates").columns["rate"][by_listing.contract]
    assert len(set(used[by_listing.contract >= 0].tolist())) > 14
