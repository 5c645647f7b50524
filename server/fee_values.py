"""Fees of one code as bytes in a cache: a key that names all they depend on, a checked value."""

from hashlib import blake2b
from typing import Final, NamedTuple
from zlib import crc32

from engine.tenant_fees import FEE, FORMAT

_CHECK_BYTES: Final = 4


class FeeVersion(NamedTuple):
    """A version of a tenant's fee schedule; its rows never change."""

    number: int
    stamp: str
    """Drawn at the load: tells equal numbers of two databases apart."""


def prefix_of(tenant: str, version: FeeVersion) -> bytes:
    """Return how the keys of a version begin: layout, tenant as a hash, version."""
    # A tenant's name may hold what no key may; nothing of a claim is in a key but its code.
    name = blake2b(tenant.encode(), digest_size=12).hexdigest()
    return f"claimgate:fees:{FORMAT}:{name}:{version.number}-{version.stamp}:".encode()


def key_of(prefix: bytes, code: int) -> bytes:
    """Return the key of a code."""
    return b"%s%d" % (prefix, code)


def sealed(key: bytes, rows: bytes) -> bytes:
    """Return records with a checksum over them and their key; no records is a value too."""
    return crc32(rows, crc32(key)).to_bytes(_CHECK_BYTES) + rows


def opened(key: bytes, value: bytes) -> bytes | None:
    """Return the records of a value; None where it is damaged or another key's."""
    check, rows = value[:_CHECK_BYTES], value[_CHECK_BYTES:]
    whole = len(rows) % FEE.itemsize == 0
    return rows if whole and check == crc32(rows, crc32(key)).to_bytes(_CHECK_BYTES) else None
