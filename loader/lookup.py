"""Keyed hashes by which patient data is found again and never read, and the key they are made with.

The loader writes them and the service looks for them; it needs no more of the key than this.
"""

import hmac
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
_LOOKUP_BYTES: Final = 16
MEMBER: Final = "member"
"""What the hash of a member id is made for."""


class VaultError(Exception):
    """A key or a sealed value cannot be used."""


class Lookup:
    """Hashes values under one 32-byte key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Derive the look-up key from the secret."""
        if len(key) != KEY_BYTES:
            raise VaultError(
                f"the key has {len(key)} bytes, expected {KEY_BYTES}; "
                "make one with `openssl rand -hex 32`"
            )
        self._key = hmac.digest(key, b"claimgate look-up 1", "sha256")

    def __repr__(self) -> str:
        """Say nothing of the key."""
        return "Lookup()"

    def hash(self, tenant: str, kind: str, value: str) -> bytes:
        """Return the keyed hash by which a value is found again within a tenant, but never read."""
        message = f"{tenant}|{kind}|{value}".encode()
        return hmac.digest(self._key, message, "sha256")[:_LOOKUP_BYTES]


def key_from_hex(text: str) -> bytes:
    """Return the key that 64 hexadecimal digits stand for."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise VaultError(
            f"the key is not {2 * KEY_BYTES} hexadecimal digits; "
            "make one with `openssl rand -hex 32`"
        )
    return key


def key_from_file(path: Path) -> bytes:
    """Return the key in a file that only its owner can read."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise VaultError(
            f"{path} is open to others (mode {mode:o}), expected 600; chmod 600 {path}"
        )
    return key_from_hex(path.read_text(encoding="ascii"))
