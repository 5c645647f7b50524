"""Leased claims as messages for the service: a member's claims travel in one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from claimgate.v1 import claim_pb2, score_pb2
from google.protobuf.message import DecodeError

from loader.rows import FailedClaim
from loader.source import Leased, open_payload
from loader.vault import Vault, VaultError


@dataclass(frozen=True, slots=True)
class Message:
    """Claims that go to the service together, in one order on both sides."""

    leased: list[Leased]
    batch: score_pb2.ClaimBatch

    def halves(self) -> "tuple[Message, Message]":
        """Cut the message in two, to find the claim that a call fails on."""
        half = len(self.leased) // 2
        return (
            Message(self.leased[:half], score_pb2.ClaimBatch(claims=self.batch.claims[:half])),
            Message(self.leased[half:], score_pb2.ClaimBatch(claims=self.batch.claims[half:])),
        )


@dataclass(slots=True)
class _Draft:
    """A message in the making."""

    leased: list[Leased]
    claims: list[claim_pb2.Claim]
    bytes: int = 0


def read(leased: Leased, vault: Vault, tenant: str) -> tuple[claim_pb2.Claim, int] | FailedClaim:
    """Return the claim and its size, or why it cannot be read."""
    try:
        payload = open_payload(leased, vault, tenant)
        return claim_pb2.Claim.FromString(payload), len(payload)
    except VaultError as error:
        reason = {"field": "payload", "code": "PAYLOAD_SEALED", "message": str(error)}
    except DecodeError:
        reason = {
            "field": "payload",
            "code": "PAYLOAD_UNREADABLE",
            "message": "the payload is no serialized claimgate.v1.Claim; submit the claim again",
        }
    return FailedClaim(leased, "unreadable", "decode", [reason])


def form(
    claims: Iterable[tuple[Leased, claim_pb2.Claim, int]], *, claims_max: int, bytes_max: int
) -> Iterator[Message]:
    """Group claims by member, in order of first appearance, and fill messages with whole members.

    A member with more than a message holds has a message of its own, cut only where `bytes_max`
    demands it.
    """
    members: dict[bytes, list[tuple[Leased, claim_pb2.Claim, int]]] = {}
    for item in claims:
        members.setdefault(item[0].member_key, []).append(item)
    draft = _Draft([], [])
    for group in members.values():
        size = sum(item[2] for item in group)
        if draft.leased and (
            len(draft.leased) + len(group) > claims_max or draft.bytes + size > bytes_max
        ):
            yield _message(draft)
            draft = _Draft([], [])
        for leased, claim, claim_bytes in group:
            full = draft.bytes + claim_bytes > bytes_max or len(draft.leased) >= _CLAIMS_MAX
            if draft.leased and full:
                yield _message(draft)
                draft = _Draft([], [])
            draft.leased.append(leased)
            draft.claims.append(claim)
            draft.bytes += claim_bytes
    if draft.leased:
        yield _message(draft)


_CLAIMS_MAX = 2_048  # the most that the service takes in one message


def _message(draft: _Draft) -> Message:
    """Close a draft."""
    return Message(draft.leased, score_pb2.ClaimBatch(claims=draft.claims))
