"""What people do with failed claims: retry, assign, resolve, reopen, note. Many at a time.

    open <-> assigned -> resubmitted (a loader) -> resolved, open, assigned or dead
    open, assigned, dead -> resolved (a person) -> open;  dead -> open

Every function is called in a transaction of the tenant. A trigger keeps each transition with the
principal. What a status does not allow is refused claim by claim and the rest is done.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loader.failed.filter import PARAMETERS, WHERE, FailedFilter, FieldError
from loader.failed.words import AS_PRINCIPAL, BY_PEOPLE, FailedStatus, Resolution

if TYPE_CHECKING:
    from loader.source import AnyConnection as Connection

AT_ONCE: Final = 1_000
"""Failed claims that one call changes, where it says nothing else."""
AT_ONCE_MAX: Final = 10_000
"""Most that one call may change."""
NOTE_MAX: Final = 4_000
ASSIGNEE_MAX: Final = 100

_WORKED_ON: Final = (FailedStatus.OPEN, FailedStatus.ASSIGNED)
_ENDABLE: Final = (*_WORKED_ON, FailedStatus.DEAD)
_REOPENABLE: Final = (FailedStatus.RESOLVED, FailedStatus.DEAD)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which failed claims a person means."""

    filter: FailedFilter
    most: int = AT_ONCE
    """Not more than these, the most urgent first."""

    dry_run: bool = False
    """Count, and change nothing."""

    @classmethod
    def by_id(cls, failed_ids: Sequence[int], *, dry_run: bool = False) -> "Chosen":
        """Mean claims by their ids, whatever their status."""
        chosen = FailedFilter(failed_ids=tuple(failed_ids), statuses=tuple(FailedStatus))
        return cls(chosen, max(len(failed_ids), 1), dry_run)


@dataclass(frozen=True, slots=True)
class Refused:
    """A claim that was left as it is."""

    failed_id: int
    status: str
    """Where it stands; empty where there is no such claim."""

    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """What a call changed, or would have in a dry run."""

    changed: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    matched: int = 0
    """Claims that were meant, more than were touched where there are more than `most`."""


async def retry(connection: "Connection", tenant: str, by: str, chosen: Chosen) -> Done:
    """Make claims due at once: the next run of a loader resubmits them."""

    async def change(ids: Sequence[int]) -> None:
        await connection.execute(_RETRY, tenant, ids)

    return await _each(connection, tenant, by, chosen, _WORKED_ON, change)


async def assign(
    connection: "Connection", tenant: str, by: str, chosen: Chosen, assignee: str
) -> Done:
    """Give claims to a person, or with an empty name to nobody.

    Raises:
        FieldError: the name is too long or has control characters.
    """
    name = assignee.strip()
    if len(name) > ASSIGNEE_MAX or not name.isprintable():
        raise FieldError("assignee", f"at most {ASSIGNEE_MAX} printable characters")

    async def change(ids: Sequence[int]) -> None:
        await connection.execute(_ASSIGN, tenant, ids, name)

    return await _each(connection, tenant, by, chosen, _WORKED_ON, change)


async def resolve(
    connection: "Connection", tenant: str, by: str, chosen: Chosen, resolution: Resolution
) -> Done:
    """End claims for a reason that a person can give.

    Raises:
        FieldError: the loader alone gives that reason.
    """
    if resolution not in BY_PEOPLE:
        raise FieldError("resolution", ", ".join(BY_PEOPLE))

    async def change(ids: Sequence[int]) -> None:
        await connection.execute(_RESOLVE, tenant, ids, resolution)

    return await _each(connection, tenant, by, chosen, _ENDABLE, change)


async def reopen(connection: "Connection", tenant: str, by: str, chosen: Chosen) -> Done:
    """Take up claims again that a person had ended or that are dead; their retries count anew."""

    async def change(ids: Sequence[int]) -> None:
        await connection.execute(_REOPEN, tenant, ids)

    return await _each(connection, tenant, by, chosen, _REOPENABLE, change)


