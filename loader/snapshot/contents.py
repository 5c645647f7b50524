"""The rows of a snapshot by table and release, under the names that people have for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.codes import text36
from engine.tables import keys, schema
from engine.tables.code_sets import AGE_CLASSES, POS_CODES
from engine.tables.keys import Int64s
from engine.tables.listing import ANY, Form, ListingField, ListingSpec
from engine.tables.listings import LINES_OF_BUSINESS, LISTINGS, SEXES
from engine.tables.schema import Schema
from engine.tables.snapshot import Snapshot

Array = npt.NDArray[Any]
Value = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table in one release."""

    key: Int64s
    """What names a row, without the release."""
    further: Mapping[str, Array]
    """What names it besides: several rows of one key begin on different days."""
    values: Mapping[str, Array]
    """What the row says."""


@dataclass(frozen=True, slots=True)
class TableOfRows:
    """One list of a dataset, and how its rows are named."""

    name: str
    rows: Callable[[Snapshot, str, int], Rows]
    """The rows of the release of an ordinal."""
    label: Callable[[int], dict[str, Value]]
    """The key of a row in words of the field."""
    words: Mapping[str, Callable[[int], Value]] = field(default_factory=lambda: _WORDS)
    """How values of columns are written that are not just numbers."""

    def shown(self, column: str, value: Any) -> Value:
        """Return a value as it is written: codes as texts, days as ISO dates."""
        if isinstance(value, np.datetime64):
            return None if np.isnat(value) else str(value)
        if isinstance(value, np.bool_):
            return bool(value)
        if isinstance(value, bytes):
            return value.decode()
        words = self.words.get(column)
        return words(int(value)) if words else int(value)


def _words_of_locality(number: int) -> str:
    return f"{number:07d}" if number >= 0 else ""


def _ordered_diagnosis(number: int) -> str:
    """Return seven characters: what the code is shorter is filled up with zeros."""
    return text36(number + 36**7)


def _hashed(number: int) -> str:
    """A word has no way back; its hash tells two apart."""
    return f"#{number & 0xFFFFFFFF:08x}" if number else ""


_WORDS: Final[Mapping[str, Callable[[int], Value]]] = {
    "status": lambda number: chr(number) if number else "",
    "endoscopy_base": text36,
    "locality": _words_of_locality,
    "state": text36,
    "waiver_state": text36,
    "name_state": text36,
    "name_specialty": _hashed,
    "last": _ordered_diagnosis,
    "age_class": lambda number: AGE_CLASSES[number],
}


def _keyed(
    columns: Schema, key: str, bits: int, *further: str, left: tuple[str, ...] = ()
) -> Callable[[Snapshot, str, int], Rows]:
    """Return the reader of a table whose key has the release above so many bits."""
    names = [name for name in columns if name not in {key, *further, *left}]

    def read(snapshot: Snapshot, dataset: str, ordinal: int) -> Rows:
        arrays = snapshot.columns(dataset, columns)
        mine = _between(arrays[key], ordinal << bits, (ordinal + 1) << bits)
        return Rows(
            arrays[key][mine] & ((1 << bits) - 1),
            {name: arrays[name][mine] for name in further},
            {name: arrays[name][mine] for name in names},
        )

    return read


def _between(key: Int64s, first: int, end: int) -> slice:
    """Return where the keys from `first` to before `end` are; the last element is none of them."""
    low, high = np.searchsorted(key[:-1], np.array([first, min(end, keys.KEY_MAX)], np.int64))
    return slice(int(low), int(high))


def _caps(snapshot: Snapshot, dataset: str, ordinal: int) -> Rows:
    """Caps name their procedure by its place in a list that has the release in its keys."""
    bits = keys.CODE_BITS + keys.MODIFIER_BITS
    procedures = snapshot.columns(dataset, schema.OPPS_CAP_PROCEDURES)["procedure_key"]
    places = _between(procedures, ordinal << bits, (ordinal + 1) << bits)
    arrays = snapshot.columns(dataset, schema.OPPS_CAP)
    mine = _between(
        arrays["key"], places.start << keys.LOCALITY_BITS, places.stop << keys.LOCALITY_BITS
    )
    key = arrays["key"][mine]
    procedure = procedures[key >> keys.LOCALITY_BITS] & ((1 << bits) - 1)
    locality = key & ((1 << keys.LOCALITY_BITS) - 1)
    values = {name: column[mine] for name, column in arrays.items() if name != "key"}
    return Rows((procedure << keys.LOCALITY_BITS) | locality, {}, values)


