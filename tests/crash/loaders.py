"""Loaders are killed at every place, again and again, and started again."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from loader.failpoints import FAILPOINTS
from tests.crash.world import World

SIZES: Final[dict[str, Any]] = {
    "lease_s": 0.5,  # a dead loader's claims are soon back
    "attempts_max": 1_000_000,  # here the loader is killed, not by a claim
    "batch_claims": 8,
    "lease_claims": 8,
    "message_claims": 4,
}
CLAIMS_A_KILL: Final = 24
_ONCE: Final = frozenset({"beat", "take_over.commit", "give_back"})
"""Places that a short run may pass only once."""


async def kill_at(
    world: World, names: Sequence[str], hits: int, chance: random.Random
) -> Counter[str]:
    """Kill loaders of one tenant at each place so often; then let one work to the end.

    Before each start there are new claims, beside what the killed ones left behind. Returns how
    often a loader was killed at each place.
    """
    killed: Counter[str] = Counter()
    for name in names:
        while killed[name] < hits:
            await world.stage(CLAIMS_A_KILL)
            passes = 1 if name in _ONCE else chance.randint(1, 3)
            status = await world.load(f"{name}:{passes}")
            if status == 0 and passes > 1:  # another batch or message took it all along
                await world.stage(CLAIMS_A_KILL)
                status = await world.load(f"{name}:1")
            if status != -signal.SIGKILL:
                raise AssertionError(f"a loader ended with {status} instead of at {name}")
            killed[name] += 1
        if await world.load() != 0:
            raise AssertionError(f"after {name} the loader did not end well")
    return killed


async def kill_everywhere(worlds: Sequence[World], hits: int, seed: int) -> Counter[str]:
    """Kill at every place so often, the places shared out over tenants that work side by side."""
    names = list(FAILPOINTS)
    random.Random(seed).shuffle(names)
    parts = await asyncio.gather(
        *(
            kill_at(world, names[number :: len(worlds)], hits, random.Random(seed + number))
            for number, world in enumerate(worlds)
        )
    )
    return sum(parts, Counter())
