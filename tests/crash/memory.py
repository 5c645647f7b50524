"""A loader that works on four times as many claims needs no more memory."""

import asyncio
import json
from typing import Any, Final

from tests.crash.world import World

SIZES: Final[dict[str, Any]] = {
    "batch_claims": 1_000,
    "batches_waiting_max": 2,
    "lease_claims": 1_000,
    "messages_waiting_max": 20,
    "message_claims": 100,
}
"""Queues that are full long before the smaller run ends."""
TIMES: Final = 4
GROWTH_MB_MAX: Final = 24
"""What the allocator may keep; claims that are kept take 2 kB each, 300 MB of 150,000."""

# Looked at after each batch: the peak that the system keeps for a process includes its parent's.
_LOADING: Final = """
import asyncio, json, psutil
from loader.run import run
from loader.settings import LoaderSettings
process, seen = psutil.Process(), []
look = lambda event: seen.append(process.memory_info().rss / 1e6)
summary = asyncio.run(run(LoaderSettings.from_environment(), look))
print(json.dumps([summary.loaded, max(seen)]))
"""


async def peak_mb(world: World, claims: int) -> tuple[int, float]:
    """Load so many more claims in a process of its own; return how many, and its peak memory."""
    await world.stage(claims)
    process = await world.start(command=("-c", _LOADING))
    async with asyncio.timeout(600):
        told, errors = await process.communicate()
    if process.returncode != 0:
        raise AssertionError(errors.decode()[-2_000:])
    loaded, peak = json.loads(told)
    return int(loaded), float(peak)
