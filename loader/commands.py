"""Subcommands of `claimgate` that read, load, build and measure; see `claimgate.command`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from claimgate.command import display

from loader.shards.commands import SHARD_FAILED

if TYPE_CHECKING:
    from loader.migrate import Database
    from loader.quote import Quote

INPUT_REFUSED: Final = 3
"""Exit status: some input could not be read; everything else was done."""
NOT_FOUND: Final = 1
"""Exit status: there is no such thing."""
_CODE_LENGTH: Final = 5
_DEFAULT_ADDRESS: Final = "127.0.0.1:50051"


def _today() -> date:
    return datetime.now(UTC).date()


def score(files: list[Path], *, address: str = _DEFAULT_ADDRESS, as_json: bool = False) -> int:
    """Score the claims of files (837P, 837I or JSON lines, plain or gzip) with a running service.

    Exit status 0 when every file could be read, 3 when some input was refused.

    Args:
        files: Files of claims.
        address: Address of the service, HOST:PORT.
        as_json: One JSON object per claim, and one per problem, instead of a table.
    """
    return asyncio.run(_score(files, address, as_json=as_json))


async def _score(files: list[Path], address: str, *, as_json: bool) -> int:
    from claimgate.client import Client  # noqa: PLC0415 - each command loads what it needs

    from loader import score_files  # noqa: PLC0415

    refused, rows = 0, []
    async with Client(address) as client:
        async for outcome in score_files.score_files(client, files, ingest_date=_today()):
            problem = isinstance(outcome, score_files.FileProblem)
            if problem and outcome.level == "warning":  # type: ignore[union-attr]
                display.warn(f"{outcome.file}: segment {outcome.segment}: {outcome.message}")  # type: ignore[union-attr]
                continue
            refused += problem
            facts = score_files.as_json(outcome)
            if as_json:
                display.show(json.dumps(facts))
            elif problem:
                display.warn(f"{facts['file']}: segment {facts['segment']}: {facts['error']}")
            else:
                rows.append(_score_row(facts))
    if not as_json:
        display.show_table(
            f"{len(rows)} claims",
            ("claim", "lines", "decision", "score", "allowed", "findings"),
            rows,
            right=(1, 3, 4),
        )
    return INPUT_REFUSED if refused else 0


def _score_row(facts: dict[str, object]) -> tuple[str, ...]:
    cents, hits = facts["allowed_cents"], facts["hits"]
    violations = facts.get("violations", [])
    found = [hit["rule_id"] for hit in hits] or [f"{v['field']} {v['message']}" for v in violations]  # type: ignore[attr-defined]
    return (
        str(facts["claim_id"]),
        str(facts["lines"]),
        str(facts["decision"]),
        f"{facts['fraud_score']:.4f}",
        "-" if cents is None else f"{cents / 100:,.2f}",  # type: ignore[operator]
        ", ".join(dict.fromkeys(found)),
    )


def intake(files: list[Path], *, as_json: bool = False) -> int:
    """Read files of claims (837P, 837I or JSON lines) into the staging database.

    CLAIMGATE_STAGING_URL names it; what cannot be read is kept with its segment and reason.
    With CLAIMGATE_SHARDS each claim goes to the staging of its shard.
    Exit status 0 when every file could be read, 3 when some input was refused, 4 when a shard held
    claims back: take the file in again.

    Args:
        files: Files of claims.
        as_json: One JSON object per file instead of a table.
    """
    from loader.intake_files import take_in  # noqa: PLC0415
    from loader.settings import StagingSettings  # noqa: PLC0415
    from loader.shards.intake import take_in_by_shard  # noqa: PLC0415
    from loader.shards.settings import ShardSettings  # noqa: PLC0415

    shards = ShardSettings.from_environment()
    taken = asyncio.run(
        take_in_by_shard(shards, files, ingest_date=_today())
        if shards.shards
        else take_in(StagingSettings.from_environment(), files, ingest_date=_today())
    )
    if as_json:
        for each in taken:
            display.show(json.dumps(each.facts()))
    else:
        rows = [
            (t.file, f"{t.staged:,}", f"{t.already_staged:,}", f"{t.errors:,}", f"{t.warnings:,}")
            for t in taken
        ]
        display.show_table(
            "Into staging",
            ("file", "claims", "already there", "errors", "warnings"),
            rows,
            right=(1, 2, 3, 4),
        )
        for each in taken:
            for problem in each.first_problems:
                display.warn(f"{each.file}: segment {problem.segment}: {problem.message}")
            for why, claims in each.held_back.items():
                display.warn(f"{each.file}: {claims} held back: {why}; take the file in again")
    if any(each.held_back for each in taken):
        return SHARD_FAILED
    return INPUT_REFUSED if any(each.errors for each in taken) else 0


def load(*, shard: list[str] | None = None, as_json: bool = False) -> int:
    """Score the pending claims of staging and load the results into production, each exactly once.

    Settings come from the environment (CLAIMGATE_STAGING_URL, CLAIMGATE_PRODUCTION_URL,
    CLAIMGATE_SERVICE_ADDRESS, CLAIMGATE_KEY_FILE, ...); docs/operating.md lists all of them. With
    CLAIMGATE_SHARDS every shard is loaded, side by side; exit status 4 when one of them failed.

    Args:
        shard: Load this shard only, such as one for each machine; repeatable.
        as_json: One JSON object instead of tables.
    """
    from loader.link import unreachable  # noqa: PLC0415
    from loader.run import run  # noqa: PLC0415
    from loader.settings import LoaderSettings  # noqa: PLC0415
    from loader.shards.commands import load_all  # noqa: PLC0415
    from loader.shards.settings import ShardSettings  # noqa: PLC0415
    from loader.summary import figures, show_progress, show_summary  # noqa: PLC0415

    if ShardSettings.from_environment().shards:
        return load_all(shard or (), as_json=as_json)
    if shard:
        raise ValueError("--shard needs a directory of shards; set CLAIMGATE_SHARDS")
    settings = LoaderSettings.from_environment()
    try:
        with display.Progress("loading") as progress:
            summary = asyncio.run(run(settings, show_progress(progress)))
    except OSError as error:
        if error.filename is not None:
            raise  # a file, such as that of the key
        raise unreachable("CLAIMGATE_STAGING_URL or CLAIMGATE_PRODUCTION_URL", error) from error
    if not as_json:
        show_summary(summary)
    display.show(json.dumps(figures(summary)))
    return 0


def migrate(database: str, *, url: str = "", down_to: str | None = None) -> int:
    """Bring the schema of a database forward, or back.

    Args:
        database: staging or production.
        url: URL of the database, as the role that owns the tables; left out, that of every shard
            of CLAIMGATE_SHARDS is brought forward.
        down_to: Revision to go back to; `base` removes everything.
    """
    from alembic.util import CommandError  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from loader.shards.commands import migrate_all  # noqa: PLC0415

    names: dict[str, Database] = {"staging": "staging", "production": "production"}
    if database not in names:
        raise ValueError(f"there is no database {database!r}; expected staging or production")
    if not url:
        if down_to is not None:
            raise ValueError("--down-to goes with --url: one database at a time")
        return migrate_all(names[database])
    try:
        revision = asyncio.run(_migrate(names[database], url, down_to))
    except OSError as error:
        raise OSError(
            f"the database cannot be reached ({error}); check --url and that it is running"
        ) from error
    except DBAPIError as error:
        why = str(error.orig).rpartition(">: ")[2]
        raise ValueError(
            f"{why}; --url takes postgresql://ROLE@HOST/DATABASE, the role that owns the tables"
        ) from error
    except CommandError as error:
        raise ValueError(f"{error}; --down-to takes `base` or a revision such as 0001") from error
    display.show(f"{database} is at revision {revision}")
    return 0


async def _migrate(database: Database, url: str, down_to: str | None) -> str:
    from loader.migrate import BASE, current, downgrade, upgrade  # noqa: PLC0415

    if down_to is None:
        await upgrade(url, database)
    else:
        await downgrade(url, database, down_to)
    return await current(url) or BASE


def reference_build(
    *,
    source: Path,
    out: Path,
    listings: Path | None = None,
    previous: Path | None = None,
    approve: list[str] | None = None,
) -> int:
    """Read published tables and write a snapshot; the last line is JSON: row counts by dataset.

    Args:
        source: Folder of published files with a releases.toml.
        out: Folder to write; it must not be there yet.
        listings: Folder of own tables (docs/listings.md); left out, `claimgate` in the source.
        previous: Snapshot in use; published tables whose row count moved by over 5 % are refused.
        approve: Dataset whose row count may move; repeatable.
    """
    from engine.tables.snapshot import Snapshot  # noqa: PLC0415
    from loader.snapshot.build import PUBLISHED, build  # noqa: PLC0415

    for name in approve or ():
        if name not in PUBLISHED:
            expected = ", ".join(PUBLISHED)
            raise ValueError(f"there is no dataset {name!r} to approve; expected one of {expected}")
    if approve and not previous:
        raise ValueError("--approve without --previous; name the snapshot to compare with")
    before = Snapshot.open(previous).manifest if previous else None
    if listings and not listings.is_dir():
        raise ValueError(f"--listings {listings} is no folder; name one with CSV files in it")
    manifest = build(source, out, listings=listings, previous=before, approved=approve or ())
    _show_releases(manifest.releases)
    counts: dict[str, int] = {}
    for release in manifest.releases:
        counts[release.dataset] = counts.get(release.dataset, 0) + release.rows
    display.show(json.dumps({"snapshot": manifest.snapshot, "rows": counts}))
    return 0


def reference_listings(*, markdown: bool = False) -> int:
    """List the tables of one's own that rules read, with their columns.

    Args:
        markdown: All of it as docs/listings.md has it.
    """
    from engine.tables.listings import LISTINGS  # noqa: PLC0415
    from loader.snapshot.listing_docs import document  # noqa: PLC0415

    if markdown:
        display.show(document(LISTINGS.values()).rstrip())
        return 0
    rows = [(name, spec.about, ",".join(spec.headers)) for name, spec in LISTINGS.items()]
    display.show_table(f"{len(rows)} listings", ("file", "what", "columns"), rows)
    return 0


def reference_list(*, snapshot: Path | None = None) -> int:
    """List the releases of a snapshot.

    Args:
        snapshot: Folder of the snapshot; left out, the sample tables.
    """
    from engine.reference import Reference  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    reference = Reference.open(snapshot or prepared_snapshot())
    display.show(f"snapshot {reference.release}")
    _show_releases(reference.manifest.releases)
    return 0


def _show_releases(releases: object) -> None:
    rows = [
        (
            r.dataset,
            r.release_id,
            f"{r.from_date or ''}..{r.to_date or ''}",
            f"{r.serves_from_date or ''}..{r.serves_to_date or ''}",
            f"{r.rows:,}",
            f"{r.rows_left_out:,}",
        )
        for r in releases  # type: ignore[attr-defined]
    ]
    display.show_table(
        "Releases",
        ("dataset", "release", "its own days", "serves", "rows", "left out"),
        rows,
        right=(4, 5),
    )


def reference_show(
    code: str, *, date_: str, modifier: str = "", snapshot: Path | None = None
) -> int:
    """Show what the tables say of a procedure on a day.

    Args:
        code: CPT or HCPCS code.
        date_: Day of service, ISO date.
        modifier: Row of the fee schedule: 26, TC or 53.
        snapshot: Folder of the snapshot; left out, the sample tables.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from engine.codes import code36  # noqa: PLC0415
    from engine.reference import Reference, describe  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    if len(code) != _CODE_LENGTH or code36(code) <= 0:
        raise ValueError(f"{code!r} is no CPT or HCPCS code; expected five letters and digits")
    reference = Reference.open(snapshot or prepared_snapshot())
    facts = describe(reference, code.upper(), _day(date_), modifier)
    if not (facts.fee or facts.unit_limits or facts.hcpcs_level_2 or facts.in_pair_edits):
        display.warn(f"no table of the snapshot has {code.upper()} on {date_}")
        return NOT_FOUND
    display.show(json.dumps(asdict(facts), indent=1, default=str))
    return 0


