"""releases.toml: which published file belongs to which release, and when a release serves."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from engine.tables.keys import RELEASES_MAX
from engine.tables.snapshot import Segment
from loader.snapshot.published import ReferenceFileError

NAME: Final = "releases.toml"
_DAY: Final = timedelta(days=1)
_FEE_SCHEDULE: Final = "mpfs"
# Every first of January since 2020, and a day in the middle of a quarter.
_FACTOR_CHANGES: Final = (
    *(date(year, 1, 1) for year in (2020, 2021, 2022, 2023, 2024)),
    date(2024, 3, 9),
    *(date(year, 1, 1) for year in (2025, 2026)),
)


@dataclass(frozen=True, slots=True)
class ReleaseEntry:
    """A release as releases.toml has it; an open window has no last day."""

    dataset: str
    release_id: str
    files: tuple[str, ...]
    first: date
    last: date | None
    stands_in: tuple[date, date] | None

    def own(self, day: date) -> bool:
        """Return whether a day lies in the release's own window."""
        return self.first <= day and (self.last is None or day <= self.last)

    def widened(self, day: date) -> bool:
        """Return whether a day lies in the wider window in which the release may stand in."""
        return self.stands_in is not None and self.stands_in[0] <= day <= self.stands_in[1]


def read_releases(source: Path, datasets: Sequence[str]) -> dict[str, list[ReleaseEntry]]:
    """Return the releases of each known dataset, oldest first."""
    file = source / NAME
    if not file.is_file():
        raise ReferenceFileError(
            NAME, 0, "the file is missing", f"a file {NAME} in the source folder {source}"
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # no TOML, or no UTF-8
        raise ReferenceFileError(NAME, 0, f"it cannot be read ({error})", "TOML in UTF-8") from None
    unknown = sorted(set(content) - {"release"})
    releases = content.get("release", [])
    if unknown or not _tables(releases):
        raise ReferenceFileError(
            NAME, 0, f"something else than releases ({', '.join(unknown)})", "[[release]] tables"
        )
    by_dataset: dict[str, list[ReleaseEntry]] = {}
    for number, each in enumerate(releases, start=1):
        entry = _entry(number, each)
        if entry.dataset not in datasets:
            raise _refused(number, f"dataset {entry.dataset!r}", f"one of {', '.join(datasets)}")
        by_dataset.setdefault(entry.dataset, []).append(entry)
    for entries in by_dataset.values():
        for entry in entries:
            _check_factors(entry)
        entries.sort(key=lambda entry: entry.first)
        _check_windows(entries)
    return by_dataset


def _entry(number: int, content: Mapping[str, Any]) -> ReleaseEntry:
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        raise _refused(number, f"key {unknown[0]!r}", f"the keys {', '.join(sorted(_KEYS))}")
    missing = sorted(_REQUIRED - set(content))
    wrong = [name for name, value in content.items() if not _KINDS[name](value)]
    if missing or wrong:
        raise _refused(
            number,
            f"{(missing or wrong)[0]!r} is missing or no such value",
            "texts `dataset` and `id`, a list of texts `files`, ISO days `from` and `to`, "
            "a list of two days `stands_in`",
        )
    entry = ReleaseEntry(
        dataset=content["dataset"],
        release_id=content["id"],
        files=tuple(content["files"]),
        first=content["from"],
        last=content.get("to"),
        stands_in=_pair(content.get("stands_in")),
    )
    last = entry.last or date.max
    if entry.first > last:
        raise _refused(number, "`to` is before `from`", "a window of at least a day")
    if entry.stands_in and not (entry.stands_in[0] <= entry.first and last <= entry.stands_in[1]):
        raise _refused(number, "`stands_in` is narrower than the own window", "a wider window")
    if not entry.files:
        raise _refused(number, "no files", "at least one file")
    return entry


def _pair(value: Any) -> tuple[date, date] | None:
    if value is None:
        return None
    first, last = value
    return first, last


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_day(value: Any) -> bool:
    return type(value) is date  # a date with a time is another type


_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "dataset": _is_text,
    "id": _is_text,
    "files": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "from": _is_day,
    "to": _is_day,
    "stands_in": lambda value: (
        isinstance(value, list) and len(value) == len(("from", "to")) and all(map(_is_day, value))
    ),
}
_KEYS: Final = frozenset(_KINDS)
_REQUIRED: Final = frozenset({"dataset", "id", "files", "from"})


