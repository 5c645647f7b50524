"""The versions of a claim in production, and the stored answers to them.

Every function is called in a transaction of the tenant, by the commands and by the service.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg
from claimgate.v1 import claim_pb2, score_pb2

from loader.source import PAYLOAD_COLUMN
from loader.vault import Vault

if TYPE_CHECKING:
    from loader.source import AnyConnection as Connection


@dataclass(frozen=True, slots=True)
class Result:
    """A result in short."""

    result_no: int
    decision: str
    exposure_cents: int
    allowed_cents: int | None
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a claim as it was loaded."""

    claim_id: str
    claim_version: int
    content_sha256: bytes
    batch_id: UUID
    """The load transaction."""
    commit_seq: int
    loaded_at: datetime | None
    frequency_code: str
    """Empty where the month is archived."""
    total_charge_cents: int
    archived: bool
    superseded_by: int | None
    """The version that took its place."""
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result as it was answered."""

    version: Version
    result: score_pb2.ClaimResult
    provenance: score_pb2.Provenance


class NoSuchClaimError(LookupError):
    """The tenant has no such claim, version or result in production."""

    def __init__(self, what: str = "claim") -> None:
        super().__init__(f"production has no such {what}; a claim is there once it was loaded")


class ArchivedError(LookupError):
    """The month of a claim is in an archive."""

    def __init__(self) -> None:
        super().__init__(
            "the month of this claim is archived; `claimgate storage restore` brings it back"
        )


async def list_versions(connection: "Connection", tenant: str, claim_id: str) -> list[Version]:
    """Return the versions of a claim, first to last.

    Raises:
        NoSuchClaimError: there is none.
    """
    rows = await connection.fetch(_VERSIONS, tenant, claim_id)
    if not rows:
        raise NoSuchClaimError
    results: dict[int, list[Result]] = {}
    for row in await connection.fetch(_RESULTS, tenant, claim_id):
        version, *values = row
        results.setdefault(version, []).append(Result(*values))
    following = [row["claim_version"] for row in rows[1:]]
    return [
        _version(row, superseded_by, tuple(results.get(row["claim_version"], ())))
        for row, superseded_by in zip(rows, [*following, None], strict=True)
    ]


async def get_result(
    connection: "Connection", tenant: str, claim_id: str, *, version: int = 0, result_no: int = 0
) -> StoredResult:
    """Return a stored result; version and number 0 mean the last.

    Raises:
        NoSuchClaimError: there is none.
        ArchivedError: it is in an archive.
    """
    chosen = version_of(await list_versions(connection, tenant, claim_id), version)
    number = result_no or max((result.result_no for result in chosen.results), default=0)
    row = await connection.fetchrow(_RESULT, tenant, claim_id, chosen.claim_version, number)
    if row is None:
        raise NoSuchClaimError("result")
    return StoredResult(chosen, score_pb2.ClaimResult.FromString(row["answer"]), _provenance(row))


async def claim_of(
    connection: "Connection", vault: Vault, tenant: str, version: Version
) -> claim_pb2.Claim:
    """Open a version's claim.

    Raises:
        ArchivedError: it is in an archive.
        VaultError: it does not open with this key.
    """
    sealed = await connection.fetchval(_PAYLOAD, tenant, version.claim_id, version.claim_version)
    if sealed is None:
        raise ArchivedError
    content = version.content_sha256.hex()
    return claim_pb2.Claim.FromString(vault.open(sealed, tenant, PAYLOAD_COLUMN, content))


def version_of(versions: list[Version], number: int = 0) -> Version:
    """Return a version that can be read; 0 means the last.

    Raises:
        NoSuchClaimError: there is none.
        ArchivedError: it is in an archive.
    """
    found = next((v for v in reversed(versions) if number in {0, v.claim_version}), None)
    if found is None:
        raise NoSuchClaimError("version of this claim")
    if found.archived:
        raise ArchivedError
    return found


def _version(
    row: asyncpg.Record, superseded_by: int | None, results: tuple[Result, ...]
) -> Version:
    return Version(
        row["claim_id"],
        row["claim_version"],
        row["content_sha256"],
        batch_id=row["batch_id"],
        commit_seq=row["commit_seq"] or 0,
        loaded_at=row["loaded_at"],
        frequency_code=row["frequency_code"] or "",
        total_charge_cents=row["total_charge_cents"] or 0,
        archived=row["archived"],
        superseded_by=superseded_by,
        results=results,
    )


def _provenance(row: asyncpg.Record) -> score_pb2.Provenance:
    return score_pb2.Provenance(
        reference_release=row["reference_release"],
        policy_version=row["policy_version"],
        model_version=row["model_version"],
        engine_version=row["engine_version"],
        history_watermark=row["history_watermark"],
        stand_ins=row["stand_ins"],
        partial_rule_ids=row["partial_rule_ids"],
        not_evaluated=[
            score_pb2.NotEvaluated(reason=each["reason"], rule_ids=each["rule_ids"])
            for each in json.loads(row["not_evaluated"])
        ],
        fee_schedule_version=row["fee_schedule_version"],
    )


_VERSIONS: Final = """
SELECT k.claim_id, k.claim_version, k.content_sha256, k.batch_id, b.commit_seq, b.loaded_at,
    c.frequency_code, c.total_charge_cents, c.claim_id IS NULL AS archived
FROM claim_keys AS k
LEFT JOIN batches AS b ON b.tenant_id = k.tenant_id AND b.batch_id = k.batch_id
LEFT JOIN claims AS c ON c.tenant_id = k.tenant_id AND c.service_from_date = k.service_from_date
    AND c.claim_id = k.claim_id AND c.claim_version = k.claim_version
WHERE k.tenant_id = $1 AND k.claim_id = $2
ORDER BY k.claim_version
"""
_RESULTS: Final = """
SELECT r.claim_version, r.result_no, r.decision, r.exposure_cents, r.allowed_cents, r.created_at
FROM claim_keys AS k
JOIN claim_results AS r ON r.tenant_id = k.tenant_id AND r.service_from_date = k.service_from_date
    AND r.claim_id = k.claim_id AND r.claim_version = k.claim_version
WHERE k.tenant_id = $1 AND k.claim_id = $2
ORDER BY r.claim_version, r.result_no
"""
_RESULT: Final = """
SELECT r.answer, r.history_watermark, p.*
FROM claim_keys AS k
JOIN claim_results AS r ON r.tenant_id = k.tenant_id AND r.service_from_date = k.service_from_date
    AND r.claim_id = k.claim_id AND r.claim_version = k.claim_version
JOIN provenances AS p ON p.tenant_id = r.tenant_id AND p.provenance_id = r.provenance_id
WHERE k.tenant_id = $1 AND k.claim_id = $2 AND k.claim_version = $3 AND r.result_no = $4
"""
_PAYLOAD: Final = """
SELECT c.payload_encrypted
FROM claim_keys AS k
JOIN claims AS c ON c.tenant_id = k.tenant_id AND c.service_from_date = k.service_from_date
    AND c.claim_id = k.claim_id AND c.claim_version = k.claim_version
WHERE k.tenant_id = $1 AND k.claim_id = $2 AND k.claim_version = $3
"""