def price(
    code: str,
    *,
    date_: str,
    zip_: str,
    units: str = "",
    minutes: str = "",
    modifiers: str = "",
    pos: str = "11",
    charge: str = "",
    also: list[str] | None = None,
    tenant: str = "",
    contract: str = "",
    plan: str = "",
    npi: str = "",
    reference: Path | None = None,
    as_json: bool = False,
) -> int:
    """Price a procedure by the fee schedule, step by step, as the service does.

    Exit status 1 where a value cannot be read or no table has the code.

    Args:
        code: CPT or HCPCS code.
        date_: Day of service, ISO date.
        zip_: ZIP code of the place of service; it decides the locality.
        units: How many units. [1]
        minutes: Minutes of anesthesia, instead of units.
        modifiers: Modifiers with commas between them, such as 26,50.
        pos: Place of service; it decides whether the price is that of a facility.
        charge: What is charged, in dollars; left out, the charge limits nothing.
        also: Another line of the same claim, CODE-MODIFIERSxUNITS, such as 20610-59x2; repeatable.
        tenant: Whose contract rates and own tables hold; left out, those for all tenants.
        contract: The biller's contract.
        plan: The member's plan.
        npi: The biller's NPI.
        reference: Folder made by `reference build`; left out, the sample tables.
        as_json: One JSON object.
    """
    from engine.reference import Reference  # noqa: PLC0415
    from loader import quote  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    if units and minutes:
        raise quote.QuoteError("--units and --minutes exclude each other; give one of them")
    asked = quote.QuotedLine(
        quote.procedure_code(code),
        quote.modifiers_of(modifiers),
        quote.thousandths(minutes or units or "1", "--minutes" if minutes else "--units"),
        minutes=bool(minutes),
        charge_cents=quote.cents(charge, "--charge") if charge else quote.NO_CHARGE_CENTS,
    )
    lines = [asked, *map(quote.QuotedLine.of_text, also or ())]
    day, tables = _day(date_), Reference.open(reference or prepared_snapshot())
    parties = quote.Parties(tenant, contract, plan, npi)
    found = quote.quote(tables, lines, day=day, zip_code=zip_, place=pos, parties=parties)
    for warning in found.warnings:
        display.warn(warning)
    if as_json:
        display.show(json.dumps(found.facts(), indent=1))
    else:
        _show_quote(found)
    return 0


