"""Claims as the bytes that production keeps of them for later passes, and back to columns.

The loader packs what it commits; the service reads all earlier claims of a pass in one go, and so
gets columns without touching a single claim. A record has a fixed width and a numbered format: with
another layout the number rises, and rows of the former one are read by its own types.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.as_earlier import earlier_claims, earlier_lines
from engine.codes import code36
from engine.columns import Batch, Bools, Dates, Ints, one_of, rows_where
from engine.history import EarlierClaims, EarlierLines
from engine.joins import equal_in, in_runs
from engine.words import BLANK, word_key

FORMAT: Final = 1
"""Number of the layout below."""

_CLAIM: Final = np.dtype(
    [
        ("payer", "<i8"),
        ("control_number", "<i8"),
        ("billing_npi", "<i8"),
        ("total_charge_cents", "<i8"),
        ("lines", "<i4"),
        ("version", "<i4"),
        ("frequency", "<i4"),
        ("type_of_bill", "<i4"),
        ("service_from", "<i4"),
        ("service_to", "<i4"),
        ("received_date", "<i4"),
        ("type", "i1"),
        ("in_process", "?"),
    ]
)
_LINE: Final = np.dtype(
    [
        ("ndc", "<i8"),
        ("units_milli", "<i8"),
        ("charge_cents", "<i8"),
        ("rendering_npi", "<i8"),
        ("specialty", "<i8"),
        ("diagnoses", "<i8", (4,)),
        ("number", "<i4"),
        ("procedure", "<i4"),
        ("revenue", "<i4"),
        ("unit_basis", "<i4"),
        ("service_from", "<i4"),
        ("service_to", "<i4"),
        ("modifiers", "<i2", (4,)),
        ("place_of_service", "i1"),
        ("is_rental", "?"),
        ("denied", "?"),
    ]
)
_DAYS: Final = frozenset({"service_from", "service_to", "received_date"})
_NO_DAY: Final = np.iinfo(np.int32).min
_NAT: Final = np.iinfo(np.int64).min

_VOID: Final = code36("8")
_TAKES_THE_PLACE: Final = (code36("7"), _VOID)
_DISTINCT: Final = tuple(code36(modifier) for modifier in ("59", "XE", "XP", "XS", "XU"))


@dataclass(frozen=True, slots=True)
class Packed:
    """Claims as they are kept. Everything is in the order of the claims."""

    facts: Sequence[bytes] = field(repr=False)
    """A record of each claim."""
    lines: Sequence[bytes] = field(repr=False)
    """The records of each claim's lines, one after the other."""
    line_count: Sequence[int]
    distinct_lines: Sequence[int]
    """How many lines carry 59 or an X modifier."""
    billing_npi: Sequence[int]
    """0 where there is none."""
    billing_taxonomy: Sequence[int]
    takes_the_place: Sequence[bool]
    """The claim replaces or voids another, or is a later version of one."""


def pack(batch: Batch, in_process: Bools, denied: Bools) -> Packed:
    """Return the claims of a batch, all of them, as they are kept.

    Args:
        batch: Claims that were committed.
        in_process: Claims that were not decided for good, shape (claims,).
        denied: Lines that were denied for certain, shape (lines,).
    """
    claims, count = batch.claims, batch.claims.lines
    facts = _records(_CLAIM, earlier_claims(batch, np.arange(len(claims))), in_process=in_process)
    facts["payer"], facts["control_number"] = claims.payer, claims.control_number
    facts["lines"] = count
    lines = _records(
        _LINE, earlier_lines(batch, np.arange(len(batch.lines)), batch.lines.claim), denied=denied
    )
    end = np.cumsum(count)
    takes = one_of(claims.frequency, _TAKES_THE_PLACE) | (claims.version > 1)
    return Packed(
        facts=_cut(facts.tobytes(), _CLAIM.itemsize * np.arange(len(claims) + 1)),
        lines=_cut(lines.tobytes(), _LINE.itemsize * np.append(0, end)),
        line_count=count.tolist(),
        distinct_lines=np.bincount(
            batch.lines.claim[batch.has_modifier(*_DISTINCT)], minlength=len(claims)
        ).tolist(),
        billing_npi=np.maximum(claims.billing_npi, 0).tolist(),
        billing_taxonomy=np.maximum(claims.billing_taxonomy, 0).tolist(),
        takes_the_place=takes.tolist(),
    )


