"""`claimgate batches …`: how far the batches of submitters are, and an end for one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from claimgate.command import display

from loader.failed.settings import who

if TYPE_CHECKING:
    from loader.claims.batches import BatchState
    from loader.claims.watch import Report

NOT_FOUND: Final = 1
"""Exit status: there is no such batch."""
_ORDER: Final = ("pending", "processing", "completed", "needs_review", "failed", "cancelled")


def batches_list(
    *,
    running: bool = False,
    limit: int = 50,
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """List batches by the submitter's id, the latest first. CLAIMGATE_STAGING_URL names staging.

    Args:
        running: Only those that have not ended.
        limit: Most batches shown.
        tenant: Whose batches; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.claims import batches, opening  # noqa: PLC0415 - each command loads its own

    if limit < 1:
        raise ValueError(f"--limit is {limit}; expected 1 or more")
    settings = opening.staging_settings(tenant)

    async def read() -> list[BatchState]:
        async with opening.in_transaction(
            settings.staging_url, opening.STAGING_URL, settings.tenant
        ) as staging:
            return await batches.list_batches(
                staging, settings.tenant, running=running, limit=limit
            )

    found = asyncio.run(read())
    if as_json:
        display.show(json.dumps({"batches": [_facts(each) for each in found]}))
        return 0
    display.show_table(
        f"{len(found)} batches",
        ("batch", "claims", "left", *_ORDER[2:]),
        [
            (b.batch_id, f"{b.claims:,}", f"{b.left:,}",
             *(f"{b.statuses.get(status, 0):,}" for status in _ORDER[2:]))
            for b in found
        ],
        right=(1, 2, 3, 4, 5, 6),
    )  # fmt: skip
    return 0


