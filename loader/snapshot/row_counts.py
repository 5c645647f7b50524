"""How far row counts may move from one snapshot to the next without somebody's word."""

from collections.abc import Collection, Iterator
from typing import Final

from engine.tables.snapshot import Dataset, Manifest

MOVED_MAX_PERCENT: Final = 5


class RowCountError(Exception):
    """Tables are much larger or smaller than before; nothing of them is written."""


def check_row_counts(
    previous: Manifest, new: Manifest, datasets: Collection[str], approved: Collection[str]
) -> None:
    """Refuse datasets whose newest release has a far other row count than the newest one before.

    Raises:
        RowCountError: names each dataset with both counts, and how to approve it.
    """
    moved = list(_moved(previous, new, set(datasets) - set(approved)))
    if moved:
        raise RowCountError(
            f"row counts moved by more than {MOVED_MAX_PERCENT} %: "
            + "; ".join(text for _, text in moved)
            + "; check the files, and if they are right add "
            + " ".join(f"--approve {name}" for name, _ in moved)
        )


def _moved(
    previous: Manifest, new: Manifest, datasets: Collection[str]
) -> Iterator[tuple[str, str]]:
    for name in sorted(datasets & previous.datasets.keys()):
        before = _newest_rows(previous.datasets[name])
        after = _newest_rows(new.datasets.get(name))
        if abs(after - before) * 100 > MOVED_MAX_PERCENT * before:
            yield name, f"{name} from {before:,} to {after:,}"


def _newest_rows(dataset: Dataset | None) -> int:
    return dataset.releases[-1].rows if dataset and dataset.releases else 0
