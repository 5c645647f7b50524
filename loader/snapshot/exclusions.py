"""LEIE: the OIG list of excluded providers with its reinstatements, and undated lists of NPIs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np

from engine.codes import code36
from engine.words import name_keys, word_key
from loader.snapshot.localities import STATES
from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

_COLUMNS: Final = (
    "LASTNAME",
    "FIRSTNAME",
    "MIDNAME",
    "BUSNAME",
    "GENERAL",
    "SPECIALTY",
    "UPIN",
    "NPI",
    "DOB",
    "ADDRESS",
    "CITY",
    "STATE",
    "ZIP",
    "EXCLTYPE",
    "EXCLDATE",
    "REINDATE",
    "WAIVERDATE",
    "WVRSTATE",
)
_OTHER_NAMES: Final = {"WAIVERSTATE": "WVRSTATE"}
_NPI: Final = "NPI"
_NO_NPI: Final = frozenset({"", "0", "0000000000"})
_NPI_LENGTH: Final = 10

Exclusion = tuple[date, str]
"""Day and kind of an exclusion: the list and the reinstatements name the same one by them."""
Span = tuple[date, date | None]
"""First day, and first day after or None."""


_Named = tuple[int, int, int]
"""Name, state and specialty of somebody without an NPI."""


@dataclass(slots=True)
class _Provider:
    """What the rows of one provider say together."""

    waivers: dict[Exclusion, dict[str, date]] = field(default_factory=dict)
    """The exclusions, and the first day of the waiver of each by state."""
    reinstated: set[date] = field(default_factory=set)


def read_exclusions(files: Sequence[PublishedFile]) -> Table:
    """Return the days of exclusion per provider; kinds of rows are told by columns, not names."""
    dated = Gatherer({"npi": "int64", "excluded": "datetime64[D]", "reinstated": "datetime64[D]"})
    providers: defaultdict[int, _Provider] = defaultdict(_Provider)
    names: defaultdict[_Named, _Provider] = defaultdict(_Provider)
    undated: set[int] = set()
    for file in files:
        for row in _rows(file):
            npi = _npi(row)
            if npi is None and len(row.places) == 1:
                dated.leave_out("no_npi")
            elif npi is None:
                _take_name(names, row)
            elif len(row.places) == 1:
                dated.once(row, npi, "NPI")
                undated.add(npi)
            else:
                _take(providers[npi], row)
                if not passes_luhn(npi):
                    dated.remark("npi_check_digit_wrong")
                if row.date("WAIVERDATE"):
                    dated.remark("waiver_in_one_state")
    waivers = Gatherer(
        {
            "waiver_npi": "int64",
            "waiver_state": "int16",
            "waiver_first": "datetime64[D]",
            "waiver_after": "datetime64[D]",
        }
    )
    for npi, provider in sorted(providers.items()):
        days = [day for day, _ in provider.waivers]
        for first, back in intervals(days, provider.reinstated):
            dated.add(npi, first, back)
        for state, first, back in waived(provider.waivers, provider.reinstated):
            waivers.add(npi, code36(state), first, back)
    table = dated.table()
    columns = table.columns | waivers.table().columns | _named(names).columns
    columns["undated"] = np.array(sorted(undated), np.int64)
    rows = table.rows + len(undated) + len(columns["name"])
    return Table(columns, rows, table.left_out, table.remarks)


def _take_name(names: defaultdict[_Named, _Provider], row: Row) -> None:
    """Take a person or firm without an NPI, whom only a name can find."""
    last, first = row.text("LASTNAME") or row.text("BUSNAME"), row.text("FIRSTNAME")
    words = np.array([[word_key(last)], [word_key(first)]], np.int64)
    state, specialty = code36(row.text("STATE")), word_key(row.text("SPECIALTY"))
    _take(names[int(name_keys(words[0], words[1])[0]), state, specialty], row)


def _named(names: Mapping[_Named, _Provider]) -> Table:
    """Return the days of exclusion by name; a waiver is not read: a person decides anyway."""
    gatherer = Gatherer(
        {
            "name": "int64",
            "name_state": "int32",
            "name_specialty": "int64",
            "name_excluded": "datetime64[D]",
            "name_reinstated": "datetime64[D]",
        }
    )
    for (name, state, specialty), provider in sorted(names.items()):
        days = [day for day, _ in provider.waivers]
        for first, back in intervals(days, provider.reinstated):
            gatherer.add(name, state, specialty, first, back)
    return gatherer.table()


def _take(provider: _Provider, row: Row) -> None:
    excluded, back = _excluded_on(row), row.date("REINDATE")
    if back and back < excluded:
        raise row.refused(
            f"reinstated on {back}, excluded on {excluded}", "REINDATE on or after EXCLDATE"
        )
    if back:
        provider.reinstated.add(back)
    waivers = provider.waivers.setdefault((excluded, row.text("EXCLTYPE")), {})
    if waiver := _waiver(row):
        state, first = waiver
        waivers[state] = min(first, waivers.get(state, first))


def intervals(excluded: Iterable[date], reinstated: Iterable[date]) -> Iterator[Span]:
    """Return the exclusions as intervals without overlap: first day, first day after or None.

    Excluded on a day is who has an exclusion up to that day and no reinstatement between the two:
    an exclusion lasts to the first reinstatement on or after it, and one on its own day undoes it.
    """
    backs = sorted(reinstated)
    taken: date | None = None
    for first in sorted(excluded):
        if taken is not None and first < taken:
            continue
        back = _first_from(backs, first)
        if back != first:
            yield first, back
        if back is None:
            return
        taken = back


def waived(
    waivers: Mapping[Exclusion, Mapping[str, date]], reinstated: Iterable[date]
) -> Iterator[tuple[str, date, date | None]]:
    """Return for each state the days on which all exclusions in force are waived there.

    A waiver belongs to its exclusion: who is excluded a second time, without one, is excluded.
    """
    backs = sorted(reinstated)
    spans = [
        (first, _first_from(backs, first), by_state) for (first, _), by_state in waivers.items()
    ]
    days = {first for first, _, _ in spans} | set(backs)
    for state in sorted({state for _, _, by_state in spans for state in by_state}):
        begun: date | None = None
        for day in sorted(days | {each[state] for _, _, each in spans if state in each}):
            in_force = [each for first, back, each in spans if first <= day and _before(day, back)]
            holds = bool(in_force) and all(each.get(state, date.max) <= day for each in in_force)
            if holds and begun is None:
                begun = day
            elif begun is not None and not holds:
                yield state, begun, day
                begun = None
        if begun is not None:
            yield state, begun, None


def _first_from(days: Sequence[date], first: date) -> date | None:
    return next((day for day in days if day >= first), None)


def _before(day: date, end: date | None) -> bool:
    return end is None or day < end


def passes_luhn(npi: int) -> bool:
    """Return whether the check digit of an NPI is right, counted as if 80840 stood in front."""
    digits = [int(each) for each in reversed(f"{npi:010d}")]
    doubled = [2 * each - 9 * (each > 4) for each in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled) + 24) % 10 == 0


def _rows(file: PublishedFile) -> Iterator[Row]:
    rows = file.records()
    header = next(rows, Row(file.name, 1, (), {}))
    names = tuple(_OTHER_NAMES.get(each.strip(), each.strip()) for each in header.fields)
    if names not in {_COLUMNS, (_NPI,)}:
        raise header.refused(
            "the header is another one", "the 18 columns of the LEIE, or NPI alone"
        )
    places: Mapping[str, int] = {name: at for at, name in enumerate(names)}
    for row in rows:
        yield row.named(places)


def _npi(row: Row) -> int | None:
    text = row.text(_NPI)
    if text in _NO_NPI:
        return None
    if len(text) != _NPI_LENGTH or not (text.isascii() and text.isdigit()):
        raise row.refused("the NPI is not ten digits long", "ten digits, or 0 for none")
    return int(text)


def _excluded_on(row: Row) -> date:
    day = row.date("EXCLDATE")
    if day is None:
        raise row.refused("EXCLDATE is blank", "the day of exclusion, YYYYMMDD")
    return day


def _waiver(row: Row) -> tuple[str, date] | None:
    """Return state and first day of a waiver; a waiver holds for the state that granted it."""
    state, first = row.text("WVRSTATE"), row.date("WAIVERDATE")
    if not (state or first):
        return None
    if first is None or state not in STATES:
        raise row.refused(
            f"a waiver of {first or 'no day'} in {state or 'no state'}",
            "WAIVERDATE with WVRSTATE, the two letters of a state, or neither",
        )
    return state, first
