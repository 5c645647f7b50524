"""The id of a claim in an 837, which names none that is unique: CLM01 repeats in real files."""

from base64 import b32encode
from hashlib import blake2b, sha256
from typing import Final

_ID_LENGTH_MAX: Final = 100


class ClaimIds:
    """Gives each claim of a file an id of its own, and the same one whenever it is read again.

    REF*D9 is the id where it is unique. As the file is read once, its first bearer keeps it, and a
    later one is named as a claim without it: by a hash of where it stands.
    """

    def __init__(self) -> None:
        """Start a file."""
        self._taken: set[int] = set()
        self._ordinals: dict[tuple[str, str], int] = {}
        self._interchange = ("", "")

    def open_interchange(self, sender: str, control_number: str) -> bool:
        """Count on from an earlier interchange of this name; False if there was one."""
        self._interchange = (sender, control_number)
        return self._ordinals.setdefault(self._interchange, 0) == 0

    def give(self, clearinghouse_id: str, place: tuple[str, str, str]) -> tuple[str, bool]:
        """Return the id of a claim, and whether its REF*D9 was taken; place: GS06, ST02, CLM01."""
        self._ordinals[self._interchange] += 1
        taken = False
        if 0 < len(clearinghouse_id) <= _ID_LENGTH_MAX:
            mark = int.from_bytes(blake2b(clearinghouse_id.encode(), digest_size=8).digest(), "big")
            taken = mark in self._taken
            if not taken:
                self._taken.add(mark)
                return clearinghouse_id, False
        group, transaction, account = place
        ordinal = str(self._ordinals[self._interchange])
        text = "*".join((*self._interchange, group, transaction, ordinal, account))
        return b32encode(sha256(text.encode()).digest())[:20].decode(), taken
