"""Leased claims that could be read, and what the loader has to know of each; the rest is bytes."""

import ctypes
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from claimgate.v1 import claim_pb2

from loader.reading import LIBRARY, Reading
from loader.source import Leased

_OK: Final = 0


class Facts(NamedTuple):
    """Of one claim."""

    total_charge_cents: int
    lines: int
    is_test: bool
    account_number: str
    service_from: str
    service_to: str


def facts_of(claim: claim_pb2.Claim) -> Facts:
    """Return the facts of a claim that is parsed."""
    return Facts(
        claim.total_charge_cents,
        len(claim.lines),
        claim.is_test,
        claim.patient_account_number,
        claim.service_from_date,
        claim.service_to_date,
    )


class Opened(NamedTuple):
    """A leased claim that could be read."""

    leased: Leased
    payload: bytes
    """The claim as it was sent."""
    facts: Facts

    def claim(self) -> claim_pb2.Claim:
        """Parse the claim: for the rare case that needs all of it."""
        return claim_pb2.Claim.FromString(self.payload)


_READING: Final = Reading(
    f"claim.{name}"
    for name in (
        *("total_charge_cents", "lines", "is_test"),
        *("patient_account_number", "service_from_date", "service_to_date"),
    )
)
_TEXTS: Final = [
    _READING.slots[f"claim.{name}"]
    for name in ("patient_account_number", "service_from_date", "service_to_date")
]
_NUMBERS: Final = [
    _READING.slots[f"claim.{name}"] for name in ("total_charge_cents", "lines", "is_test")
]


def read_facts(payloads: Sequence[bytes]) -> list[Facts]:
    """Return the facts of serialized claims, in their order.

    Raises:
        DecodeError: One of them is no serialized claim.
    """
    found = _in_c(payloads)
    if found is not None:
        return found
    return [facts_of(claim_pb2.Claim.FromString(payload)) for payload in payloads]


def _in_c(payloads: Sequence[bytes]) -> list[Facts] | None:
    """Read them without parsing; None where one has to be."""
    if LIBRARY is None:
        return None
    facts = np.zeros((len(payloads), len(_READING.slots), 2), np.int64)
    sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
    outcome = LIBRARY.read_facts(
        _READING.fields.ctypes.data,
        _READING.messages.ctypes.data,
        _READING.roots["claim"],
        len(payloads),
        (ctypes.c_char_p * len(payloads))(*payloads),
        sizes.ctypes.data,
        len(_READING.slots),
        facts.ctypes.data,
    )
    if outcome != _OK:
        return None
    numbers = [facts[:, slot, 0].tolist() for slot in _NUMBERS]
    numbers[-1] = list(map(bool, numbers[-1]))
    texts = [
        [
            payload[first : first + size].decode()
            for payload, (first, size) in zip(payloads, facts[:, slot].tolist(), strict=True)
        ]
        for slot in _TEXTS
    ]
    return list(map(Facts, *numbers, *texts))