def batches_show(batch: str, *, tenant: str | None = None, as_json: bool = False) -> int:
    """Show how far a batch is, what was decided on its claims, and who cancelled some of it.

    Exit status 1 where there is no such batch.

    Args:
        batch: The submitter's id of the batch.
        tenant: Whose batch; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.claims import batches, opening  # noqa: PLC0415
    from loader.settings import LoaderSettings  # noqa: PLC0415

    settings = opening.of_tenant(LoaderSettings.from_environment(), tenant)
    whose = settings.tenant

    async def read() -> dict[str, Any]:
        async with (
            opening.in_transaction(settings.staging_url, opening.STAGING_URL, whose) as staging,
            opening.in_transaction(
                settings.production_url, opening.PRODUCTION_URL, whose
            ) as production,
        ):
            facts = _facts(await batches.batch_state(staging, whose, batch))
            facts["decisions"] = await batches.decisions(staging, production, whose, batch)
            facts["cancellations"] = [
                {
                    "claims": each.claims,
                    "reason": each.reason,
                    "by": each.cancelled_by,
                    "at": each.cancelled_at.isoformat(),
                }
                for each in await batches.cancellations(staging, whose, batch)
            ]
            return facts

    try:
        facts = asyncio.run(read())
    except batches.NoSuchBatchError as error:
        display.warn(str(error))
        return NOT_FOUND
    if as_json:
        display.show(json.dumps(facts))
        return 0
    shown = {"claims": f"{facts['claims']:,}", "ended": "yes" if facts["ended"] else "no"}
    shown |= {f"{name}": f"{n:,}" for name, n in facts["statuses"].items()}
    shown |= {f"decided {name}": f"{n:,}" for name, n in facts["decisions"].items()}
    display.show_facts(f"Batch {batch}", shown)
    if facts["cancellations"]:
        display.show_table(
            "Cancelled",
            ("when", "who", "claims", "reason"),
            [(c["at"], c["by"], f"{c['claims']:,}", c["reason"]) for c in facts["cancellations"]],
            right=(2,),
        )
    return 0


def batches_watch(batch: str, *, tenant: str | None = None, as_json: bool = False) -> int:
    """Watch a batch until it has ended: a live table on a terminal, a line a change elsewhere.

    Exit status 1 where there is no such batch.

    Args:
        batch: The submitter's id of the batch.
        tenant: Whose batch; left out, CLAIMGATE_TENANT.
        as_json: One JSON object for each change.
    """
    from loader.claims import batches, opening  # noqa: PLC0415
    from loader.claims.watch import watch  # noqa: PLC0415
    from loader.settings import LoaderSettings  # noqa: PLC0415
    from loader.source import tenant_transaction  # noqa: PLC0415

    settings = opening.of_tenant(LoaderSettings.from_environment(), tenant)
    whose = settings.tenant

    async def follow() -> None:
        async with (
            opening.connected(settings.staging_url, opening.STAGING_URL) as staging,
            opening.connected(settings.production_url, opening.PRODUCTION_URL) as production,
        ):

            async def look() -> BatchState:
                async with tenant_transaction(staging, whose):
                    return await batches.batch_state(staging, whose, batch)

            async def decide() -> dict[str, int]:
                async with (
                    tenant_transaction(staging, whose),
                    tenant_transaction(production, whose),
                ):
                    return await batches.decisions(staging, production, whose, batch)

            async for report in watch(look, decide):
                show(report)

    def show(report: Report) -> None:
        if as_json:
            display.show(json.dumps(_report_facts(report)))
            return
        state, facts = report.state, _figures(report)
        title = f"Batch {batch}: {state.claims - state.left:,} of {state.claims:,} claims"
        if not board.draw(title, state.claims - state.left, state.claims, facts, _pace(report)):
            counts = " · ".join(f"{name} {count}" for name, count in facts.items())
            display.show(f"{title} ({counts}; {_pace(report)})")

    try:
        with display.Board() as board:
            asyncio.run(follow())
    except batches.NoSuchBatchError as error:
        display.warn(str(error))
        return NOT_FOUND
    return 0


def batches_cancel(
    batch: str,
    *,
    reason: str,
    by: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """Cancel what waits of a batch; claims that a loader holds end as they end.

    May be repeated. Submitted again, a cancelled claim waits again. Exit status 1 where there is no
    such batch.

    Args:
        batch: The submitter's id of the batch.
        reason: Why; it is kept in the open, so without patient data.
        by: Who does it; left out, the user of this machine.
        tenant: Whose batch; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.claims import batches, opening  # noqa: PLC0415

    settings = opening.staging_settings(tenant)
    whose = settings.tenant

    async def cancel() -> batches.Cancelled:
        async with opening.in_transaction(
            settings.staging_url, opening.STAGING_URL, whose
        ) as staging:
            return await batches.cancel_batch(staging, whose, batch, by=who(by), reason=reason)

    try:
        done = asyncio.run(cancel())
    except batches.NoSuchBatchError as error:
        display.warn(str(error))
        return NOT_FOUND
    if as_json:
        display.show(json.dumps({"cancelled": done.cancelled} | _facts(done.state)))
        return 0
    held = done.state.left
    display.show(f"{done.cancelled:,} claims cancelled, {held:,} with a loader, which ends them")
    return 0


def _figures(report: Report) -> dict[str, str]:
    decided = {f"decided {name}": f"{claims:,}" for name, claims in report.decisions.items()}
    return {name: f"{claims:,}" for name, claims in report.state.statuses.items()} | decided


def _pace(report: Report) -> str:
    if report.state.ended:
        return "ended"
    if report.eta_s is None:
        return "none has ended since"
    return f"{report.claims_per_s:,.0f} claims/s, {report.eta_s:,.0f} s to go"


def _facts(state: BatchState) -> dict[str, Any]:
    return {
        "batch": state.batch_id,
        "claims": state.claims,
        "statuses": state.statuses,
        "left": state.left,
        "ended": state.ended,
        "first_at": state.first_at.isoformat(),
        "last_at": state.last_at.isoformat() if state.last_at else None,
    }


def _report_facts(report: Report) -> dict[str, Any]:
    return _facts(report.state) | {
        "decisions": report.decisions,
        "claims_per_s": round(report.claims_per_s, 1),
        "eta_s": None if report.eta_s is None else round(report.eta_s, 1),
    }