def _names(snapshot: Snapshot, dataset: str, ordinal: int) -> Rows:
    """Exclusions by name: the release stands in a column, since a name fills the key."""
    arrays = snapshot.columns(dataset, schema.NAMED_EXCLUSIONS)
    mine = np.flatnonzero(arrays["name_release"][:-1] == ordinal)
    further = ("name_state", "name_specialty", "name_excluded")
    return Rows(
        arrays["name"][mine],
        {name: arrays[name][mine] for name in further},
        {"name_reinstated": arrays["name_reinstated"][mine]},
    )


def _places(snapshot: Snapshot, dataset: str, ordinal: int) -> Rows:
    arrays = snapshot.columns(dataset, schema.PLACES_OF_SERVICE)
    mine = slice(ordinal * POS_CODES, (ordinal + 1) * POS_CODES)
    flags = {name: column[mine] for name, column in arrays.items()}
    return _where(flags["assigned"], np.arange(POS_CODES), flags)


def _groups(snapshot: Snapshot, dataset: str, _: int) -> Rows:
    groups = snapshot.columns(dataset, schema.MODIFIER_GROUPS)["groups"][:-1]
    return _where(groups > 0, np.arange(len(groups)), {"groups": groups})


def _where(there: npt.NDArray[np.bool_], key: Array, values: Mapping[str, Array]) -> Rows:
    return Rows(
        key[there].astype(np.int64), {}, {name: column[there] for name, column in values.items()}
    )


def _ages(snapshot: Snapshot, dataset: str, _: int) -> Rows:
    arrays = {
        name: column[:-1] for name, column in snapshot.columns(dataset, schema.AGE_CLASSES).items()
    }
    first, effective = arrays.pop("first"), arrays.pop("effective")
    return Rows(first, {"effective": effective}, arrays)


def _code(key: int) -> dict[str, Value]:
    return {"code": text36(key)}


def _fee(key: int) -> dict[str, Value]:
    modifier = text36(key & ((1 << keys.MODIFIER_BITS) - 1))
    return {"code": text36(key >> keys.MODIFIER_BITS), "modifier": modifier}


def _cap(key: int) -> dict[str, Value]:
    locality = key & ((1 << keys.LOCALITY_BITS) - 1)
    return _fee(key >> keys.LOCALITY_BITS) | _locality(locality)


def _locality(key: int) -> dict[str, Value]:
    return {"locality": _words_of_locality(key)}


def _zip(key: int) -> dict[str, Value]:
    return {"zip5": f"{key:05d}"}


def _pair(first: str, second: str) -> Callable[[int], dict[str, Value]]:
    return lambda key: {
        first: text36(key >> keys.CODE_BITS),
        second: text36(key & ((1 << keys.CODE_BITS) - 1)),
    }


def _name(key: int) -> dict[str, Value]:
    return {"name": _hashed(key)}


def _npi(key: int) -> dict[str, Value]:
    return {"npi": f"{key:010d}"}


def _npi_day(key: int) -> dict[str, Value]:
    day = np.datetime64(int(keys.DAY_FIRST) + (key & ((1 << keys.DAY_BITS) - 1)), "D")
    return _npi(key >> keys.DAY_BITS) | {"excluded": str(day)}


def _place(key: int) -> dict[str, Value]:
    return {"place_of_service": f"{key:02d}"}


def _modifier(key: int) -> dict[str, Value]:
    return {"modifier": text36(key)}


def _diagnoses(key: int) -> dict[str, Value]:
    return {"first": _ordered_diagnosis(key)}


def _listing(spec: ListingSpec) -> TableOfRows:
    """A listing names its rows by tenant, codes, what else may be told apart, and first day."""
    key = next(iter(spec.axis.columns))
    # The key of a label says what the label says.
    keys_of_labels = {each.key_column for each in spec.fields}
    named = [
        n for each in spec.fields for n in each.columns if each.key and n not in keys_of_labels
    ]
    further = ["tenant", *list(spec.axis.columns)[1:], *named, "effective"]
    values = [name for name in spec.columns if name not in {key, *further, *keys_of_labels}]
    words = {name: _words_of(each) for each in spec.fields for name in each.columns}

    def read(snapshot: Snapshot, dataset: str, _: int) -> Rows:
        arrays = snapshot.columns(dataset, spec.columns)
        return Rows(
            arrays[key][:-1].astype(np.int64),
            {name: arrays[name][:-1] for name in further},
            {name: arrays[name][:-1] for name in values},
        )

    return TableOfRows("", read, lambda number: {key: words[key](number)}, words)


def _words_of(each: ListingField) -> Callable[[int], Value]:
    if each.form in {Form.CHOICE, Form.LINE_OF_BUSINESS, Form.SEX}:
        choices = each.choices or (SEXES if each.form is Form.SEX else LINES_OF_BUSINESS)
        return lambda number: choices[number] if number >= 0 else ""
    return _WORDS_OF_FORMS.get(each.form, int)


