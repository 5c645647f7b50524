"""What a run of the loader looks like to a person: while it runs, and at its end."""

from typing import Any, Final

from claimgate.command import display

from engine.rules import all_rules
from loader.progress import (
    BatchLoaded,
    ClaimsFailed,
    ClaimsLeased,
    ClaimsScored,
    Event,
    LeasingStopped,
    Progress,
    Summary,
)

_RULES_SHOWN: Final = 10


def show_progress(progress: display.Progress, total: int | None = None) -> Progress:
    """Return a listener that shows the loader's events."""

    def listen(event: Event) -> None:
        match event:
            case ClaimsLeased(claims=claims):
                progress.add("leased", claims, total)
            case ClaimsScored(claims=claims):
                progress.add("scored", claims, total)
            case BatchLoaded(claims=claims):
                progress.add("loaded", claims, total)
            case ClaimsFailed(claims=claims):
                progress.add("failed", claims)
            case LeasingStopped(why=why):
                progress.note(f"claims stay pending: {why}")

    return listen


def show_summary(summary: Summary) -> None:
    """Print throughput, decisions, money at risk, the rules that fired most, and failures."""
    display.show_facts(
        "Run",
        {
            "claims": f"{summary.claims_in:,}",
            "scored": f"{summary.scored:,}",
            "loaded": f"{summary.loaded:,} ({summary.rows:,} rows)",
            "already loaded": f"{summary.already_loaded:,}",
            "failed": f"{summary.failed:,}",
            "tests, not loaded": f"{summary.tests:,}",
            "first lease to last commit": f"{summary.seconds:.2f} s",
            "claims a second": f"{summary.claims_per_s:,.0f}",
        },
    )
    share = 100 / max(summary.scored, 1)
    decisions = [(n, f"{c:,}", f"{c * share:.1f} %") for n, c in summary.decisions.items()]
    display.show_table("Decisions", ("decision", "claims", "share"), decisions, right=(1, 2))
    money = 100 / max(summary.charged_cents, 1)
    display.show_facts(
        "Money",
        {
            "charged": f"${summary.charged_cents / 100:,.2f}",
            "at risk": f"${summary.exposure_cents / 100:,.2f}",
            "share at risk": f"{summary.exposure_cents * money:.1f} %",
        },
    )
    _show_rules(summary)
    if summary.failures:
        rows = [(code, f"{count:,}") for code, count in summary.failures.items()]
        display.show_table("Why claims failed", ("check", "times"), rows, right=(1,))


def _show_rules(summary: Summary) -> None:
    texts = {rule.id: rule.summary for rule in all_rules()}
    top = list(summary.rules.items())[:_RULES_SHOWN]
    rows = [(rule_id, f"{count:,}", texts.get(rule_id, "")) for rule_id, count in top]
    title = f"Rules that fired most ({len(summary.rules)} rules fired)"
    display.show_table(title, ("rule", "findings", "fires when"), rows, right=(1,))


def figures(summary: Summary) -> dict[str, Any]:
    """Return the figures of a run as plain values."""
    return {
        "claims_in": summary.claims_in,
        "scored": summary.scored,
        "loaded": summary.loaded,
        "failed": summary.failed,
        "claims_per_s": round(summary.claims_per_s, 1),
    }
