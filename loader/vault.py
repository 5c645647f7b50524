"""Patient data at rest: AES-256-GCM for what is read back, keyed hashes for what is looked up.

A sealed value is a header (format, key id), a random nonce and the ciphertext. It is bound to the
tenant, the column and the row that it belongs to: a value moved to another row does not open.
The key id in the header is the place for several keys at once; today a vault has one.
"""

import hmac
import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from loader.lookup import KEY_BYTES, Lookup, VaultError

_FORMAT: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEADER_BYTES: Final = len(_FORMAT) + _KEY_ID_BYTES


class Vault:
    """Seals, opens and hashes values under one 32-byte key."""

    __slots__ = ("_aead", "_header", "_lookup")

    def __init__(self, key: bytes) -> None:
        """Derive the sealing and the look-up key from one secret."""
        self._lookup = Lookup(key)
        self._aead = AESGCM(hmac.digest(key, b"claimgate seal 1", "sha256"))
        self._header = _FORMAT + sha256(b"claimgate key id 1" + key).digest()[:_KEY_ID_BYTES]

    def __repr__(self) -> str:
        """Name the key by its id only."""
        return f"Vault(key_id={self._header[1:].hex()})"

    def seal(self, plain: bytes, tenant: str, column: str, row: str) -> bytes:
        """Encrypt a value for one row of one column (`table.column`) of one tenant."""
        nonce = os.urandom(_NONCE_BYTES)
        place = f"{tenant}|{column}|{row}".encode()
        return self._header + nonce + self._aead.encrypt(nonce, plain, place)

    def open(self, sealed: bytes, tenant: str, column: str, row: str) -> bytes:
        """Decrypt a value that was sealed for this very row; raise VaultError for any other."""
        if sealed[:_HEADER_BYTES] != self._header:
            raise VaultError(
                f"{column}: sealed with format {sealed[:1].hex()} "
                f"and key {sealed[1:_HEADER_BYTES].hex()}, "
                f"this vault has key {self._header[1:].hex()}; start with the key that sealed it"
            )
        body = _HEADER_BYTES + _NONCE_BYTES
        try:
            place = f"{tenant}|{column}|{row}".encode()
            return self._aead.decrypt(sealed[_HEADER_BYTES:body], sealed[body:], place)
        except InvalidTag as error:
            raise VaultError(
                f"{column}: the sealed value was changed, cut or moved from another row; restore it"
            ) from error

    def lookup(self, tenant: str, kind: str, value: str) -> bytes:
        """Return the keyed hash by which a value is found again within a tenant, but never read."""
        return self._lookup.hash(tenant, kind, value)


def make_key_file(path: Path) -> None:
    """Write a new random key to a file that only its owner can read; never over an existing one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(os.urandom(KEY_BYTES).hex() + "\n")
