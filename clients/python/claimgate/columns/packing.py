"""Claims as rows to the same claims as columns.

A field is read of all rows at once by one attribute getter, and only if some row has it at all:
what is set anywhere shows in a merger of all rows, which protobuf makes of their bytes.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter, methodcaller
from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import Message

from claimgate.columns.builder import put_counts, put_numbers, put_present, put_texts
from claimgate.columns.layout import CLAIM, Form, Layout
from claimgate.v1 import claim_pb2
from claimgate.v1.claim_columns_pb2 import ClaimColumns
from claimgate.v1.score_pb2 import ClaimBatch
from claimgate.wire.v1 import columns_pb2 as wire

_MERGER: Final = "claimgate.merged"
_PACKAGE: Final = claim_pb2.DESCRIPTOR.package


def pack(claims: ClaimBatch | Iterable[claim_pb2.Claim]) -> ClaimColumns:
    """Return the claims as columns; `unpack` gives the same claims back."""
    batch = claims if isinstance(claims, ClaimBatch) else ClaimBatch(claims=claims)
    rows = batch.claims[:]
    packed = wire.ClaimColumns(claims=len(rows))
    merged: Any = _Merger.FromString(batch.SerializeToString())
    _pack(packed, rows, CLAIM.values(), merged.claims)
    return ClaimColumns.FromString(packed.SerializeToString())


def _pack(
    packed: wire.ClaimColumns, rows: Sequence[Any], fields: Iterable[Layout], merged: Any
) -> None:
    """Add the columns of some rows, and of everything within them."""
    within = {each.name: each for each in fields}
    used = [within[name] for name in _set_fields(merged)]
    plain = [each for each in used if not (each.listed or each.optional or each.fields)]
    for each, values in zip(plain, _read(rows, plain), strict=True):
        _put(packed, each, values)
    for each in used:
        if each.form is Form.PART:
            _pack_part(packed, rows, each, getattr(merged, each.name))
        elif each.form is Form.ROWS:
            _pack_rows(packed, rows, each, getattr(merged, each.name))
        elif each.listed:
            _pack_list(packed, rows, each, getattr(merged, each.name)[:])
        elif each.optional:
            [values] = _read(rows, [each])
            put_present(_put(packed, each, values), _has(rows, each.name))


def _pack_rows(packed: wire.ClaimColumns, rows: Sequence[Any], each: Layout, merged: Any) -> None:
    """Add how many entries each row has, and the columns of all entries."""
    lists = list(map(attrgetter(each.name), rows))
    put_counts(packed.columns.add(field=each.path), map(len, lists))
    if each.keyed:
        items = list(chain.from_iterable(sorted(entries.items()) for entries in lists))
        for name, values in zip(("key", "value"), zip(*items, strict=True), strict=True):
            _put(packed, each.fields[name], values)
        return
    # A slice is a plain list, which is walked several times faster than the container.
    entries = list(chain.from_iterable(map(_whole, filter(None, lists))))
    if all(each.fields[name].form is Form.PART for name in _set_fields(merged)):
        # A list with entries has a column of them, even where they are empty.
        first = next(iter(each.fields.values()))
        _put(packed, first, next(iter(_read(entries, [first]))))
    _pack(packed, entries, each.fields.values(), merged)


def _pack_list(
    packed: wire.ClaimColumns, rows: Sequence[Any], each: Layout, values: Sequence[Any]
) -> None:
    """Add a list of texts or numbers: how many of each row, and all of them, as they merged."""
    put_counts(_put(packed, each, values), map(len, map(attrgetter(each.name), rows)))


def _pack_part(packed: wire.ClaimColumns, rows: Sequence[Any], each: Layout, merged: Any) -> None:
    """Add which rows have a provider, and its fields; they are empty where there is none."""
    has = _has(rows, each.name)
    put_present(packed.columns.add(field=each.path), has)
    parts = [getattr(row, each.name) for row, there in zip(rows, has, strict=True) if there]
    used = [each.fields[name] for name in _set_fields(merged)]
    for inner, values in zip(used, _read(parts, used), strict=True):
        _put(packed, inner, _spread(values, has, "" if inner.form is Form.TEXT else 0))


def _spread(values: Sequence[Any], has: Sequence[bool], empty: str | int) -> Sequence[Any]:
    """Return values of some rows as one for each row."""
    if len(values) == len(has):
        return values
    remaining = iter(values)
    return [next(remaining) if there else empty for there in has]


def _put(packed: wire.ClaimColumns, each: Layout, values: Sequence[Any]) -> wire.Column:
    column = packed.columns.add(field=each.path)
    (put_texts if each.form is Form.TEXT else put_numbers)(column, values)
    return column


def _read(rows: Sequence[Any], fields: Sequence[Layout]) -> Iterable[Sequence[Any]]:
    """Read fields of all rows; a column per field."""
    names = [each.name for each in fields]
    if not rows or not names:
        return iter([()] * len(names))
    get: Callable[[Any], Any] = attrgetter(*names)
    if len(names) == 1:
        return iter([list(map(get, rows))])
    return zip(*map(get, rows), strict=True)


def _has(rows: Sequence[Any], name: str) -> list[bool]:
    return list(map(methodcaller("HasField", name), rows))


_whole: Final = methodcaller("__getitem__", slice(None))


def _set_fields(merged: Message) -> list[str]:
    """Return the names of the fields that some row has set."""
    return [field.name for field, _ in merged.ListFields()]


def _merger() -> type[Message]:
    """Return a message with one claim, lists of messages within it being one message too.

    Read as that, the bytes of a batch are one claim on which every field is set that any claim has
    set: of a message that is no list, each that comes is merged into those before (protobuf's
    rule for what stands on the wire more than once); lists of texts and numbers grow.
    """
    file = FileDescriptorProto()
    claim_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = f"{_MERGER.replace('.', '/')}.proto", _MERGER
    nested = [inner for message in file.message_type for inner in message.nested_type]
    for message in [*file.message_type, *nested]:
        message.options.Clear()
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(_PACKAGE, _MERGER)
            if field.type == FieldDescriptorProto.TYPE_MESSAGE:
                field.label = FieldDescriptorProto.LABEL_OPTIONAL
    batch = file.message_type.add(name="ClaimBatch")
    batch.field.add(
        name="claims",
        number=ClaimBatch.CLAIMS_FIELD_NUMBER,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".{_MERGER}.Claim",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_MERGER}.ClaimBatch"))


_Merger: Final = _merger()
