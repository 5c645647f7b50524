"""Repairs of a claim's structure: each derives a value from others of the same claim, or nothing.

A step is a pure function from a claim to a repaired copy, or None where it does not apply. It never
invents: where the claim itself does not say what the value is, a person has to. `@step` names the
reason codes that it is a remedy for; on a claim that failed for none of them it is not tried.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from claimgate.v1 import claim_pb2
from google.protobuf.message import Message

from engine.validate import CENTS_MAX, LINE_NUMBER_MAX
from loader.source import days

Claim = claim_pb2.Claim
Repair = Callable[[Claim], Claim | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One named repair."""

    name: str
    repair: Repair
    codes: frozenset[str]
    """Reason codes that it is a remedy for."""

    changes_money: bool

    @property
    def summary(self) -> str:
        """What it does and when, in the words of its docstring."""
        return " ".join((self.repair.__doc__ or "").split())

    def applies(self, codes: Iterable[str]) -> bool:
        """Tell whether a claim that failed for these reasons may be helped."""
        return not self.codes.isdisjoint(codes)


STEPS: Final[dict[str, Step]] = {}
"""Every step by its name, in the order in which they are tried."""

_TOTAL_REVENUE: Final = "0001"
_REVENUE_DIGITS: Final = 4


def step(*codes: str, changes_money: bool = False) -> Callable[[Repair], Repair]:
    """Offer a function as a repair for these reason codes."""

    def offer(repair: Repair) -> Repair:
        name = repair.__name__
        STEPS[name] = Step(name, repair, frozenset(codes), changes_money)
        return repair

    return offer


@step("V05", "FORMAT_CHARGE_MISMATCH", changes_money=True)
def rederive_total(claim: Claim) -> Claim | None:
    """Set the total charge to the sum of the lines, where each line has a charge that is allowed.

    The total line of a paper bill (revenue code 0001) is not added. For V05 on the total, and for a
    total that is not the sum.
    """
    charges = [line.charge_cents for line in claim.lines if line.revenue_code != _TOTAL_REVENUE]
    total = sum(charges)
    if not charges or min(charges) < 0 or not 0 < total <= CENTS_MAX:
        return None
    return _changed(claim, total_charge_cents=total)


@step("V08")
def renumber_lines(claim: Claim) -> Claim | None:
    """Number the lines from 1 in the order in which they were sent.

    For V08: numbers that repeat, descend or are out of range. Nothing in a claim refers to them.
    """
    if len(claim.lines) > LINE_NUMBER_MAX:
        return None
    repaired = _copy(claim)
    for number, line in enumerate(repaired.lines, 1):
        line.line_number = number
    return _if_other(claim, repaired)


@step("V04", "V13")
def dates_from_lines(claim: Claim) -> Claim | None:
    """Set a professional claim's first or last day, where it is missing or none, from its lines.

    Applies where every line has its days: the first day is the earliest of them, the last day the
    latest. For V04 and V13. Days that are there are not touched, also in the wrong order.
    """
    if claim.claim_type != claim_pb2.CLAIM_TYPE_PROFESSIONAL or not claim.lines:
        return None
    firsts = [line.service_from_date for line in claim.lines]
    lasts = [line.service_to_date or line.service_from_date for line in claim.lines]
    if not all(map(_is_day, [*firsts, *lasts])):
        return None
    derived = {"service_from_date": min(firsts), "service_to_date": max(lasts)}
    kept = {name: text for name in derived if _is_day(text := getattr(claim, name))}
    return _changed(claim, **(derived | kept))


@step("FORMAT_INVALID_CODE", "OCE_REVENUE_CODE_INVALID")
def pad_revenue_code(claim: Claim) -> Claim | None:
    """Write revenue codes with their four digits: 450 becomes 0450.

    Applies where a revenue code is one to three digits; systems that keep it as a number drop its
    zeros. For codes that are written wrongly.
    """
    repaired = _copy(claim)
    for line in repaired.lines:
        code = line.revenue_code
        if code.isascii() and code.isdigit() and len(code) < _REVENUE_DIGITS:
            line.revenue_code = code.zfill(_REVENUE_DIGITS)
    return _if_other(claim, repaired)


@step("V17", "FORMAT_INVALID_CODE")
def plain_codes(claim: Claim) -> Claim | None:
    """Write codes in capitals, without the dot of diagnoses and without blanks around them.

    Applies to diagnoses, procedures, modifiers and revenue codes: e11.9 becomes E119. For codes
    that are written wrongly or have control characters at their ends.
    """
    repaired = _copy(claim)
    for diagnosis in repaired.diagnoses:
        diagnosis.code = _plain(diagnosis.code.replace(".", ""))
    for procedure in repaired.icd_procedures:
        procedure.code = _plain(procedure.code)
    for line in repaired.lines:
        line.procedure_code = _plain(line.procedure_code)
        line.revenue_code = _plain(line.revenue_code)
        line.modifiers[:] = map(_plain, line.modifiers)
    return _if_other(claim, repaired)


def _plain(code: str) -> str:
    return code.strip().upper()


def _is_day(text: str) -> bool:
    return days[text] is not None


def _copy(claim: Claim) -> Claim:
    copy = Claim()
    copy.CopyFrom(claim)
    return copy


def _changed(claim: Claim, **fields: object) -> Claim | None:
    repaired = _copy(claim)
    for name, value in fields.items():
        setattr(repaired, name, value)
    return _if_other(claim, repaired)


def _if_other(claim: Claim, repaired: Claim) -> Claim | None:
    return None if repaired == claim else repaired


# What a step has changed. -------------------------------------------------------------------------

Change = tuple[str, object, object]
"""Path of a field, such as `lines[2].line_number`, its value before and after."""


def changes(before: Message, after: Message, path: str = "") -> Iterator[Change]:
    """Yield every field in which two messages of one type differ."""
    for field in before.DESCRIPTOR.fields:
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new:
            continue
        where = f"{path}{field.name}"
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            yield where, _value(old), _value(new)
        elif field.is_repeated:
            yield from _entries(old, new, where)
        else:
            yield from changes(old, new, f"{where}.")


def _entries(old: Sequence[Message], new: Sequence[Message], where: str) -> Iterator[Change]:
    none = type([*old, *new][0])()
    for place, (before, after) in enumerate(zip_longest(old, new, fillvalue=none)):
        yield from changes(before, after, f"{where}[{place}].")


def _value(value: object) -> object:
    """Return a value as JSON takes it."""
    if isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "items"):
        return dict(value.items())
    return list(value)  # type: ignore[call-overload]
