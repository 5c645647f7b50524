"""The same rows as `loader.rows`, written in C from the bytes of claims and answers.

What each column is made of is said here, by the names of the API's fields; nothing is parsed and no
loop of Python runs over lines. Python writes the rows where there is no compiled library, and where
the bytes hold what is unusual.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy as np
from claimgate.v1 import claim_pb2, score_pb2
from numpy.typing import NDArray

from loader import rows
from loader.copy_format import enum_names
from loader.reading import LIBRARY, OF_A_CLAIM, Reading
from loader.rows import (
    CLAIM_COLUMNS,
    HIT_COLUMNS,
    LINE_COLUMNS,
    RESULT_COLUMNS,
    LoadClaim,
    Owner,
)
from loader.source import PRIORITY_MAX

_OK, _NO_ROOM = 0, 2
_NONE: Final = -1
_SOURCES_MAX: Final = 3
_Op = IntEnum(
    "_Op",
    "CONSTANT RAW SIZED KEPT TEXT DAY INT8 INT2 CLAMPED COUNT ORDINAL OPTIONAL FLAG WORD NUMERIC "
    "SCORE TEXTS NUMBERS CODES FIRST_CODE JSON",
    start=0,
)
_Per = IntEnum("_Per", "CLAIM LINE HIT", start=0)
_DIAGNOSIS_CODE: Final = claim_pb2.Diagnosis.DESCRIPTOR.fields_by_name["code"].number


# What a column is made of. ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    op: _Op
    sources: tuple[str, ...] = ()
    """Paths; the first that holds something counts."""
    literals: tuple[str, ...] = ()
    """What stands for nothing, or the words of an enum."""
    extra: int = 0


def _text(*sources: str, default: str = "") -> _Column:
    return _Column(_Op.TEXT, sources, (default,))


def _day(*sources: str) -> _Column:
    return _Column(_Op.DAY, sources)


def _word(source: str, enum: object, prefix: str) -> _Column:
    names = enum_names(enum, prefix)
    words = tuple(names[number] for number in range(len(names)))
    return _Column(_Op.WORD, (source,), words, len(words))


def _one(op: _Op, source: str, extra: int = 0) -> _Column:
    return _Column(op, (source,), (), extra)


def _given(op: _Op, place: int) -> _Column:
    """A value that is handed over beside the messages, by its place."""
    return _Column(op, (), (), place)


_HEAD, _BATCH = _given(_Op.CONSTANT, 0), _given(_Op.CONSTANT, 1)
_RESULT_NO: Final = _given(_Op.CONSTANT, 2)
_KEY: Final = _given(_Op.RAW, 0)
_FIRST_RESULT: Final = b"\0\0\0\2\0\1"

_MAY_BE_ABSENT: Final = 1

_CLAIM_ROW: Final = (
    *(_HEAD, _KEY),
    _one(_Op.INT8, "claim.total_charge_cents"),
    _one(_Op.INT8, "claim.patient_paid_cents"),
    _one(_Op.COUNT, "claim.lines"),
    _one(_Op.CLAMPED, "claim.priority", PRIORITY_MAX),
    _BATCH,
    *[_given(_Op.SIZED, place) for place in (1, 2, 3, 4)],
    _day("claim.service_to_date"),
    _day("claim.admission_date"),
    _day("claim.discharge_date"),
    _day("claim.received_date"),
    _word("claim.claim_type", claim_pb2.ClaimType, "CLAIM_TYPE_"),
    _text("claim.facility_id"),
    _text("claim.frequency_code", default="1"),
    _word("claim.line_of_business", claim_pb2.LineOfBusiness, "LINE_OF_BUSINESS_"),
    _text("claim.financial_class"),
    _text("claim.insurance_type"),
    _text("claim.insurance_plan_id"),
    _text("claim.payer_id"),
    _text("claim.place_of_service"),
    _text("claim.type_of_bill"),
    _text("claim.drg_code"),
    _text("claim.billing_provider.npi"),
    _text("claim.billing_provider.last_or_org_name"),
    _text("claim.rendering_provider.npi"),
    _text("claim.attending_provider.npi"),
    _text("claim.attending_provider.last_or_org_name"),
    _one(_Op.FIRST_CODE, "claim.diagnoses", _DIAGNOSIS_CODE),
    _one(_Op.CODES, "claim.diagnoses", _DIAGNOSIS_CODE),
)
_LINE_ROW: Final = (
    *(_HEAD, _KEY),
    _one(_Op.INT2, "line.line_number"),
    _one(_Op.INT8, "line.charge_cents"),
    _one(_Op.OPTIONAL, "price.allowed_cents"),
    _one(_Op.OPTIONAL, "price.payable_cents"),
    _day("line.service_from_date", "claim.service_from_date"),
    _day("line.service_to_date", "line.service_from_date", "claim.service_to_date"),
    _text("line.procedure_code"),
    _one(_Op.TEXTS, "line.modifiers"),
    _text("line.revenue_code"),
    _text("line.place_of_service", "claim.place_of_service"),
    _one(_Op.NUMBERS, "line.diagnosis_pointers"),
    _one(_Op.NUMERIC, "line.units_milli", 3),
    _text("line.unit_basis", default="UN"),
    _text("line.rendering_provider.npi", "claim.rendering_provider.npi"),
    _one(_Op.NUMERIC, "price.rvu_total_e4", 4),
    _word("price.price_status", score_pb2.PriceStatus, "PRICE_STATUS_"),
    _word("price.disposition", score_pb2.Disposition, "DISPOSITION_"),
)
_RESULT_ROW: Final = (
    *(_HEAD, _KEY, _RESULT_NO),
    _one(_Op.INT2, "answer.unpriced_lines"),
    _one(_Op.INT8, "answer.exposure_cents"),
    _given(_Op.KEPT, 0),
    _given(_Op.KEPT, 1),
    _one(_Op.OPTIONAL, "answer.allowed_cents"),
    _BATCH,
    _word("answer.decision", score_pb2.Decision, "DECISION_"),
    _word("answer.risk_category", score_pb2.RiskCategory, "RISK_CATEGORY_"),
    _word("answer.model_status", score_pb2.ModelStatus, "MODEL_STATUS_"),
    _word("answer.exposure_basis", score_pb2.ExposureBasis, "EXPOSURE_BASIS_"),
    _one(_Op.SCORE, "answer.fraud_score"),
    _one(_Op.SCORE, "answer.rule_score"),
    _one(_Op.SCORE, "answer.approval_probability", _MAY_BE_ABSENT),
    _one(_Op.TEXTS, "answer.degraded"),
    _given(_Op.SIZED, 1),
)
_HIT_ROW: Final = (
    *(_HEAD, _KEY, _RESULT_NO),
    _Column(_Op.ORDINAL),
    _one(_Op.INT8, "hit.exposure_cents"),
    _one(_Op.FLAG, "hit.suppressed"),
    _text("hit.rule_id"),
    _text("hit.variant"),
    _word("hit.category", score_pb2.Category, "CATEGORY_"),
    _word("hit.scope", score_pb2.Scope, "SCOPE_"),
    _one(_Op.NUMBERS, "hit.line_numbers"),
    _one(_Op.TEXTS, "hit.codes"),
    _word("hit.action", score_pb2.Action, "ACTION_"),
    _word("hit.certainty", score_pb2.Certainty, "CERTAINTY_"),
    _word("hit.severity", score_pb2.Severity, "SEVERITY_"),
    _one(_Op.SCORE, "hit.weight"),
    _text("hit.carc"),
    _text("hit.dataset_release"),
    _one(_Op.JSON, "hit.evidence"),
    _one(_Op.FLAG, "hit.shadow"),
)


# Plans: what `native/rows.c` goes by.  ------------------------------------------------------------


class _Plan:
    """How the rows of one table are written."""

    def __init__(self, per: _Per, columns: Sequence[_Column]) -> None:
        lists = {_Per.CLAIM: (), _Per.LINE: ("claim.lines", "answer.lines")}.get(
            per, ("answer.hits",)
        )
        reading = Reading([*lists, *[path for each in columns for path in each.sources]])
        literals: list[str] = []
        self._columns = np.array([_as_row(each, reading, literals) for each in columns], np.int32)
        texts = [text.encode() for text in literals]
        self._literals = np.frombuffer(b"".join(texts), np.uint8)
        self._ends = np.array(list(accumulate(map(len, texts))), np.int32)
        slots, roots = reading.slots, reading.roots
        self._table = np.array(
            [
                *(per, len(columns)),
                *[
                    slots.get(path, _NONE)
                    for path in ("claim.lines", "answer.lines", "answer.hits")
                ],
                *[roots.get(root, _NONE) for root in ("line", "price", "hit")],
                *(reading.first_slot("line", "price"), reading.first_slot("hit")),
                *[roots.get(root, _NONE) for root in OF_A_CLAIM],
            ],
            np.int32,
        )
        self._reading = reading
        self.pointers = (
            self._table.ctypes.data,
            reading.fields.ctypes.data,
            reading.messages.ctypes.data,
            self._columns.ctypes.data,
            self._literals.ctypes.data,
            self._ends.ctypes.data,
        )


def _as_row(column: _Column, reading: Reading, literals: list[str]) -> tuple[int, ...]:
    sources = [reading.slots[path] for path in column.sources]
    sources += [_NONE] * (_SOURCES_MAX - len(sources))
    literal = len(literals)
    literals += column.literals
    return column.op, *sources, literal, column.extra


# Writing. -----------------------------------------------------------------------------------------


class _Table(NamedTuple):
    """A table, what its rows need beside the messages, and who writes them where C does not."""

    plan: _Plan
    columns: int
    texts: Callable[[LoadClaim], tuple[bytes, ...]]
    numbers: Callable[[LoadClaim], tuple[int, ...]]
    in_python: Callable[[Sequence[LoadClaim], Owner], bytes]
    room: int
    """Bytes of a claim's rows, about; more room is made where it is not enough."""


