"""What the service has to reach on two cores, client included, and how far it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One measure with the least that is asked of it, and what is aimed at."""

    name: str
    value: Callable[[Found], float]
    floor: float
    aim: float | None = None
    at_most: bool = False
    """Less is better."""

    def met(self, value: float) -> str:
        """Say which of the two a value reaches."""
        reached = [
            bound is not None and (value <= bound if self.at_most else value >= bound)
            for bound in (self.floor, self.aim)
        ]
        return "aim" if reached[1] else "floor" if reached[0] else "below"


TARGETS: Final = (
    Target(
        "columnar stream, 256 claims a message, claims/s",
        lambda f: f["stream"]["columnar_claims_per_s"],
        50_000,
        100_000,
    ),
    Target(
        "row stream, the same claims, claims/s",
        lambda f: f["stream"]["row_claims_per_s"],
        25_000,
        60_000,
    ),
    Target("ratio to the echo server, rows", lambda f: f["stream"]["echo_ratio"], 0.12, 0.3),
    Target(
        "stream with history from Postgres, claims/s",
        lambda f: f["history"]["history_claims_per_s"],
        12_000,
        30_000,
    ),
    Target(
        "one claim a message, gathered answers, claims/s",
        lambda f: f["single"]["gathered_claims_per_s"],
        12_000,
        25_000,
    ),
    Target(
        "one claim a call beside a saturating stream, p99 ms",
        lambda f: f["interactive"]["beside_a_saturating_stream"]["p99_ms"],
        100,
        25,
        at_most=True,
    ),
    Target(
        "staging to production, 100,000 claims, s",
        lambda f: 100_000 / f["pipeline"]["claims_per_s"],
        10,
        5,
        at_most=True,
    ),
    Target("load step beside a bare COPY", lambda f: f["pipeline"]["copy_ratio"], 0.6),
    Target("goodput at three times the capacity", lambda f: f["overload"]["goodput_ratio"], 0.9),
    Target(
        "refused within, p99 ms",
        lambda f: f["overload"]["refused"].get("p99_ms", 0.0),
        50,
        at_most=True,
    ),
    Target("memory growth, MB", lambda f: f["overload"]["rss_growth_mb"], 256, at_most=True),
    Target(
        "normal again after, s", lambda f: f["overload"]["normal_again_after_s"], 5, at_most=True
    ),
    Target(
        "memory for 100,000 claims, all processes, GB",
        lambda f: f["pipeline"]["rss_mb"] / 1000,
        4,
        1.5,
        at_most=True,
    ),
    Target(
        "soak at 70 %, MB a minute",
        lambda f: f["soak"]["rss_slope_mb_per_minute"],
        1,
        at_most=True,
    ),
)


def reached(found: Found) -> list[tuple[str, float, float, float | None, str]]:
    """Return name, value, floor, aim and what is reached, of every target that was measured."""
    rows = []
    for target in TARGETS:
        try:
            value = round(target.value(found), 3)
        except KeyError:
            continue  # not part of this run
        rows.append((target.name, value, target.floor, target.aim, target.met(value)))
    return rows
