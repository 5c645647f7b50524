"""Many seeds; the first that fails says how to run it alone."""

from collections.abc import Iterable

from server.schedule.schedule import Schedule
from tests.server.simulation.traffic import Sent, scenario
from tests.server.simulation.world import World


def check_seeds(seeds: Iterable[int], make: type[Schedule[Sent]] = Schedule) -> list[World]:
    """Run a scenario for each seed."""
    worlds = []
    for seed in seeds:
        world = World(scenario(seed), seed, make)
        try:
            worlds.append(world.run())
        except Exception as error:
            raise AssertionError(
                f"seed {seed}, at {world.now:.6f} s: {error}; replay it: "
                f"python -m tests.server.simulation {seed}"
            ) from error
    return worlds
