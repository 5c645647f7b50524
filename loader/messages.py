"""Leased claims as messages for the service: a member's claims travel in one.

A payload is a serialized claim already: a message is made of payloads as they are, each behind its
length, and is not serialized again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from claimgate.framing import field_tag, varint
from claimgate.v1 import claim_pb2, score_pb2
from claimgate.v1.scoring_service_pb2 import ScoreClaimsRequest
from google.protobuf.message import DecodeError

from loader.failed_words import Category
from loader.framing import batch_of
from loader.lookup import VaultError
from loader.rows import FailedClaim
from loader.source import Leased, open_payload
from loader.vault import Vault

_CLAIMS_MAX: Final = 2_048  # the most that the service takes in one message
_BATCH_FIELD: Final = field_tag(ScoreClaimsRequest.BATCH_FIELD_NUMBER)


class Opened(NamedTuple):
    """A leased claim that could be read."""

    leased: Leased
    claim: claim_pb2.Claim
    payload: bytes


@dataclass(slots=True)
class Message:
    """Claims that go to the service together, in one order on both sides."""

    claims: list[Opened] = field(default_factory=list)
    size: int = 0

    def add(self, claim: Opened) -> None:
        """Add a claim at the end."""
        self.claims.append(claim)
        self.size += len(claim.payload)

    def request(self) -> bytes:
        """Return the message as a serialized ScoreClaimsRequest, without a sequence."""
        batch = batch_of(claim.payload for claim in self.claims)
        return b"".join((_BATCH_FIELD, varint(len(batch)), batch))

    def batch(self) -> score_pb2.ClaimBatch:
        """Return the message for a call of its own."""
        return score_pb2.ClaimBatch(claims=[opened.claim for opened in self.claims])

    def halves(self) -> "tuple[Message, Message]":
        """Cut the message in two, to find the claim that a call fails on."""
        half = len(self.claims) // 2
        return message_of(self.claims[:half]), message_of(self.claims[half:])


def message_of(claims: Iterable[Opened]) -> Message:
    """Return a message of these claims."""
    message = Message()
    for claim in claims:
        message.add(claim)
    return message


def read(leased: Leased, vault: Vault, tenant: str) -> Opened | FailedClaim:
    """Return the claim, or why it cannot be read."""
    try:
        payload = open_payload(leased, vault, tenant)
        return Opened(leased, claim_pb2.Claim.FromString(payload), payload)
    except VaultError as error:
        category = Category.SEALED
        reason = {"field": "payload", "code": "PAYLOAD_SEALED", "message": str(error)}
    except DecodeError:
        category = Category.DECODE
        reason = {
            "field": "payload",
            "code": "PAYLOAD_UNREADABLE",
            "message": "the payload is no serialized claimgate.v1.Claim; submit the claim again",
        }
    return FailedClaim(leased, category, "decode", [reason])


def form(claims: Iterable[Opened], *, claims_max: int, bytes_max: int) -> Iterator[Message]:
    """Group claims by member, in order of first appearance, and fill messages with whole members.

    A member with more than a message holds has a message of its own, cut only where `bytes_max`
    demands it.
    """
    members: dict[bytes, list[Opened]] = {}
    for claim in claims:
        members.setdefault(claim.leased.member_key, []).append(claim)
    message = Message()
    for group in members.values():
        group_size = sum(len(claim.payload) for claim in group)
        if message.claims and (
            len(message.claims) + len(group) > claims_max or message.size + group_size > bytes_max
        ):
            yield message
            message = Message()
        for claim in group:
            full = message.size + len(claim.payload) > bytes_max
            if message.claims and (full or len(message.claims) >= _CLAIMS_MAX):
                yield message
                message = Message()
            message.add(claim)
    if message.claims:
        yield message
