"""Places of service that do not exist, or in which the code has no price."""

from typing import Final

import numpy as np

from engine.columns import Batch, one_of
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.listed import gap_of, rows_of_lines
from engine.rules.place_of_service.listed_places import refused
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

_UNASSIGNED, _NOT_APPLICABLE, _EXCLUDED = range(3)
_PRICED_STATUSES: Final = tuple(map(ord, "ART"))
_INCIDENT_TO: Final = 5


@rule(
    id="POS_INVALID",
    category=Category.PLACE_OF_SERVICE,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    variants={
        "unassigned": Variant(),
        "not_applicable": Variant(),
        "excluded": Variant(weight=0.16),
    },
    carc="5/58",
    cites="Medicare Claims Processing Manual ch. 26 s. 10.5, ch. 12 s. 20.4.2; MPFS NA indicator",
    datasets=("place_of_service", "mpfs", "place_restrictions"),
    evidence={"place_of_service": Kind.POS, "setting": Kind.NAME, "pc_tc": Kind.COUNT},
    names={"setting": ("non-facility", "facility")},
    caveat=(
        "A code excludes facilities where its PC/TC indicator says incident-to (5), and the places "
        "of the payer's table. Inside a facility the global form of a code with a professional and "
        "a technical part fires on purpose: 26 is billed there."
    ),
    examples=[
        example("an unassigned place", line("99213", pos="29"), hit=True, variant="unassigned"),
        example(
            "a place that is only on the claim",
            line("99213"),
            pos="29",
            hit=True,
            hit_lines=(1,),
            variant="unassigned",
        ),
        example(
            "no office price for a knee replacement",
            line("27447", pos="11"),
            hit=True,
            hit_lines=(1,),
            variant="not_applicable",
        ),
        example("the same in a hospital", line("27447", pos="22")),
        example("an office visit", line("99213", pos="11")),
        example("a recent place", line("99213", pos="27")),
        example("the newest place", line("99213", pos="66")),
        example(
            "a global study in a hospital",
            line("93306", pos="22"),
            hit=True,
            variant="not_applicable",
        ),
        example("its professional part in a hospital", line("93306-26", pos="22")),
        example(
            "an incident-to service in a hospital",
            line("99211", pos="11"),
            line("96372", pos="22"),
            hit=True,
            hit_lines=(2,),
            variant="excluded",
        ),
        example("the same service in the office", line("96372", pos="11")),
        example("no office price, but not payable at all", line("99252", pos="11")),
        example("one digit: a matter of form", line("99213", pos="1")),
        example(
            "ground mileage outside an ambulance",
            line("A0425", pos="11"),
            hit=True,
            variant="excluded",
        ),
        example("in an ambulance, one of two places allowed", line("A0425", pos="42")),
        example(
            "a preventive visit to an inpatient, which the payer excludes",
            line("99385", pos="21"),
            hit=True,
            variant="excluded",
        ),
        example("the same in the office", line("99385", pos="11")),
        example(
            "before the payer excluded it",
            line("99385", pos="21", day="2024-12-31"),
            received="2025-01-10",
        ),
        example("an institutional line has no place", line("27447"), institutional=True),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A professional line names a place that is not assigned, or where its code is not priced."""
    lines, mpfs, places = batch.lines, reference.mpfs, reference.place_of_service
    named = batch.professional & (lines.place_of_service >= 0)
    released = places.release_at(lines.service_from) >= 0
    unassigned = released & ~places.assigned(lines.place_of_service, lines.service_from)
    payable = one_of(mpfs.status[facts.mpfs], _PRICED_STATUSES)
    not_applicable = np.where(
        facts.facility, mpfs.facility_na[facts.mpfs], mpfs.non_facility_na[facts.mpfs]
    )
    pc_tc = mpfs.pctc[facts.mpfs]
    restrictions = reference.listing("place_restrictions")
    excluded = payable & facts.facility & (pc_tc == _INCIDENT_TO)
    listed = rows_of_lines(restrictions, batch, facts)
    if len(listed):
        excluded |= refused(listed, lines.place_of_service[listed.place], len(lines))
    found = unassigned | excluded | (payable & not_applicable)
    variant = np.where(unassigned, _UNASSIGNED, np.where(excluded, _EXCLUDED, _NOT_APPLICABLE))
    coded = named & (lines.procedure > 0)
    return Hits.on_lines(
        batch,
        named & found,
        variant=variant,
        evidence={
            "place_of_service": lines.place_of_service,
            "setting": facts.facility.astype(np.int8),
            "pc_tc": pc_tc,
        },
        not_evaluated=(
            NotEvaluated("no_release" if places.loaded else "no_dataset", lines=named & ~released),
            NotEvaluated(
                "no_release" if mpfs.releases.loaded else "no_dataset",
                lines=coded & ~facts.mpfs_in_force,
            ),
            *gap_of(restrictions, reason="no_list"),
        ),
    )
