"""A minute at 70 % of the capacity."""

import pytest

from loader.bench.soak import measure_soak
from loader.places import prepared_snapshot

pytestmark = pytest.mark.full

_SECONDS = 60
# In one minute the heap still settles: the slope is what `claimgate bench soak` measures in ten.
_RSS_MB_MAX = 900


async def test_nothing_fails_and_memory_stays_within_bounds() -> None:
    found = await measure_soak(prepared_snapshot(), workers=2, seconds=_SECONDS)

    assert (found["refused_calls"], found["failed_calls"]) == (0, {})
    assert found["claims_per_s"] > 1_000
    assert found["rss_mb"] < _RSS_MB_MAX
