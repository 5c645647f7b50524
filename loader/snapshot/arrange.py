"""From the tables of a dataset's releases to the columns of a snapshot, sorted by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.tables import schema
from engine.tables.code_sets import POS_CODES
from engine.tables.keys import (
    CODE_BITS,
    code_key,
    diagnosis_key,
    fee_key,
    locality_key,
    npi_day_key,
    npi_key,
    pair_bit,
    pair_key,
    released_pair_key,
    zip_key,
)
from engine.tables.listing import ListingSpec
from engine.tables.snapshot import Column
from loader.snapshot.table import Columns, Table

_FILTER_BITS_MIN: Final = 13
_FILTER_BITS_MAX: Final = 27
_FILTER_BITS_PER_PAIR: Final = 64
_MODIFIERS: Final = 2 * 36**2


@dataclass(frozen=True, slots=True)
class Arranged:
    """The columns of a dataset as they are written; `depth` is the most rows that one key has."""

    columns: Columns
    depth: int = 1


def arrange_fee_schedule(tables: Sequence[Table]) -> Arranged:
    """Arrange by code and modifier."""
    rows = _stacked(tables)
    rows["key"] = fee_key(rows["release"], rows["code"], rows["modifier"])
    return Arranged(_sorted(rows, "key", schema.FEE_SCHEDULE))


def arrange_opps_cap(tables: Sequence[Table]) -> Arranged:
    """Arrange by procedure, and by procedure and locality."""
    rows = _stacked(tables)
    procedure = fee_key(rows["release"], rows["code"], rows["modifier"])
    procedures, ordinal = np.unique(procedure, return_inverse=True)
    rows["key"] = locality_key(ordinal, rows["locality"])
    known = {"procedure_key": procedures}
    return Arranged(
        _sorted(known, "procedure_key", schema.OPPS_CAP_PROCEDURES)
        | _sorted(rows, "key", schema.OPPS_CAP)
    )


def arrange_localities(tables: Sequence[Table]) -> Arranged:
    """Arrange by locality."""
    rows = _stacked(tables)
    rows["key"] = locality_key(rows["release"], rows["locality"])
    return Arranged(_sorted(rows, "key", schema.LOCALITIES))


def arrange_anesthesia(tables: Sequence[Table]) -> Arranged:
    """Arrange by locality."""
    rows = _stacked(tables)
    rows["key"] = locality_key(rows["release"], rows["locality"])
    return Arranged(_sorted(rows, "key", schema.ANESTHESIA))


def arrange_zip_codes(tables: Sequence[Table]) -> Arranged:
    """Arrange by ZIP code."""
    rows = _stacked(tables)
    rows["key"] = zip_key(rows["release"], rows["zip5"])
    return Arranged(_sorted(rows, "key", schema.ZIP_CODES))


def arrange_pair_edits(tables: Sequence[Table]) -> Arranged:
    """Arrange by pair and day, with a bit-set of all pairs and the list of all codes."""
    rows = _stacked(tables)
    pair = rows.pop("pair")
    codes = np.unique(np.concatenate([pair >> CODE_BITS, pair & ((1 << CODE_BITS) - 1)]))
    rows["key"] = released_pair_key(rows["release"], pair)
    return Arranged(
        # The reader has sorted the rows of a pair by day, and the sort here keeps that order.
        _sorted(rows, "key", schema.PAIR_EDITS)
        | {"filter": _pair_filter(pair)}
        | _with_last({"codes": codes}, schema.PAIR_CODES),
        depth=_depth(rows["key"]),
    )


def arrange_unit_limits(tables: Sequence[Table]) -> Arranged:
    """Arrange by code."""
    rows = _stacked(tables)
    rows["key"] = code_key(rows["release"], rows["code"])
    return Arranged(_sorted(rows, "key", schema.UNIT_LIMITS))


def arrange_addons(tables: Sequence[Table]) -> Arranged:
    """Arrange by add-on and primary code, and by add-on code alone."""
    rows = _stacked(tables)
    pairs: Columns = {
        "pair_key": released_pair_key(rows["release"], pair_key(rows["addon"], rows["primary"])),
        "pair_effective": rows["effective"],
        "pair_deletion": rows["deletion"],
    }
    types: Columns = {
        "type_key": code_key(rows["release"], rows["addon"]),
        "type_effective": rows["effective"],
        "type_deletion": rows["deletion"],
        "type_bits": rows["type_bits"],
    }
    types = _distinct(types)
    return Arranged(
        _sorted(pairs, "pair_key", schema.ADDON_PAIRS)
        | _sorted(types, "type_key", schema.ADDON_TYPES),
        depth=max(_depth(pairs["pair_key"]), _depth(types["type_key"])),
    )


def arrange_exclusions(tables: Sequence[Table]) -> Arranged:
    """Arrange by provider and day of exclusion; waivers and the undated list by provider.

    Those without an NPI are arranged by name.
    """
    rows = _stacked([_part(table, "npi", "excluded", "reinstated") for table in tables])
    rows["key"] = npi_day_key(rows["release"], rows["npi"], rows["excluded"])
    listed = _stacked([_part(table, "undated") for table in tables])
    listed["undated_key"] = npi_key(listed["release"], listed["undated"])
    waivers = _stacked([_part(table, "waiver_npi", *_WAIVER) for table in tables])
    waivers["waiver_key"] = npi_key(waivers["release"], waivers["waiver_npi"])
    named = _stacked([_part(table, "name", *_NAMED) for table in tables])
    named["name_release"] = named.pop("release")
    return Arranged(
        _sorted(rows, "key", schema.EXCLUSIONS)
        | _sorted(listed, "undated_key", schema.UNDATED_EXCLUSIONS)
        | _sorted(waivers, "waiver_key", schema.WAIVERS)
        | _sorted(named, "name", schema.NAMED_EXCLUSIONS),
        depth=max(_depth(waivers["waiver_key"]), _depth(named["name"])),
    )


def _part(table: Table, *names: str) -> Table:
    """Return the columns of one of the lists that a table holds."""
    return Table({name: table.columns[name] for name in names}, 0)


_NAMED: Final = ("name_state", "name_specialty", "name_excluded", "name_reinstated")
_WAIVER: Final = ("waiver_state", "waiver_first", "waiver_after")


def arrange_places_of_service(tables: Sequence[Table]) -> Arranged:
    """Arrange as a hundred flags per release."""
    flags = {name: np.zeros(len(tables) * POS_CODES, np.bool_) for name in ("assigned", "facility")}
    for ordinal, table in enumerate(tables):
        at = ordinal * POS_CODES + table.columns["pos"].astype(np.int64)
        for name, column in flags.items():
            column[at] = table.columns[name]
    return Arranged(_with_last(flags, schema.PLACES_OF_SERVICE))


def arrange_dated_codes(tables: Sequence[Table]) -> Arranged:
    """Arrange by code."""
    rows = _stacked(tables)
    rows["key"] = code_key(rows["release"], rows["code"])
    return Arranged(_sorted(rows, "key", schema.DATED_CODES), depth=_depth(rows["key"]))


def arrange_diagnoses(tables: Sequence[Table]) -> Arranged:
    """Arrange by code."""
    rows = _stacked(tables)
    rows["key"] = diagnosis_key(rows["release"], rows["code"])
    return Arranged(_sorted(rows, "key", schema.DIAGNOSES))


def arrange_ncci_modifiers(tables: Sequence[Table]) -> Arranged:
    """Arrange as one byte of group bits per modifier."""
    groups = np.zeros(_MODIFIERS, np.uint8)
    for table in tables:
        np.bitwise_or.at(groups, table.columns["modifier"], table.columns["group"])
    return Arranged(_with_last({"groups": groups}, schema.MODIFIER_GROUPS))


def arrange_age_classes(tables: Sequence[Table]) -> Arranged:
    """Arrange by the first code of each range."""
    rows = _sorted(_stacked(tables), "first", schema.AGE_CLASSES)
    first, last = rows["first"][:-1], rows["last"][:-1]
    apart = bool((first[1:] > last[:-1]).all())
    return Arranged(rows, depth=1 if apart else len(first))


def arrange_listing(spec: ListingSpec, table: Table) -> Arranged:
    """Leave the rows in the order of the file; a reader cuts them by tenant and code."""
    return Arranged(_with_last(table.columns, spec.columns))


def _stacked(tables: Sequence[Table]) -> Columns:
    """Return the rows of all releases with the ordinal of theirs."""
    columns = {
        name: np.concatenate([table.columns[name] for table in tables])
        for name in tables[0].columns
    }
    first = next(iter(tables[0].columns))
    rows = [len(table.columns[first]) for table in tables]
    return columns | {"release": np.repeat(np.arange(len(tables), dtype=np.int16), rows)}


def _sorted(rows: Columns, by: str, columns: Mapping[str, Column]) -> Columns:
    """Return the schema's columns in the order of one of them, ended by what row -1 reads."""
    key = rows[by]
    if len(key) > 1 and not bool((key[1:] >= key[:-1]).all()):
        order = np.argsort(key, kind="stable")
        rows = {name: rows[name][order] for name in columns}
    return _with_last({name: rows[name] for name in columns}, columns)


