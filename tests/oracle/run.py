"""Hold the engine against the oracle: `python -m tests.oracle [--reference DIR] [--claims N]`.

What was seen is printed by kind; the last line is a JSON object of the claims compared and the
differences found.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from engine.reference import Reference
from loader.places import prepared_snapshot
from tests.oracle.compare import Comparison, Outcome

SHARED = Path(
    os.environ.get("CLAIMGATE_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")
)
CLAIMS = 200_000
CHUNK = 5_000
PROCESSES = 2

_comparison: Comparison


def _begin(source: Path, snapshot: Path) -> None:
    global _comparison  # noqa: PLW0603
    _comparison = Comparison(source, Reference.open(snapshot))


def _run(task: tuple[int, int]) -> Outcome:
    return _comparison.run(*task)


def compare(source: Path, claims: int, seed: int, processes: int = PROCESSES) -> Outcome:
    """Compare so many claims over the published files in a folder, in processes of their own."""
    snapshot = prepared_snapshot(source)
    tasks = [(seed + at, min(CHUNK, claims - at)) for at in range(0, claims, CHUNK)]
    outcome = Outcome()
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _begin, (source, snapshot)
    ) as pool:
        for each in pool.map(_run, tasks):
            outcome.add(each)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--reference", type=Path, default=SHARED, help="folder of published files")
    parser.add_argument("--claims", type=int, default=CLAIMS)
    parser.add_argument("--seed", type=int, default=20251001)
    given = parser.parse_args()
    if not (given.reference / "releases.toml").is_file():
        parser.error(
            f"{given.reference} has no releases.toml; give a folder of published files with "
            "--reference (make oracle REFERENCE=DIR)"
        )
    begun = time.monotonic()
    outcome = compare(given.reference.resolve(), given.claims, given.seed)
    for text in outcome.told:
        print(text, end="\n\n")
    for name, times in sorted(outcome.seen.items()):
        print(f"{times:>9,}  {name}")
    print(f"{time.monotonic() - begun:.0f} s")
    print(outcome.summary)
    sys.exit(1 if outcome.differences else 0)