def _write(table: _Table, claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    if LIBRARY is None or not claims:
        return table.in_python(claims, owner)
    head = table.columns.to_bytes(2, "big") + owner.tenant
    texts = [text for item in claims for text in table.texts(item)]
    numbers = np.array([table.numbers(item) for item in claims], np.int64)
    given = (
        *_pointers([item.opened.payload for item in claims]),
        *_pointers([item.answer for item in claims]),
        *_pointers([head, owner.batch, _FIRST_RESULT]),
        *_pointers(texts),
    )
    addresses = [each.ctypes.data if isinstance(each, np.ndarray) else each for each in given]
    room, used = table.room * len(claims), ctypes.c_int64()
    while True:
        out = np.empty(room, np.uint8)
        outcome = LIBRARY.write_rows(
            *table.plan.pointers,
            len(claims),
            *addresses,
            len(texts) // len(claims),
            numbers.ctypes.data,
            numbers.shape[1],
            out.ctypes.data,
            room,
            ctypes.addressof(used),
        )
        if outcome == _OK:
            return out[: used.value].tobytes()
        if outcome != _NO_ROOM:
            return table.in_python(claims, owner)
        room *= 2


def _pointers(texts: Sequence[bytes]) -> tuple[Any, NDArray[np.int64]]:
    """Return the addresses of texts, for as long as they live, and their sizes."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    return (ctypes.c_char_p * len(texts))(*texts), sizes


def _key_of(item: LoadClaim) -> tuple[bytes, ...]:
    return (item.key,)


def _no_numbers(_: LoadClaim) -> tuple[int, ...]:
    return ()


def _texts_of_claim(item: LoadClaim) -> tuple[bytes, ...]:
    leased = item.leased
    return (
        item.key,
        leased.content_sha256,
        item.account_key,
        leased.member_key,
        leased.payload_encrypted,
    )


_CLAIMS: Final = _Table(
    _Plan(_Per.CLAIM, _CLAIM_ROW),
    len(CLAIM_COLUMNS),
    _texts_of_claim,
    _no_numbers,
    rows.claim_rows,
    2_000,
)
_LINES: Final = _Table(
    _Plan(_Per.LINE, _LINE_ROW), len(LINE_COLUMNS), _key_of, _no_numbers, rows.line_rows, 2_000
)
_RESULTS: Final = _Table(
    _Plan(_Per.CLAIM, _RESULT_ROW),
    len(RESULT_COLUMNS),
    lambda item: (item.key, item.answer),
    lambda item: item.provenance,
    rows.result_rows,
    1_000,
)
_HITS: Final = _Table(
    _Plan(_Per.HIT, _HIT_ROW), len(HIT_COLUMNS), _key_of, _no_numbers, rows.hit_rows, 500
)


def claim_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return the rows of claims."""
    return _write(_CLAIMS, claims, owner)


def line_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return a row for each line, with its price; a line without dates has the claim's."""
    return _write(_LINES, claims, owner)


def result_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return the rows of the answers: each is the first of its claim."""
    return _write(_RESULTS, claims, owner)


def hit_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return a row for each finding."""
    return _write(_HITS, claims, owner)
