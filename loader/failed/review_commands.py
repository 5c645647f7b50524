"""`claimgate failed …`: hand failed claims out, end them, take them up again, write notes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from claimgate.command import display

from loader.failed.commands import with_production
from loader.failed.settings import filter_of, production_settings, who

if TYPE_CHECKING:
    import asyncpg

    from loader.failed.filter import FailedFilter
    from loader.failed.review import Chosen, Done

REFUSED: Final = 3
"""Exit status: some claims were left as they are; everything else was done."""


def failed_assign(
    assignee: str,
    failed_ids: list[int] | None = None,
    *,
    category: list[str] | None = None,
    reason: str = "",
    facility: str = "",
    limit: int = 1_000,
    dry_run: bool = False,
    by: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """Give failed claims to a person: those named, or those that fit.

    What is assigned is not retried by itself any more. Exit status 3 where some were refused.

    Args:
        assignee: Who looks after them; "" for nobody.
        failed_ids: Ids, as `failed list` shows them.
        category: Without ids, those of a category; repeatable.
        reason: Without ids, those with a reason code.
        facility: Without ids, those of a facility.
        limit: Without ids, the most claims that are changed, urgent ones first.
        dry_run: Say how many, and change nothing.
        by: Who does it; left out, the user of this machine.
        tenant: Whose claims; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.failed import review  # noqa: PLC0415

    chosen = _chosen(failed_ids, category, reason, facility, limit, dry_run=dry_run)
    return _change(
        "assigned", tenant, chosen, as_json,
        lambda c, t: review.assign(c, t, who(by), chosen, assignee),
    )  # fmt: skip


def failed_resolve(
    failed_ids: list[int] | None = None,
    *,
    action: str,
    category: list[str] | None = None,
    reason: str = "",
    facility: str = "",
    limit: int = 1_000,
    dry_run: bool = False,
    by: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """End failed claims without loading them: those named, or those that fit.

    Exit status 3 where some were refused.

    Args:
        failed_ids: Ids, as `failed list` shows them.
        action: corrected (elsewhere), returned, duplicate or accepted_as_lost.
        category: Without ids, those of a category; repeatable.
        reason: Without ids, those with a reason code.
        facility: Without ids, those of a facility.
        limit: Without ids, the most claims that are changed, urgent ones first.
        dry_run: Say how many, and change nothing.
        by: Who does it; left out, the user of this machine.
        tenant: Whose claims; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.failed import review  # noqa: PLC0415
    from loader.failed.settings import resolution_of  # noqa: PLC0415

    resolution = resolution_of(action)
    chosen = _chosen(failed_ids, category, reason, facility, limit, dry_run=dry_run)
    return _change(
        "resolved", tenant, chosen, as_json,
        lambda c, t: review.resolve(c, t, who(by), chosen, resolution),
    )  # fmt: skip


def failed_reopen(
    failed_ids: list[int],
    *,
    by: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """Take up failed claims again that are dead or that a person had ended.

    Exit status 3 where some were refused.

    Args:
        failed_ids: Ids, as `failed list` shows them.
        by: Who does it; left out, the user of this machine.
        tenant: Whose claims; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.failed import review  # noqa: PLC0415
    from loader.failed.review import Chosen  # noqa: PLC0415

    chosen = Chosen.by_id(failed_ids)
    return _change(
        "reopened", tenant, chosen, as_json,
        lambda c, t: review.reopen(c, t, who(by), chosen),
    )  # fmt: skip


def failed_note(
    text: str,
    failed_ids: list[int],
    *,
    by: str = "",
    tenant: str | None = None,
    as_json: bool = False,
) -> int:
    """Write a note about failed claims. It is kept in the open: no patient data belongs there.

    Args:
        text: What to write.
        failed_ids: Ids, as `failed list` shows them.
        by: Who writes; left out, the user of this machine.
        tenant: Whose claims; left out, CLAIMGATE_TENANT.
        as_json: One JSON object.
    """
    from loader.failed import review  # noqa: PLC0415
    from loader.failed.review import Chosen  # noqa: PLC0415

    chosen = Chosen.by_id(failed_ids)
    return _change(
        "noted", tenant, chosen, as_json,
        lambda c, t: review.note(c, t, who(by), chosen, text),
    )  # fmt: skip


# Asking and telling. ------------------------------------------------------------------------------


def _chosen(
    failed_ids: list[int] | None,
    category: list[str] | None,
    reason: str,
    facility: str,
    limit: int,
    *,
    dry_run: bool,
) -> Chosen:
    """Return the claims that are meant: by id, or by what they have in common."""
    from loader.failed.review import Chosen  # noqa: PLC0415

    by_filter: FailedFilter | None = None
    if category or reason or facility:
        by_filter = filter_of(category=category, reason=reason, facility=facility)
    if bool(failed_ids) == bool(by_filter):
        raise ValueError(
            "which claims? name ids, or say which by --category, --reason or --facility"
        )
    if by_filter:
        return Chosen(by_filter, limit, dry_run)
    return Chosen.by_id(failed_ids or [], dry_run=dry_run)


def _change(
    verb: str,
    tenant: str | None,
    chosen: Chosen,
    as_json: bool,
    change: Callable[[asyncpg.Connection, str], Awaitable[Done]],
) -> int:
    """Make a change and tell what became of it; return the exit status."""
    settings = production_settings(tenant)
    done = with_production(settings, lambda c: change(c, settings.tenant))
    show_done(verb, done, as_json=as_json, dry_run=chosen.dry_run)
    return REFUSED if done.refused else 0


def show_done(verb: str, done: Done, *, as_json: bool, dry_run: bool = False) -> None:
    """Tell what became of a change."""
    from loader.failed.facts import done_facts  # noqa: PLC0415

    if as_json:
        display.show(json.dumps(done_facts(done)))
        return
    would = "would be " if dry_run else ""
    left = done.matched - len(done.changed) - len([r for r in done.refused if r.status])
    more = f"; {left:,} more fit, do it again for them" if left > 0 else ""
    display.show(f"{len(done.changed):,} {would}{verb}{more}")
    for each in done.refused:
        where = f" is {each.status}:" if each.status else ":"
        display.warn(f"failed claim {each.failed_id}{where} {each.reason}")
