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


def bench_all(*, reference: Path | None = None, runs: int = 5, as_json: bool = False) -> int:
    """Measure engine, stream and pipeline; the result is also written to .results/.

    Args:
        reference: Folder of published tables; left out, the sample tables.
        runs: Runs of each measurement; the figures are medians.
        as_json: Only the JSON object.
    """
    from loader.bench.machine import machine  # noqa: PLC0415 - each command loads what it needs

    measured = {
        "engine": _engine(reference, 20_480, runs),
        "stream": _stream(reference, 40_000, runs, None, 100),
        "pipeline": _pipeline(reference, 50_000, runs),
    }
    found = {
        **measured,
        "reference": "published" if reference else "sample",
        "machine": machine(),
    }
    _RESULTS.mkdir(exist_ok=True)
    file = _RESULTS / f"bench-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    if not as_json:
        for name, each in measured.items():
            _show(name, each)
        display.show(f"written to {file}")
    display.show(json.dumps(found))
    return 0


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
            workers=workers or os.cpu_count() or 1,
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
            workers=workers or os.cpu_count() or 1,
            rate=rate,
            seconds=seconds,
        )
    )


def _overload(reference: Path | None, seconds: float, workers: int | None) -> dict[str, Any]:
    from loader.bench.overload import measure_overload  # noqa: PLC0415
    from loader.places import prepared_snapshot  # noqa: PLC0415

    return asyncio.run(
        measure_overload(
            prepared_snapshot(reference), workers=workers or os.cpu_count() or 1, seconds=seconds
        )
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
