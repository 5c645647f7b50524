"""Claims of a batch against what production holds under their keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from loader.failed.words import Category
from loader.rows import FailedClaim, LoadClaim
from loader.source import Status

Key = tuple[str, int]
"""Id and version of a claim within its tenant."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What production holds under a key."""

    key: Key
    content_sha256: bytes
    batch_id: UUID
    status: Status


@dataclass(frozen=True, slots=True)
class Settled:
    """Claims that need no load: the same content is there, or other content is."""

    already: list[tuple[int, Status]]
    failed: list[FailedClaim]


def settle(
    claims: Sequence[LoadClaim], stored: dict[Key, Stored], fresh: Sequence[LoadClaim]
) -> Settled:
    """Tell apart claims that are there already and claims whose key holds other content."""
    held = {key: (row.content_sha256, row.status) for key, row in stored.items()}
    if claims:
        held |= {key_of(item): (item.leased.content_sha256, item.status) for item in fresh}
    settled = Settled([], [])
    for item in claims:
        content, status = held[key_of(item)]
        if content == item.leased.content_sha256:
            settled.already.append((item.leased.staging_id, status))
        else:
            settled.failed.append(
                FailedClaim(
                    item.leased, Category.CONFLICT, "load", [_CONFLICT], item.opened.claim()
                )
            )
    return settled


_CONFLICT: Final = {
    "field": "claim_id",
    "code": "CONTENT_CONFLICT",
    "message": "another claim was loaded under this id and version; "
    "a correction takes the next claim_version",
}


def held_of(claims: Sequence[LoadClaim], settled: Settled) -> list[LoadClaim]:
    """Return the claims that production holds now, with this very content."""
    failed = {id(each.leased) for each in settled.failed}
    return [item for item in claims if id(item.leased) not in failed] if failed else list(claims)


def each_key_once(claims: list[LoadClaim]) -> tuple[list[LoadClaim], list[LoadClaim]]:
    """Return the first claim of each key, and the others."""
    first: dict[Key, LoadClaim] = {}
    twice = [item for item in claims if first.setdefault(key_of(item), item) is not item]
    return (list(first.values()), twice) if twice else (claims, twice)


def key_of(item: LoadClaim | FailedClaim) -> Key:
    """Return the key of a claim within its tenant."""
    return item.leased.claim_id, item.leased.claim_version


def outcomes_of(
    fresh: Sequence[LoadClaim], already: list[tuple[int, Status]], failed: Sequence[FailedClaim]
) -> list[tuple[int, Status]]:
    """Return the status of each claim for staging."""
    loaded: list[tuple[int, Status]] = [(item.leased.staging_id, item.status) for item in fresh]
    return loaded + already + [(item.leased.staging_id, "failed") for item in failed]
