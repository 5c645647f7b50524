"""Subcommands of `claimgate storage summaries`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from claimgate.command import display

if TYPE_CHECKING:
    from loader.storage.summaries import Checked, Refreshed

DIFFERENT: Final = 3
"""Exit status: a summary is not what the tables of claims say."""
_SHOWN: Final = 20


def summaries_refresh(
    *,
    tenant: str | None = None,
    url: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Count the batches that were loaded since the last refresh.

    It may run at any time, beside loads and beside itself; what was interrupted is done again.

    Args:
        tenant: Only this tenant; left out, all of them.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        dry_run: Only say how many batches would be counted.
        as_json: One JSON object.
    """
    done = asyncio.run(_refresh(url, tenant, dry_run=dry_run))
    if as_json:
        display.show(json.dumps({"tenants": [each.facts() for each in done]}))
    else:
        rows = [(each.tenant, f"{each.batches:,}", f"{each.commit_seq:,}") for each in done]
        display.show_table("summaries", ("tenant", "new batches", "up to"), rows, right=(1, 2))
    return 0


async def _refresh(url: str | None, tenant: str | None, *, dry_run: bool) -> list[Refreshed]:
    from loader.storage import summaries  # noqa: PLC0415 - each command loads its own
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        names = [tenant] if tenant else await summaries.tenants(connection)
        step = summaries.pending if dry_run else summaries.refresh
        return [await step(connection, name) for name in names]


def summaries_check(
    *, tenant: str | None = None, url: str | None = None, as_json: bool = False
) -> int:
    """Recompute the summaries from the tables of claims and compare; exit status 3 if they differ.

    Reads every claim that is in the database. Months that are archived or deleted in part are left
    out, and named.

    Args:
        tenant: Only this tenant; left out, all of them.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        as_json: One JSON object.
    """
    found = asyncio.run(_check(url, tenant))
    wrong = [difference for each in found for difference in each.differences]
    if as_json:
        display.show(json.dumps({"tenants": [each.facts() for each in found]}))
    else:
        rows = [
            (
                each.tenant,
                f"{each.commit_seq:,}",
                f"{each.months:,}",
                f"{len(each.differences):,}",
                " ".join(each.left_out),
            )
            for each in found
        ]
        names = ("tenant", "up to", "months", "differences", "left out")
        display.show_table("summaries", names, rows, right=(1, 2, 3))
    for each in wrong[:_SHOWN]:
        display.warn(
            f"{each.tenant}: {each.table} {' '.join(each.key)}: {each.summary or 'no row'}; "
            f"expected {each.recomputed or 'no row'}"
        )
    return DIFFERENT if wrong else 0


async def _check(url: str | None, tenant: str | None) -> list[Checked]:
    from loader.storage import summaries  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        names = [tenant] if tenant else await summaries.tenants(connection)
        return [await summaries.check(connection, name) for name in names]
