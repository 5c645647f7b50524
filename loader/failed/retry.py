"""Failed claims that are due go through staging, service and load once more.

    due -> resubmitted, leased -> in staging, pending -> resubmitted, no lease -> load or failure

The lease is taken before staging is touched, and what is done to staging may be repeated: whoever
dies in between leaves a lease that runs out, and the next retrier does the same again. From then on
it is a claim as any other; the load that ends it also ends its failed row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from google.protobuf.message import DecodeError

from loader.failed import staging as back
from loader.failed.backoff import Backoff
from loader.failed.ledger import write_failed
from loader.failed.repairs import repair_open
from loader.failed.staging import Resubmission
from loader.failed.words import AS_PRINCIPAL, LOADER, Category
from loader.leases import new_owner
from loader.link import Link
from loader.lookup import VaultError
from loader.rows import FailedClaim, Reason
from loader.settings import LoaderSettings
from loader.source import Connection, Leased, tenant_transaction
from loader.vault import Vault

CHUNK: Final = 500
"""Failed claims that are leased at once."""
_UNHEARD_MAX: Final = 10_000
"""Resubmitted claims that are looked at in one run, those first that wait longest."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What a retrier did."""

    resubmitted: int = 0
    """Claims that wait in staging now."""

    unreadable: int = 0
    """Claims that could not be put there, since their payload cannot be read."""

    repaired: int = 0
    """Claims that steps were applied to without being asked."""

    settled: int = 0
    """Claims that staging had ended without production hearing of it, such as test claims."""


