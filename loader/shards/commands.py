"""Subcommands of `claimgate` on several shards, and what others do when there are several."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from claimgate.command import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.migrate import Database
    from loader.progress import Event, Summary
    from loader.shards.directory import Shard
    from loader.shards.run_all import Outcome

SHARD_FAILED: Final = 4
"""Exit status: a shard failed or held claims back; the others are done."""


def shards_show(*, as_json: bool = False) -> int:
    """Show the shards of CLAIMGATE_SHARDS: what belongs to each, and whether one is being moved.

    Args:
        as_json: One JSON object per shard instead of a table.
    """
    from loader.shards.check import states_of  # noqa: PLC0415 - each command loads what it needs
    from loader.shards.directory import text_of  # noqa: PLC0415
    from loader.shards.settings import ShardSettings  # noqa: PLC0415

    settings = ShardSettings.from_environment()
    directory = settings.directory()
    states = asyncio.run(states_of(directory, settings.tenant))
    facts = [
        {
            "shard": shard.name,
            "buckets": shard.bucket_count,
            "ranges": [text_of(each) for each in shard.buckets],
            "service": shard.service_address,
            "state": states[shard.name],
        }
        for shard in directory.shards
    ]
    if as_json:
        for each in facts:
            display.show(json.dumps(each))
        return 0
    rows = [
        (str(f["shard"]), str(f["buckets"]), ", ".join(f["ranges"]), str(f["service"]), f["state"])  # type: ignore[arg-type]
        for f in facts
    ]
    columns = ("shard", "buckets", "which", "service", "state")
    title = f"Shards, version {directory.version}"
    display.show_table(title, columns, rows, right=(1,))  # type: ignore[arg-type]
    return 0


def shards_where(facility: str) -> int:
    """Say which bucket and shard a facility's claims belong to, for the tenant of CLAIMGATE_TENANT.

    Args:
        facility: Facility id, exactly as claims have it.
    """
    from loader.shards.hashing import bucket_of  # noqa: PLC0415
    from loader.shards.settings import ShardSettings  # noqa: PLC0415

    settings = ShardSettings.from_environment()
    directory = settings.directory()
    bucket = bucket_of(settings.tenant, facility)
    shard = directory.owners[bucket].name
    facts = {"bucket": bucket, "shard": shard, "version": directory.version}
    display.show(json.dumps(facts))
    return 0


def shards_check(*, claims: bool = False) -> int:
    """Check that every shard can be used; exit status 4 when one cannot.

    Args:
        claims: Read all claim keys and facilities too: a claim id may stand in one shard only, and
            a facility's claims in its own shard.
    """
    from loader.shards.check import check_all  # noqa: PLC0415
    from loader.shards.settings import ShardSettings  # noqa: PLC0415

    settings = ShardSettings.from_environment()
    found = asyncio.run(check_all(settings.directory(), settings.tenant, claims=claims))
    for each in found:
        display.warn(f"{each.shard}: {each.what}")
    display.show("every shard can be used" if not found else f"{len(found)} findings")
    return SHARD_FAILED if found else 0


def shards_move(source: str, *, to: str, cancel: bool = False) -> int:
    """Move a shard to a new pair of databases, while the other shards go on.

    Its new claims and its loaders wait meanwhile. A move that was killed is gone on with by the
    same command; at its end the directory of shards is rewritten as the next version. What the
    source holds stays there until `claimgate shards remove`.

    Args:
        source: Shard to move.
        to: Shard that owns no buckets, with migrated databases that hold nothing of the tenants.
        cancel: Undo a move that was not handed over yet: the source opens, the target is emptied.
    """
    from loader.shards.move import Moved, prepared  # noqa: PLC0415
    from loader.shards.settings import ShardSettings  # noqa: PLC0415

    settings = ShardSettings.from_environment()

    async def run() -> None:
        with display.Progress(f"moving {source} to {to}") as progress:

            def tell(moved: Moved) -> None:
                if moved.step == "copied":
                    progress.add("rows", moved.rows)
                else:
                    progress.note(" ".join(filter(None, (moved.tenant, moved.step))))

            async with prepared(settings.file(), source, to) as move:
                if cancel:
                    await move.cancel(tell)
                else:
                    await move.run(tell, drain_s=settings.shard_drain_s)

    asyncio.run(run())
    done = "is open again" if cancel else f"was moved to {to}; start the service of {to}"
    display.show(f"{source} {done}")
    return 0


def shards_remove(shard: str) -> int:
    """Remove the rows that a shard still holds after it was moved away.

    Args:
        shard: The shard that was moved.
    """
    from loader.shards.removal import remove_left  # noqa: PLC0415
    from loader.shards.settings import ShardSettings  # noqa: PLC0415

    settings = ShardSettings.from_environment()
    with display.Progress(f"removing what {shard} holds") as progress:
        asyncio.run(remove_left(settings.file(), shard, lambda _, rows: progress.add("rows", rows)))
    display.show(f"{shard} holds nothing any more")
    return 0


# What other commands do with a directory of shards. -----------------------------------------------


def load_all(only: Sequence[str], *, as_json: bool) -> int:
    """Load the named shards, or every one, side by side; 4 when one failed or is being moved."""
    from loader.shards.run_all import in_all, run_all  # noqa: PLC0415
    from loader.shards.settings import ShardSettings, settings_of  # noqa: PLC0415
    from loader.summary import figures, show_progress, show_summary  # noqa: PLC0415

    settings = ShardSettings.from_environment()
    settings.vault()  # without a key no loader can start
    directory = settings.directory()
    chosen = [directory.named(name) for name in dict.fromkeys(only)] or directory.in_use
    loaders = [(shard.name, settings_of(shard, settings.tenant)) for shard in chosen]
    with display.Progress(f"loading {len(loaders)} shards") as progress:
        listen = show_progress(progress)

        def tell(_: str, event: Event) -> None:
            listen(event)

        outcomes = run_all(loaders, tell)
    summary = in_all(each.summary for each in outcomes if each.summary)
    if not as_json:
        _show_shards(outcomes)
        show_summary(summary)
    for each in outcomes:
        if each.failure or each.moving:
            display.warn(f"shard {each.shard}: {each.failure or each.moving}")
    shards = {each.shard: _facts(each) for each in outcomes}
    display.show(json.dumps(figures(summary) | {"shards": shards}))
    return SHARD_FAILED if any(each.failure or each.moving for each in outcomes) else 0


def _facts(outcome: Outcome) -> dict[str, Any]:
    from loader.summary import figures  # noqa: PLC0415

    facts: dict[str, Any] = figures(outcome.summary) if outcome.summary else {}
    if outcome.failure:
        facts["failure"] = outcome.failure
    if outcome.moving:
        facts["moving"] = outcome.moving
    return facts


def _show_shards(outcomes: list[Outcome]) -> None:
    def counts(summary: Summary | None) -> tuple[str, ...]:
        if summary is None:
            return ("-",) * 4
        figures = (summary.claims_in, summary.loaded, summary.failed, round(summary.claims_per_s))
        return tuple(f"{each:,}" for each in figures)

    rows = [
        (
            each.shard,
            *counts(each.summary),
            "failed" if each.failure else "moving" if each.moving else "done",
        )
        for each in outcomes
    ]
    columns = ("shard", "claims", "loaded", "failed", "a second", "state")
    display.show_table(f"{len(rows)} shards", columns, rows, right=(1, 2, 3, 4))


def migrate_all(database: Database) -> int:
    """Bring one kind of database forward in every shard; stops at the first that cannot be."""
    from loader.migrate import current, upgrade  # noqa: PLC0415
    from loader.shards.settings import ShardSettings  # noqa: PLC0415

    async def migrate_one(shard: Shard) -> str | None:
        url = shard.url(f"owner_{database}_url")
        try:
            await upgrade(url, database)
            return await current(url)
        except OSError as error:
            raise OSError(
                f"the {database} of shard {shard.name} cannot be reached ({error})"
            ) from error

    for shard in ShardSettings.from_environment().directory().shards:
        revision = asyncio.run(migrate_one(shard))
        display.show(f"{database} of {shard.name} is at revision {revision}")
    return 0