def _show_quote(found: Quote) -> None:
    for each in found.lines:
        rows = [
            (step.step, step.detail, _dollars(step.amount_cents) if step.amount_cents else "")
            for step in each.trace
        ]
        allowed = each.price_status if each.allowed_cents is None else _dollars(each.allowed_cents)
        display.show_table(
            each.line,
            ("step", "found or done", "amount"),
            [*rows, ("allowed", "", allowed)],
            right=(2,),
        )
    if found.price_stand_ins:
        display.show(f"stand in on that day: {', '.join(found.price_stand_ins)}")
    if len(found.lines) > 1:
        total = "none" if found.allowed_cents is None else _dollars(found.allowed_cents)
        unpriced = f", {found.unpriced_lines} without a price" if found.unpriced_lines else ""
        display.show(f"allowed for {len(found.lines)} lines: {total}{unpriced}")
    display.show(f"snapshot {found.reference_release}, policy {found.policy_version}")


def _dollars(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day; expected an ISO date such as 2025-10-31") from None


def demo(*, claims: int = 10_000, reference: Path | None = None, seed: int = 1) -> int:
    """Run the main job on embedded defaults: staging, service, production; the last line is JSON.

    Args:
        claims: Synthetic claims to score, besides the project's own 837 examples.
        reference: Folder of published tables; left out, the sample tables.
        seed: Seed of the synthetic claims.
    """
    from loader.demo import run_demo  # noqa: PLC0415

    if claims < 0:
        raise ValueError(f"--claims is {claims}; expected 0 or more")
    return asyncio.run(run_demo(claims, reference, seed))
