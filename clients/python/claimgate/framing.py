"""How protobuf begins a field of bytes, for messages that are put together out of written parts."""

from typing import Final

_LENGTH_DELIMITED: Final = 2


def field_tag(number: int) -> bytes:
    """Return how a field of length and bytes begins, by its number."""
    return varint(number << 3 | _LENGTH_DELIMITED)


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it; not below 0."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
