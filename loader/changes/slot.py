"""Changes of all tenants, by a logical replication slot: the server keeps them until confirmed.

Row-level security does not hold for a slot: its role sees every tenant. It needs REPLICATION, and
the server `wal_level = logical`. The slot is read through SQL functions, so that any driver can.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg

from loader.changes.change import COLUMNS, Change, Position, PositionError, lsn
from loader.changes.pgoutput import RESULTS, Begin, Committed, Decoder, Inserted

PUBLICATION: Final = "claimgate_results"
_ROWS_AT_ONCE: Final = 1_000
_PEEK: Final = f"""
SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL,
    'proto_version', '1', 'publication_names', '{PUBLICATION}')
"""  # noqa: S608 - our own names
_ADVANCE: Final = "SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)"
_NUMBERS: Final = frozenset(
    {"claim_version", "result_no", "exposure_cents", "allowed_cents", "provenance_id"}
)


class SlotError(Exception):
    """The slot cannot be made or read."""


class SlotChanges:
    """Reads one slot; a slot has one reader at a time."""

    def __init__(self, connection: asyncpg.Connection, slot: str, tenant: str | None) -> None:
        """Name the database, the slot, and the tenant whose changes are told; None: everyone's."""
        self._connection = connection
        self._slot = slot
        self._tenant = tenant
        self._ends: dict[int, tuple[int, int]] = {}

    async def create(self) -> bool:
        """Make the slot where it is missing: changes from now on; tell whether it was made.

        Raises:
            SlotError: The server or the role does not allow it.
        """
        there = await self._connection.fetchval(
            "SELECT true FROM pg_replication_slots WHERE slot_name = $1", self._slot
        )
        if there:
            return False
        try:
            await self._connection.execute(
                "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", self._slot
            )
        except (
            asyncpg.ObjectNotInPrerequisiteStateError,
            asyncpg.InsufficientPrivilegeError,
            asyncpg.ConfigurationLimitExceededError,
            asyncpg.InvalidNameError,
        ) as error:
            raise SlotError(f"slot {self._slot} cannot be made: {error}. {_NEEDS}") from error
        return True

    async def drop(self) -> None:
        """Remove the slot: the server keeps nothing for it any longer."""
        await self._connection.execute("SELECT pg_drop_replication_slot($1)", self._slot)

    async def read(self, after: Position | None) -> AsyncIterator[Change]:
        """Yield what was committed after a position and was not confirmed, all that is there."""
        if after is not None and not after.in_log:
            raise PositionError(
                f"{after} is a commit number; with --slot positions are places in the log "
                "(0/16B3748)"
            )
        decoder, held = Decoder(), None
        commit = number = 0
        async for message in self._messages():
            match decoder.decode(message):
                case Begin(commit=commit):
                    number = 0
                case Inserted(table=table, values=values) if table == RESULTS:
                    number += 1
                    if self._is_told(values) and not _taken(after, commit, number):
                        if held:
                            yield held
                        position = Position(commit, number, in_log=True)
                        held = Change(position, _as_json(values), last=False)
                case Committed(end=end):
                    self._ends[commit] = number, end
                    if held:
                        yield Change(held.position, held.values, last=True)
                        held = None

    async def confirm(self, position: Position) -> None:
        """Let the server forget the commits that were read whole up to this position."""
        ends = [
            end
            for commit, (results, end) in self._ends.items()
            if _taken(position, commit, results)
        ]
        if ends:
            await self._connection.execute(_ADVANCE, self._slot, lsn(max(ends)))
            self._ends.clear()

    async def _messages(self) -> AsyncIterator[bytes]:
        """Yield what the server decodes, transaction by transaction."""
        async with self._connection.transaction():
            try:
                async for row in self._connection.cursor(_PEEK, self._slot, prefetch=_ROWS_AT_ONCE):
                    yield row["data"]
            except (
                asyncpg.ObjectNotInPrerequisiteStateError,
                asyncpg.UndefinedObjectError,
                asyncpg.ObjectInUseError,
                asyncpg.InsufficientPrivilegeError,
            ) as error:
                raise SlotError(f"slot {self._slot} cannot be read: {error}. {_NEEDS}") from error

    def _is_told(self, values: dict[str, str | None]) -> bool:
        return self._tenant is None or values["tenant_id"] == self._tenant


_NEEDS: Final = (
    "A slot needs a server with wal_level = logical and a role with REPLICATION, and has one "
    "reader at a time; make it with `claimgate changes --slot NAME --create`, or read the ledger "
    "without --slot"
)


def _taken(position: Position | None, commit: int, number: int) -> bool:
    """Tell whether a result lies within what was read up to a position."""
    return position is not None and (commit, number) <= (position.commit, position.taken)


def _as_json(values: dict[str, str | None]) -> dict[str, Any]:
    """Return values as JSON has them."""
    return {
        name: int(text) if name in _NUMBERS and text is not None else text
        for name, text in ((name, values[name]) for name in COLUMNS)
    }
