"""`claimgate failed …`: look at failed claims, one by one and all together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from claimgate.command import display

from loader.failed.settings import dollars_of, filter_of, production_settings

if TYPE_CHECKING:
    import asyncpg

    from loader.failed.store import FailedDetail, FailedRow
    from loader.settings import ProductionSettings

T = TypeVar("T")

NOT_FOUND: Final = 1


def failed_list(
    *,
    category: list[str] | None = None,
    status: list[str] | None = None,
    assignee: str | None = None,
    reason: str = "",
    facility: str = "",
    claim: str = "",
    older_than_days: float | None = None,
    min_charge: str = "",
    order: str = "urgency",
    limit: int = 50,
    after: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """List failed claims that are not resolved, the most urgent first.

    CLAIMGATE_PRODUCTION_URL names the database. No key is needed: nothing of a claim is opened.

    Args:
        category: Why they failed, such as validation; repeatable.
        status: Where they stand: open, assigned, resubmitted, resolved, dead; repeatable.
        assignee: Who looks after them; empty for nobody.
        reason: A reason code, such as V08.
        facility: Facility that submitted them.
        claim: Claim id.
        older_than_days: Failed so many days ago or earlier.
        min_charge: Money at risk, dollars or more.
        order: urgency, age or charge.
        limit: Most claims shown.
        after: `next` of an earlier answer with --json.
        tenant: Whose claims; left out, CLAIMGATE_TENANT.
        as_json: One JSON object with the claims, and what asks for the next ones.
    """
    from loader.failed.facts import row_facts  # noqa: PLC0415 - each command loads its own
    from loader.failed.filter import Cursor  # noqa: PLC0415
    from loader.failed.settings import order_of  # noqa: PLC0415
    from loader.failed.store import list_failed  # noqa: PLC0415

    chosen = filter_of(
        category=category, status=status, assignee=assignee, reason=reason, facility=facility,
        claim=claim, older_than_days=older_than_days, charge_cents=dollars_of(min_charge),
    )  # fmt: skip
    if limit < 1:
        raise ValueError(f"--limit is {limit}; expected 1 or more")
    by = order_of(order)
    cursor = Cursor.of(after, by) if after else None
    settings = production_settings(tenant)
    rows = with_production(
        settings,
        lambda c: list_failed(c, settings.tenant, chosen, order=by, count=limit + 1, after=cursor),
    )
    shown, more = rows[:limit], len(rows) > limit
    following = shown[-1].cursor(by).token() if more else ""
    if as_json:
        facts = {"claims": [row_facts(each) for each in shown], "next": following}
        display.show(json.dumps(facts))
        return 0
    title = f"{len(shown)} failed claims" + (", and more" if more else "")
    columns = ("id", "claim", "category", "status", "at risk", "age", "urgency", "retries")
    display.show_table(
        title,
        (*columns, "assignee", "reasons"),
        [_line(each) for each in shown],
        right=(0, 4, 5, 6, 7),
    )
    return 0


def _line(row: FailedRow) -> tuple[str, ...]:
    from loader.failed.facts import days, dollars  # noqa: PLC0415

    version = f" v{row.claim_version}" if row.claim_version > 1 else ""
    return (
        str(row.failed_id),
        row.claim_id + version,
        row.category,
        row.status,
        dollars(row.charge_cents),
        days(row.age_s),
        f"{row.urgency:.1f}",
        str(row.retries),
        row.assignee,
        ", ".join(dict.fromkeys(reason["code"] for reason in row.reasons)),
    )


def failed_show(
    failed_id: int, *, payload: bool = False, tenant: str | None = None, as_json: bool = False
) -> int:
    """Show one failed claim with its history, notes and repairs.

    Exit status 1 where there is none of that id.

    Args:
        failed_id: Id, as `failed list` shows it.
        payload: Show the claim too, as its next retry would send it. Patient data; needs the key.
        tenant: Whose claim; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.failed.facts import detail_facts  # noqa: PLC0415
    from loader.failed.payload import payload_of  # noqa: PLC0415
    from loader.failed.store import get_failed  # noqa: PLC0415

    settings = production_settings(tenant)
    vault = settings.vault() if payload else None

    async def read(connection: asyncpg.Connection) -> tuple[FailedDetail | None, str]:
        detail = await get_failed(connection, settings.tenant, failed_id)
        if detail is None or vault is None:
            return detail, ""
        return detail, await payload_of(connection, vault, settings.tenant, failed_id)

    detail, opened = with_production(settings, read)
    if detail is None:
        display.warn(f"there is no failed claim {failed_id}; `claimgate failed list` shows them")
        return NOT_FOUND
    facts = detail_facts(detail)
    if payload:
        facts["payload"] = json.loads(opened)
    if as_json:
        display.show(json.dumps(facts))
    else:
        _show(detail, facts)
    return 0


