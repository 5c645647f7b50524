"""Subcommands of `claimgate` that look at how a database is used."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from claimgate.command import display

if TYPE_CHECKING:
    from loader.slow_queries import Statement

_WIDTH: Final = 100


def slow(
    *, url: str | None = None, limit: int = 20, mean_ms: float = 0, as_json: bool = False
) -> int:
    """Show the statements that cost a database most, with pg_stat_statements.

    Texts have $1, $2 in the place of values.

    Args:
        url: URL of the database; left out, CLAIMGATE_PRODUCTION_URL.
        limit: Most statements.
        mean_ms: Only those that take at least so many milliseconds at a time.
        as_json: One JSON array instead of a table.
    """
    from loader.settings import ProductionSettings  # noqa: PLC0415 - each command loads what it needs

    found = asyncio.run(
        _costliest(url or ProductionSettings.from_environment().production_url, limit, mean_ms)
    )
    if as_json:
        display.show(json.dumps([asdict(each) for each in found]))
        return 0
    rows = [
        (
            f"{each.calls:,}",
            f"{each.total_ms:,.0f}",
            f"{each.mean_ms:,.2f}",
            f"{each.longest_ms:,.1f}",
            f"{each.blocks_read:,}",
            each.query[:_WIDTH],
        )
        for each in found
    ]
    names = ("calls", "total ms", "mean ms", "longest ms", "blocks read", "statement")
    display.show_table("Statements by time in all", names, rows, right=(0, 1, 2, 3, 4))
    return 0


async def _costliest(url: str, limit: int, mean_ms: float) -> list[Statement]:
    from loader.link import connect  # noqa: PLC0415
    from loader.slow_queries import costliest  # noqa: PLC0415

    connection = await connect(url, "CLAIMGATE_PRODUCTION_URL")
    try:
        return await costliest(connection, limit=limit, mean_ms_min=mean_ms)
    finally:
        await connection.close()
