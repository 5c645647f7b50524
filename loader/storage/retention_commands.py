"""Subcommands of `claimgate storage retention`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimgate.command import display

if TYPE_CHECKING:
    from loader.storage.retention import Due
    from loader.storage.retention_policies import RetentionPolicy


def retention_apply(
    *,
    to: Path,
    url: str | None = None,
    staging_url: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Archive and delete what is due by each tenant's retention, and not under a legal hold.

    What is done is written to retention_actions. Run it again after an interruption.

    Args:
        to: Folder of archives.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        staging_url: The staging database as its owner, where a tenant has a retention of staging;
            left out, CLAIMGATE_STAGING_OWNER_URL.
        dry_run: Only say what is due.
        as_json: One JSON object.
    """
    found = asyncio.run(_apply(url, staging_url, to, dry_run=dry_run))
    if as_json:
        display.show(json.dumps({"due" if dry_run else "done": [each.facts() for each in found]}))
        return 0
    rows = [
        (
            str(d.month),
            d.tenant,
            d.kind,
            d.action,
            f"{d.keep_months}",
            f"{d.claims:,}",
            f"{d.held:,}",
        )
        for d in found
    ]
    names = ("month", "tenant", "kind", "action", "months kept", "claims", "held back")
    display.show_table("due" if dry_run else "done", names, rows, right=(4, 5, 6))
    return 0


async def _apply(
    url: str | None, staging_url: str | None, folder: Path, *, dry_run: bool
) -> list[Due]:
    from loader.storage import retention  # noqa: PLC0415 - each command loads its own
    from loader.storage.owner import owner_session, owner_url, staging_owner_url  # noqa: PLC0415
    from loader.storage.staging import staging_session  # noqa: PLC0415

    today = datetime.now(UTC).date()
    async with (
        owner_session(owner_url(url), alone=not dry_run) as connection,
        staging_session(staging_owner_url(staging_url)) as staging,
    ):
        if dry_run:
            return await retention.due(connection, today, staging)
        return await retention.apply(connection, folder, today, staging=staging, step=_note)


def _note(step: str) -> None:
    display.warn(f"{datetime.now(UTC):%H:%M:%S} {step}")


def retention_set(
    kind: str,
    action: str,
    *,
    tenant: str,
    keep_months: int,
    reason: str,
    by: str,
    url: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Set what becomes of a kind of a tenant's data, and when.

    Args:
        kind: claims, history, failed (failed claims that were resolved, with repairs and notes) or
            staging (claims of staging that ended and that production has).
        action: keep, archive (claims alone) or delete (but in staging, after 72 months at the
            earliest).
        tenant: Whose data.
        keep_months: Whole months after the month of service ended; for failed and staging, the
            month in which the claim came to an end.
        reason: Why so long.
        by: Who says so.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        dry_run: Only check what was given.
        as_json: One JSON object.
    """
    from loader.storage.retention_policies import RetentionPolicy  # noqa: PLC0415

    policy = RetentionPolicy(tenant, kind, action, keep_months, reason, by)  # type: ignore[arg-type]
    policy.check()
    if not dry_run:
        asyncio.run(_set(url, policy))
    if as_json:
        display.show(json.dumps(policy.facts() | {"set": not dry_run}))
        return 0
    done = "would be" if dry_run else "is"
    display.show(f"{kind} of {tenant}: {action} after {keep_months} months {done} the retention")
    return 0


async def _set(url: str | None, policy: RetentionPolicy) -> None:
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415
    from loader.storage.retention_policies import set_policy  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        await set_policy(connection, policy)


def retention_show(*, url: str | None = None, as_json: bool = False) -> int:
    """Show the retention of every tenant.

    Args:
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        as_json: One JSON object.
    """
    found = asyncio.run(_policies(url))
    if as_json:
        display.show(json.dumps({"policies": [each.facts() for each in found]}))
        return 0
    rows = [
        (each.tenant, each.kind, each.action, f"{each.keep_months}", each.reason, each.set_by)
        for each in found
    ]
    names = ("tenant", "kind", "action", "months", "reason", "set by")
    display.show_table("retention", names, rows, right=(3,))
    return 0


async def _policies(url: str | None) -> list[RetentionPolicy]:
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415
    from loader.storage.retention_policies import policies  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        return await policies(connection)


def retention_actions(
    *, tenant: str | None = None, url: str | None = None, as_json: bool = False
) -> int:
    """List what retention did, oldest first.

    Args:
        tenant: Only with this tenant's data.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        as_json: One JSON object.
    """
    found = asyncio.run(_actions(url, tenant))
    if as_json:
        display.show(json.dumps({"actions": found}))
        return 0
    names = (
        "done_at",
        "done_by",
        "tenant",
        "kind",
        "month",
        "action",
        "claims",
        "rows",
        "held",
        "part",
    )
    rows = [tuple("" if each[n] is None else str(each[n]) for n in names) for each in found]
    display.show_table("retention", names, rows, right=(6, 7, 8, 9))
    return 0


async def _actions(url: str | None, tenant: str | None) -> list[dict[str, Any]]:
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415
    from loader.storage.retention import actions  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        return await actions(connection, tenant)
