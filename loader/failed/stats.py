"""How failed claims stand: what is open, what it is worth, how old it is, how others ended."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loader.failed.words import Category, FailedStatus, Resolution

if TYPE_CHECKING:
    from loader.source import AnyConnection as Connection

DAYS: Final = 30
"""How far back ends are looked at, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Claims of one category and status that are not resolved."""

    category: Category
    status: FailedStatus
    claims: int
    charge_cents: int
    oldest_s: float
    """Age of the oldest."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Claims that ended in one way."""

    resolution: Resolution
    category: Category
    claims: int
    charge_cents: int
    mean_s: float
    """From failure to end, on average."""
    median_s: float


@dataclass(frozen=True, slots=True)
class Stats:
    """The failed claims of a tenant."""

    unsettled: list[Unsettled]
    ended: list[Ended]
    due: int
    """Claims that the next run of a loader resubmits."""


async def stats(connection: "Connection", tenant: str, *, days: int = DAYS) -> Stats:
    """Return how failed claims stand, and how those ended that ended in the last days."""
    unsettled = await connection.fetch(_UNSETTLED, tenant)
    ended = await connection.fetch(_ENDED, tenant, float(days))
    due: int = await connection.fetchval(_DUE, tenant)
    return Stats(
        [
            Unsettled(
                Category(row["category"]), FailedStatus(row["status"]), row["claims"],
                row["charge_cents"], row["oldest_s"],
            )
            for row in unsettled
        ],
        [
            Ended(
                Resolution(row["resolution"]), Category(row["category"]), row["claims"],
                row["charge_cents"], row["mean_s"], row["median_s"],
            )
            for row in ended
        ],
        due,
    )  # fmt: skip


_UNSETTLED: Final = """
SELECT failure_category AS category, status, count(*) AS claims,
    sum(charge_cents)::bigint AS charge_cents,
    extract(epoch FROM now() - min(failed_at))::float8 AS oldest_s
FROM failed_claims WHERE tenant_id = $1 AND status <> 'resolved'
GROUP BY 1, 2 ORDER BY sum(charge_cents) DESC, 1, 2
"""
_ENDED: Final = """
SELECT resolution, failure_category AS category, count(*) AS claims,
    sum(charge_cents)::bigint AS charge_cents,
    avg(extract(epoch FROM resolved_at - failed_at))::float8 AS mean_s,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(epoch FROM resolved_at - failed_at)::float8) AS median_s
FROM failed_claims
WHERE tenant_id = $1 AND status = 'resolved' AND resolved_at >= now() - $2 * interval '1 day'
GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2
"""
_DUE: Final = """
SELECT count(*) FROM failed_claims
WHERE tenant_id = $1 AND status IN ('open', 'assigned') AND next_attempt_at <= now()
"""
