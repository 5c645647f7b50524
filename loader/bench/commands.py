"""`claimgate bench …`: speed on this machine, beside a limit measured in the same minute."""

import asyncio
import json
import os
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from claimgate.command import display

_RESULTS: Final = Path(".results")


def bench_engine(
    *, reference: Path | None = None, claims: int = 20_480, runs: int = 5, as_json: bool = False
) -> int:
    """Measure the engine alone on one core: by stage, by rule.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        claims: Claims in each run.
        runs: Runs; the figures are medians.
        as_json: Only the JSON object.
    """
    return _report(
        "engine", _measured("engine", reference, count=claims, runs=runs), as_json=as_json
    )


def bench_stream(
    *,
    reference: Path | None = None,
    claims: int = 40_000,
    runs: int = 5,
    workers: int | None = None,
    message_claims: int = 256,
    as_json: bool = False,
) -> int:
    """Measure the service over gRPC, with claims as rows and as columns, beside an echo server.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        claims: Claims that are sent over and over.
        runs: Runs of each; the figures are medians.
        workers: Processes of the service; left out, one for each core.
        message_claims: Claims in a message.
        as_json: Only the JSON object.
    """
    found = _measured(
        "stream",
        reference,
        count=claims,
        runs=runs,
        workers=_workers(workers),
        message_claims=message_claims,
    )
    return _report("stream", found, as_json=as_json)


def bench_pipeline(
    *, reference: Path | None = None, claims: int = 50_000, runs: int = 5, as_json: bool = False
) -> int:
    """Measure staging to production, and the load step alone beside a bare COPY of the same rows.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        claims: Claims that go through.
        runs: Runs of the load step; the figures are medians.
        as_json: Only the JSON object.
    """
    return _report(
        "pipeline", _measured("pipeline", reference, count=claims, runs=runs), as_json=as_json
    )


def bench_interactive(
    *,
    reference: Path | None = None,
    rate: float = 50,
    seconds: float = 10,
    workers: int | None = None,
    as_json: bool = False,
) -> int:
    """Measure calls of one claim, alone and beside a saturating stream, from intended send time.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        rate: Calls of one claim a second.
        seconds: For how long each is measured.
        workers: Processes of the service; left out, one for each core.
        as_json: Only the JSON object.
    """
    found = _measured(
        "interactive", reference, rate=rate, seconds=seconds, workers=_workers(workers)
    )
    return _report("interactive", found, as_json=as_json)


def bench_overload(
    *,
    reference: Path | None = None,
    seconds: float = 60,
    workers: int | None = None,
    as_json: bool = False,
) -> int:
    """Offer three times what the service can do: what it still does, and how it refuses the rest.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        seconds: For how long.
        workers: Processes of the service; left out, one for each core.
        as_json: Only the JSON object.
    """
    return _report(
        "overload",
        _measured("overload", reference, seconds=seconds, workers=_workers(workers)),
        as_json=as_json,
    )


def bench_single(
    *,
    reference: Path | None = None,
    claims: int = 20_000,
    runs: int = 5,
    workers: int | None = None,
    as_json: bool = False,
) -> int:
    """Measure streams with one claim a message, beside an echo server of the same messages.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        claims: Claims in each run.
        runs: Runs of each; the figures are medians.
        workers: Processes of the service; left out, one for each core.
        as_json: Only the JSON object.
    """
    return _report(
        "single",
        _measured("single", reference, count=claims, runs=runs, workers=_workers(workers)),
        as_json=as_json,
    )


def bench_history(
    *,
    reference: Path | None = None,
    claims: int = 20_480,
    committed: int = 50_000,
    runs: int = 5,
    workers: int | None = None,
    as_json: bool = False,
) -> int:
    """Measure a stream with history from Postgres, beside the same without.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        claims: Claims in each run.
        committed: Claims that are committed before.
        runs: Runs of each; the figures are medians.
        workers: Processes of the service; left out, one for each core.
        as_json: Only the JSON object.
    """
    found = _measured(
        "history",
        reference,
        count=claims,
        committed=committed,
        runs=runs,
        workers=_workers(workers),
    )
    return _report("history", found, as_json=as_json)


def bench_soak(
    *,
    reference: Path | None = None,
    seconds: float = 600,
    workers: int | None = None,
    as_json: bool = False,
) -> int:
    """Keep the service at 70 % of its capacity, and watch its memory.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        seconds: For how long.
        workers: Processes of the service; left out, one for each core.
        as_json: Only the JSON object.
    """
    return _report(
        "soak",
        _measured("soak", reference, seconds=seconds, workers=_workers(workers)),
        as_json=as_json,
    )