def _range_end(text: Callable[[int], str]) -> Callable[[int], str]:
    """Return the words of an end of a range, which is nothing where the range is everything."""
    return lambda number: "" if number in {ANY, keys.KEY_MAX} else text(number)


def _zip_or_region(number: int) -> str:
    region = number - keys.ZIP_REGION_FIRST
    return f"{number:05d}" if region < 0 else f"{region:03d}"


_WORDS_OF_FORMS: Final[Mapping[Form, Callable[[int], Value]]] = {
    Form.PROCEDURES: _range_end(text36),
    Form.REVENUE_CODES: _range_end(text36),
    Form.GROUPS: _range_end(text36),
    Form.DIAGNOSES: _range_end(_ordered_diagnosis),
    Form.ICD_PROCEDURES: _range_end(text36),
    Form.TAXONOMIES: _range_end(text36),
    Form.ZIP: _zip_or_region,
    Form.PROCEDURE: text36,
    Form.REVENUE_CODE: text36,
    Form.MODIFIER: text36,
    # A tax id may be the social security number of a person, and an id has no way back.
    Form.TIN: lambda number: "given" if number else "",
    Form.WORD: _hashed,
}


_PAIRS: Final = TableOfRows(
    "",
    _keyed(schema.PAIR_EDITS, "key", 2 * keys.CODE_BITS, "effective"),
    _pair("column_1", "column_2"),
)
_LIMITS: Final = TableOfRows("", _keyed(schema.UNIT_LIMITS, "key", keys.CODE_BITS), _code)
_DATED_CODES: Final = TableOfRows(
    "", _keyed(schema.DATED_CODES, "key", keys.CODE_BITS, "effective"), _code
)

TABLES: Final[Mapping[str, tuple[TableOfRows, ...]]] = {
    "mpfs": (
        TableOfRows(
            "",
            _keyed(
                schema.FEE_SCHEDULE,
                "key",
                keys.CODE_BITS + keys.MODIFIER_BITS,
                left=("release", "code", "modifier"),
            ),
            _fee,
        ),
    ),
    "opps_cap": (TableOfRows("", _caps, _cap),),
    "gpci": (
        TableOfRows(
            "",
            _keyed(schema.LOCALITIES, "key", keys.LOCALITY_BITS, left=("release", "locality")),
            _locality,
        ),
    ),
    "anesthesia_cf": (
        TableOfRows("", _keyed(schema.ANESTHESIA, "key", keys.LOCALITY_BITS), _locality),
    ),
    "zip_locality": (TableOfRows("", _keyed(schema.ZIP_CODES, "key", keys.ZIP_BITS), _zip),),
    "ncci_ptp_practitioner": (_PAIRS,),
    "ncci_ptp_hospital": (_PAIRS,),
    "ncci_mue_practitioner": (_LIMITS,),
    "ncci_mue_hospital": (_LIMITS,),
    "ncci_mue_dme": (_LIMITS,),
    "ncci_aoc": (
        TableOfRows(
            "primaries",
            _keyed(schema.ADDON_PAIRS, "pair_key", 2 * keys.CODE_BITS, "pair_effective"),
            _pair("add_on", "primary"),
        ),
        TableOfRows(
            "types",
            _keyed(schema.ADDON_TYPES, "type_key", keys.CODE_BITS, "type_effective", "type_bits"),
            _code,
        ),
    ),
    "leie": (
        TableOfRows(
            "exclusions",
            _keyed(schema.EXCLUSIONS, "key", keys.NPI_BITS + keys.DAY_BITS),
            _npi_day,
        ),
        TableOfRows(
            "undated", _keyed(schema.UNDATED_EXCLUSIONS, "undated_key", keys.NPI_BITS), _npi
        ),
        TableOfRows(
            "waivers",
            _keyed(schema.WAIVERS, "waiver_key", keys.NPI_BITS, "waiver_state", "waiver_first"),
            _npi,
        ),
        TableOfRows("names", _names, _name),
    ),
    "icd10cm": (TableOfRows("", _keyed(schema.DIAGNOSES, "key", keys.DIAGNOSIS_BITS), _code),),
    "hcpcs": (_DATED_CODES,),
    "place_of_service": (TableOfRows("", _places, _place),),
    "modifiers": (_DATED_CODES,),
    "evaluation_management": (_DATED_CODES,),
    "ncci_modifiers": (TableOfRows("", _groups, _modifier),),
    "diagnosis_age_class": (TableOfRows("", _ages, _diagnoses),),
    **{name: (_listing(spec),) for name, spec in LISTINGS.items()},
}
"""Every dataset of a snapshot, by the lists that it holds."""
