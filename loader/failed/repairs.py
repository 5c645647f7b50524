"""Repairs of failed claims: applied one on the other, kept with what they changed, and undone.

The claim as it was submitted stays what it is. A repair is a row of its own with the whole claim
after it, sealed as in staging, and the values before and after, sealed too. The next retry takes
the newest repair that was not undone.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import asyncpg
from claimgate.v1 import claim_pb2
from google.protobuf.message import DecodeError

from loader.failed.repair_steps import STEPS, Step, changes
from loader.failed.words import LAST_REPAIR
from loader.lookup import VaultError
from loader.source import PAYLOAD_COLUMN, Connection
from loader.vault import Vault

VALUES_COLUMN: Final = "claim_repairs.values"
_CHUNK: Final = 200


class RepairError(Exception):
    """A claim cannot be repaired, or a repair not undone."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A step that changed a claim."""

    failed_id: int
    step: str
    fields: list[str]
    """What was changed, by path."""


@dataclass(frozen=True, slots=True)
class _Current:
    """A failed claim with what it would be resubmitted as."""

    failed_id: int
    status: str
    codes: list[str]
    content_sha256: bytes
    payload_encrypted: bytes

    @classmethod
    def of(cls, row: asyncpg.Record) -> "_Current":
        codes = [str(reason["code"]) for reason in json.loads(row["reasons"])]
        return cls(row["failed_id"], row["status"], codes, row["content"], row["payload"])


async def repair(
    connection: Connection,
    vault: Vault,
    tenant: str,
    failed_id: int,
    names: Sequence[str] = (),
    *,
    dry_run: bool = False,
) -> list[Repaired]:
    """Apply steps to one claim, in their order; without names every step that is a remedy.

    Called in a transaction of the tenant. A claim that was changed is due at once.

    Args:
        connection: Production, in a transaction of the tenant.
        vault: Opens and seals the claim.
        tenant: Whose claim.
        failed_id: The claim.
        names: The steps.
        dry_run: Say what would be changed, and change nothing.

    Raises:
        RepairError: there is no such claim or step, or the claim is not one to repair now.
    """
    steps = _steps(names)
    row = await connection.fetchrow(_CURRENT, tenant, failed_id)
    if row is None:
        raise RepairError(f"there is no failed claim {failed_id}")
    current = _Current.of(row)
    if current.status not in _REPAIRABLE:
        raise RepairError(
            f"failed claim {failed_id} is {current.status}; only claims that are open, assigned or "
            "dead are repaired"
        )
    repaired = await _apply(
        connection, vault, tenant, current, steps, automatic=False, dry_run=dry_run
    )
    if repaired and not dry_run:
        await connection.execute(_DUE, tenant, failed_id)
    return repaired


async def repair_open(
    connection: Connection, vault: Vault, tenant: str, names: Sequence[str]
) -> tuple[int, list[Repaired]]:
    """Apply steps to some open claims on which they were not tried; return how many, and repairs.

    Called in a transaction of the tenant, until there are no more. What cannot be read is passed
    over.
    """
    steps = _steps(names)
    codes = sorted({code for each in steps for code in each.codes})
    rows = await connection.fetch(_UNTRIED, tenant, list(names), codes, _CHUNK)
    repaired: list[Repaired] = []
    for row in rows:
        current = _Current.of(row)
        try:
            done = await _apply(connection, vault, tenant, current, steps, automatic=True)
        except RepairError:
            done = []
        if done:
            await connection.execute(_DUE, tenant, current.failed_id)
        repaired += done
    ids = [row["failed_id"] for row in rows]
    await connection.execute(_TRIED, tenant, ids, list(names))
    return len(rows), repaired


async def undo(connection: Connection, tenant: str, failed_id: int) -> Repaired:
    """Undo the newest repair of a claim that still counts.

    Called in a transaction of the tenant.

    Raises:
        RepairError: there is none, or the claim is under way or loaded with it.
    """
    row = await connection.fetchrow(_CURRENT, tenant, failed_id)
    if row is None:
        raise RepairError(f"there is no failed claim {failed_id}")
    if row["status"] not in _REPAIRABLE:
        raise RepairError(
            f"failed claim {failed_id} is {row['status']}; a repair is undone while the claim is "
            "open, assigned or dead"
        )
    undone = await connection.fetchrow(_UNDO, tenant, failed_id)
    if undone is None:
        raise RepairError(f"failed claim {failed_id} has no repair to undo")
    await connection.execute(_NOT_DUE, tenant, failed_id)
    return Repaired(failed_id, undone["step"], list(undone["fields"]))


