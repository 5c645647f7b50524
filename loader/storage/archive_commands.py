"""Subcommands of `claimgate storage` that take months out of the database and bring them back."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from claimgate.command import display

if TYPE_CHECKING:
    from loader.storage.archive import Part, Plan


def archive_month(
    month: str, *, to: Path, url: str | None = None, dry_run: bool = False, as_json: bool = False
) -> int:
    """Write a month of claims to Parquet files, prove them, and drop it from the database.

    The claims are not seen from the first second on. Run it again after an interruption, and it
    goes on; or `claimgate storage restore MONTH`, and the month is back. claim_keys and
    claim_history stay.

    Args:
        month: Month of service, such as 2020-03.
        to: Folder of archives; the month gets a folder in it.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        dry_run: Only say what would be archived.
        as_json: One JSON object.
    """
    if dry_run:
        found = asyncio.run(_plan(url, month))
        rows = {name: str(value) for name, value in found.facts().items()}
        if as_json:
            display.show(json.dumps(found.facts()))
        else:
            display.show_facts("would archive", rows)
        return 0
    _show([asyncio.run(_archive(url, month, to))], "archived", as_json=as_json)
    return 0


async def _plan(url: str | None, month: str) -> Plan:
    from loader.storage.archive import plan  # noqa: PLC0415 - each command loads its own
    from loader.storage.month import Month  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        return await plan(connection, Month.read(month))


async def _archive(url: str | None, month: str, to: Path) -> Part:
    from loader.storage.archive import archive  # noqa: PLC0415
    from loader.storage.month import Month  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    today = datetime.now(UTC).date()
    async with owner_session(owner_url(url)) as connection:
        return await archive(connection, Month.read(month), to, today, _note)


def restore_month(
    month: str,
    *,
    from_: Path | None = None,
    url: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Bring an archived month back into the database; the files stay.

    Files are checked against their manifest, and every row against the files. Claims that were
    loaded for the month meanwhile stay. Run it again after an interruption.

    Args:
        month: Month of service, such as 2020-03.
        from_: Folder of archives; left out, the one that it was archived to.
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        dry_run: Only check the files.
        as_json: One JSON object.
    """
    found = asyncio.run(_restore(url, month, from_, dry_run=dry_run))
    _show(found, "can be restored" if dry_run else "restored", as_json=as_json)
    return 0


async def _restore(url: str | None, text: str, folder: Path | None, *, dry_run: bool) -> list[Part]:
    from loader.storage import restore  # noqa: PLC0415
    from loader.storage.month import Month  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    month = Month.read(text)
    async with owner_session(owner_url(url), alone=not dry_run) as connection:
        if not dry_run:
            return await restore.restore(connection, month, folder, _note)
        found = await restore.to_restore(connection, month)
        for part in found:
            if part.manifest_sha256:
                restore.check_files(part, part.place(folder))
        return found


def archives_list(*, url: str | None = None, as_json: bool = False) -> int:
    """List what was archived, and what is on its way out or back.

    Args:
        url: The production database as its owner; left out, CLAIMGATE_OWNER_URL.
        as_json: One JSON object.
    """
    _show(asyncio.run(_parts(url)), "archives", as_json=as_json)
    return 0


async def _parts(url: str | None) -> list[Part]:
    from loader.storage.archive import parts  # noqa: PLC0415
    from loader.storage.owner import owner_session, owner_url  # noqa: PLC0415

    async with owner_session(owner_url(url), alone=False) as connection:
        return await parts(connection)


def _note(step: str) -> None:
    display.warn(f"{datetime.now(UTC):%H:%M:%S} {step}")


def _show(found: list[Part], title: str, *, as_json: bool) -> None:
    if as_json:
        display.show(json.dumps({"parts": [part.facts() for part in found]}))
        return
    rows = [
        (
            str(part.month),
            str(part.part),
            part.tenant or "all",
            part.state,
            "" if part.claims is None else f"{part.claims:,}",
            "" if part.rows is None else f"{part.rows:,}",
            str(part.place()),
        )
        for part in found
    ]
    names = ("month", "part", "tenant", "state", "claims", "rows", "folder")
    display.show_table(title, names, rows, right=(1, 4, 5))
