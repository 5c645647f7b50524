"""Which of several nodes holds a key: consistent hashing, so that few keys move with a node."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self

POINTS: Final = 160
"""Places of each node on the ring, as in ketama: enough for shares that are about equal."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Places on a circle of 64 bits; a key belongs to the node whose place comes next."""

    places: tuple[int, ...]
    """Ascending."""
    nodes: tuple[str, ...]
    """Whose place each is."""

    @classmethod
    def of(cls, nodes: Sequence[str]) -> Self:
        """Return the ring of these nodes, whatever their order."""
        places = sorted(
            (_place(f"{node}-{point}".encode()), node) for node in nodes for point in range(POINTS)
        )
        return cls(tuple(place for place, _ in places), tuple(node for _, node in places))

    def node(self, key: bytes) -> str:
        """Return the node that holds a key."""
        return self.nodes[bisect(self.places, _place(key)) % len(self.nodes)]


def _place(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest())
