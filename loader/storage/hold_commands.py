"""Subcommands of `claimgate storage holds`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from claimgate.command import display

if TYPE_CHECKING:
    from loader.storage.holds import Hold, Scope


def holds_place(
    *,
    tenant: str,
    reason: str,
    by: str,
    claim: str = "",
    member: str = "",
    provider: str = "",
    facility: str = "",
    whole_tenant: bool = False,
    url: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Keep retention from archiving or deleting what is named: one of the five.

    A member is named by id, and stands in the table as its keyed hash: that needs the loader's key
    (CLAIMGATE_KEY_FILE or CLAIMGATE_KEY_HEX).

    Args:
        tenant: Whose data.
        reason: Why, such as the matter's number; no patient data.
        by: Who places it.
        claim: Every version of the claim of this id.
        member: Every claim of the member of this id.
        provider: Every claim that names this NPI as billing, rendering or attending, or on a line.
        facility: Every claim of this facility.
        whole_tenant: Everything of the tenant.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        dry_run: Only check what was given.
        as_json: One JSON object.
    """
    named: dict[Scope, str] = {
        "claim": claim,
        "member": member,
        "provider": provider,
        "facility": facility,
    }
    given = [(scope, value) for scope, value in named.items() if value]
    if len(given) + whole_tenant != 1:
        raise ValueError(
            "a hold names one thing; expected one of --claim, --member, --provider, --facility, "
            "--whole-tenant"
        )
    scope, text = given[0] if given else ("tenant", "")
    value = _member_key(tenant, text) if scope == "member" else text
    if dry_run:
        display.show(f"would hold {scope} {'' if scope == 'member' else text}".rstrip())
        return 0
    _show([asyncio.run(_place(url, tenant, scope, value, reason, by))], as_json=as_json)
    return 0


def _member_key(tenant: str, member: str) -> bytes:
    from loader.lookup import MEMBER  # noqa: PLC0415 - each command loads its own
    from loader.settings import TenantSettings  # noqa: PLC0415

    return TenantSettings.from_environment().lookup().hash(tenant, MEMBER, member)


async def _place(
    url: str | None, tenant: str, scope: Scope, value: str | bytes, reason: str, by: str
) -> Hold:
    from loader.storage.holds import place  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        return await place(connection, tenant, scope, value, reason=reason, by=by)


def holds_release(
    hold: int,
    *,
    tenant: str,
    by: str,
    url: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Release a hold; it stays on the list of all.

    Args:
        hold: Its number, as `claimgate storage holds list` shows it.
        tenant: Whose hold.
        by: Who releases it.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        dry_run: Only show it.
        as_json: One JSON object.
    """
    if dry_run:
        found = asyncio.run(_holds(url, tenant, released=False))
        _show([each for each in found if each.hold_id == hold], as_json=as_json)
        return 0
    _show([asyncio.run(_release(url, tenant, hold, by))], as_json=as_json)
    return 0


async def _release(url: str | None, tenant: str, hold: int, by: str) -> Hold:
    from loader.storage.holds import release  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        return await release(connection, tenant, hold, by=by)


def holds_list(
    *,
    tenant: str | None = None,
    released: bool = False,
    url: str | None = None,
    as_json: bool = False,
) -> int:
    """List the holds in force.

    Args:
        tenant: Only those of this tenant.
        released: Those that were released too.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        as_json: One JSON object.
    """
    _show(asyncio.run(_holds(url, tenant, released=released)), as_json=as_json)
    return 0


async def _holds(url: str | None, tenant: str | None, *, released: bool) -> list[Hold]:
    from loader.storage.holds import holds  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        return await holds(connection, tenant, released=released)


def _show(found: list[Hold], *, as_json: bool) -> None:
    if as_json:
        display.show(json.dumps({"holds": [each.facts() for each in found]}))
        return
    rows = [
        (
            each.tenant,
            str(each.hold_id),
            each.scope,
            each.value,
            each.reason,
            each.placed_by,
            f"{each.since:%Y-%m-%d}",
            f"{each.released_at:%Y-%m-%d} by {each.released_by}" if each.released_at else "",
        )
        for each in found
    ]
    names = ("tenant", "hold", "of", "named", "reason", "by", "since", "released")
    display.show_table("legal holds", names, rows, right=(1,))
