"""Subcommands of `claimgate` for what a payer keeps on file about members."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from claimgate.command import display

if TYPE_CHECKING:
    from loader.member_files import MemberTable
    from loader.members import MembersLoaded
    from loader.settings import ProductionSettings

_INPUT_REFUSED: Final = 3
_SHOWN: Final = 10


def members_load(
    table: str,
    file: Path,
    *,
    tenant: str | None = None,
    rejects: Path | None = None,
    all_or_nothing: bool = False,
) -> int:
    """Bring what is on file about members up to what a CSV file says, as one commit.

    A row takes the place of the one under its key, other rows stay, and a row with `remove` = yes
    takes one away. Good rows are loaded; each bad one goes to a file of rejects with its number,
    field, reason and what was expected. Exit status 0 when every row was loaded, 3 otherwise.

    Args:
        table: eligibility, accumulators, authorizations, coverages or documents.
        file: The CSV file; docs/operating.md lists the columns of each table.
        tenant: Whose members; left out, CLAIMGATE_TENANT.
        rejects: File of rejects; left out, the file's name and `.rejects.csv`.
        all_or_nothing: Load nothing where a row is bad.
    """
    from loader.member_files import TABLES, write_rejects  # noqa: PLC0415 - each command loads what it needs

    if table not in TABLES:
        raise ValueError(f"there is no table {table!r}; expected one of {', '.join(TABLES)}")
    loaded = asyncio.run(
        _load(_settings(tenant), TABLES[table], file, all_or_nothing=all_or_nothing)
    )
    if loaded.rejects:
        target = rejects or file.with_name(f"{file.name}.rejects.csv")
        write_rejects(target, loaded.rejects)
        for each in loaded.rejects[:_SHOWN]:
            place = f"row {each.row}" + (f", {each.field}" if each.field else "")
            display.warn(f"{place}: {each.reason}; expected {each.expected}")
        display.warn(f"{len(loaded.rejects)} faults, all of them in {target}")
    facts = {
        "table": loaded.table,
        "commit_seq": loaded.commit_seq,
        "added": loaded.added,
        "changed": loaded.changed,
        "removed": loaded.removed,
        "unchanged": loaded.unchanged,
        "rejected": len({each.row for each in loaded.rejects}),
    }
    display.show(json.dumps(facts))
    return _INPUT_REFUSED if loaded.rejects else 0


def members_show(*, tenant: str | None = None, as_json: bool = False) -> int:
    """Show how many rows and members each table of member data holds.

    Args:
        tenant: Whose members; left out, CLAIMGATE_TENANT.
        as_json: One JSON object, with null for a table that was never loaded.
    """
    counts = asyncio.run(_count(_settings(tenant)))
    if as_json:
        named = {
            name: found and {"rows": found[0], "members": found[1]}
            for name, found in counts.items()
        }
        display.show(json.dumps(named))
        return 0
    rows = [(name, *map(str, found or ("never loaded", ""))) for name, found in counts.items()]
    display.show_table("on file", ("table", "rows", "members"), rows, right=(1, 2))
    return 0


def _settings(tenant: str | None) -> ProductionSettings:
    from loader.settings import ProductionSettings  # noqa: PLC0415

    settings = ProductionSettings.from_environment()
    return settings.model_copy(update={"tenant": tenant}) if tenant else settings


async def _load(
    settings: ProductionSettings, table: MemberTable, file: Path, *, all_or_nothing: bool
) -> MembersLoaded:
    from loader.link import connect  # noqa: PLC0415
    from loader.members import load_members  # noqa: PLC0415

    lookup = settings.lookup()
    connection = await connect(settings.production_url, "CLAIMGATE_PRODUCTION_URL")
    try:
        return await load_members(
            connection, lookup, settings.tenant, table, file, all_or_nothing=all_or_nothing
        )
    finally:
        await connection.close()


async def _count(settings: ProductionSettings) -> dict[str, tuple[int, int] | None]:
    from loader.link import connect  # noqa: PLC0415
    from loader.members import count_members  # noqa: PLC0415

    connection = await connect(settings.production_url, "CLAIMGATE_PRODUCTION_URL")
    try:
        return await count_members(connection, settings.tenant)
    finally:
        await connection.close()
