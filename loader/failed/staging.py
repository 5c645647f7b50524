"""Failed claims back into staging, as they are or repaired, under their id and version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from claimgate.v1 import claim_pb2

from loader.source import PAYLOAD_COLUMN, Connection, Sealed, stage_sealed
from loader.vault import Vault


@dataclass(frozen=True, slots=True)
class Resubmission:
    """A failed claim and the content that it is submitted with."""

    failed_id: int
    claim_id: str
    claim_version: int
    content_sha256: bytes
    payload_encrypted: bytes
    attempts: int
    stage: str


async def queue_again(
    connection: Connection, tenant: str, claims: Sequence[Resubmission]
) -> set[int]:
    """Let failed or cancelled contents wait once more; return the failed ids that staging has.

    A content that waits, is being scored or was loaded is left as it is: so this may be repeated.
    """
    rows = await connection.fetch(_QUEUE_AGAIN, tenant, *_keys(claims))
    return {claims[row["place"] - 1].failed_id for row in rows}


async def stage_again(
    connection: Connection, vault: Vault, tenant: str, claim: Resubmission
) -> None:
    """Put a content into staging that it has not, with a reference to the failed claim.

    Raises:
        VaultError: the payload does not open with this key.
        DecodeError: the payload is no claim.
    """
    sealed, content = claim.payload_encrypted, claim.content_sha256
    parsed = claim_pb2.Claim.FromString(vault.open(sealed, tenant, PAYLOAD_COLUMN, content.hex()))
    await stage_sealed(
        connection,
        vault,
        tenant,
        parsed,
        Sealed(claim.claim_id, claim.claim_version, content, sealed),
        source_file=f"failed:{claim.failed_id}",
    )


async def statuses(
    connection: Connection, tenant: str, claims: Sequence[Resubmission]
) -> dict[int, str]:
    """Return what staging says of each content that it has, by failed id."""
    rows = await connection.fetch(_STATUSES, tenant, *_keys(claims))
    return {claims[row["place"] - 1].failed_id: row["status"] for row in rows}


def _keys(claims: Sequence[Resubmission]) -> tuple[list[str], list[int], list[bytes]]:
    return (
        [claim.claim_id for claim in claims],
        [claim.claim_version for claim in claims],
        [claim.content_sha256 for claim in claims],
    )


_QUEUE_AGAIN: Final = """
WITH found AS MATERIALIZED (
    SELECT given.place, theirs.staging_id
    FROM unnest($2::text[], $3::integer[], $4::bytea[])
        WITH ORDINALITY AS given (claim_id, claim_version, content, place)
    CROSS JOIN LATERAL (
        SELECT staging_id FROM claims
        WHERE tenant_id = $1 AND claim_id = given.claim_id AND claim_version = given.claim_version
            AND content_sha256 = given.content
        OFFSET 0
    ) AS theirs
), queued AS (
    UPDATE claim_states AS s
    SET status = 'pending', attempts = 0, lease_owner = NULL, lease_until = NULL,
        processed_at = NULL, updated_at = now()
    FROM found
    WHERE s.tenant_id = $1 AND s.staging_id = found.staging_id
        AND s.status IN ('failed', 'cancelled')
)
SELECT place FROM found
"""
_STATUSES: Final = """
SELECT given.place, theirs.status
FROM unnest($2::text[], $3::integer[], $4::bytea[])
    WITH ORDINALITY AS given (claim_id, claim_version, content, place)
CROSS JOIN LATERAL (
    SELECT s.status FROM claims AS c
    JOIN claim_states AS s ON s.tenant_id = c.tenant_id AND s.staging_id = c.staging_id
    WHERE c.tenant_id = $1 AND c.claim_id = given.claim_id
        AND c.claim_version = given.claim_version AND c.content_sha256 = given.content
    OFFSET 0
) AS theirs
"""
