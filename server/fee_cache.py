"""A bounded memory of values in the process: what was not used for longest goes first."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

_ENTRY_BYTES: Final = 300
"""About what an entry takes beside its value."""


class ProcessCache:
    """Values by key, up to a number of bytes, each for a while."""

    def __init__(
        self, bytes_max: int, ttl_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._bytes_max = bytes_max
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self.size = 0
        """Bytes in use, about."""

    def get(self, key: bytes) -> bytes | None:
        """Return a value; None where there is none, or none any more."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_at, value = entry
        if self._clock() >= expires_at:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Keep a value, in the place of others if need be."""
        if key in self._entries:
            self._drop(key)
        self._entries[key] = self._clock() + self._ttl_s, value
        self.size += _ENTRY_BYTES + len(value)
        while self.size > self._bytes_max:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        _, value = self._entries.pop(key)
        self.size -= _ENTRY_BYTES + len(value)