def _show(detail: FailedDetail, facts: dict[str, Any]) -> None:
    from loader.failed.facts import days, dollars  # noqa: PLC0415

    row = detail.row
    names = ("claim_id", "claim_version", "category", "stage", "status", "assignee", "facility_id")
    shown = {name: str(facts[name]) for name in names if facts[name] != ""}
    shown |= {"at risk": dollars(row.charge_cents), "age": days(row.age_s)}
    shown |= {"retries": str(row.retries), "attempts": str(row.attempts)}
    if row.next_attempt_at:
        shown["next attempt"] = f"{row.next_attempt_at:%Y-%m-%d %H:%M:%S%z}"
    if row.resolution:
        shown["resolution"] = f"{row.resolution}, by {row.resolved_by}"
    display.show_facts(f"Failed claim {row.failed_id}", shown)
    reasons = [(each["code"], each["field"], each["message"]) for each in row.reasons]
    display.show_table("Reasons", ("code", "field", "what"), reasons)
    history = [
        (f"{c.changed_at:%Y-%m-%d %H:%M:%S}", c.changed_by, c.to_status, c.assignee or c.resolution)
        for c in detail.changes
    ]
    display.show_table("History", ("when", "who", "status", ""), history)
    if detail.notes:
        notes = [(f"{n.written_at:%Y-%m-%d %H:%M}", n.written_by, n.text) for n in detail.notes]
        display.show_table("Notes", ("when", "who", "note"), notes)
    if detail.repairs:
        repairs = [
            (
                r.step,
                ", ".join(r.fields),
                r.repaired_by,
                f"undone by {r.undone_by}" if r.undone_by else "",
            )
            for r in detail.repairs
        ]
        display.show_table("Repairs", ("step", "fields", "who", ""), repairs)
    if "payload" in facts:
        display.show(json.dumps(facts["payload"], indent=1))


def failed_stats(*, days: int = 30, tenant: str | None = None, as_json: bool = False) -> int:
    """Show how many failed claims there are, what they are worth, and how others ended.

    Args:
        days: How far back ends are looked at.
        tenant: Whose claims; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.failed import facts  # noqa: PLC0415
    from loader.failed.stats import stats  # noqa: PLC0415

    if days < 1:
        raise ValueError(f"--days is {days}; expected 1 or more")
    settings = production_settings(tenant)
    found = with_production(settings, lambda c: stats(c, settings.tenant, days=days))
    if as_json:
        display.show(json.dumps(facts.stats_facts(found)))
        return 0
    display.show_table(
        f"Not resolved ({found.due:,} due for a retry)",
        ("category", "status", "claims", "at risk", "oldest"),
        [
            (u.category, u.status, f"{u.claims:,}", facts.dollars(u.charge_cents),
             facts.days(u.oldest_s))
            for u in found.unsettled
        ],
        right=(2, 3, 4),
    )  # fmt: skip
    display.show_table(
        f"Resolved in {days} days",
        ("action", "category", "claims", "money", "mean time", "median"),
        [
            (e.resolution, e.category, f"{e.claims:,}", facts.dollars(e.charge_cents),
             facts.days(e.mean_s), facts.days(e.median_s))
            for e in found.ended
        ],
        right=(2, 3, 4, 5),
    )  # fmt: skip
    return 0


def with_production(
    settings: ProductionSettings, do: Callable[[asyncpg.Connection], Awaitable[T]]
) -> T:
    """Do something in one transaction of the tenant."""
    from loader.link import connect  # noqa: PLC0415
    from loader.source import tenant_transaction  # noqa: PLC0415

    async def run() -> T:
        connection = await connect(settings.production_url, "CLAIMGATE_PRODUCTION_URL")
        try:
            async with tenant_transaction(connection, settings.tenant):
                return await do(connection)
        finally:
            await connection.close()

    return asyncio.run(run())
