"""Specialties that the payer looks at more closely."""

import numpy as np

from engine.columns import Batch, rows_where
from engine.reference import Reference
from engine.rules.listed import gap_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    example,
    line,
    rule,
)


@rule(
    id="FWA_HIGH_RISK_SPECIALTY",
    category=Category.FWA,
    scope=Scope.CLAIM,
    severity=Severity.MEDIUM,
    weight=0.08,
    action=Action.INFO,
    certainty=Certainty.ADVISE,
    cites="Tenant policy of the special investigations unit",
    datasets=("high_risk_specialties",),
    never_alone=True,
    evidence={"taxonomy": Kind.CODE},
    caveat="A note only: alone it moves no claim out of payment, whatever a policy says. A list of "
    "specialties is a blunt measure; look for bias before using it.",
    examples=[
        example(
            "a biller of a listed specialty",
            line("99213"),
            billing_provider={"taxonomy": "332BP3500X"},
            hit=True,
            hit_lines=(),
        ),
        example(
            "who rendered is of one",
            line("99213"),
            rendering_provider={"npi": "1003000126", "taxonomy": "332BP3500X"},
            hit=True,
        ),
        example(
            "another specialty",
            line("99213"),
            billing_provider={"taxonomy": "207R00000X"},
        ),
        example(
            "a specialty whose listing has ended",
            line("99213"),
            billing_provider={"taxonomy": "3416L0300X"},
        ),
        example("a specialty that is not known", line("99213")),
    ],
)
def find(batch: Batch, reference: Reference) -> Hits:
    """The biller, or who rendered a line, is of a specialty on the tenant's list."""
    listing = reference.listing("high_risk_specialties")
    claims, lines = batch.claims, batch.lines
    biller = listing.covers(claims.billing_taxonomy)
    renderer = listing.covers(lines.taxonomy)
    if not (biller.any() or renderer.any()):
        return Hits.none(*gap_of(listing))
    shown = np.zeros(len(claims), np.int64)
    at = rows_where(renderer)
    found = listing.match(lines.taxonomy[at], lines.service_from[at])
    # The first line of a claim is written last, and the biller goes before all lines.
    shown[lines.claim[at[found.place[::-1]]]] = lines.taxonomy[at[found.place[::-1]]]
    at = rows_where(biller)
    found = listing.match(claims.billing_taxonomy[at], claims.service_from[at])
    shown[at[found.place]] = claims.billing_taxonomy[at[found.place]]
    return Hits.on_claims(shown > 0, evidence={"taxonomy": shown})
