"""`claimgate bench …`: speed on this machine, beside a limit measured in the same minute."""

import asyncio
import json
import os
from datetime import UTC, datetime
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
    return _report("engine", _engine(reference, claims, runs), as_json=as_json)


def bench_stream(
    *,
    reference: Path | None = None,
    claims: int = 40_000,
    runs: int = 5,
    workers: int | None = None,
    message_claims: int = 100,
    as_json: bool = False,
) -> int:
    """Measure the service over gRPC, beside an echo server that parses the same messages.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        claims: Claims in each run.
        runs: Runs of each; the figures are medians.
        workers: Processes of the service; left out, one for each core.
        message_claims: Claims in a message.
        as_json: Only the JSON object.
    """
    found = _stream(reference, claims, runs, workers, message_claims)
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
    return _report("pipeline", _pipeline(reference, claims, runs), as_json=as_json)


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
    found = _interactive(reference, rate, seconds, workers)
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
    return _report("overload", _overload(reference, seconds, workers), as_json=as_json)


def bench_single(
    *,
    reference: Path | None = None,
    claims: int = 20_000,
    runs: int = 5,
    workers: int | None = None,
    as_json: bool = False,
) -> int:
    """Measure streams with one claim a message, answers one by one and gathered.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        claims: Claims in each run.
        runs: Runs of each; the figures are medians.
        workers: Processes of the service; left out, one for each core.
        as_json: Only the JSON object.
    """
    return _report("single", _single(reference, claims, runs, workers), as_json=as_json)


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
    found = _history(reference, claims, committed, runs, workers)
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
    return _report("soak", _soak(reference, seconds, workers), as_json=as_json)


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
    found = _growth(reference, claims, runs, workers)
    if plot:
        _plot(found, plot)
    return _report("growth", found, as_json=as_json)


def bench_all(
    *, reference: Path | None = None, runs: int = 5, seconds: float = 60, as_json: bool = False
) -> int:
    """Measure everything, and hold it against what is asked; written to .results/ with a plot.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        runs: Runs of each measurement; the figures are medians.
        seconds: For how long the service is overloaded, and kept at 70 % of its capacity.
        as_json: Only the JSON object.
    """
    from loader.bench.machine import machine  # noqa: PLC0415 - each command loads what it needs
    from loader.bench.targets import reached  # noqa: PLC0415

    measured = {
        "engine": _engine(reference, 20_480, runs),
        "stream": _stream(reference, 40_960, runs, None, 256),
        "single": _single(reference, 20_000, runs, None),
        "history": _history(reference, 20_480, 50_000, runs, None),
        "interactive": _interactive(reference, 50, 10, None),
        "overload": _overload(reference, seconds, None),
        "soak": _soak(reference, seconds, None),
        "pipeline": _pipeline(reference, 100_000, runs),
        "growth": _growth(reference, 10_240, min(runs, 3), None),
    }
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


def _single(reference: Path | None, claims: int, runs: int, workers: int | None) -> dict[str, Any]:
    from loader.bench.single import measure_single  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    snapshot = prepared_snapshot(reference)
    return asyncio.run(
        measure_single(snapshot, count=claims, runs=runs, workers=workers or _cores())
    )


def _history(
    reference: Path | None, claims: int, committed: int, runs: int, workers: int | None
) -> dict[str, Any]:
    from loader.bench.history import measure_history  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    return asyncio.run(
        measure_history(
            prepared_snapshot(reference),
            count=claims,
            committed=committed,
            runs=runs,
            workers=workers or _cores(),
        )
    )


def _soak(reference: Path | None, seconds: float, workers: int | None) -> dict[str, Any]:
    from loader.bench.soak import measure_soak  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    snapshot = prepared_snapshot(reference)
    return asyncio.run(measure_soak(snapshot, workers=workers or _cores(), seconds=seconds))


def _growth(reference: Path | None, claims: int, runs: int, workers: int | None) -> dict[str, Any]:
    from loader.bench.growth import measure_growth  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    snapshot = prepared_snapshot(reference)
    return asyncio.run(
        measure_growth(snapshot, count=claims, runs=runs, workers=workers or _cores())
    )


def _cores() -> int:
    return os.cpu_count() or 1


def _engine(reference: Path | None, claims: int, runs: int) -> dict[str, Any]:
    from loader.bench.engine import measure_engine  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    # With listings of its own, so that no rule is fast because it has nothing to look up.
    snapshot = prepared_snapshot(reference, sample_listings=True)
    return measure_engine(snapshot, count=claims, runs=runs)


def _stream(
    reference: Path | None, claims: int, runs: int, workers: int | None, message_claims: int
) -> dict[str, Any]:
    from loader.bench.stream import measure_stream  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    return asyncio.run(
        measure_stream(
            prepared_snapshot(reference),
            count=claims,
            runs=runs,
            workers=workers or _cores(),
            message_claims=message_claims,
        )
    )


def _interactive(
    reference: Path | None, rate: float, seconds: float, workers: int | None
) -> dict[str, Any]:
    from loader.bench.interactive import measure_interactive  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    return asyncio.run(
        measure_interactive(
            prepared_snapshot(reference),
            workers=workers or _cores(),
            rate=rate,
            seconds=seconds,
        )
    )


def _overload(reference: Path | None, seconds: float, workers: int | None) -> dict[str, Any]:
    from loader.bench.overload import measure_overload  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    return asyncio.run(
        measure_overload(prepared_snapshot(reference), workers=workers or _cores(), seconds=seconds)
    )


def _pipeline(reference: Path | None, claims: int, runs: int) -> dict[str, Any]:
    from loader.bench.pipeline import measure_pipeline  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    return asyncio.run(measure_pipeline(prepared_snapshot(reference), count=claims, runs=runs))


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
