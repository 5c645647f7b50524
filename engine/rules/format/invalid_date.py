"""Dates of a claim that contradict each other."""

from typing import Final

import numpy as np

from engine.calendar import completed_years
from engine.columns import Batch, Bools, Claims, rows_where
from engine.policy import Params
from engine.rules.format.faults import Faults, hits_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Stake,
    Variant,
    example,
    line,
    rule,
)

_INCOHERENT, _IMPOSSIBLE = 0, 1

_KINDS: Final = (
    ("patient_date_of_birth", "after the first day of service", _IMPOSSIBLE),
    ("patient_date_of_birth", "the patient would be older than anybody", _INCOHERENT),
    ("discharge_date", "before the admission date", _IMPOSSIBLE),
    ("admission_date", "after the last day of service", _INCOHERENT),
    ("service_from_date", "after the day of receipt", _IMPOSSIBLE),
    ("lines.service_from_date", "after the day of receipt", _IMPOSSIBLE),
    ("lines.service_from_date", "before the first day of the claim", _INCOHERENT),
    ("lines.service_from_date", "after the last day of the claim", _INCOHERENT),
    ("lines.service_to_date", "after the last day of the claim", _INCOHERENT),
)
_DAYS_PER_YEAR_MIN: Final = 365
_ABSENT: Final = np.datetime64("NaT", "D")


@rule(
    id="FORMAT_INVALID_DATE",
    category=Category.FORMAT,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.REJECT,
    certainty=Certainty.APPLY,
    variants={"incoherent": Variant(), "impossible": Variant(weight=0.20)},
    carc="16",
    stake=Stake.NONE,
    cites="837 DTP and DMG rules; Medicare Claims Processing Manual ch. 25, 26",
    params={"age_years_max": 124},
    evidence={
        "field": Kind.NAME,
        "problem": Kind.NAME,
        "date": Kind.DATE,
        "limit": Kind.DATE,
    },
    names={
        "field": tuple(field for field, _, _ in _KINDS),
        "problem": tuple(problem for _, problem, _ in _KINDS),
    },
    caveat=(
        "Dates that cannot be read, and a last day before the first, are rejected before any rule. "
        "Dates of accidents, occurrences and ICD-10-PCS procedures are not compared. A date of "
        "birth is never repeated."
    ),
    examples=[
        example(
            "born after the service",
            line("99213"),
            birth="2030-01-01",
            hit=True,
            variant="impossible",
        ),
        example("125 years old", line("99213"), birth="1900-10-15", hit=True, variant="incoherent"),
        example("124 years old", line("99213"), birth="1900-10-16"),
        example("newborn on the day of birth", line("99213"), birth="2025-10-15"),
        example(
            "service after receipt",
            line("99213"),
            received="2025-10-14",
            hit=True,
            hit_lines=(),
            variant="impossible",
        ),
        example("service on the day of receipt", line("99213"), received="2025-10-15"),
        example(
            "one line after receipt",
            line("99213"),
            line("99214", day="2025-10-21"),
            hit=True,
            hit_lines=(2,),
            variant="impossible",
        ),
        example(
            "a line before the claim",
            line("99213", day="2025-10-14"),
            line("99214", day="2025-10-16"),
            service_from_date="2025-10-15",
            hit=True,
            hit_lines=(1,),
            variant="incoherent",
        ),
        example(
            "a line after the claim",
            line("99213", day="2025-10-16"),
            service_to_date="2025-10-15",
            day="2025-10-15",
            hit=True,
            hit_lines=(1,),
            variant="incoherent",
        ),
        example("lines on two days of the claim", line("99213"), line("99214", day="2025-10-16")),
        example(
            "discharged before admission",
            line("", revenue_code="0120"),
            institutional=True,
            tob="0111",
            admission_date="2025-10-15",
            discharge_date="2025-10-14",
            hit=True,
            hit_lines=(),
            variant="impossible",
        ),
        example(
            "admitted and discharged on one day",
            line("", revenue_code="0120"),
            institutional=True,
            tob="0111",
            admission_date="2025-10-15",
            discharge_date="2025-10-15",
        ),
        example(
            "admitted after the last day",
            line("", revenue_code="0120"),
            institutional=True,
            tob="0111",
            admission_date="2025-10-16",
            hit=True,
            variant="incoherent",
        ),
    ],
)
def find(batch: Batch, params: Params) -> Hits:
    """Two dates of a claim cannot both be right, or a line lies outside the days of its claim."""
    claims, lines = batch.claims, batch.lines
    first, last = batch.of_line(claims.service_from), batch.of_line(claims.service_to)
    received = batch.of_line(claims.received_date)
    future = claims.service_from > claims.received_date
    no_date = np.broadcast_to(_ABSENT, len(claims))
    on_claims = (
        (claims.birth_date > claims.service_from, no_date, no_date),
        (_too_old(claims, params), no_date, no_date),
        (
            claims.discharge_date < claims.admission_date,
            claims.discharge_date,
            claims.admission_date,
        ),
        (claims.admission_date > claims.service_to, claims.admission_date, claims.service_to),
        (future, claims.service_from, claims.received_date),
    )
    on_lines = (
        ((lines.service_from > received) & ~batch.of_line(future), lines.service_from, received),
        (lines.service_from < first, lines.service_from, first),
        (lines.service_from > last, lines.service_from, last),
        ((lines.service_to > last) & (lines.service_from <= last), lines.service_to, last),
    )
    return hits_of(
        [
            *(
                Faults.on_claims(kind, mask, date=date, limit=limit)
                for kind, (mask, date, limit) in enumerate(on_claims)
            ),
            *(
                Faults.on_lines(batch, kind, mask, date=date, limit=limit)
                for kind, (mask, date, limit) in enumerate(on_lines, len(on_claims))
            ),
        ],
        variant_by_kind=[variant for _, _, variant in _KINDS],
    )


def _too_old(claims: Claims, params: Params) -> Bools:
    """Claims of patients beyond the greatest age; only who is near it is counted in years."""
    years_max = params["age_years_max"]
    lived_days = (claims.service_from - claims.birth_date).astype(np.int64)
    old = rows_where(lived_days >= years_max * _DAYS_PER_YEAR_MIN)
    beyond = np.zeros(len(claims), np.bool_)
    beyond[old] = completed_years(claims.birth_date[old], claims.service_from[old]) > years_max[old]
    return beyond