def _with_last(rows: Columns, columns: Mapping[str, Column]) -> Columns:
    return {
        name: np.concatenate([_as(rows[name], column.dtype), np.array([column.none], column.dtype)])
        for name, column in columns.items()
    }


def _as(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """Return the values in their written type; OverflowError rather than other values."""
    cast = values.astype(dtype)
    if cast.dtype.kind in "iu" and not np.array_equal(cast, values):
        raise OverflowError(f"values do not fit into {dtype}")
    return cast


def _depth(key: npt.NDArray[np.int64]) -> int:
    return int(np.unique(key, return_counts=True)[1].max(initial=1))


def _distinct(rows: Columns) -> Columns:
    """Return each different row once."""
    as_integers = np.stack([column.astype(np.int64) for column in rows.values()])
    kept = np.unique(as_integers, axis=1, return_index=True)[1]
    return {name: column[kept] for name, column in rows.items()}


def _pair_filter(pair: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return a bit-set in which every pair's bit is set, so large that 98 in 100 others miss."""
    wanted = (_FILTER_BITS_PER_PAIR * max(len(pair), 1) - 1).bit_length()
    bits = min(max(wanted, _FILTER_BITS_MIN), _FILTER_BITS_MAX)
    bit = pair_bit(pair, bits)
    flags = np.zeros(1 << bits, np.bool_)
    flags[bit] = True
    return np.packbits(flags, bitorder="little")
