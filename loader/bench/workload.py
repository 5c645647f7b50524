"""The claims that every measurement uses: the demo's synthetic mix, cut into messages."""

from collections.abc import Sequence
from typing import Final, Literal

from claimgate.columns import pack
from claimgate.v1 import claim_pb2, score_pb2, scoring_service_pb2

from loader.synthetic import synthetic_claims

SEED: Final = 20_251_101

Form = Literal["rows", "columns"]
"""How claims travel: each for itself, or field by field."""


def claims(count: int) -> list[claim_pb2.Claim]:
    """Return the synthetic claims of the workload."""
    return list(synthetic_claims(count, seed=SEED))


def batches(rows: Sequence[claim_pb2.Claim], message_claims: int) -> list[score_pb2.ClaimBatch]:
    """Cut claims into messages."""
    return [
        score_pb2.ClaimBatch(claims=rows[first : first + message_claims])
        for first in range(0, len(rows), message_claims)
    ]


def requests(messages: Sequence[score_pb2.ClaimBatch], form: Form = "rows") -> list[bytes]:
    """Return messages as bytes on the wire, so that a client's own encoding is not measured."""
    if form == "columns":
        return [
            scoring_service_pb2.ScoreClaimsRequest(columns=pack(message)).SerializeToString()
            for message in messages
        ]
    return [
        scoring_service_pb2.ScoreClaimsRequest(batch=message).SerializeToString()
        for message in messages
    ]
