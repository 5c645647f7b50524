"""Subcommands of `claimgate` that tell others what was committed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from claimgate.command import display

if TYPE_CHECKING:
    from collections.abc import Callable

    from loader.changes.change import Change, Position
    from loader.settings import ProductionSettings

_POLL_S = 1.0


def changes(
    *,
    from_: str | None = None,
    slot: str | None = None,
    create: bool = False,
    drop: bool = False,
    tenant: str | None = None,
    to: Path | None = None,
    follow: bool = False,
) -> int:
    """Write every committed result once, in the order of commits, as one JSON object a line.

    Each line has its position: start again with `--from` and the last one that you have. Without
    --slot the tenant's ledger is read, which needs no privilege. With --slot a logical replication
    slot is, of all tenants unless one is named: the server then keeps what was not taken, and what
    lies before `--from` (or is in the file of --to) is confirmed and gone.
    CLAIMGATE_PRODUCTION_URL names the database.

    Args:
        from_: Position that you have: 42, 42+17, or with --slot 0/16B3748; left out, none.
        slot: Name of the slot.
        create: Make the slot where it is missing: it tells what is committed from then on.
        drop: Remove the slot and end.
        tenant: Whose results; left out, CLAIMGATE_TENANT, or with --slot all tenants'.
        to: File to add to, durably; it goes on behind its last line. Left out, standard output.
        follow: Wait for more instead of ending.
    """
    from loader.changes.change import Position  # noqa: PLC0415 - each command loads what it needs
    from loader.settings import ProductionSettings  # noqa: PLC0415

    if from_ is not None and to is not None:
        raise ValueError("--from and --to say two positions: the file's last line is where it is")
    if (create or drop) and slot is None:
        raise ValueError("--create and --drop are about a slot; name it with --slot")
    settings = ProductionSettings.from_environment()
    if tenant is not None:
        settings = settings.model_copy(update={"tenant": tenant})
    start = Position.parse(from_) if from_ is not None else None
    job = _Job(settings, slot, tenant if slot else settings.tenant, create=create, follow=follow)
    asyncio.run(job.drop() if drop else job.run(start, to))
    return 0


class _Job:
    """One run of the command."""

    def __init__(
        self,
        settings: ProductionSettings,
        slot: str | None,
        tenant: str | None,
        *,
        create: bool,
        follow: bool,
    ) -> None:
        self._settings = settings
        self._slot = slot
        self._tenant = tenant
        self._create = create
        self._poll_s = _POLL_S if follow else None

    async def drop(self) -> None:
        """Remove the slot."""
        from loader.changes.slot import SlotChanges  # noqa: PLC0415
        from loader.link import connect  # noqa: PLC0415

        connection = await connect(self._settings.production_url, "CLAIMGATE_PRODUCTION_URL")
        try:
            await SlotChanges(connection, self._slot or "", None).drop()
        finally:
            await connection.close()

    async def run(self, start: Position | None, to: Path | None) -> None:
        """Write changes to a file or to standard output."""
        from loader.changes.file import ChangesFile, as_line  # noqa: PLC0415

        if to is not None:
            with ChangesFile(to) as file:
                await self._tell(file.position, file.add, durable=True)
            return

        def show(some: list[Change]) -> None:
            for change in some:
                display.show(as_line(change))

        await self._tell(start, show, durable=False)

    async def _tell(
        self, start: Position | None, hand_over: Callable[[list[Change]], None], *, durable: bool
    ) -> None:
        from loader.changes.follow import tell  # noqa: PLC0415
        from loader.changes.ledger import LedgerChanges  # noqa: PLC0415
        from loader.changes.slot import SlotChanges  # noqa: PLC0415
        from loader.link import connect  # noqa: PLC0415

        connection = await connect(self._settings.production_url, "CLAIMGATE_PRODUCTION_URL")
        try:
            source: LedgerChanges | SlotChanges
            if self._slot is None:
                source = LedgerChanges(connection, self._tenant or self._settings.tenant)
            else:
                source = SlotChanges(connection, self._slot, self._tenant)
                if self._create and await source.create():
                    display.warn(
                        f"slot {self._slot} was made: it tells what is committed from now on"
                    )
            await tell(source, start, hand_over, durable=durable, poll_s=self._poll_s)
        finally:
            await connection.close()
