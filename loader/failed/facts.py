"""Failed claims as plain values, for JSON and for tables."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from loader.failed.review import Done
from loader.failed.stats import Stats
from loader.failed.store import FailedDetail, FailedRow

_DAY_S: Final = 86_400


def row_facts(row: FailedRow) -> dict[str, Any]:
    """Return a failed claim as JSON takes it."""
    facts = plain(asdict(row))
    facts["content_sha256"] = row.content_sha256.hex()
    facts["urgency"] = round(row.urgency, 2)
    facts["age_s"] = round(row.age_s)
    del facts["key"]
    return facts


def detail_facts(detail: FailedDetail) -> dict[str, Any]:
    """Return a failed claim with its history as JSON takes it."""
    lists = {
        name: [plain(asdict(each)) for each in getattr(detail, name)]
        for name in ("changes", "notes", "repairs")
    }
    lists["repairs_made"] = lists.pop("repairs")
    return {**row_facts(detail.row), **lists}


def done_facts(done: Done) -> dict[str, Any]:
    """Return what a call changed."""
    return {
        "matched": done.matched,
        "changed": done.changed,
        "refused": [asdict(each) for each in done.refused],
    }


def stats_facts(stats: Stats) -> dict[str, Any]:
    """Return how failed claims stand."""
    return {
        "unsettled": [plain(asdict(each)) for each in stats.unsettled],
        "ended": [plain(asdict(each)) for each in stats.ended],
        "due": stats.due,
    }


def plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts with moments as ISO texts."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in facts.items()
    }


def dollars(cents: int) -> str:
    """Return cents as dollars."""
    return f"{cents / 100:,.2f}"


def days(seconds: float) -> str:
    """Return a span as days."""
    return f"{seconds / _DAY_S:,.1f} d"
