"""Services that the member's plan does not cover."""

from typing import Any, Final

import numpy as np

from engine.calendar import completed_years
from engine.codes import code36
from engine.columns import LOB_MEDICARE_ADVANTAGE, LOB_MEDICARE_FFS, Batch, Bools, Ints, one_of
from engine.facts import Facts
from engine.members import Members
from engine.reference import Reference
from engine.rules.diagnoses import with_diagnosis
from engine.rules.eligibility.plans import rows_by_plan
from engine.rules.listed import gap_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)
from engine.tables.keys import KEY_MAX
from engine.tables.listing import ANY_PLACE, NONE, Listing, Matches

_EXCLUDED, _STATED = range(2)
_DEPENDS_ON: Final = ("code", "age", "place", "diagnosis", "modifier_GY")
_GY: Final = code36("GY")
_MEDICARE: Final = (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE)
_PLAN: Final = "SAMPLE-PLAN-A"


@rule(
    id="ELIGIBILITY_NON_COVERED",
    category=Category.ELIGIBILITY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.18,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="96",
    cites="plan terms; Social Security Act 1862(a), statutory exclusions of Medicare",
    variants={"excluded": Variant(), "stated_by_provider": Variant()},
    datasets=("benefit_exclusions",),
    evidence={
        "excluded_from": Kind.CODE,
        "excluded_to": Kind.CODE,
        "depends_on": Kind.NAME,
        "effective": Kind.DATE,
    },
    names={"depends_on": _DEPENDS_ON},
    caveat=(
        "GY says that Medicare excludes the service by statute: the line is denied as the provider "
        "states, table or not, for Medicare alone. A claim that names no plan falls under the plan "
        "that the member is in on the day."
    ),
    examples=[
        example(
            "an operation that the plan excludes",
            line("15830"),
            line("99213"),
            insurance_plan_id=_PLAN,
            hit=True,
            hit_lines=(1,),
            variant="excluded",
        ),
        example("the same under another plan", line("15830"), insurance_plan_id="SAMPLE-PLAN-B"),
        example("the same where no plan is known", line("15830")),
        example(
            "the plan that the member is in on the day",
            line("15830"),
            on_file={
                "eligibility": [
                    {"payer": "PAYER", "plan": "SAMPLE-PLAN-B", "termination": "2024-12-31"},
                    {"payer": "PAYER", "plan": _PLAN, "effective": "2025-01-01"},
                ]
            },
            hit=True,
        ),
        example(
            "before the exclusion begins",
            line("15830"),
            insurance_plan_id=_PLAN,
            day="2023-12-31",
            received="2024-01-05",
        ),
        example(
            "a code within an excluded range", line("D8080"), insurance_plan_id=_PLAN, hit=True
        ),
        example("a code beside it", line("D8999"), insurance_plan_id=_PLAN),
        example(
            "excluded with one diagnosis",
            line("11981"),
            dx=("Z30017",),
            insurance_plan_id=_PLAN,
            hit=True,
        ),
        example("the same with another", line("11981"), dx=("E119",), insurance_plan_id=_PLAN),
        example(
            "the diagnosis is on the claim and the line does not point to it",
            line("11981"),
            dx=("E119", "Z30017"),
            insurance_plan_id=_PLAN,
        ),
        example(
            "a facility's bill has no pointers: any diagnosis of it counts",
            line("11981"),
            institutional=True,
            dx=("E119", "Z30017"),
            insurance_plan_id=_PLAN,
            hit=True,
        ),
        example("excluded at home", line("97810", pos="12"), insurance_plan_id=_PLAN, hit=True),
        example("the same in an office", line("97810"), insurance_plan_id=_PLAN),
        example(
            "excluded from the age of 21",
            line("V5261"),
            birth="2004-10-15",
            insurance_plan_id=_PLAN,
            hit=True,
        ),
        example(
            "the day before the 21st birthday",
            line("V5261"),
            birth="2004-10-16",
            insurance_plan_id=_PLAN,
        ),
        example(
            "the provider says GY",
            line("A9270-GY"),
            hit=True,
            hit_lines=(1,),
            variant="stated_by_provider",
        ),
        example("GZ expects a denial for another reason", line("A9270-GZ")),
        example("GY to a payer that is not Medicare", line("A9270-GY"), insurance_type="CI"),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, members: Members) -> Hits:
    """The plan excludes the service on the day, or the provider says that Medicare does."""
    listing = reference.listing("benefit_exclusions")
    found = rows_by_plan(listing, batch, facts, members)
    place = found["place_of_service"]
    own_place = batch.lines.place_of_service[found.place]
    found = found.where((place == ANY_PLACE) | (place == own_place))
    found = found.where(with_diagnosis(found, batch))
    excluded, unknown = _by_age(found, batch)
    row = excluded.first(len(batch.lines))
    medicare = one_of(batch.of_line(batch.claims.line_of_business), _MEDICARE)
    stated = batch.has_modifier(_GY) & medicare
    hit = (row >= 0) | stated
    gaps = (*gap_of(listing), NotEvaluated("no_birth_date", unknown & ~hit))
    if not hit.any():
        return Hits.none(*gaps)
    return Hits.on_lines(
        batch,
        hit,
        variant=np.where(row >= 0, _EXCLUDED, _STATED),
        evidence=_evidence(listing, row),
        not_evaluated=gaps,
    )


def _by_age(found: Matches, batch: Batch) -> tuple[Matches, Bools]:
    """Keep the exclusions that hold at the patient's age; lines of which the age is not known."""
    youngest, oldest = found["age_from"], found["age_to"]
    asked = (youngest != NONE) | (oldest != NONE)
    unknown = np.zeros(len(batch.lines), np.bool_)
    if not asked.any():
        return found, unknown
    born = batch.of_line(batch.claims.birth_date)[found.place]
    day = batch.lines.service_from[found.place]
    known = born <= day
    age = np.full(len(found), NONE, np.int64)
    age[known] = completed_years(born[known], day[known])
    unknown[found.place[asked & ~known]] = True
    within = known & (age >= youngest) & ((oldest == NONE) | (age <= oldest))
    return found.where(~asked | within), unknown


def _evidence(listing: Listing, row: Ints) -> dict[str, Any]:
    """What excludes each line: its row of the table, -1 where the provider says so."""
    excluded = row >= 0
    columns = {name: column[row[excluded]] for name, column in listing.columns.items()}
    first, last, depends_on = np.zeros((3, len(row)), np.int64)
    effective = np.full(len(row), np.datetime64("NaT"), "datetime64[D]")
    first[excluded], last[excluded] = columns["code_first"], columns["code_last"]
    effective[excluded] = columns["effective"]
    depends_on[~excluded] = _DEPENDS_ON.index("modifier_GY")
    depends_on[excluded] = np.select(
        [
            columns["diagnosis_last"] != KEY_MAX,
            columns["place_of_service"] != ANY_PLACE,
            (columns["age_from"] != NONE) | (columns["age_to"] != NONE),
        ],
        [_DEPENDS_ON.index(each) for each in ("diagnosis", "place", "age")],
        default=_DEPENDS_ON.index("code"),
    )
    return {
        "excluded_from": first,
        "excluded_to": last,
        "depends_on": depends_on,
        "effective": effective,
    }
