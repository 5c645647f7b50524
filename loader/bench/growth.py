"""How cost grows: with claims in a message, lines in a claim, and workers; a table and a plot."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from claimgate.v1 import claim_pb2

from loader.bench.loads import middle, stream
from loader.bench.workload import batches, claims, requests
from loader.service import running_service

MESSAGE_CLAIMS: Final = (1, 4, 16, 64, 256, 1024)
LINES: Final = (1, 2, 4, 8, 16, 32)
_MESSAGE_CLAIMS: Final = 256
_SMALL_CLAIMS: Final = 4_000
"""Claims in a run of small messages, which are slow."""


async def measure_growth(
    snapshot: Path, *, count: int, runs: int, workers: int
) -> dict[str, dict[str, float]]:
    """Return claims a second by claims in a message, by lines in a claim, and by workers.

    Args:
        snapshot: Folder of the reference snapshot.
        count: Claims in each run.
        runs: Runs of each; the figures are medians.
        workers: Most processes of the service.
    """
    rows = claims(count)
    by_workers: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        for number in range(1, workers + 1):
            async with running_service(snapshot, log, workers=number) as service:
                rate = _rate_of(service.address, runs)
                by_workers[str(number)] = await rate(rows, _MESSAGE_CLAIMS)
                if number == workers:
                    by_message = {
                        str(size): await rate(rows[: _SMALL_CLAIMS * size], size)
                        for size in MESSAGE_CLAIMS
                    }
                    by_lines = {
                        str(lines): await rate(_with_lines(rows, lines), _MESSAGE_CLAIMS)
                        for lines in LINES
                    }
    return {
        "claims_per_s_by_message_claims": by_message,
        "claims_per_s_by_lines": by_lines,
        "claims_per_s_by_workers": by_workers,
    }


def _rate_of(address: str, runs: int) -> Callable[[Sequence[claim_pb2.Claim], int], Any]:
    async def rate(rows: Sequence[claim_pb2.Claim], message_claims: int) -> float:
        wire = requests(batches(rows, message_claims))
        await stream(address, wire, message_claims)
        return middle(
            [(await stream(address, wire, message_claims)).claims_per_s for _ in range(runs)]
        )

    return rate


def _with_lines(rows: Sequence[claim_pb2.Claim], lines: int) -> list[claim_pb2.Claim]:
    """Return the professional claims with so many lines each: their own, over and over."""
    found = []
    for row in rows:
        if row.claim_type != claim_pb2.CLAIM_TYPE_PROFESSIONAL or not row.lines:
            continue
        claim = claim_pb2.Claim()
        claim.CopyFrom(row)
        del claim.lines[:]
        for number in range(lines):
            claim.lines.add().CopyFrom(row.lines[number % len(row.lines)])
            claim.lines[number].line_number = number + 1
        claim.total_charge_cents = sum(line.charge_cents for line in claim.lines)
        found.append(claim)
    return found


def plot(found: dict[str, dict[str, float]], file: Path) -> None:
    """Draw what `measure_growth` returned as a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - of all commands this one draws

    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (name, rates) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        axes.plot(list(rates), [rate / 1000 for rate in rates.values()], marker="o")
        axes.set_xlabel(name.removeprefix("claims_per_s_by_").replace("_", " "))
        axes.set_ylabel("thousand claims/s")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(file, dpi=120)
