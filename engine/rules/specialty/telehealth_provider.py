"""Telehealth by a kind of provider who may not give it."""

import numpy as np

from engine.columns import Batch
from engine.reference import Reference
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
    example,
    line,
    rule,
)
from engine.rules.specialty.telehealth import is_listed_for, of_business, telehealth_lines

_PHYSICIAN = {"npi": "1234567893", "taxonomy": "207Q00000X"}
_THERAPIST = {"npi": "1234567893", "taxonomy": "225100000X"}
_CHIROPRACTOR = {"npi": "1234567893", "taxonomy": "111N00000X"}
_COUNSELOR = {"npi": "1234567893", "taxonomy": "101YM0800X"}


@rule(
    id="SPECIALTY_TELEHEALTH_PROVIDER",
    category=Category.SPECIALTY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.14,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="185",
    cites="42 CFR 410.78(b)(2); SSA 1834(m)(4)(E)",
    datasets=("telehealth_providers",),
    evidence={"taxonomy": Kind.CODE, "procedure": Kind.CODE, "place_of_service": Kind.POS},
    caveat="[U] Therapists and audiologists may give telehealth to Medicare's patients through "
    "2027-12-31 under current law: their rows end then. Who rendered the service is known by its "
    "taxonomy; where only the biller's is there and another one rendered, nothing is judged. "
    "Facility bills name a facility, not a practitioner, and are not judged.",
    examples=[
        example(
            "a kind that is not listed",
            line("99213-95", pos="10"),
            rendering_provider=_CHIROPRACTOR,
            hit=True,
            hit_lines=(1,),
        ),
        example("a physician", line("99213-95", pos="10"), rendering_provider=_PHYSICIAN),
        example("in person", line("99213"), rendering_provider=_CHIROPRACTOR),
        example(
            "a therapist while the extension runs",
            line("97110-95", pos="10", day="2027-12-31"),
            received="2028-01-10",
            rendering_provider=_THERAPIST,
        ),
        example(
            "a therapist after it",
            line("97110-95", pos="10", day="2028-01-01"),
            received="2028-01-10",
            rendering_provider=_THERAPIST,
            hit=True,
        ),
        example(
            "a counselor since 2024",
            line("90834-95", pos="10", day="2024-01-01"),
            received="2024-01-10",
            rendering_provider=_COUNSELOR,
        ),
        example(
            "a counselor before",
            line("90834-95", pos="10", day="2023-12-31"),
            received="2024-01-10",
            rendering_provider=_COUNSELOR,
            hit=True,
        ),
        example(
            "one line by another",
            line("99213-95", pos="10"),
            line(
                "99214-95",
                pos="10",
                rendering_provider={"npi": "1003000126", "taxonomy": "111N00000X"},
            ),
            rendering_provider=_PHYSICIAN,
            hit=True,
            hit_lines=(2,),
        ),
        example("no taxonomy: not evaluated", line("99213-95", pos="10")),
        example(
            "only the taxonomy of a clinic that bills for another: not evaluated",
            line("99213-95", pos="10"),
            rendering_provider={"npi": "1003000126"},
            billing_provider={"taxonomy": "261QP2300X"},
        ),
        example(
            "a payer without a list: not evaluated",
            line("99213-95", pos="10"),
            rendering_provider=_CHIROPRACTOR,
            line_of_business=4,
        ),
        example(
            "a facility bill",
            line("99213-95"),
            institutional=True,
            billing_provider={"taxonomy": "282N00000X"},
        ),
    ],
)
def find(batch: Batch, reference: Reference) -> Hits:
    """Who rendered a telehealth line is of no kind that may give telehealth on that day."""
    listing, lines = reference.listing("telehealth_providers"), batch.lines
    row = telehealth_lines(batch)
    row = row[batch.professional[row]]
    if not len(row) or not listing.loaded:
        return Hits.none(*gap_of(listing))
    claim, taxonomy, day = lines.claim[row], lines.taxonomy[row], lines.service_from[row]
    business = batch.claims.line_of_business[claim]
    listed = of_business(listing.match(taxonomy, day), business).found(len(row))
    of_biller = (taxonomy == batch.claims.billing_taxonomy[claim]) & (
        lines.rendering_npi[row] != batch.claims.billing_npi[claim]
    )
    unlisted = ~listed & is_listed_for(listing, business, day)
    unclear = unlisted & ((taxonomy <= 0) | of_biller)
    found, silent, unknown = np.zeros((3, len(lines)), np.bool_)
    found[row] = unlisted & ~unclear
    unknown[row] = unclear
    silent[row] = ~is_listed_for(listing, business, day)
    return Hits.on_lines(
        batch,
        found,
        evidence={
            "taxonomy": lines.taxonomy,
            "procedure": lines.procedure,
            "place_of_service": lines.place_of_service,
        },
        not_evaluated=tuple(
            NotEvaluated(reason, lines=mask)
            for reason, mask in (("no_list", silent), ("no_taxonomy", unknown))
            if mask.any()
        ),
    )