async def note(connection: "Connection", tenant: str, by: str, chosen: Chosen, text: str) -> Done:
    """Write something about claims. It is kept in the open: no patient data belongs there.

    Raises:
        FieldError: there is no text, or too much.
    """
    written = text.strip()
    if not written or len(written) > NOTE_MAX or "\0" in written:
        raise FieldError("text", f"1 to {NOTE_MAX} characters")

    async def change(ids: Sequence[int]) -> None:
        await connection.execute(_NOTE, tenant, ids, written)

    return await _each(connection, tenant, by, chosen, tuple(FailedStatus), change, loaded_too=True)


async def _each(
    connection: "Connection",
    tenant: str,
    by: str,
    chosen: Chosen,
    allowed: Sequence[FailedStatus],
    change: Callable[[Sequence[int]], Awaitable[None]],
    *,
    loaded_too: bool = False,
) -> Done:
    """Change the claims that are meant and whose status allows it."""
    if not 1 <= chosen.most <= AT_ONCE_MAX:
        raise FieldError("limit", f"1 to {AT_ONCE_MAX}")
    values = chosen.filter.or_statuses(allowed).values()
    matched: int = await connection.fetchval(_COUNT, tenant, *values)
    rows = await connection.fetch(_CHOOSE, tenant, *values, chosen.most)
    statuses = {row["failed_id"]: FailedStatus(row["status"]) for row in rows}
    loaded = {row["failed_id"] for row in rows if row["loaded"] and not loaded_too}
    missing = [each for each in chosen.filter.failed_ids if each not in statuses]
    refused = [
        Refused(each, status, _LOADED if each in loaded else _not_allowed(allowed))
        for each, status in statuses.items()
        if each in loaded or status not in allowed
    ] + [Refused(each, "", "there is no such failed claim") for each in missing]
    able = [each for each in statuses if each not in {left.failed_id for left in refused}]
    if able and not chosen.dry_run:
        await connection.execute(AS_PRINCIPAL, by)
        await change(able)
    return Done(able, refused, matched)


def _not_allowed(allowed: Sequence[FailedStatus]) -> str:
    return f"its status has to be {' or '.join(allowed)}"


_LOADED: Final = "it was loaded, and stays so"
_COUNT: Final = f"SELECT count(*) FROM failed_claims WHERE {WHERE}"  # noqa: S608
# Locked in the order of their numbers, so that two people wait for each other in turn.
_CHOOSE: Final = f"""
SELECT failed_id, status,
    status = 'resolved' AND (resolved_batch_id IS NOT NULL OR resolved_by = 'loader') AS loaded
FROM failed_claims
WHERE tenant_id = $1 AND status = ANY($4::text[]) AND failed_id IN (
    SELECT failed_id FROM failed_claims WHERE {WHERE}
    ORDER BY urgency DESC, failed_id LIMIT ${PARAMETERS + 1})
ORDER BY failed_id FOR UPDATE
"""  # noqa: S608
_RETRY: Final = """
UPDATE failed_claims SET next_attempt_at = now(), updated_at = now()
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[])
"""
# What somebody looks after is not resubmitted behind their back.
_ASSIGN: Final = """
UPDATE failed_claims
SET assignee = $3, status = CASE $3 WHEN '' THEN 'open' ELSE 'assigned' END,
    next_attempt_at = NULL, updated_at = now()
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[])
"""
_RESOLVE: Final = """
UPDATE failed_claims
SET status = 'resolved', resolution = $3, resolved_at = now(), resolved_by = current_principal(),
    next_attempt_at = NULL, updated_at = now()
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[])
"""
_REOPEN: Final = """
UPDATE failed_claims
SET status = CASE assignee WHEN '' THEN 'open' ELSE 'assigned' END, retries = 0, resolution = NULL,
    resolved_at = NULL, resolved_by = NULL, updated_at = now()
WHERE tenant_id = $1 AND failed_id = ANY($2::bigint[])
"""
_NOTE: Final = """
INSERT INTO failed_claim_notes (tenant_id, failed_id, text)
SELECT $1, failed_id, $3 FROM unnest($2::bigint[]) AS failed_id
"""
