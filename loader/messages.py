"""Leased claims as messages for the service: a member's claims travel in one.

A payload is a serialized claim already: a message is made of payloads as they are, each behind its
length, and is not serialized again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from claimgate.framing import field_tag, varint
from claimgate.v1 import claim_pb2, score_pb2
from claimgate.v1.scoring_service_pb2 import ScoreClaimsRequest
from google.protobuf.message import DecodeError

from engine.checks_native import claims_in
from loader.failed.words import Category
from loader.framing import batch_of
from loader.lookup import VaultError
from loader.opened import Opened, facts_of, read_facts
from loader.rows import FailedClaim
from loader.source import Leased, open_payload
from loader.vault import Vault

_CLAIMS_MAX: Final = 2_048  # the most that the service takes in one message
_BATCH_FIELD: Final = field_tag(ScoreClaimsRequest.BATCH_FIELD_NUMBER)


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
        return score_pb2.ClaimBatch.FromString(batch_of(claim.payload for claim in self.claims))

    def quarters(self) -> "Iterator[Message]":
        """Cut the message in four, or into its claims, to find the one that a call fails on.

        As many calls as with halves, and two thirds of the claims.
        """
        size = -(-len(self.claims) // 4)
        for first in range(0, len(self.claims), size):
            yield message_of(self.claims[first : first + size])


def message_of(claims: Iterable[Opened]) -> Message:
    """Return a message of these claims."""
    message = Message()
    for claim in claims:
        message.add(claim)
    return message


def read(leased: Sequence[Leased], vault: Vault, tenant: str) -> list[Opened | FailedClaim]:
    """Return each claim, or why it cannot be read."""
    unsealed = [_unsealed(item, vault, tenant) for item in leased]
    payloads = [each for each in unsealed if isinstance(each, bytes)]
    # Bytes beyond doubt are what protobuf reads: then none has to be parsed.
    known = iter(read_facts(payloads)) if claims_in(batch_of(payloads)) == len(payloads) else None
    read_so_far: list[Opened | FailedClaim] = []
    for item, payload in zip(leased, unsealed, strict=True):
        if isinstance(payload, FailedClaim):
            read_so_far.append(payload)
        elif known is not None:
            read_so_far.append(Opened(item, payload, next(known)))
        else:
            read_so_far.append(_read_alone(item, payload))
    return read_so_far


def _unsealed(leased: Leased, vault: Vault, tenant: str) -> bytes | FailedClaim:
    """Return the serialized claim, or why it stays sealed."""
    try:
        return open_payload(leased, vault, tenant)
    except VaultError as error:
        return _unreadable(leased, Category.SEALED, "PAYLOAD_SEALED", str(error))


def _read_alone(leased: Leased, payload: bytes) -> Opened | FailedClaim:
    """Read one claim of which it is not known whether it can be read."""
    try:
        return Opened(leased, payload, facts_of(claim_pb2.Claim.FromString(payload)))
    except DecodeError:
        said = "the payload is no serialized claimgate.v1.Claim; submit the claim again"
        return _unreadable(leased, Category.DECODE, "PAYLOAD_UNREADABLE", said)


def _unreadable(leased: Leased, category: Category, code: str, message: str) -> FailedClaim:
    reason = {"field": "payload", "code": code, "message": message}
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
