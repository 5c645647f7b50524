"""Subcommands of `claimgate storage partitions`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from claimgate.command import display

if TYPE_CHECKING:
    from loader.storage.partitions import Partition, Stray


def partitions_make(
    *, ahead: int = 3, url: str | None = None, dry_run: bool = False, as_json: bool = False
) -> int:
    """Make the partitions of this month and of the next ones, where they are missing.

    Args:
        ahead: How many months after this one.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        dry_run: Only say which are missing.
        as_json: One JSON object.
    """
    from loader.storage.partitions import AHEAD_MAX  # noqa: PLC0415 - each command loads its own

    if not 0 <= ahead <= AHEAD_MAX:
        raise ValueError(f"--ahead is {ahead}; expected 0 to {AHEAD_MAX} months")
    made, stray = asyncio.run(_make(url, ahead, dry_run=dry_run))
    if as_json:
        name = "missing" if dry_run else "made"
        display.show(json.dumps({name: made, "in_default": [each.facts() for each in stray]}))
    else:
        display.show(f"{len(made)} partitions {'are missing' if dry_run else 'made'}")
        for name in made:
            display.show(f"  {name}")
    _warn(stray)
    return 0


async def _make(url: str | None, ahead: int, *, dry_run: bool) -> tuple[list[str], list[Stray]]:
    from loader.storage import partitions  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    today = datetime.now(UTC).date()
    async with owner_session(owner_url(url), alone=not dry_run) as connection:
        step = partitions.missing_ahead if dry_run else partitions.make_ahead
        return await step(connection, today, ahead), await partitions.strays(connection)


def partitions_list(*, count: bool = False, url: str | None = None, as_json: bool = False) -> int:
    """List the partitions with their rows and sizes; warn of rows in default partitions.

    Rows are what Postgres estimates from its last ANALYZE, unless --count is given.

    Args:
        count: Count the rows of every partition, which reads all of them.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        as_json: One JSON object.
    """
    found, stray = asyncio.run(_list(url, count=count))
    if as_json:
        facts = {
            "partitions": [each.facts() for each in found],
            "in_default": [each.facts() for each in stray],
        }
        display.show(json.dumps(facts))
    else:
        rows = [
            (p.month or "default", p.partition, _rows(p, counted=count), f"{p.size_bytes:,}")
            for p in found
        ]
        display.show_table(
            "partitions", ("month", "partition", "rows", "bytes"), rows, right=(2, 3)
        )
    _warn(stray)
    return 0


def _rows(partition: Partition, *, counted: bool) -> str:
    if partition.rows < 0:
        return "unknown"
    about = "" if counted or not partition.month else "about "
    return f"{about}{partition.rows:,}"


async def _list(url: str | None, *, count: bool) -> tuple[list[Partition], list[Stray]]:
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415
    from loader.storage.partitions import partitions, strays  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        return await partitions(connection, count=count), await strays(connection)


def partitions_adopt(
    month: str = "", *, url: str | None = None, dry_run: bool = False, as_json: bool = False
) -> int:
    """Move rows from the default partitions into partitions of their months.

    One transaction for each month. Loads and readers wait while a month is moved.

    Args:
        month: Only this month, such as 2025-10; left out, every month that has such rows.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        dry_run: Only say which months have such rows, and how many.
        as_json: One JSON object.
    """
    moved = asyncio.run(_adopt(url, month, dry_run=dry_run))
    facts = {"would_move" if dry_run else "moved": [each.facts() for each in moved]}
    if as_json:
        display.show(json.dumps(facts))
    else:
        rows = [(str(each.month), f"{each.rows:,}") for each in moved]
        title = "in default partitions" if dry_run else "moved"
        display.show_table(title, ("month", "rows"), rows, right=(1,))
    return 0


async def _adopt(url: str | None, month: str, *, dry_run: bool) -> list[Stray]:
    from loader.storage import partitions  # noqa: PLC0415
    from loader.storage.month import Month  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    only = Month.read(month) if month else None
    async with owner_session(owner_url(url), alone=not dry_run) as connection:
        found = [each for each in await partitions.strays(connection) if only in {None, each.month}]
        if dry_run:
            return found
        return [
            partitions.Stray(each.month, await partitions.adopt(connection, each.month))
            for each in found
        ]


def _warn(stray: list[Stray]) -> None:
    if stray:
        months = ", ".join(f"{each.month} ({each.rows:,})" for each in stray)
        display.warn(
            f"rows are in default partitions: {months}; move them: "
            "`claimgate storage partitions adopt`"
        )
