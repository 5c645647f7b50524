"""Which messages a candidate model answers, and which it scores in shadow: the same ones always.

A message falls to one side by a hash of the tenant and the message's first claim id, so that a
message that is sent again meets the same model, on any worker and day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Final

import numpy as np

from engine.columns import Bools, Received

_DIGEST_BYTES: Final = 8
_BITS: Final = 53
"""What a float holds exactly, so that no message stands at 1."""
_BITS_LEFT_OUT: Final = 8 * _DIGEST_BYTES - _BITS


@dataclass(frozen=True, slots=True)
class Shares:
    """How many of the messages, 0 to 1."""

    answered: float = 0.0
    """The candidate answers these."""
    shadow: float = 0.0
    """Of the others, those that the candidate scores without effect."""

    def split(self, received: Received, tenant: str) -> tuple[Bools, Bools]:
        """Return by message whether the candidate answers it, and whether it shadows it."""
        firsts = _first_claim_ids(received)
        answered = _chosen(firsts, tenant, "answered", self.answered)
        return answered, _chosen(firsts, tenant, "shadow", self.shadow) & ~answered


def _first_claim_ids(received: Received) -> list[str]:
    """Return the id of the first claim of each message; empty for a message without claims."""
    starts = accumulate(received.message_claims, initial=0)
    return [
        received.claim_ids[start] if count else ""
        for start, count in zip(starts, received.message_claims, strict=False)
    ]


def _chosen(claim_ids: Sequence[str], tenant: str, purpose: str, share: float) -> Bools:
    if share <= 0:
        return np.zeros(len(claim_ids), np.bool_)
    return np.array([_place(tenant, each, purpose) < share for each in claim_ids], np.bool_)


def _place(tenant: str, claim_id: str, purpose: str) -> float:
    """Return where a message stands between 0 and 1; apart for each purpose."""
    text = f"{tenant}\0{claim_id}".encode("utf-8", "surrogatepass")
    digest = blake2b(text, digest_size=_DIGEST_BYTES, person=purpose.encode()).digest()
    return (int.from_bytes(digest) >> _BITS_LEFT_OUT) / 2.0**_BITS
