"""What two snapshots say differently: releases, and rows from which day of service on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

import numpy as np

from engine.tables.keys import Int64s
from engine.tables.snapshot import Dataset, Release, Segment, Snapshot
from loader.snapshot.contents import TABLES, Array, Rows, TableOfRows, Value

Kind = Literal["added", "removed", "changed"]

_DAY: Final = timedelta(days=1)
_NO_RELEASE: Final = -1


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row: what names it, and what it says before and after; of a changed one what changed."""

    kind: Kind
    row: Mapping[str, Value]
    before: Mapping[str, Value]
    after: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class RowsDifference:
    """How many rows of a list differ, and the first of them."""

    table: str
    added: int
    removed: int
    changed: int
    rows: tuple[RowDifference, ...]

    @property
    def total(self) -> int:
        """How many rows differ."""
        return self.added + self.removed + self.changed


@dataclass(frozen=True, slots=True)
class Period:
    """Days of service on which other rows hold: first and last day, None where there is no end."""

    first: date | None
    last: date | None


@dataclass(frozen=True, slots=True)
class InForce:
    """Two releases of a dataset that serve the same days, one in each snapshot, and differ."""

    before: str
    after: str
    """Ids of the releases; empty where a snapshot has none for the days."""
    periods: tuple[Period, ...]
    tables: tuple[RowsDifference, ...]


@dataclass(frozen=True, slots=True)
class DatasetDifference:
    """What differs in a dataset."""

    dataset: str
    releases_added: tuple[str, ...]
    releases_removed: tuple[str, ...]
    releases_changed: tuple[str, ...]
    """In both under one id, with other files or other days."""
    in_force: tuple[InForce, ...]

    def rows(self, kind: Kind) -> int:
        """Return how many rows of a kind differ, over all days."""
        return sum(getattr(each, kind) for pair in self.in_force for each in pair.tables)

    @property
    def differs(self) -> bool:
        """Whether there is anything to tell."""
        releases = self.releases_added + self.releases_removed + self.releases_changed
        return bool(releases or self.in_force)


def difference(
    before: Snapshot, after: Snapshot, dataset: str, *, rows_max: int
) -> DatasetDifference:
    """Compare a dataset day by day: rows count as changed on the days on which they serve.

    A release that is new is held against the one that serves its days in the other snapshot, so
    that a quarter shows what it changes, and not all of its rows.
    """
    one, other = before.dataset(dataset), after.dataset(dataset)
    releases = [{each.release_id: each for each in it.releases} for it in (one, other)]
    return DatasetDifference(
        dataset,
        releases_added=tuple(name for name in releases[1] if name not in releases[0]),
        releases_removed=tuple(name for name in releases[0] if name not in releases[1]),
        releases_changed=tuple(
            name
            for name, release in releases[0].items()
            if name in releases[1] and _told(release) != _told(releases[1][name])
        ),
        in_force=tuple(_in_force(before, after, one, other, rows_max)),
    )


def _told(release: Release) -> tuple[Any, ...]:
    days = (
        release.from_date,
        release.to_date,
        release.serves_from_date,
        release.serves_to_date,
    )
    return (*days, tuple(each.sha256 for each in release.files), release.rows)


def _in_force(
    before: Snapshot, after: Snapshot, one: Dataset, other: Dataset, rows_max: int
) -> Iterator[InForce]:
    same = _same_arrays(before, after, one.name)
    for (first, second), periods in _pairs_of_releases(one, other).items():
        if same and first == second:
            continue
        compared = [
            _compare(
                table,
                _rows(before, one.name, table, first),
                _rows(after, one.name, table, second),
                rows_max,
            )
            for table in TABLES[one.name]
        ]
        differing = tuple(each for each in compared if each.total)
        if differing:
            yield InForce(_name(one, first), _name(other, second), tuple(periods), differing)


def _same_arrays(before: Snapshot, after: Snapshot, dataset: str) -> bool:
    """Return whether all columns of a dataset are equal, by the hashes in the manifests."""
    one, other = (
        {
            name: array
            for name, array in each.manifest.arrays.items()
            if name.startswith(f"{dataset}/")
        }
        for each in (before, after)
    )
    return one == other


def _name(dataset: Dataset, ordinal: int) -> str:
    return dataset.releases[ordinal].release_id if ordinal >= 0 else ""


def _pairs_of_releases(one: Dataset, other: Dataset) -> dict[tuple[int, int], list[Period]]:
    """Return which releases serve the same days, and which days those are."""
    firsts = sorted({each.first_day for it in (one, other) for each in it.segments} | {date.min})
    found: dict[tuple[int, int], list[Period]] = {}
    for at, first in enumerate(firsts):
        pair = _serving(one.segments, first), _serving(other.segments, first)
        if pair == (_NO_RELEASE, _NO_RELEASE):
            continue
        last = firsts[at + 1] - _DAY if at + 1 < len(firsts) else None
        begin = None if first == date.min else first
        periods = found.setdefault(pair, [])
        if periods and begin and periods[-1].last == begin - _DAY:
            periods[-1] = Period(periods[-1].first, last)
        else:
            periods.append(Period(begin, last))
    return found


