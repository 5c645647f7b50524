"""Who may be paid at a surgery beside the surgeon: one judgement by one of three indicators."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Ints
from engine.facts import Facts
from engine.rules.rule import Action, Certainty, Hits, Kind, NotEvaluated, Variant

NEVER_PAID, NEEDS_RECORDS, DOCUMENTED = 0, 1, 2
"""Cases of a role rule, in the order of `ROLE_VARIANTS`."""

ROLE_VARIANTS: Final = {
    "never_paid": Variant(),
    "needs_records": Variant(action=Action.PEND, certainty=Certainty.ADVISE),
    "documented": Variant(action=Action.INFO, certainty=Certainty.ADVISE),
}

ROLE_EVIDENCE: Final = {"modifier": Kind.CODE, "indicator": Kind.COUNT}


@dataclass(frozen=True, slots=True)
class Role:
    """A role at a surgery: how it is billed, and what the values of its indicator mean."""

    modifiers: tuple[int, ...]
    never_paid: int
    by_report: tuple[int, ...]


ASSISTANT: Final = Role(tuple(map(code36, ("80", "81", "82", "AS"))), never_paid=1, by_report=(0,))
CO_SURGEON: Final = Role((code36("62"),), never_paid=0, by_report=(1,))
TEAM: Final = Role((code36("66"),), never_paid=0, by_report=(1, 2))


def find_role(batch: Batch, facts: Facts, role: Role, indicator_by_row: Ints) -> Hits:
    """Return the professional lines billed in a role that the code never pays, or by report only.

    Args:
        batch: The pass.
        facts: What the tables say of each line.
        role: The role.
        indicator_by_row: The role's indicator, by row of the fee schedule.
    """
    modifiers = batch.lines.modifiers
    billed = batch.professional & (batch.lines.procedure > 0) & batch.has_modifier(*role.modifiers)
    known = billed & (facts.mpfs_code >= 0)
    indicator = indicator_by_row[facts.mpfs_code]
    never = known & (indicator == role.never_paid)
    by_report = known & np.isin(indicator, role.by_report)
    modifier = np.zeros(len(billed), np.int64)
    own = modifiers[known]
    modifier[known] = np.where(np.isin(own, role.modifiers), own, 0).max(axis=1, initial=0)
    with_records = np.where(batch.lines.has_documentation, DOCUMENTED, NEEDS_RECORDS)
    return Hits.on_lines(
        batch,
        never | by_report,
        variant=np.where(never, NEVER_PAID, with_records),
        evidence={
            "modifier": modifier,
            "indicator": indicator,
        },
        not_evaluated=without_indicator(facts, billed),
    )


def without_indicator(facts: Facts, lines: Bools) -> tuple[NotEvaluated, ...]:
    """Say which lines have no indicators: no release serves the day, or it lacks the code."""
    silent = lines & (facts.mpfs_code < 0)
    return (
        NotEvaluated("no_release", silent & ~facts.mpfs_in_force),
        NotEvaluated("no_row", silent & facts.mpfs_in_force),
    )
