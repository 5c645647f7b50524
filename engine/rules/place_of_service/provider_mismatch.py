"""A place of service that does not fit who bills it, or where else the patient was that day."""

from typing import Any, Final

import numpy as np

from engine.columns import INSTITUTIONAL, Batch, Bools, Ints
from engine.past import Past
from engine.policy import Params
from engine.reference import Reference
from engine.rules.bills import bill_is_of
from engine.rules.listed import gap_of
from engine.rules.place_of_service.listed_places import refused
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)
from engine.tables.listing import Listing

_PROVIDER, _SITE_OF_SERVICE = range(2)
_OFFICE: Final = 11
_URGENT_CARE: Final = {"npi": "1003000126", "taxonomy": "261QU0200X"}
_SURGEON: Final = {"npi": "1003000126", "taxonomy": "208600000X"}
_STAY: Final[dict[str, Any]] = {
    "institutional": True,
    "tob": "0111",
    "day": "2025-10-13",
    "admission_date": "2025-10-13",
    "discharge_date": "2025-10-17",
    "service_to_date": "2025-10-17",
}


@rule(
    id="POS_PROVIDER_MISMATCH",
    category=Category.PLACE_OF_SERVICE,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.13,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    variants={"provider": Variant(), "site_of_service": Variant()},
    carc="5/171",
    cites="Medicare Claims Processing Manual ch. 26 s. 10.5; 42 CFR 424 subpart P",
    datasets=("provider_places",),
    params={"outpatient_bills": ("013", "083", "085"), "inpatient_bills": ("011",)},
    evidence={
        "place_of_service": Kind.POS,
        "taxonomy": Kind.CODE,
        "earlier_claim": Kind.EARLIER_CLAIM,
    },
    uses_history=True,
    caveat="[U] Which places fit which kind of provider is the payer's table, by the taxonomy of "
    "who renders and of who bills. An office visit beside a hospital's outpatient bill of the day "
    "is noted whatever the hospital did; beside a stay only between the days of admission and "
    "discharge, on which the patient may have come from, or gone to, the office.",
    examples=[
        example(
            "urgent care in a hospital's ward",
            line("99213", pos="21"),
            rendering_provider=_URGENT_CARE,
            hit=True,
            hit_lines=(1,),
            variant="provider",
        ),
        example(
            "urgent care in its own place", line("99213", pos="20"), rendering_provider=_URGENT_CARE
        ),
        example(
            "a surgeon in an outpatient department",
            line("29881", pos="22"),
            rendering_provider=_SURGEON,
        ),
        example(
            "a surgical center that bills an office",
            line("29881", pos="11"),
            billing_provider={"taxonomy": "261QA1903X"},
            hit=True,
            variant="provider",
        ),
        example(
            "the biller is the urgent care, another one renders",
            line("99213", pos="21"),
            billing_provider={"taxonomy": "261QU0200X"},
            rendering_provider=_SURGEON,
            hit=True,
            variant="provider",
        ),
        example("no taxonomy", line("99213", pos="21")),
        example(
            "one of two lines",
            line("99213", pos="20"),
            line("99213", pos="21"),
            rendering_provider=_URGENT_CARE,
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "an office visit, and the hospital has billed the day",
            line("99213", pos="11"),
            earlier=[claim_before(line("99284", revenue_code="0450"), institutional=True)],
            hit=True,
            hit_lines=(1,),
            variant="site_of_service",
        ),
        example(
            "the hospital billed the day before",
            line("99213", pos="11"),
            earlier=[
                claim_before(
                    line("99284", revenue_code="0450"), institutional=True, day="2025-10-14"
                )
            ],
        ),
        example(
            "the visit was in the hospital too",
            line("99213", pos="22"),
            earlier=[claim_before(line("99284", revenue_code="0450"), institutional=True)],
        ),
        example(
            "beside another office visit",
            line("99213", pos="11"),
            earlier=[claim_before(line("99214", pos="11"))],
        ),
        example(
            "only the line of that day",
            line("99213", pos="11"),
            line("99213", pos="11", day="2025-10-16"),
            earlier=[claim_before(line("99284", revenue_code="0450"), institutional=True)],
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "a nursing facility's bill of the month",
            line("99213", pos="11"),
            earlier=[
                claim_before(line("97110", revenue_code="0420"), institutional=True, tob="0221")
            ],
        ),
        example(
            "the hospital's bill was voided",
            line("99213", pos="11"),
            earlier=[
                claim_before(
                    line("99284", revenue_code="0450"),
                    institutional=True,
                    frequency_code="8",
                    payer_claim_control_number="CONTROL",
                )
            ],
        ),
        example(
            "in the middle of a stay",
            line("99213", pos="11"),
            earlier=[claim_before(line("", revenue_code="0120"), **_STAY)],
            hit=True,
            variant="site_of_service",
        ),
        example(
            "on the day of admission",
            line("99213", pos="11"),
            day="2025-10-13",
            earlier=[claim_before(line("", revenue_code="0120"), **_STAY)],
        ),
        example(
            "on the day of discharge",
            line("99213", pos="11"),
            day="2025-10-17",
            earlier=[claim_before(line("", revenue_code="0120"), **_STAY)],
        ),
    ],
)
def find(batch: Batch, reference: Reference, past: Past, params: Params) -> Hits:
    """A place is closed to its kind of provider, or an office while a facility had the patient."""
    listing, lines = reference.listing("provider_places"), batch.lines
    gaps = gap_of(listing, reason="no_list")
    taxonomy = np.zeros(len(lines), np.int64)
    named = batch.professional & (lines.place_of_service >= 0)
    for asked in (batch.of_line(batch.claims.billing_taxonomy), lines.taxonomy):
        row = np.flatnonzero(named & _spoken_of(listing, asked))
        if not len(row):
            continue
        found = listing.match(asked[row], lines.service_from[row])
        closed = refused(found, lines.place_of_service[row][found.place], len(row))
        taxonomy[row[closed]] = asked[row[closed]]
    earlier = _in_a_facility(batch, past, params)
    by_provider = taxonomy > 0
    hit = by_provider | (earlier >= 0)
    if not hit.any():
        return Hits.none(*gaps)
    return Hits.on_lines(
        batch,
        hit,
        variant=np.where(by_provider, _PROVIDER, _SITE_OF_SERVICE),
        evidence={
            "place_of_service": lines.place_of_service,
            "taxonomy": taxonomy,
            "earlier_claim": np.where(by_provider, -1, earlier),
        },
        not_evaluated=gaps,
    )


