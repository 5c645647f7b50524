"""Batches of scored claims on their way into production, and what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from uuid import UUID

from loader.rows import FailedClaim, LoadClaim, Row
from loader.source import Status


class SinkError(Exception):
    """A batch cannot be loaded."""


class BatchConflictError(SinkError):
    """The batch id was used before, for other content."""

    def __init__(self, batch_id: UUID) -> None:
        """Name the batch."""
        super().__init__(
            f"batch {batch_id} was loaded before with other content; use a new id for new content"
        )


class CountMismatchError(SinkError):
    """The database took another number of rows than it was given."""

    def __init__(self, table: str, expected: int, found: int) -> None:
        """Name the table and both counts."""
        super().__init__(
            f"{table}: {expected} rows were sent, {found} arrived; "
            "nothing was committed, load again"
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Claims that are loaded in one transaction, and those that failed on the way."""

    claims: list[LoadClaim] = field(default_factory=list)
    failed: list[FailedClaim] = field(default_factory=list)
    provenances: dict[int, Row] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __len__(self) -> int:
        """Count all claims."""
        return len(self.claims) + len(self.failed)

    def sha256(self) -> bytes:
        """Return the hash of which claims these are, in their order."""
        digest = sha256()
        for kind, leased in chain(
            ((b"L", item.leased) for item in self.claims),
            ((b"F", item.leased) for item in self.failed),
        ):
            key = f"{len(leased.claim_id)}:{leased.claim_id}:{leased.claim_version}:"
            digest.update(kind + key.encode() + leased.content_sha256)
        return digest.digest()

    def batch_id(self) -> UUID:
        """Return the id that follows from the content: the same claims are the same batch."""
        return id_of(self.sha256())


def id_of(digest: bytes) -> UUID:
    """Return the batch id that a hash gives."""
    return UUID(bytes=digest[:16])


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the ledger says of a batch."""

    batch_id: UUID
    commit_seq: int
    loaded: int
    already_loaded: int
    refused: int
    failed: int
    rows: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What this load did: receipts (several where the batch was cut), and each claim's status."""

    receipts: list[Receipt] = field(default_factory=list)
    outcomes: list[tuple[int, Status]] = field(default_factory=list)
    failed: list[FailedClaim] = field(default_factory=list)
    loaded: int = 0
    already_loaded: int = 0
    rows: int = 0


def joined(parts: Sequence[Loaded]) -> Loaded:
    """Return what the loads of a batch's parts did together."""
    return Loaded(
        receipts=[receipt for part in parts for receipt in part.receipts],
        outcomes=[outcome for part in parts for outcome in part.outcomes],
        failed=[failed for part in parts for failed in part.failed],
        loaded=sum(part.loaded for part in parts),
        already_loaded=sum(part.already_loaded for part in parts),
        rows=sum(part.rows for part in parts),
    )
