"""Policies between the API and their documents: the same names, enumerations as words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from claimgate.v1 import policy_pb2 as pb
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from engine.policy import Policy
from engine.policy_document import document_of, whole_document_of
from server.policies import PolicyVersion

_UNSPECIFIED: Final = "UNSPECIFIED"


def document_in(message: Message) -> dict[str, Any]:
    """Return the document of a policy message: the fields that it gives."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def message_of(policy: Policy) -> pb.Policy:
    """Return a policy as a message with the fields that differ from the defaults."""
    message = pb.Policy()
    _fill(message, document_of(policy))
    return message


def whole_message_of(policy: Policy) -> pb.Policy:
    """Return a policy as a message with every field given."""
    message = pb.Policy()
    _fill(message, whole_document_of(policy))
    return message


def version_message(version: PolicyVersion, *, valid: bool) -> pb.PolicyVersion:
    """Return how a policy came to be."""
    return pb.PolicyVersion(
        version=version.version,
        policy_version=version.policy.version,
        author=version.author,
        approver=version.approver,
        reason=version.reason,
        valid_from_time=stamp(version.valid_from),
        valid_to_time=stamp(version.valid_to),
        create_time=stamp(version.created_at),
        valid=valid,
    )


def stamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment as the API has it."""
    if moment is None:
        return None
    found = Timestamp()
    found.FromDatetime(moment)
    return found


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated:
        return [_one(field, each) for each in value]
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        found = field.enum_type.values_by_number.get(value)
        return found.name.removeprefix(_prefix(field.enum_type)).lower() if found else str(value)
    if isinstance(value, Struct):
        return {name: _whole(each) for name, each in MessageToDict(value).items()}
    return document_in(value) if isinstance(value, Message) else value


def _whole(value: Any) -> Any:
    """Return a number of a Struct, which knows only doubles, as the whole number that it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _prefix(words: EnumDescriptor) -> str:
    """Return how the names of an enumeration begin."""
    return str(words.values_by_number[0].name).removesuffix(_UNSPECIFIED)


def _fill(message: Message, document: Mapping[str, Any]) -> None:
    """Set the fields of a message from a document."""
    for name, value in document.items():
        field: Any = message.DESCRIPTOR.fields_by_name[name]
        target = getattr(message, name)
        if isinstance(target, Struct):
            target.update(value)
        elif field.message_type is not None and field.is_repeated:
            for each in value:
                _fill(target.add(), each)
        elif field.message_type is not None:
            _fill(target, value)
        elif field.is_repeated:
            target.extend(_plain(field, each) for each in value)
        else:
            setattr(message, name, _plain(field, value))


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is None:
        return value
    return field.enum_type.values_by_name[_prefix(field.enum_type) + value.upper()].number
