"""A loaded claim amended: its next version goes into staging, and from there as any claim."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from claimgate.v1 import claim_pb2

from loader.claims.amendment import Amendment, next_version
from loader.claims.versions import claim_of, list_versions, version_of
from loader.failed.words import AS_PRINCIPAL
from loader.source import PAYLOAD_COLUMN, Sealed, stage_sealed, storable
from loader.vault import Vault

if TYPE_CHECKING:
    from loader.source import AnyConnection as Connection

AMENDED_PRIORITY: Final = 8
"""What an amended claim has at least in the queue: somebody waits for it."""


@dataclass(frozen=True, slots=True)
class Amended:
    """A version that waits in staging."""

    claim_id: str
    claim_version: int
    content_sha256: bytes


class VersionConflictError(ValueError):
    """A claim has another last version than its amendment was made to."""

    def __init__(self, base_version: int, version: int, status: str) -> None:
        super().__init__(
            f"the claim has version {version} ({status}), the change was made to version "
            f"{base_version}; read version {version} once it is loaded and make the change to that"
        )
        self.base_version = base_version
        self.version = version
        self.status = status


async def amend(
    production: "Connection",
    staging: "Connection",
    vault: Vault,
    tenant: str,
    claim_id: str,
    amendment: Amendment,
    *,
    by: str,
    today: date | None = None,
) -> Amended:
    """Put the next version of a claim into staging, urgent; its other versions stay as they are.

    Both connections are in a transaction of the tenant. The same amendment again, while the first
    waits, finds that one.

    Raises:
        NoSuchClaimError: the claim was not loaded.
        ArchivedError: its month is archived.
        VersionConflictError: another version is the last, or one waits or is under way.
        FieldError: the change cannot be made.
        VaultError: the claim does not open with this key.
    """
    # One amendment of a claim after the other. First the lock, then what is there.
    await staging.execute(_LOCK_CLAIM, tenant, claim_id)
    newer = await staging.fetch(_NEWER, tenant, storable(claim_id), amendment.base_version)
    last = version_of(await list_versions(production, tenant, claim_id))
    if last.claim_version != amendment.base_version:
        raise VersionConflictError(amendment.base_version, last.claim_version, "loaded")
    before = await claim_of(production, vault, tenant, last)
    after = next_version(before, amendment, today=today or datetime.now(UTC).date())
    payload = after.SerializeToString(deterministic=True)
    amended = Amended(claim_id, after.claim_version, sha256(payload).digest())
    for row in newer:
        if row["content_sha256"] != amended.content_sha256:
            raise VersionConflictError(amendment.base_version, row["claim_version"], row["status"])
    await staging.execute(AS_PRINCIPAL, by)
    await _stage(staging, vault, tenant, after, payload, amended)
    return amended


async def _stage(
    staging: "Connection",
    vault: Vault,
    tenant: str,
    claim: claim_pb2.Claim,
    payload: bytes,
    amended: Amended,
) -> None:
    """Let the version wait: it is put in, or was there and had failed or was cancelled."""
    content = amended.content_sha256
    sealed = vault.seal(payload, tenant, PAYLOAD_COLUMN, content.hex())
    await stage_sealed(
        staging,
        vault,
        tenant,
        claim,
        Sealed(amended.claim_id, amended.claim_version, content, sealed),
        source_file=f"amendment of version {amended.claim_version - 1}",
        batch_id=claim.batch_id,
        priority=AMENDED_PRIORITY,
    )
    await staging.execute(_WAIT_AGAIN, tenant, amended.claim_id, amended.claim_version, content)


_LOCK_CLAIM: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('claimgate.amend|' || $1 || '|' || $2, 0))"
)
# What failed or was cancelled is no version: another content may take its number.
_NEWER: Final = """
SELECT c.claim_version, c.content_sha256, s.status
FROM claims AS c
JOIN claim_states AS s ON s.tenant_id = c.tenant_id AND s.staging_id = c.staging_id
WHERE c.tenant_id = $1 AND c.claim_id = $2 AND c.claim_version > $3
    AND s.status NOT IN ('failed', 'cancelled')
ORDER BY c.claim_version DESC
"""
_WAIT_AGAIN: Final = """
UPDATE claim_states AS s
SET status = 'pending', attempts = 0, processed_at = NULL, updated_at = now()
FROM claims AS c
WHERE c.tenant_id = $1 AND c.claim_id = $2 AND c.claim_version = $3 AND c.content_sha256 = $4
    AND s.tenant_id = $1 AND s.staging_id = c.staging_id AND s.status IN ('failed', 'cancelled')
"""
