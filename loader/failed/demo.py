"""What the demo shows of failed claims: one of them, from its failure to its load."""

from typing import Final

import asyncpg

from loader.failed.facts import dollars
from loader.failed.filter import FailedFilter
from loader.failed.repairs import Repaired, repair
from loader.failed.stats import stats
from loader.failed.store import FailedDetail, FailedRow, get_failed, list_failed
from loader.failed.words import AS_PRINCIPAL, Category
from loader.run import run
from loader.settings import LoaderSettings
from loader.source import tenant_transaction

_WHO: Final = "demo"
_LOOKED_AT: Final = 200


async def repair_and_reload(settings: LoaderSettings) -> dict[str, str]:
    """Repair the most urgent claim that a step can help, load it, and say how that went."""
    connection = await asyncpg.connect(settings.production_url, timeout=30)
    try:
        async with tenant_transaction(connection, settings.tenant):
            found = await stats(connection, settings.tenant)
        claims = sum(each.claims for each in found.unsettled)
        money = sum(each.charge_cents for each in found.unsettled)
        facts = {"failed claims": f"{claims:,}, ${dollars(money)} at risk"}
        repaired = await _repair_one(connection, settings)
        if repaired is None:
            return facts | {"repaired": "none: each of them needs a person"}
        row, step = repaired
        await run(settings)
        async with tenant_transaction(connection, settings.tenant):
            after = await get_failed(connection, settings.tenant, row.failed_id)
        return facts | _told(row, step, after)
    finally:
        await connection.close()


async def _repair_one(
    connection: asyncpg.Connection, settings: LoaderSettings
) -> tuple[FailedRow, Repaired] | None:
    """Repair one claim; None where no step is a remedy for any."""
    vault, tenant = settings.vault(), settings.tenant
    async with tenant_transaction(connection, tenant):
        await connection.execute(AS_PRINCIPAL, _WHO)
        chosen = FailedFilter(categories=(Category.VALIDATION,))
        for row in await list_failed(connection, tenant, chosen, count=_LOOKED_AT):
            if done := await repair(connection, vault, tenant, row.failed_id):
                return row, done[0]
    return None


def _told(row: FailedRow, step: Repaired, after: FailedDetail | None) -> dict[str, str]:
    reason = row.reasons[0]
    end = "still waits"
    if after is not None:
        resolution, status = after.row.resolution, after.row.status
        end = f"{status}, {resolution}: {row.claim_id} is loaded" if resolution else status
    return {
        "one of them": f"{row.claim_id}, ${dollars(row.charge_cents)}",
        "why it failed": f"{reason['code']} {reason['field']} {reason['message']}",
        "repaired by": f"{step.step}: {', '.join(step.fields)}",
        "after one more run": end,
    }