class Retrier:
    """Puts the failed claims of one tenant back into staging."""

    def __init__(
        self,
        production: Link,
        staging: Link,
        tenant: str,
        vault: Vault,
        backoff: Backoff,
        *,
        lease_s: float = 300.0,
        steps: Sequence[str] = (),
    ) -> None:
        """Name both databases, whose claims, and the key.

        Args:
            production: Where failed claims are.
            staging: Where they go.
            tenant: Whose they are.
            vault: Opens and seals them.
            backoff: When one that cannot be read is tried again.
            lease_s: How long a lease holds.
            steps: Repair steps that are applied without being asked.
        """
        self._production = production
        self._staging = staging
        self._tenant = tenant
        self._vault = vault
        self._backoff = backoff
        self._lease_s = lease_s
        self._steps = steps
        self._owner = new_owner()

    async def retry_due(self) -> Retried:
        """Apply the steps that are set, then resubmit every claim that is due, urgent first."""
        settled = await self.settle_unheard()
        repaired = await self._repair()
        resubmitted = unreadable = 0
        while claims := await self.lease():
            faulty = await self._stage(claims)
            resubmitted += len(claims) - faulty
            unreadable += faulty
        return Retried(resubmitted, unreadable, repaired, settled)

    async def _repair(self) -> int:
        """Apply the steps that are set; return how many claims they changed."""
        changed: set[int] = set()

        async def some(connection: Connection) -> int:
            async with tenant_transaction(connection, self._tenant):
                await connection.execute(AS_PRINCIPAL, LOADER)
                looked_at, repaired = await repair_open(
                    connection, self._vault, self._tenant, self._steps
                )
            changed.update(each.failed_id for each in repaired)
            return looked_at

        looked_at = 1 if self._steps else 0
        while looked_at:
            looked_at = await self._production.run(some)
        return len(changed)

    async def lease(self, claims: int = CHUNK) -> list[Resubmission]:
        """Take some claims that are due, or that a retrier has died over, so that nobody else does.

        A claim waits with the content of its last repair that was not undone, else with its own.
        """

        async def take(connection: Connection) -> list[Resubmission]:
            async with tenant_transaction(connection, self._tenant):
                await connection.execute(AS_PRINCIPAL, LOADER)
                rows = await connection.fetch(
                    _LEASE, self._tenant, self._owner, self._lease_s, claims
                )
            return [Resubmission(*row) for row in rows]

        return await self._production.run(take)

    async def _stage(self, claims: Sequence[Resubmission]) -> int:
        """Put leased claims into staging; return how many of them cannot be read."""
        faulty = await self._staging.run(lambda c: self._stage_over(c, claims))
        await self._production.run(lambda c: self._confirm(c, claims, faulty))
        return len(faulty)

    async def _stage_over(
        self, connection: Connection, claims: Sequence[Resubmission]
    ) -> dict[int, tuple[Category, Reason]]:
        faulty = {}
        async with tenant_transaction(connection, self._tenant):
            await connection.execute(_DURABLE)
            there = await back.queue_again(connection, self._tenant, claims)
            for claim in claims:
                if claim.failed_id in there:
                    continue
                try:
                    await back.stage_again(connection, self._vault, self._tenant, claim)
                except VaultError as error:
                    faulty[claim.failed_id] = Category.SEALED, _sealed(error)
                except DecodeError:
                    faulty[claim.failed_id] = Category.DECODE, _UNREADABLE
        return faulty

    async def _confirm(
        self,
        connection: Connection,
        claims: Sequence[Resubmission],
        faulty: dict[int, tuple[Category, Reason]],
    ) -> None:
        """End the leases of what staging has now; what it could not take has failed again."""
        staged = [claim.failed_id for claim in claims if claim.failed_id not in faulty]
        failed = [
            FailedClaim(_leased(claim), category, "decode", [reason])
            for claim in claims
            if claim.failed_id in faulty
            for category, reason in [faulty[claim.failed_id]]
        ]
        async with tenant_transaction(connection, self._tenant):
            await connection.execute(_DURABLE)
            await connection.execute(AS_PRINCIPAL, LOADER)
            await connection.execute(_CONFIRM, self._tenant, staged, self._owner)
            await write_failed(connection, self._tenant, uuid4(), failed, self._backoff)

    # What production did not hear of. -------------------------------------------------------------

    async def settle_unheard(self) -> int:
        """Settle resubmitted claims that staging has ended, though no load told production.

        So ends a test claim, which is scored and never loaded. A claim that staging does not have
        any more is due again, and one that failed or was cancelled there stands where it stood.
        Returns how many were settled.
        """
        claims = await self._production.run(self._under_way)
        if not claims:
            return 0
        found = await self._staging.run(lambda c: self._statuses(c, claims))
        ended = [claim.failed_id for claim in claims if found.get(claim.failed_id) in _ENDED]
        lost = [claim.failed_id for claim in claims if claim.failed_id not in found]
        failed = [claim.failed_id for claim in claims if found.get(claim.failed_id) in _NOT_LOADED]

        async def settle(connection: Connection) -> None:
            async with tenant_transaction(connection, self._tenant):
                await connection.execute(_DURABLE)
                await connection.execute(AS_PRINCIPAL, LOADER)
                await connection.execute(_SETTLE, self._tenant, ended)
                await connection.execute(_DUE_AGAIN, self._tenant, lost)
                await connection.execute(_FAILED_UNHEARD, self._tenant, failed)

        await self._production.run(settle)
        return len(ended)

    async def _under_way(self, connection: Connection) -> list[Resubmission]:
        async with tenant_transaction(connection, self._tenant):
            rows = await connection.fetch(_UNDER_WAY, self._tenant, _UNHEARD_MAX)
        return [Resubmission(*row) for row in rows]

    async def _statuses(
        self, connection: Connection, claims: Sequence[Resubmission]
    ) -> dict[int, str]:
        async with tenant_transaction(connection, self._tenant):
            return await back.statuses(connection, self._tenant, claims)


def retrier(settings: LoaderSettings, vault: Vault, production: Link, staging: Link) -> Retrier:
    """Return a retrier as the settings have it."""
    return Retrier(
        production,
        staging,
        settings.tenant,
        vault,
        settings.backoff(),
        lease_s=settings.retry_lease_s,
        steps=settings.repair_steps,
    )