def _records(layout: np.dtype[Any], table: Any, **replaced: NDArray[Any]) -> NDArray[np.void]:
    records = np.zeros(len(table), layout)
    for name in {column.name for column in fields(table)} & set(layout.names or ()):
        column = replaced.get(name, getattr(table, name))
        records[name] = _to_days(column) if name in _DAYS else column
    return records


def _to_days(column: Dates) -> NDArray[np.int32]:
    return np.where(np.isnat(column), _NO_DAY, column.astype(np.int64)).astype(np.int32)


def _from_days(column: NDArray[np.int32]) -> Dates:
    return np.where(column == _NO_DAY, _NAT, column.astype(np.int64)).view("datetime64[D]")


def _cut(content: bytes, ends: Ints) -> list[bytes]:
    places = ends.tolist()
    return [content[first:end] for first, end in pairwise(places)]


# Back to columns. ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Records:
    """Earlier claims of some persons as they were found, in one order every time."""

    person: Ints
    """Number of each claim's person among those that were asked for."""
    claim_ids: Sequence[str] = field(repr=False)
    facts: bytes = field(repr=False)
    lines: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is left of them: the latest version of each claim, and none that was taken back."""

    claim_ids: Sequence[str] = field(repr=False)
    claims: EarlierClaims
    lines: EarlierLines


def unpack(records: Records, person: Ints, payer: Ints) -> Earlier:
    """Return the earlier claims of the members of a pass.

    A later version of a claim, a replacement (frequency 7) and a void (8) take the place of the
    same member's claim whose id or control number they name; voids themselves are left out.

    Args:
        records: What was found.
        person: Number of each member's person among those asked for, -1 for none; shape (members,).
        payer: The member's payer as an integer of `engine.words`, shape (members,).
    """
    facts = np.frombuffer(records.facts, _CLAIM)
    payers, payer_number = np.unique(payer, return_inverse=True)
    key_of_member = person.astype(np.int64) * len(payers) + payer_number
    place = np.minimum(payers.searchsorted(facts["payer"]), max(len(payers) - 1, 0))
    known = payers[place] == facts["payer"] if len(payers) else np.zeros(len(facts), np.bool_)
    key = records.person.astype(np.int64) * len(payers) + place
    kept = rows_where(known & _in_force(facts, records.claim_ids, key))
    row, member = _each_with(key[kept], key_of_member)
    row = kept[row]
    start = np.cumsum(facts["lines"]) - facts["lines"]
    claim, line = in_runs(start[row], facts["lines"][row])
    found = np.frombuffer(records.lines, _LINE)[line]
    return Earlier(
        [records.claim_ids[n] for n in row.tolist()],
        EarlierClaims(member=member, **_columns(facts[row], EarlierClaims)),
        EarlierLines(member=member[claim], claim=claim, **_columns(found, EarlierLines)),
    )


def _in_force(facts: NDArray[np.void], claim_ids: Sequence[str], key: Ints) -> Bools:
    """Claims that nothing has taken the place of, and that are no voids."""
    numbers: dict[str, int] = {}
    number = np.array([numbers.setdefault(each, len(numbers)) for each in claim_ids], np.int64)
    in_force: Bools = facts["frequency"] != _VOID
    order = np.lexsort((facts["version"], number, key))
    same = (key[order][1:] == key[order][:-1]) & (number[order][1:] == number[order][:-1])
    in_force[order[:-1][same]] = False
    named = (facts["control_number"] != BLANK) & one_of(facts["frequency"], _TAKES_THE_PLACE)
    namers: dict[tuple[int, int], list[int]] = {}
    for row in rows_where(named).tolist():
        namers.setdefault((int(key[row]), int(facts["control_number"][row])), []).append(row)
    # Ids are hashed only for members of whom something was replaced: few have any.
    for row in rows_where(np.isin(key, key[named])).tolist():
        by = namers.get((int(key[row]), word_key(claim_ids[row])), ())
        if any(number[other] != number[row] for other in by):
            in_force[row] = False
    return in_force


def _each_with(key: Ints, key_of_member: Ints) -> tuple[Ints, Ints]:
    """Return each row with each member of its key: two members may be one person."""
    order = np.argsort(key_of_member, kind="stable")
    ordered = key_of_member[order]
    row, at = equal_in(ordered, key)
    return row, order[at]


def _columns(records: NDArray[np.void], table: type[Any]) -> dict[str, NDArray[Any]]:
    names = {column.name for column in fields(table)} & set(records.dtype.names or ())
    return {
        name: _from_days(records[name]) if name in _DAYS else records[name].copy() for name in names
    }
