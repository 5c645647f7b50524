"""`claimgate failed …`: repair failed claims, undo it, and put them back into staging."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from claimgate.command import display

from loader.failed.review_commands import REFUSED, show_done
from loader.failed.settings import production_settings, who

if TYPE_CHECKING:
    from loader.failed.repairs import Repaired
    from loader.failed.retry import Retried
    from loader.failed.review import Done
    from loader.settings import LoaderSettings, ProductionSettings


def failed_steps(*, as_json: bool = False) -> int:
    """List the repair steps: what each does, for which reasons, and whether it changes money.

    Args:
        as_json: One JSON array.
    """
    from loader.failed.repair_steps import STEPS  # noqa: PLC0415 - each command loads its own

    facts = [
        {
            "step": each.name,
            "reasons": sorted(each.codes),
            "changes_money": each.changes_money,
            "summary": each.summary,
        }
        for each in STEPS.values()
    ]
    if as_json:
        display.show(json.dumps(facts))
        return 0
    rows = [
        (
            each.name,
            ", ".join(sorted(each.codes)),
            "yes" if each.changes_money else "no",
            each.summary,
        )
        for each in STEPS.values()
    ]
    display.show_table(f"{len(rows)} steps", ("step", "reasons", "money", "what it does"), rows)
    return 0


def failed_repair(
    failed_id: int,
    *,
    step: list[str] | None = None,
    dry_run: bool = False,
    by: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """Repair a failed claim by the steps that are a remedy for its reasons; then it is due.

    The claim as submitted stays as it is; `failed undo` takes a repair back. Needs the key. Exit
    status 3 where no step applies.

    Args:
        failed_id: Id, as `failed list` shows it.
        step: This step alone; repeatable. `failed steps` lists them.
        dry_run: Say which fields would be changed, and change nothing.
        by: Who does it; left out, the user of this machine.
        tenant: Whose claim; left out, CLAIMGATE_TENANT.
        as_json: One JSON array.
    """
    settings = production_settings(tenant)
    repaired = asyncio.run(_repair(settings, failed_id, step or [], who(by), dry_run=dry_run))
    if as_json:
        display.show(json.dumps([asdict(each) for each in repaired]))
    else:
        for each in repaired:
            would = "would change" if dry_run else "changed"
            display.show(f"{each.step} {would} {', '.join(each.fields)}")
    if not repaired:
        display.warn(
            f"no step is a remedy for failed claim {failed_id}; a person has to correct it"
        )
        return REFUSED
    return 0


async def _repair(
    settings: ProductionSettings, failed_id: int, steps: list[str], by: str, *, dry_run: bool
) -> list[Repaired]:
    from loader.failed.repairs import repair  # noqa: PLC0415
    from loader.failed.words import AS_PRINCIPAL  # noqa: PLC0415
    from loader.link import connect  # noqa: PLC0415
    from loader.source import tenant_transaction  # noqa: PLC0415

    vault = settings.vault()
    connection = await connect(settings.production_url, "CLAIMGATE_PRODUCTION_URL")
    try:
        async with tenant_transaction(connection, settings.tenant):
            await connection.execute(AS_PRINCIPAL, by)
            return await repair(
                connection, vault, settings.tenant, failed_id, steps, dry_run=dry_run
            )
    finally:
        await connection.close()


def failed_undo(failed_id: int, *, by: str = "", tenant: str | None = None) -> int:
    """Undo the newest repair of a failed claim; it is not due any more.

    Args:
        failed_id: Id, as `failed list` shows it.
        by: Who does it; left out, the user of this machine.
        tenant: Whose claim; left out, CLAIMGATE_TENANT.
    """
    undone = asyncio.run(_undo(production_settings(tenant), failed_id, who(by)))
    display.show(f"{undone.step} is undone: {', '.join(undone.fields)} as before")
    return 0


async def _undo(settings: ProductionSettings, failed_id: int, by: str) -> Repaired:
    from loader.failed.repairs import undo  # noqa: PLC0415
    from loader.failed.words import AS_PRINCIPAL  # noqa: PLC0415
    from loader.link import connect  # noqa: PLC0415
    from loader.source import tenant_transaction  # noqa: PLC0415

    connection = await connect(settings.production_url, "CLAIMGATE_PRODUCTION_URL")
    try:
        async with tenant_transaction(connection, settings.tenant):
            await connection.execute(AS_PRINCIPAL, by)
            return await undo(connection, settings.tenant, failed_id)
    finally:
        await connection.close()


def failed_retry(
    failed_ids: list[int] | None = None,
    *,
    by: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """Put failed claims back into staging, those named and all that are due, for `claimgate load`.

    Needs both databases and the key, as the loader does. `claimgate load` does the same for what is
    due before it begins. Exit status 3 where some of those named were refused.

    Args:
        failed_ids: Ids, as `failed list` shows them; left out, those that are due.
        by: Who does it; left out, the user of this machine.
        tenant: Whose claims; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.failed.facts import done_facts  # noqa: PLC0415
    from loader.settings import LoaderSettings  # noqa: PLC0415

    settings = LoaderSettings.from_environment()
    if tenant:
        settings = settings.model_copy(update={"tenant": tenant})
    asked, retried = asyncio.run(_retry(settings, failed_ids or [], who(by)))
    if as_json:
        display.show(json.dumps({**done_facts(asked), **asdict(retried)}))
    else:
        if failed_ids:
            show_done("made due", asked, as_json=False)
        display.show(
            f"{retried.resubmitted:,} wait in staging; `claimgate load` scores and loads them"
        )
        if retried.repaired:
            display.show(f"{retried.repaired:,} were repaired by the steps that are set")
        if retried.unreadable:
            display.warn(f"{retried.unreadable:,} cannot be read; `failed list` says why")
    return REFUSED if asked.refused else 0


async def _retry(settings: LoaderSettings, failed_ids: list[int], by: str) -> tuple[Done, Retried]:
    from loader.failed import review  # noqa: PLC0415
    from loader.failed.retry import retrier  # noqa: PLC0415
    from loader.failed.review import Chosen, Done  # noqa: PLC0415
    from loader.link import Link  # noqa: PLC0415
    from loader.source import Connection, tenant_transaction  # noqa: PLC0415

    vault, attempts = settings.vault(), settings.database_attempts
    chosen = Chosen.by_id(failed_ids)

    async def ask(connection: Connection) -> Done:
        async with tenant_transaction(connection, settings.tenant):
            return await review.retry(connection, settings.tenant, by, chosen)

    async with (
        Link(settings.production_url, attempts=attempts) as production,
        Link(settings.staging_url, attempts=attempts) as staging,
    ):
        asked = await production.run(ask) if failed_ids else Done()
        return asked, await retrier(settings, vault, production, staging).retry_due()
