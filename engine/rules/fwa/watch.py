"""Providers whom the payer's investigators watch."""

from typing import Final

import numpy as np

from engine.columns import Batch, Bools, Ints, rows_where
from engine.reference import Reference
from engine.rules.fwa.roles import CLAIM_ROLES, LINE_ROLES
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
from engine.tables.listing import Listing

_ROLES: Final = (
    *CLAIM_ROLES,
    "billing (tax id)",
    *(f"{role} of a line" for role in LINE_ROLES),
)

_WATCHED: Final = "2000100018"
_ENDED: Final = "2000100026"


@rule(
    id="FWA_WATCH",
    category=Category.FWA,
    scope=Scope.CLAIM,
    severity=Severity.HIGH,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    cites="Tenant policy of the special investigations unit",
    datasets=("watch_list", "watch_list_tins"),
    evidence={"role": Kind.NAME},
    names={"role": _ROLES},
    caveat="Never shown to providers, and in no explanation that leaves the investigators: the hit "
    "names the role, not the reason. A claim is judged on its first day of service.",
    examples=[
        example("the biller is watched", line("99213"), npi=_WATCHED, hit=True, hit_lines=()),
        example("who rendered one line", line("99213"), line("85025", npi=_WATCHED), hit=True),
        example(
            "who ordered",
            line("85025", ordering_provider={"npi": _WATCHED}),
            hit=True,
        ),
        example("by tax id", line("99213"), billing_provider={"tin": "999000111"}, hit=True),
        example("an entry that has ended", line("99213"), npi=_ENDED),
        example("on its last day", line("99213"), npi=_ENDED, day="2025-06-30", hit=True,
                received="2025-07-02"),
        example("nobody on the list", line("99213")),
    ],
)  # fmt: skip
def find(batch: Batch, reference: Reference) -> Hits:
    """A provider in any role of the claim, or the biller's tax id, is on the watch list."""
    npis, tins = reference.listing("watch_list"), reference.listing("watch_list_tins")
    if not (npis.loaded or tins.loaded):
        return Hits.none(NotEvaluated("no_dataset"))
    claims, lines = batch.claims, batch.lines
    every, owner = np.arange(len(claims)), lines.claim
    watched = [
        *(_watched(npis, getattr(claims, f"{r}_npi"), batch, every) for r in CLAIM_ROLES),
        _watched(tins, claims.billing_tin, batch, every),
        *(_watched(npis, getattr(lines, f"{r}_npi"), batch, owner) for r in LINE_ROLES),
    ]
    role = np.full(len(claims), -1, np.int64)
    for number in reversed(range(len(watched))):
        role[watched[number]] = number
    return Hits.on_claims(role >= 0, evidence={"role": role})


def _watched(listing: Listing, number: Ints, batch: Batch, claim: Ints) -> Ints:
    """Claims in which one of these numbers is on the list on the claim's first day."""
    listed: Bools = listing.covers(number)
    at = rows_where(listed & (number > 0))
    found = listing.match(number[at], batch.claims.service_from[claim[at]])
    return claim[at[found.place]]
