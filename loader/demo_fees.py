"""The demo's fee schedule: loaded before the claims, and how much of them it priced."""

from typing import Final

import asyncpg
from claimgate import resources

from loader.fees import FeesLoaded, load_fees
from loader.settings import LoaderSettings

_LINES: Final = "claimgate_tenant_fee_lines_total"
_HITS: Final = "claimgate_cache_hits_total"
_MISSES: Final = "claimgate_cache_misses_total"


async def load_sample_fees(settings: LoaderSettings) -> FeesLoaded:
    """Load the project's sample as the tenant's fee schedule."""
    connection = await asyncpg.connect(settings.production_url, timeout=30)
    try:
        path = resources.find("fees-sample") / "fee_schedule.csv"
        return await load_fees(connection, settings.tenant, path)
    finally:
        await connection.close()


def use_of_fees(loaded: FeesLoaded, metrics: str) -> dict[str, str]:
    """Return what the service's metrics say of the fee schedule, to be shown.

    Args:
        loaded: What was loaded.
        metrics: The page of metrics after the run.
    """
    hits, misses = _sum(metrics, _HITS), _sum(metrics, _MISSES)
    share = f"{100 * hits / (hits + misses):.1f} %" if hits + misses else "none asked"
    return {
        "version": f"{loaded.version} ({loaded.rows} rows)",
        "lines priced by it": f"{_sum(metrics, _LINES):,.0f}",
        "codes found in a cache": share,
    }


def _sum(metrics: str, name: str) -> float:
    """Return the value of a metric, over all of its labels."""
    samples = (line.rpartition(" ") for line in metrics.splitlines())
    return sum(float(value) for sample, _, value in samples if sample.partition("{")[0] == name)