def values_of(
    vault: Vault, tenant: str, after_sha256: bytes, sealed: bytes
) -> dict[str, list[object]]:
    """Open what a repair changed: for each field its value before and after. Patient data."""
    opened = vault.open(sealed, tenant, VALUES_COLUMN, after_sha256.hex())
    values: dict[str, list[object]] = json.loads(opened)
    return values


def _steps(names: Iterable[str]) -> list[Step]:
    names = list(names)
    for name in names:
        if name not in STEPS:
            raise RepairError(
                f"there is no repair step {name!r}; expected some of {', '.join(STEPS)}"
            )
    return [STEPS[name] for name in names] if names else list(STEPS.values())


async def _apply(
    connection: Connection,
    vault: Vault,
    tenant: str,
    current: _Current,
    steps: Sequence[Step],
    *,
    automatic: bool,
    dry_run: bool = False,
) -> list[Repaired]:
    """Apply the steps that are a remedy for the claim's reasons, each on what the last one left."""
    claim, content = _opened(current, vault, tenant), current.content_sha256
    done: list[Repaired] = []
    for each in steps:
        after = each.repair(claim) if each.applies(current.codes) else None
        if after is None:
            continue
        payload = after.SerializeToString(deterministic=True)
        digest = sha256(payload).digest()
        changed = {path: [old, new] for path, old, new in changes(claim, after)}
        if not dry_run:
            values = json.dumps(changed).encode()
            await connection.execute(
                _RECORD,
                tenant,
                current.failed_id,
                each.name,
                list(changed),
                content,
                digest,
                vault.seal(values, tenant, VALUES_COLUMN, digest.hex()),
                vault.seal(payload, tenant, PAYLOAD_COLUMN, digest.hex()),
                automatic,
            )
        done.append(Repaired(current.failed_id, each.name, list(changed)))
        claim, content = after, digest
    return done


def _opened(current: _Current, vault: Vault, tenant: str) -> claim_pb2.Claim:
    sealed, content = current.payload_encrypted, current.content_sha256
    try:
        return claim_pb2.Claim.FromString(vault.open(sealed, tenant, PAYLOAD_COLUMN, content.hex()))
    except VaultError as error:
        raise RepairError(f"failed claim {current.failed_id} cannot be opened: {error}") from error
    except DecodeError:
        raise RepairError(
            f"the payload of failed claim {current.failed_id} is no claim; submit it again"
        ) from None


_REPAIRABLE: Final = frozenset({"open", "assigned", "dead"})
_CURRENT: Final = f"""
SELECT f.failed_id, f.status, f.reasons, coalesce(r.after_sha256, f.content_sha256) AS content,
    coalesce(r.payload_encrypted, f.payload_encrypted) AS payload
FROM failed_claims AS f
{LAST_REPAIR}
WHERE f.tenant_id = $1 AND f.failed_id = $2
FOR UPDATE OF f
"""  # noqa: S608 - our own words
_UNTRIED: Final = f"""
SELECT f.failed_id, f.status, f.reasons, coalesce(r.after_sha256, f.content_sha256) AS content,
    coalesce(r.payload_encrypted, f.payload_encrypted) AS payload
FROM failed_claims AS f
{LAST_REPAIR}
WHERE f.tenant_id = $1 AND f.status = 'open'
    AND f.failure_category IN ('validation', 'policy_rejected')
    AND NOT f.steps_tried @> $2::text[]
    AND EXISTS (SELECT FROM jsonb_array_elements(f.reasons) AS reason
        WHERE reason ->> 'code' = ANY($3::text[]))
ORDER BY f.urgency DESC LIMIT $4
FOR UPDATE OF f SKIP LOCKED
"""  # noqa: S608 - our own words
_RECORD: Final = """
INSERT INTO claim_repairs (tenant_id, failed_id, step, fields, before_sha256, after_sha256,
    values_encrypted, payload_encrypted, automatic)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_TRIED: Final = """
UPDATE failed_claims
SET steps_tried = (SELECT array_agg(DISTINCT name) FROM unnest(steps_tried || $3::text[]) AS name),
    updated_at = now()
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[])
"""
# A dead claim stays so until it is reopened.
_DUE: Final = """
UPDATE failed_claims SET next_attempt_at = now(), updated_at = now()
WHERE tenant_id = $1 AND failed_id = $2 AND status IN ('open', 'assigned')
"""
_NOT_DUE: Final = """
UPDATE failed_claims SET next_attempt_at = NULL, updated_at = now()
WHERE tenant_id = $1 AND failed_id = $2 AND status IN ('open', 'assigned')
"""
_UNDO: Final = """
UPDATE claim_repairs SET undone_at = now(), undone_by = current_principal()
WHERE tenant_id = $1 AND repair_id = (
    SELECT max(repair_id) FROM claim_repairs
    WHERE tenant_id = $1 AND failed_id = $2 AND undone_at IS NULL)
RETURNING step, fields
"""