def _check_windows(entries: Sequence[ReleaseEntry]) -> None:
    dataset = entries[0].dataset
    if len(entries) > RELEASES_MAX:
        raise ReferenceFileError(
            NAME, 0, f"{len(entries)} releases of {dataset}", f"at most {RELEASES_MAX}"
        )
    ids = [each.release_id for each in entries]
    for again in sorted({each for each in ids if ids.count(each) > 1}):
        raise ReferenceFileError(
            NAME, 0, f"{dataset}: {again} names more than one release", "an id for each release"
        )
    for earlier, later in pairwise(entries):
        if earlier.last is None or later.first <= earlier.last:
            raise ReferenceFileError(
                NAME,
                0,
                f"{dataset}: the windows of {earlier.release_id} and {later.release_id} overlap",
                "one release per day; choose one where a file was issued twice",
            )


def _check_factors(entry: ReleaseEntry) -> None:
    """Refuse a fee schedule on whose own days two conversion factors hold: a file has one."""
    for changed in _FACTOR_CHANGES:
        if entry.dataset == _FEE_SCHEDULE and entry.last and entry.first < changed <= entry.last:
            raise ReferenceFileError(
                NAME,
                0,
                f"{entry.dataset} {entry.release_id} serves from {entry.first} to {entry.last}, "
                f"and on {changed} Medicare changed the conversion factor",
                f"one release up to {changed - _DAY}, another with the file issued for then on",
            )


def _refused(number: int, reason: str, expected: str) -> ReferenceFileError:
    return ReferenceFileError(NAME, 0, f"release {number}: {reason}", expected)


def serving(entries: Sequence[ReleaseEntry]) -> tuple[Segment, ...]:
    """Return which release is in force from which day on.

    In its own window a release always serves. Between windows the word of releases.toml
    (`stands_in`) goes first; without it a release serves until the next begins, the newest without
    end. What lies outside the release's own window is marked as standing in.
    """
    days = {each.first for each in entries}
    days |= {each.last + _DAY for each in entries if each.last}
    for window in (each.stands_in for each in entries):
        days |= {window[0], window[1] + _DAY} if window else set()
    segments: list[Segment] = []
    for day in sorted(days):
        ordinal = _in_force(entries, day)
        segment = Segment(day, ordinal, ordinal >= 0 and not entries[ordinal].own(day))
        if not segments or segments[-1][1:] != segment[1:]:
            segments.append(segment)
    return tuple(segments)


def _in_force(entries: Sequence[ReleaseEntry], day: date) -> int:
    ordinals = range(len(entries))
    own = [at for at in ordinals if entries[at].own(day)]
    begun = [at for at in ordinals if entries[at].first <= day]
    widened = [at for at in ordinals if entries[at].widened(day)]
    earlier = [at for at in widened if at in begun]
    if own or widened:
        return (own or earlier[-1:] or widened)[0]
    newest = begun[-1] if begun else -1
    ended = newest >= 0 and entries[newest].stands_in is not None
    return -1 if ended else newest


def served(segments: Sequence[Segment], ordinal: int) -> tuple[date | None, date | None]:
    """Return the first and the last day on which a release serves; None for no end."""
    mine = [at for at, segment in enumerate(segments) if segment.release == ordinal]
    if not mine:
        return None, None
    after = mine[-1] + 1
    last = segments[after].first_day - _DAY if after < len(segments) else None
    return segments[mine[0]].first_day, last
