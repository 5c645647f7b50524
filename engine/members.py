"""What a payer keeps on file about the members of a pass, as the server gathers it.

Every table has `member`, the number of the member within the pass as in `Claims.member`; ids of
payers, plans and authorizations are integers of `engine.words`, 0 for none or any; days are
included at both ends, NaT for open.
"""

from dataclasses import dataclass

import numpy as np

from engine.columns import Bools, Dates, Ints, Table
from engine.joins import equal_in


@dataclass(frozen=True, slots=True)
class EligibilitySpans(Table):
    """When a member is covered by a payer."""

    member: Ints
    payer: Ints
    plan: Ints
    effective: Dates
    termination: Dates


@dataclass(frozen=True, slots=True)
class Accumulators(Table):
    """How much of a benefit a member has used in a period."""

    member: Ints
    benefit: Ints
    """Name of the benefit, as in the listing `benefit_limits`, as an integer of `engine.words`."""
    period_from: Dates
    """First day of the period; NaT for lifetime."""
    period_to: Dates
    used_milli: Ints
    """Units or visits in thousandths; of cents, dollars in thousandths."""
    as_of: Dates
    """Claims received up to this day are counted in it; NaT: all that were committed."""


@dataclass(frozen=True, slots=True)
class Authorizations(Table):
    """What was authorized for a member beforehand."""

    member: Ints
    number: Ints
    code_first: Ints
    """First procedure code of the range; 0 for any."""
    code_last: Ints
    npi: Ints
    """The provider that it is for; 0 for any."""
    effective: Dates
    termination: Dates
    approved: Bools
    units_milli: Ints
    """Units that were approved, in thousandths; -1 without limit."""
    used_milli: Ints
    decided: Dates
    """Day of the decision."""


@dataclass(frozen=True, slots=True)
class Coverages(Table):
    """In which order a member's payers pay."""

    member: Ints
    payer: Ints
    rank: Ints
    """1 pays first."""
    basis: Ints
    """Why it stands there: place in BASES."""
    effective: Dates
    termination: Dates


BASES = (
    "unstated",
    "working_aged",
    "disability",
    "end_stage_renal_disease",
    "workers_compensation",
    "auto_liability",
    "birthday_rule",
    "court_order",
    "medicaid_last",
    "active_before_inactive",
    "longer_coverage",
)
"""Grounds for an order of payers."""


@dataclass(frozen=True, slots=True)
class Documents(Table):
    """Documents on file for a member, such as orders of equipment."""

    member: Ints
    document: Ints
    """Kind of document, as in `equipment_documents`, as an integer of `engine.words`."""
    code_first: Ints
    """First procedure code of the range; 0 for any."""
    code_last: Ints
    effective: Dates
    termination: Dates


@dataclass(frozen=True, slots=True)
class Members:
    """All of it; None where the tenant has loaded nothing of the kind."""

    eligibility: EligibilitySpans | None = None
    accumulators: Accumulators | None = None
    authorizations: Authorizations | None = None
    coverages: Coverages | None = None
    documents: Documents | None = None


def rows_about(table_member: Ints, member: Ints) -> tuple[Ints, Ints]:
    """Return all rows about each member, as pairs of a place in what was asked and a row.

    Args:
        table_member: The member of each row of a table, in any order.
        member: Members that are asked about, shape (n,).
    """
    order = np.argsort(table_member, kind="stable")
    members = table_member[order]
    place, at = equal_in(members, member)
    return place, order[at]


def holds_on(effective: Dates, termination: Dates, day: Dates) -> Bools:
    """Return where a span holds a day; an end of NaT is open, a day of NaT is in no span."""
    held: Bools = ~(effective > day) & ~(termination < day) & ~np.isnat(day)
    return held