def bench_growth(
    *,
    reference: Path | None = None,
    claims: int = 10_240,
    runs: int = 3,
    workers: int | None = None,
    plot: Path | None = None,
    as_json: bool = False,
) -> int:
    """Measure how speed depends on claims in a message, lines in a claim, and workers.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        claims: Claims in each run.
        runs: Runs of each; the figures are medians.
        workers: Most processes of the service; left out, one for each core.
        plot: File for a plot, PNG.
        as_json: Only the JSON object.
    """
    found = _measured("growth", reference, count=claims, runs=runs, workers=_workers(workers))
    if plot:
        _plot(found, plot)
    return _report("growth", found, as_json=as_json)


def bench_all(
    *,
    reference: Path | None = None,
    runs: int = 5,
    seconds: float = 60,
    soak_seconds: float = 600,
    as_json: bool = False,
) -> int:
    """Measure everything, and hold it against what is asked; written to .results/ with a plot.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        runs: Runs of each measurement; the figures are medians.
        seconds: For how long the service is overloaded.
        soak_seconds: For how long it is kept at 70 % of its capacity; in one minute the heap still
            settles.
        as_json: Only the JSON object.
    """
    from loader.bench.machine import machine  # noqa: PLC0415 - each command loads what it needs
    from loader.bench.targets import reached  # noqa: PLC0415

    workers = _workers(None)
    wanted: dict[str, dict[str, Any]] = {
        "engine": {"count": 20_480, "runs": runs},
        "stream": {"count": 40_960, "runs": runs, "workers": workers, "message_claims": 256},
        "single": {"count": 20_000, "runs": runs, "workers": workers},
        "history": {"count": 20_480, "committed": 50_000, "runs": runs, "workers": workers},
        "interactive": {"rate": 50, "seconds": 10, "workers": workers},
        "overload": {"seconds": seconds, "workers": workers},
        "soak": {"seconds": soak_seconds, "workers": workers},
        "pipeline": {"count": 100_000, "runs": runs},
        "growth": {"count": 10_240, "runs": min(runs, 3), "workers": workers},
    }
    measured = {name: _measured(name, reference, **options) for name, options in wanted.items()}
    targets = reached(measured)
    found = {
        **measured,
        "targets": {name: {"value": value, "reached": met} for name, value, *_, met in targets},
        "reference": "published" if reference else "sample",
        "machine": machine(),
    }
    _RESULTS.mkdir(exist_ok=True)
    file = _RESULTS / f"bench-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    _plot(measured["growth"], file.with_suffix(".png"))
    if not as_json:
        for name, each in measured.items():
            _show(name, each)
        display.show_table(
            "What is asked on two cores",
            ("measure", "here", "floor", "aim", "reached"),
            [
                (name, f"{value:,}", f"{floor:,}", "" if aim is None else f"{aim:,}", met)
                for name, value, floor, aim, met in targets
            ],
            right=(1, 2, 3),
        )
        display.show(f"written to {file}")
    display.show(json.dumps(found))
    return 0


def _plot(found: dict[str, Any], file: Path) -> None:
    from loader.bench.growth import plot  # noqa: PLC0415

    plot(found, file)


def _measured(name: str, reference: Path | None, **options: Any) -> dict[str, Any]:
    """Run `measure_NAME` of the module of that name on a snapshot of some tables."""
    from loader.places import prepared_snapshot  # noqa: PLC0415 - each command loads what it needs

    # Alone, the engine has listings of its own: no rule is fast because it has nothing to look up.
    snapshot = prepared_snapshot(reference, sample_listings=name == "engine")
    measure = getattr(import_module(f"loader.bench.{name}"), f"measure_{name}")
    found = measure(snapshot, **options)
    measured: dict[str, Any] = asyncio.run(found) if asyncio.iscoroutine(found) else found
    return measured


def _workers(given: int | None) -> int:
    """Return how many processes: as many as there are cores where nobody says."""
    return given or os.cpu_count() or 1


def _report(name: str, found: dict[str, Any], *, as_json: bool) -> int:
    if not as_json:
        _show(name, found)
    display.show(json.dumps(found))
    return 0


def _show(name: str, found: dict[str, Any]) -> None:
    display.show_facts(name, {k: f"{v:,}" for k, v in found.items() if not isinstance(v, dict)})
    for key, values in found.items():
        if isinstance(values, dict):
            rows = [(inner, f"{value:,}") for inner, value in values.items()]
            display.show_table(f"{name}: {key}", ("", ""), rows, right=(1,))
