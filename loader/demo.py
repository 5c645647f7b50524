"""The main job on embedded defaults: staging, loader, service, production; what came of it."""

import asyncio
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.request import urlopen

import asyncpg
from claimgate import resources
from claimgate.command import display
from claimgate.v1.claim_pb2 import Claim

from loader.demo_fees import load_sample_fees, use_of_fees
from loader.embedded import (
    PRODUCTION,
    STAGING,
    EmbeddedPostgres,
    create_databases,
    embedded_postgres,
)
from loader.failed.demo import repair_and_reload
from loader.intake_files import Taken, take_in
from loader.migrate import upgrade
from loader.places import prepared_snapshot, working_folder
from loader.run import run
from loader.service import Service, running_service
from loader.settings import LoaderSettings
from loader.source import Submitted, stage_claims
from loader.summary import figures, show_progress, show_summary
from loader.synthetic import synthetic_claims
from loader.vault import make_key_file

_INGEST_DATE: Final = date(2025, 12, 31)
_SHARES: Final = ("NCCI_PTP", "NCCI_MUE", "PRICE")


async def run_demo(claims: int, source: Path | None, seed: int) -> int:
    """Run everything once on an empty database; return the exit status."""
    with _empty_folder() as folder:
        with display.Progress("prepared") as progress:
            progress.note(
                "reference: " + (f"published tables in {source}" if source else "sample tables")
            )
            started = monotonic()
            snapshot = prepared_snapshot(source)
            progress.note(f"reference snapshot ready ({monotonic() - started:.1f} s)")
        with embedded_postgres(folder / "postgres") as server:
            await _prepare_databases(server)
            settings = _settings(server, folder)
            taken = await _stage(settings, claims, seed)
            fees = await load_sample_fees(settings)
            log, history = folder / "service.log", _history(settings)
            async with running_service(snapshot, log, environment=history) as service:
                settings = settings.model_copy(update={"service_address": service.address})
                counts = await _load_and_show(settings, service, claims, taken)
                page = await _page_of(service)
                display.show_facts("The tenant's own fee schedule", use_of_fees(fees, page))
                failed = await repair_and_reload(settings)
                display.show_facts("A failed claim, repaired and reloaded", failed)
                display.show_facts("Where to look next", _next_steps(folder, service))
    display.show(json.dumps(counts))
    return 0


@contextmanager
def _empty_folder() -> Iterator[Path]:
    """A folder of the demo's own; what an earlier demo left is removed."""
    folder = working_folder() / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder


async def _prepare_databases(server: EmbeddedPostgres) -> None:
    await create_databases(server)
    await upgrade(server.migrating_url(STAGING), "staging")
    await upgrade(server.migrating_url(PRODUCTION), "production")


def _settings(server: EmbeddedPostgres, folder: Path) -> LoaderSettings:
    key_file = folder / "key"
    make_key_file(key_file)
    return LoaderSettings(
        staging_url=server.loading_url(STAGING),
        production_url=server.loading_url(PRODUCTION),
        key_file=key_file,
    )


def _history(settings: LoaderSettings) -> dict[str, str]:
    """Return what the service needs to see the claims that were loaded before."""
    return {
        "CLAIMGATE_PRODUCTION_URL": settings.production_url,
        "CLAIMGATE_KEY_FILE": str(settings.key_file),
    }


async def _stage(settings: LoaderSettings, claims: int, seed: int) -> list[Taken]:
    """Put the synthetic claims and the project's own 837 files into staging."""
    with display.Progress("staged") as progress:
        connection = await asyncpg.connect(settings.staging_url, timeout=30)
        try:
            counted = _counted(synthetic_claims(claims, seed=seed), progress, claims)
            await stage_claims(
                connection, settings.vault(), settings.tenant, counted, source_file="synthetic"
            )
        finally:
            await connection.close()
        files = sorted(resources.find("claims-sample").glob("*.837"))
        taken = await take_in(settings, files, ingest_date=_INGEST_DATE)
        progress.add("837 claims", sum(each.staged for each in taken))
    return taken


def _counted(
    claims: Iterable[Claim], progress: display.Progress, total: int
) -> Iterator[Submitted]:
    for number, claim in enumerate(claims):
        if number % 100 == 0:
            progress.add("synthetic claims", min(100, total - number), total)
        yield Submitted(claim)


async def _load_and_show(
    settings: LoaderSettings, service: Service, claims: int, taken: list[Taken]
) -> dict[str, Any]:
    """Run the loader with live progress; print what came of it and return its figures."""
    total = claims + sum(each.staged for each in taken)
    with display.Progress("done") as progress:
        summary = await run(settings, show_progress(progress, total))
    show_summary(summary)
    display.show_table(
        "837 files",
        ("file", "claims", "errors", "warnings", "first reason"),
        [_file_row(each) for each in taken],
        right=(1, 2, 3),
    )
    display.show_table(
        "How much could be checked",
        ("check", "lines", "evaluated"),
        await _shares(service),
        right=(1, 2),
    )
    return figures(summary)


def _file_row(taken: Taken) -> tuple[str, ...]:
    first = next(iter(taken.first_problems), None)
    reason = f"segment {first.segment}: {first.message}" if first else ""
    return Path(taken.file).name, str(taken.staged), str(taken.errors), str(taken.warnings), reason


async def _shares(service: Service) -> list[tuple[str, str, str]]:
    """Return for pairs, units and price the share of lines that the service evaluated."""
    page = await _page_of(service)
    counts: dict[tuple[str, str], float] = {}
    for line in page.splitlines():
        name, _, rest = line.partition('{rule_id="')
        if rest and name.startswith("claimgate_rule_lines_"):
            rule_id, _, value = rest.partition('"} ')
            counts[name, rule_id] = float(value)
    rows = []
    for rule_id in _SHARES:
        lines = counts.get(("claimgate_rule_lines_applicable_total", rule_id), 0)
        evaluated = counts.get(("claimgate_rule_lines_evaluated_total", rule_id), 0)
        rows.append(
            (rule_id, f"{lines:,.0f}", f"{100 * evaluated / lines:.1f} %" if lines else "none")
        )
    return rows


async def _page_of(service: Service) -> str:
    return await asyncio.to_thread(_page, f"http://{service.metrics_address}/metrics")


def _page(address: str) -> str:
    with urlopen(address, timeout=10) as response:  # noqa: S310 - an address of this machine that we made
        return str(response.read().decode())


def _next_steps(folder: Path, service: Service) -> dict[str, str]:
    return {
        "the service's log": str(service.log),
        "its rules": "claimgate rules list, claimgate rules show NCCI_PTP, docs/rules.md",
        "failed claims": "claimgate failed list, show, repair, retry; docs/operating.md",
        "your own claims": "claimgate serve, then claimgate score FILE",
        "how to call it": "docs/calling.md",
        "the databases": f"stopped with this demo; their data is in {folder / 'postgres'}",
    }
