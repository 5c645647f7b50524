"""Months in the archive: their files stay where they are, what is known of them is moved."""

from typing import Final

from loader.shards.tables import MoveError
from loader.source import Connection

_UNDER_WAY: Final = """
SELECT EXISTS (SELECT FROM storage.archives WHERE state IN ('moving', 'detached', 'loading'))
"""
_READ: Final = "SELECT * FROM storage.archives ORDER BY month, part"
_HELD: Final = "SELECT archive_id FROM storage.archives WHERE month = $1 AND part = $2"


async def check_archives(source: Connection) -> None:
    """Refuse a database of which a month is on its way: its rows are in no table that is moved.

    Raises:
        MoveError: A month is being archived or restored.
    """
    if await source.fetchval(_UNDER_WAY):
        raise MoveError("a month is being archived or restored; end that first: storage archives")


async def copy_archives(source: Connection, target: Connection) -> None:
    """Let the target know of the months that the source has archived.

    Raises:
        MoveError: The target has archived such a month itself.
    """
    for row in await source.fetch(_READ):
        held = await target.fetchval(_HELD, row["month"], row["part"])
        if held is None:
            columns = ", ".join(f'"{name}"' for name in row.keys())  # noqa: SIM118 - a Record is no dictionary
            numbers = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await target.execute(
                f"INSERT INTO storage.archives ({columns}) VALUES ({numbers})",  # noqa: S608 - names of the catalogue
                *row.values(),
            )
        elif held != row["archive_id"]:
            raise MoveError(f"the target has an archive of {row['month']:%Y-%m} of its own")
