"""An amendment of a claim: which fields may change, and the next version with the change made.

A list is replaced as a whole. Lines alone may also be changed one by one, by their number.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from claimgate.v1 import claim_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from loader.failed.filter import FieldError

REPLACEMENT: Final = "7"
VOID: Final = "8"
FIXED: Final = frozenset({"claim_id", "claim_version", "claim_type", "frequency_code", "is_test"})
"""Fields of a claim that say which claim it is, and that its next version sets by itself."""
_FIXED_OF_LINE: Final = frozenset({"line_number"})
_CONTROL_NUMBER_MAX: Final = 50
_BILL_TYPE_LENGTH: Final = 4
_FIELD_NAME: Final = re.compile(r"[a-z0-9_.]{1,80}")


@dataclass(frozen=True, slots=True)
class LineChange:
    """New values for one line."""

    line_number: int
    fields: tuple[str, ...]
    line: claim_pb2.ServiceLine


@dataclass(frozen=True, slots=True)
class Amendment:
    """What is to be different in the next version of a claim."""

    base_version: int
    """The version that its author has seen."""
    fields: tuple[str, ...] = ()
    """Fields of the claim that get new values."""
    claim: claim_pb2.Claim | None = None
    """The new values; what is named and left out is emptied."""
    lines: tuple[LineChange, ...] = ()
    void: bool = False
    """The claim no longer holds."""


def next_version(claim: claim_pb2.Claim, amendment: Amendment, *, today: date) -> claim_pb2.Claim:
    """Return the version of a claim that takes its place.

    It names the original by the payer's control number, else by its id; it is received today, and
    belongs to no batch, unless the amendment says otherwise.

    Raises:
        FieldError: a field does not exist or may not change, or nothing is changed.
    """
    after = claim_pb2.Claim()
    after.CopyFrom(claim)
    if claim.frequency_code == VOID:
        raise FieldError("claim_id", "a claim that is not void; submit a new claim instead")
    if amendment.void:
        if amendment.fields or amendment.lines:
            raise FieldError("void", "no other change beside it")
    else:
        _change(after, amendment)
        if after == claim:
            raise FieldError("update_mask", "a change: every value is as it was")
    after.claim_version = (claim.claim_version or 1) + 1
    after.frequency_code = VOID if amendment.void else REPLACEMENT
    if len(after.type_of_bill) == _BILL_TYPE_LENGTH:  # its last character is the frequency
        after.type_of_bill = after.type_of_bill[:-1] + after.frequency_code
    if not after.payer_claim_control_number:
        after.payer_claim_control_number = _control_number(claim.claim_id)
    if "received_date" not in amendment.fields:
        after.received_date = today.isoformat()
    if "batch_id" not in amendment.fields:
        after.batch_id = ""
    return after


def _control_number(claim_id: str) -> str:
    if len(claim_id) > _CONTROL_NUMBER_MAX:
        raise FieldError(
            "payer_claim_control_number",
            f"the payer's number of the original: the claim's id has over {_CONTROL_NUMBER_MAX} "
            "characters and cannot stand for it",
        )
    return claim_id


def _change(claim: claim_pb2.Claim, amendment: Amendment) -> None:
    """Make the changes in place."""
    check_fields(claim.DESCRIPTOR, amendment.fields, FIXED, "update_mask")
    if amendment.lines and "lines" in amendment.fields:
        raise FieldError("lines", "all lines anew, or changes of single ones, and not both")
    _merge(amendment.fields, amendment.claim or claim_pb2.Claim(), claim)
    by_number = {line.line_number: line for line in claim.lines}
    for at, change in enumerate(amendment.lines):
        path = f"lines[{at}]"
        if change.line_number not in by_number:
            raise FieldError(f"{path}.line_number", "the number of a line that the claim has")
        line = by_number[change.line_number]
        check_fields(line.DESCRIPTOR, change.fields, _FIXED_OF_LINE, f"{path}.update_mask")
        _merge(change.fields, change.line, line)


def check_fields(
    descriptor: Descriptor, paths: Sequence[str], fixed: Iterable[str], where: str
) -> None:
    """Refuse a path that is no field of a message, or one that may not change."""
    for at, path in enumerate(paths):
        allowed = _not_allowed(descriptor, path, frozenset(fixed))
        if allowed is not None:
            name = f"{path}" if _FIELD_NAME.fullmatch(path) else "that"
            raise FieldError(f"{where}.paths[{at}]", f"not {name}, but one of {', '.join(allowed)}")


def _not_allowed(descriptor: Descriptor, path: str, fixed: frozenset[str]) -> list[str] | None:
    """Return what a path could have been where it may not change; None where it may."""
    *parents, name = path.split(".")
    prefix = ""
    for parent in parents:
        part = single_message(descriptor, parent)
        if part is None:
            names = [f.name for f in descriptor.fields if single_message(descriptor, f.name)]
            return [f"{prefix}{each}.…" for each in names] or _names(descriptor, prefix, fixed)
        descriptor, prefix, fixed = part, f"{prefix}{parent}.", frozenset()
    if name in descriptor.fields_by_name and name not in fixed:
        return None
    return _names(descriptor, prefix, fixed)


def single_message(descriptor: Descriptor, name: str) -> Descriptor | None:
    """Return the message of a field that holds one, such as a provider; else None."""
    field = descriptor.fields_by_name.get(name)
    return None if field is None or field.is_repeated else field.message_type


def _names(descriptor: Descriptor, prefix: str, fixed: frozenset[str]) -> list[str]:
    return [f"{prefix}{f.name}" for f in descriptor.fields if f.name not in fixed]


def _merge(paths: Sequence[str], source: Message, target: Message) -> None:
    """Write the named fields of one message over those of another."""
    values = type(source)()
    values.CopyFrom(source)
    for path in paths:
        # A part that is left out empties what is named in it; protobuf would pass it over.
        holder: Message = values
        for parent in path.split(".")[:-1]:
            holder = getattr(holder, parent)
            holder.SetInParent()
    FieldMask(paths=paths).MergeMessage(
        values, target, replace_message_field=True, replace_repeated_field=True
    )
