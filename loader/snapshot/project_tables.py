"""The project's own small tables: visits, modifier groups of the NCCI, age classes of diagnoses."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.tables.code_sets import AGE_CLASSES, diagnosis_order, diagnosis_order_last
from engine.tables.ncci import ANATOMIC, DISTINCT, GLOBAL, OTHER, REPEAT
from loader.snapshot.published import PublishedFile, Row
from loader.snapshot.table import Gatherer, Table

_VISIT_COLUMNS: Final = ("code_from", "code_to", "effective_from", "effective_to")
_GROUP_COLUMNS: Final = ("modifier", "group")
_AGE_COLUMNS: Final = (
    "code_from",
    "code_to",
    "class",
    "age_from",
    "age_to",
    "effective_from",
    "effective_to",
    "note",
)
_GROUPS: Final = {
    "anatomic": ANATOMIC,
    "global": GLOBAL,
    "other": OTHER,
    "distinct": DISTINCT,
    "repeat": REPEAT,
}
_CLASSES: Final = {name: number for number, name in enumerate(AGE_CLASSES) if name}
_AGE_MAX: Final = 124
_MODIFIER: Final = re.compile(r"[0-9A-Z]{2}")
_PREFIX: Final = re.compile(r"[A-Z][0-9][0-9A-Z]{1,5}")


def read_evaluation_management(files: Sequence[PublishedFile]) -> Table:
    """Return every code of the ranges of visits, with its days."""
    gatherer = Gatherer(
        {"code": "int32", "effective": "datetime64[D]", "deletion": "datetime64[D]"}
    )
    spans = _Spans()
    for file in files:
        for row in file.table(_VISIT_COLUMNS):
            first, last = row.integer("code_from", 0, 99999), row.integer("code_to", 0, 99999)
            if last < first:
                raise row.refused("the range ends before it begins", "code_from up to code_to")
            for number in range(first, last + 1):
                code = row.procedure_of(f"{number:05d}")
                effective, deletion = row.date("effective_from"), row.date("effective_to")
                spans.take(row, (code, code), (effective, deletion))
                gatherer.add(code, effective, deletion)
    return gatherer.table()


def read_ncci_modifiers(files: Sequence[PublishedFile]) -> Table:
    """Return the groups of each modifier, one row per modifier and group."""
    gatherer = Gatherer({"modifier": "int16", "group": "uint8"})
    for file in files:
        for row in file.table(_GROUP_COLUMNS):
            text, group = row.text("modifier"), row.choice("group", _GROUPS)
            if not _MODIFIER.fullmatch(text):
                raise row.refused(f"{text!r} is no modifier", "two letters or digits")
            gatherer.once(row, (text, group), "modifier in a group")
            gatherer.add(code36(text), group)
    return gatherer.table()


def read_diagnosis_age_class(files: Sequence[PublishedFile]) -> Table:
    """Return ranges of diagnosis codes, by their beginnings, with the plausible ages."""
    gatherer = Gatherer(
        {
            "first": "int64",
            "last": "int64",
            "effective": "datetime64[D]",
            "deletion": "datetime64[D]",
            "age_class": "int8",
            "age_from": "int16",
            "age_to": "int16",
        }
    )
    spans = _Spans()
    for file in files:
        for row in file.table(_AGE_COLUMNS):
            first, last = _range(row)
            effective, deletion = row.date("effective_from"), row.date("effective_to")
            spans.take(row, (first, last), (effective, deletion))
            gatherer.add(
                first,
                last,
                effective,
                deletion,
                row.choice("class", _CLASSES),
                *_ages(row),
            )
    return gatherer.table()


class _Spans:
    """Refuses a row whose codes and days meet those of an earlier one."""

    def __init__(self) -> None:
        self._taken: list[tuple[tuple[int, int], tuple[date, date], int]] = []

    def take(self, row: Row, codes: tuple[int, int], days: tuple[date | None, date | None]) -> None:
        """Take the codes and days of a row, both ends included."""
        span = (days[0] or date.min, days[1] or date.max)
        if span[1] < span[0]:
            raise row.refused("the row ends before it begins", "effective_from up to effective_to")
        for other_codes, other_span, number in self._taken:
            if _meet(codes, other_codes) and _meet(span, other_span):
                raise row.refused(
                    f"codes and days overlap with those of row {number}", "one row per code and day"
                )
        self._taken.append((codes, span, row.number))


def _ages(row: Row) -> tuple[int, int]:
    first, last = row.integer("age_from", 0, _AGE_MAX), row.integer("age_to", 0, _AGE_MAX)
    if last < first:
        raise row.refused(f"ages from {first} to {last}", "age_from up to age_to")
    return first, last


def _meet(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return bool(one[0] <= other[1] and other[0] <= one[1])


def _range(row: Row) -> tuple[int, int]:
    texts = [row.text("code_from"), row.text("code_to")]
    if not all(_PREFIX.fullmatch(text) for text in texts):
        raise row.refused("a range of codes is no range", "the beginnings of two diagnosis codes")
    codes = np.array([code36(text) for text in texts], np.int64)
    first, last = int(diagnosis_order(codes)[0]), int(diagnosis_order_last(codes)[1])
    if last < first:
        raise row.refused("the range ends before it begins", "code_from up to code_to")
    return first, last
