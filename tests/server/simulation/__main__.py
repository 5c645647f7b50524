"""Replay seeds of the schedule's simulation: python -m tests.server.simulation SEED [LAST]."""

import sys

from tests.server.simulation.run import check_seeds

if __name__ == "__main__":
    first, last = int(sys.argv[1]), int(sys.argv[-1])
    check_seeds(range(first, last + 1))
    print(f"seeds {first} to {last} hold")  # noqa: T201 - what was run is printed
