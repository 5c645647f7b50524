"""Subcommands of `claimgate` for a tenant's own fee schedule."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from claimgate.command import display

if TYPE_CHECKING:
    from loader.fees import FeesLoaded, FeeVersion
    from loader.settings import ProductionSettings

_INPUT_REFUSED: Final = 3
_SHOWN: Final = 10


def fees_load(file: Path, *, tenant: str | None = None, rejects: Path | None = None) -> int:
    """Put a CSV file in the place of the tenant's fee schedule, as its next version.

    The file is the whole schedule. With a bad row nothing is loaded, and each fault goes to a file
    of rejects with row, field, reason and what was expected (exit status 3). A file that changes
    nothing makes no version. Running services take a new version up within seconds.

    Args:
        file: The CSV file; docs/operating.md lists its columns.
        tenant: Whose fee schedule; left out, CLAIMGATE_TENANT.
        rejects: File of rejects; left out, the file's name and `.rejects.csv`.
    """
    from loader.member_files import write_rejects  # noqa: PLC0415 - each command loads its own

    loaded = asyncio.run(_load(_settings(tenant), file))
    if loaded.rejects:
        target = rejects or file.with_name(f"{file.name}.rejects.csv")
        write_rejects(target, loaded.rejects)
        for each in loaded.rejects[:_SHOWN]:
            place = f"row {each.row}" + (f", {each.field}" if each.field else "")
            display.warn(f"{place}: {each.reason}; expected {each.expected}")
        display.warn(f"nothing was loaded: {len(loaded.rejects)} faults, all of them in {target}")
        return _INPUT_REFUSED
    facts = {
        "version": loaded.version,
        "rows": loaded.rows,
        "added": loaded.added,
        "ended": loaded.ended,
        "changed": loaded.changed,
    }
    display.show(json.dumps(facts))
    return 0


def fees_list(*, tenant: str | None = None, as_json: bool = False) -> int:
    """List the versions of the tenant's fee schedule, newest first; the first one is in use.

    Args:
        tenant: Whose fee schedule; left out, CLAIMGATE_TENANT.
        as_json: One JSON array.
    """
    versions = asyncio.run(_versions(_settings(tenant)))
    facts = [
        (each.version, each.rows, each.added, each.ended, f"{each.loaded_at:%Y-%m-%d %H:%M:%S%z}")
        for each in versions
    ]
    names = ("version", "rows", "added", "ended", "loaded_at")
    if as_json:
        display.show(json.dumps([dict(zip(names, each, strict=True)) for each in facts]))
        return 0
    rows = [tuple(map(str, each)) for each in facts]
    display.show_table("fee schedule", names, rows, right=(0, 1, 2, 3))
    return 0


def _settings(tenant: str | None) -> ProductionSettings:
    from loader.settings import ProductionSettings  # noqa: PLC0415 - each command loads its own

    settings = ProductionSettings.from_environment()
    return settings.model_copy(update={"tenant": tenant}) if tenant else settings


async def _load(settings: ProductionSettings, file: Path) -> FeesLoaded:
    from loader.fees import load_fees  # noqa: PLC0415
    from loader.link import connect  # noqa: PLC0415

    connection = await connect(settings.production_url, "CLAIMGATE_PRODUCTION_URL")
    try:
        return await load_fees(connection, settings.tenant, file)
    finally:
        await connection.close()


async def _versions(settings: ProductionSettings) -> list[FeeVersion]:
    from loader.fees import fee_versions  # noqa: PLC0415
    from loader.link import connect  # noqa: PLC0415

    connection = await connect(settings.production_url, "CLAIMGATE_PRODUCTION_URL")
    try:
        return await fee_versions(connection, settings.tenant)
    finally:
        await connection.close()