def _leased(claim: Resubmission) -> Leased:
    """Return a resubmission as if it had been leased from staging and failed there."""
    return Leased(
        0, claim.claim_id, claim.claim_version, claim.content_sha256, b"", 1,
        claim.payload_encrypted,
    )  # fmt: skip


def _sealed(error: VaultError) -> Reason:
    return {"field": "payload", "code": "PAYLOAD_SEALED", "message": str(error)}


_UNREADABLE: Final = {
    "field": "payload",
    "code": "PAYLOAD_UNREADABLE",
    "message": "the payload is no serialized claimgate.v1.Claim; submit the claim again",
}
_ENDED: Final = frozenset({"completed", "needs_review"})
_NOT_LOADED: Final = frozenset({"failed", "cancelled"})
_DURABLE: Final = "SET LOCAL synchronous_commit = on"
_LEASE: Final = """
WITH due AS MATERIALIZED (
    SELECT failed_id FROM failed_claims
    WHERE tenant_id = $1 AND (
        (next_attempt_at <= now() AND status IN ('open', 'assigned'))
        OR (status = 'resubmitted' AND lease_until < now()))
    ORDER BY urgency DESC, failed_id
    LIMIT $4
    FOR UPDATE SKIP LOCKED
)
UPDATE failed_claims AS f
SET status = 'resubmitted', next_attempt_at = NULL, lease_owner = $2,
    lease_until = now() + $3 * interval '1 second', updated_at = now(),
    resubmitted_sha256 = coalesce(repaired.after_sha256, f.content_sha256)
FROM due
LEFT JOIN LATERAL (
    SELECT after_sha256, payload_encrypted FROM claim_repairs
    WHERE tenant_id = $1 AND failed_id = due.failed_id AND undone_at IS NULL
    ORDER BY repair_id DESC LIMIT 1
) AS repaired ON true
WHERE f.tenant_id = $1 AND f.failed_id = due.failed_id
RETURNING f.failed_id, f.claim_id, f.claim_version, f.resubmitted_sha256,
    coalesce(repaired.payload_encrypted, f.payload_encrypted), f.attempts, f.processing_stage
"""
_CONFIRM: Final = """
UPDATE failed_claims SET lease_owner = NULL, lease_until = NULL, updated_at = now()
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[]) AND lease_owner = $3
    AND status = 'resubmitted'
"""
_UNDER_WAY: Final = """
SELECT failed_id, claim_id, claim_version, resubmitted_sha256, ''::bytea, attempts, processing_stage
FROM failed_claims
WHERE tenant_id = $1 AND status = 'resubmitted' AND lease_until IS NULL
    AND resubmitted_sha256 IS NOT NULL
ORDER BY updated_at LIMIT $2
"""
_SETTLE: Final = """
UPDATE failed_claims
SET status = 'resolved', resolved_at = now(), resolved_by = 'loader', updated_at = now(),
    resolution = CASE WHEN resubmitted_sha256 = content_sha256 THEN 'reloaded' ELSE 'corrected' END
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[]) AND status = 'resubmitted'
    AND lease_until IS NULL
"""
_DUE_AGAIN: Final = """
UPDATE failed_claims
SET status = CASE assignee WHEN '' THEN 'open' ELSE 'assigned' END, next_attempt_at = now(),
    updated_at = now()
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[]) AND status = 'resubmitted'
    AND lease_until IS NULL
"""
# Its reasons are those of another row of the same content; a person looks at both.
_FAILED_UNHEARD: Final = """
UPDATE failed_claims
SET status = CASE assignee WHEN '' THEN 'open' ELSE 'assigned' END, retries = retries + 1,
    updated_at = now()
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[]) AND status = 'resubmitted'
    AND lease_until IS NULL
"""