def _serving(segments: Sequence[Segment], day: date) -> int:
    begun = [each.release for each in segments if each.first_day <= day]
    return begun[-1] if begun else _NO_RELEASE


def _rows(snapshot: Snapshot, dataset: str, table: TableOfRows, ordinal: int) -> Rows:
    """Return the rows of a release; where there is none, no rows of the same columns."""
    rows = table.rows(snapshot, dataset, max(ordinal, 0))
    if ordinal >= 0:
        return rows
    return Rows(
        rows.key[:0],
        {name: column[:0] for name, column in rows.further.items()},
        {name: column[:0] for name, column in rows.values.items()},
    )


def _compare(table: TableOfRows, one: Rows, other: Rows, rows_max: int) -> RowsDifference:
    if _equal(one, other):
        return RowsDifference(table.name, 0, 0, 0, ())
    first, second = _identities(one, other)
    _, of_one, of_other = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    removed = np.setdiff1d(np.arange(len(first)), of_one, assume_unique=True)
    added = np.setdiff1d(np.arange(len(second)), of_other, assume_unique=True)
    differs = np.zeros(len(of_one), np.bool_)
    for name, column in one.values.items():
        differs |= _plain(column[of_one]) != _plain(other.values[name][of_other])
    changed = np.flatnonzero(differs)
    return RowsDifference(
        table.name,
        len(added),
        len(removed),
        len(changed),
        (
            *(_changed(table, one, other, of_one[at], of_other[at]) for at in changed[:rows_max]),
            *(_one_sided("added", table, other, at) for at in added[:rows_max]),
            *(_one_sided("removed", table, one, at) for at in removed[:rows_max]),
        ),
    )


def _equal(one: Rows, other: Rows) -> bool:
    columns = [
        ({"": one.key}, {"": other.key}),
        (one.further, other.further),
        (one.values, other.values),
    ]
    return all(
        np.array_equal(_plain(mine[name]), _plain(theirs[name]))
        for mine, theirs in columns
        for name in mine
    )


def _plain(column: Array) -> Array:
    """Return days as integers: a day that is open equals another that is."""
    return column.view(np.int64) if column.dtype.kind == "M" else column


def _identities(one: Rows, other: Rows) -> tuple[Int64s, Int64s]:
    """Return an integer for each row that is the same in both where the row is the same one."""
    ranks = _ranks(one.key, other.key)
    for name, column in one.further.items():
        more = _ranks(_plain(column), _plain(other.further[name]))
        factor = max(int(each.max(initial=0)) for each in more) + 1
        ranks = _ranks(ranks[0] * factor + more[0], ranks[1] * factor + more[1])
    times = [_times_before(each) for each in ranks]
    factor = max(int(each.max(initial=0)) for each in times) + 1
    return ranks[0] * factor + times[0], ranks[1] * factor + times[1]


def _ranks(one: Array, other: Array) -> tuple[Int64s, Int64s]:
    rank = np.unique(np.concatenate([one, other]), return_inverse=True)[1].astype(np.int64)
    return rank[: len(one)], rank[len(one) :]


def _times_before(identity: Int64s) -> Int64s:
    """Return how often each number occurs before its place: 0 where a row is the only one."""
    order = np.argsort(identity, kind="stable")
    ordered = identity[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]
    place = np.arange(len(ordered))
    times = np.empty(len(ordered), np.int64)
    times[order] = place - np.maximum.accumulate(np.where(starts, place, 0))
    return times


def _changed(
    table: TableOfRows, one: Rows, other: Rows, at: np.intp, there: np.intp
) -> RowDifference:
    before, after = _said(table, one, at), _said(table, other, there)
    names = [name for name in before if before[name] != after[name]]
    return RowDifference(
        "changed",
        _named(table, one, at),
        {name: before[name] for name in names},
        {name: after[name] for name in names},
    )


def _one_sided(
    kind: Literal["added", "removed"], table: TableOfRows, rows: Rows, at: np.intp
) -> RowDifference:
    said = _said(table, rows, at)
    before, after = ({}, said) if kind == "added" else (said, {})
    return RowDifference(kind, _named(table, rows, at), before, after)


def _named(table: TableOfRows, rows: Rows, at: np.intp) -> dict[str, Value]:
    further = {name: table.shown(name, column[at]) for name, column in rows.further.items()}
    return table.label(int(rows.key[at])) | further


def _said(table: TableOfRows, rows: Rows, at: np.intp) -> dict[str, Value]:
    return {name: table.shown(name, column[at]) for name, column in rows.values.items()}
