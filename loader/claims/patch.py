"""An amendment as a person writes it: `field=value`, or a JSON file of a partial claim."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from claimgate.v1 import claim_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from loader.claims.amendment import FIXED, Amendment, LineChange, check_fields, single_message
from loader.failed.filter import FieldError

Patch = dict[str, Any]
M = TypeVar("M", bound=Message)
_LINES: Final = "lines"


def patch_of(settings: Iterable[str]) -> Patch:
    """Return the patch of texts such as `drg_code=470`, `billing_provider.zip=…`, `lines.2.ndc=…`.

    A value is a text or a number; true, false, null and lists are JSON.

    Raises:
        FieldError: a text names no field.
    """
    patch: Patch = {}
    for at, text in enumerate(settings):
        path, equals, value = text.partition("=")
        *parents, name = path.strip().split(".")
        place = patch
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise FieldError(f"--set {at + 1}", "each field once")
        if not equals or not name or name in place:
            raise FieldError(f"--set {at + 1}", "field=value, each field once")
        place[name] = _value(value)
    return patch


def _value(text: str) -> Any:
    """Return a value as JSON has it; a number stays the text that it is, as codes may be digits."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | list | dict | None) else text


def patch_in(path: Path) -> Patch:
    """Return the patch of a file: a JSON object.

    Raises:
        FieldError: it is none.
    """
    try:
        patch = json.loads(path.read_text())
    except ValueError:
        patch = None
    if not isinstance(patch, dict):
        raise FieldError("--file", "a JSON object with fields of a claim")
    return patch


def amendment_of(patch: Patch, *, base_version: int) -> Amendment:
    """Return the amendment that a patch describes.

    Lines as an object are changes by line number, `{"2": {"units_milli": 2000}}`; as a list they
    are all lines anew. null empties a field.

    Raises:
        FieldError: a field does not exist, may not change, or takes no such value.
    """
    by_number = patch.get(_LINES)
    if not isinstance(by_number, dict):
        by_number = {}
    rest = {name: value for name, value in patch.items() if not (by_number and name == _LINES)}
    fields = tuple(_paths(claim_pb2.Claim.DESCRIPTOR, rest))
    check_fields(claim_pb2.Claim.DESCRIPTOR, fields, FIXED, "update_mask")
    return Amendment(
        base_version,
        fields,
        _parsed(rest, claim_pb2.Claim(), ""),
        tuple(_line(number, values) for number, values in by_number.items()),
    )


def _line(number: str, values: Any) -> LineChange:
    if not (number.isdecimal() and len(number) < 5 and isinstance(values, dict)):
        raise FieldError("lines", 'line numbers with their fields, {"2": {"units_milli": 2000}}')
    fields = tuple(_paths(claim_pb2.ServiceLine.DESCRIPTOR, values))
    where = f"lines.{number}"
    check_fields(claim_pb2.ServiceLine.DESCRIPTOR, fields, ("line_number",), where)
    return LineChange(int(number), fields, _parsed(values, claim_pb2.ServiceLine(), f"{where}."))


def _paths(descriptor: Descriptor, values: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    """Yield the fields that a patch names, those of a single message one by one."""
    for name, value in values.items():
        part = single_message(descriptor, name)
        if part is not None and isinstance(value, dict) and value:
            yield from _paths(part, value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _parsed(values: Mapping[str, Any], message: M, prefix: str) -> M:
    """Return a message of values; what does not fit is named, and never repeated."""
    for name, value in values.items():
        try:
            ParseDict({name: value}, message)
        except ParseError:
            raise FieldError(f"{prefix}{name}", "a value as claimgate.v1.Claim has it") from None
    return message