def _spoken_of(listing: Listing, taxonomy: Ints) -> Bools:
    """Lines whose taxonomy has rows; neighbours share one, and each run of them asks once."""
    begins = np.append(0, np.flatnonzero(np.diff(taxonomy)) + 1)[: len(taxonomy)]
    known = listing.covers(taxonomy[begins]) & (taxonomy[begins] > 0)
    return np.repeat(known, np.diff(begins, append=len(taxonomy)))


def _in_a_facility(batch: Batch, past: Past, params: Params) -> Ints:
    """Earlier facility claim of each office line's member and day, -1 for none."""
    earlier: Ints = np.full(len(batch.lines), -1, np.int64)
    if not len(past):
        return earlier
    outpatient, inpatient = (
        _bills(past, params.words(name)) for name in ("outpatient_bills", "inpatient_bills")
    )
    if not (outpatient | inpatient).any():
        return earlier
    office = np.flatnonzero(batch.professional & (batch.lines.place_of_service == _OFFICE))
    member = batch.claims.member[batch.lines.claim[office]]
    visited = office[np.isin(member, past.claims.member[outpatient])]
    pairs = past.counted(past.pairs_of_day(batch, visited))
    claim = past.lines.claim[pairs.earlier]
    earlier[pairs.line[outpatient[claim]]] = claim[outpatient[claim]]
    admitted = office[np.isin(member, past.claims.member[inpatient])]
    line, stay = _within_stays(batch, past, admitted, inpatient)
    earlier[line] = stay
    return earlier


def _within_stays(batch: Batch, past: Past, office: Ints, inpatient: Bools) -> tuple[Ints, Ints]:
    """Office lines on a day between those of admission and discharge, and the claim of the stay."""
    claim, stay = past.claim_pairs(batch, np.unique(batch.lines.claim[office]))
    claims = past.claims
    long = (inpatient & ~claims.in_process)[stay]
    claim, stay = claim[long], stay[long]
    begin = np.searchsorted(batch.lines.claim[office], claim)
    count = np.searchsorted(batch.lines.claim[office], claim, side="right") - begin
    at = np.arange(count.sum()) + np.repeat(begin - (np.cumsum(count) - count), count)
    line, stay = office[at], np.repeat(stay, count)
    day = batch.lines.service_from[line]
    inside = (claims.service_from[stay] < day) & (day < claims.service_to[stay])
    return line[inside], stay[inside]


def _bills(past: Past, beginnings: tuple[str, ...]) -> Bools:
    """Earlier claims of facilities with such types of bill."""
    facility = past.claims.type == INSTITUTIONAL
    return facility & bill_is_of(past.claims.type_of_bill, beginnings)
