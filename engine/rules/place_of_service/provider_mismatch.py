"""A place of service that does not fit who bills it, or where else the patient was that day."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.columns import INSTITUTIONAL, Batch, Bools, Ints, one_of
from engine.facts import Facts
from engine.joins import equal_in
from engine.past import Past, SeenPairs
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

_PROVIDER, _SAME_SERVICE, _DURING_STAY, _SAME_DAY = range(4)
_OFFICE: Final = 11
_SURGICAL_CENTER: Final = 24
_GOES_ON: Final = (code36("2"), code36("3"))
"""Frequencies of bills whose last day is no discharge: first and middle ones of a stay."""
_BEGAN_BEFORE: Final = (code36("3"), code36("4"))
"""Those whose first day is no admission: middle and last ones."""
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
    variants={
        "provider": Variant(),
        "same_service": Variant(),
        "during_stay": Variant(),
        "same_day": Variant(),
    },
    carc="5/171",
    cites="Medicare Claims Processing Manual ch. 26 s. 10.5; 42 CFR 424 subpart P",
    datasets=("provider_places",),
    params={
        "outpatient_bills": ("013", "083", "085"),
        "inpatient_bills": ("011",),
        "clinic_visit_codes": ("G0463",),
    },
    evidence={
        "place_of_service": Kind.POS,
        "taxonomy": Kind.CODE,
        "earlier_claim": Kind.EARLIER_CLAIM,
    },
    uses_history=True,
    caveat="[U] Which places fit which kind of provider is the payer's table, by the taxonomy of "
    "who renders and of who bills. What a facility billed for the day says the more, the more it "
    "names: the same service, where a hospital bills visits by `clinic_visit_codes` and a surgical "
    "center bills on the professional form, or who rendered (same_service); a stay, between the "
    "days of admission and discharge, on which the patient may have come from, or gone to, the "
    "office (during_stay); or only the day (same_day), which a policy may make a note, because "
    "members go to an office and to a hospital on one day. A facility's bill that comes later is "
    "not looked for.",
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
        example(
            "home health in a group home",
            line("99600", pos="14"),
            billing_provider={"taxonomy": "251E00000X"},
        ),
        example(
            "before the payer allowed it",
            line("99600", pos="14", day="2024-12-31"),
            received="2025-01-10",
            billing_provider={"taxonomy": "251E00000X"},
            hit=True,
            variant="provider",
        ),
        example("a kind without rows", line("99213", pos="21"), rendering_provider=_SURGEON),
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
            variant="same_day",
        ),
        example(
            "a visit that the hospital bills as a clinic visit",
            line("99213", pos="11"),
            earlier=[claim_before(line("G0463", revenue_code="0510"), institutional=True)],
            hit=True,
            variant="same_service",
        ),
        example(
            "a colonoscopy that the hospital bills too",
            line("45385", pos="11"),
            earlier=[claim_before(line("45385", revenue_code="0750"), institutional=True)],
            hit=True,
            variant="same_service",
        ),
        example(
            "an image that was made in the hospital and read in the office",
            line("71046-26", pos="11"),
            earlier=[claim_before(line("71046", revenue_code="0324"), institutional=True)],
            hit=True,
            variant="same_service",
        ),
        example(
            "the hospital's bill names who rendered it",
            line("45380", pos="11"),
            rendering_provider=_SURGEON,
            earlier=[
                claim_before(
                    line("45385", revenue_code="0750"),
                    institutional=True,
                    rendering_provider=_SURGEON,
                )
            ],
            hit=True,
            variant="same_service",
        ),
        example(
            "a surgical center bills the service on the professional form",
            line("45385", pos="11"),
            earlier=[claim_before(line("45385", pos="24"), npi="1003000126")],
            hit=True,
            variant="same_service",
        ),
        example(
            "a surgical center bills another one",
            line("99213", pos="11"),
            earlier=[claim_before(line("45385", pos="24"), npi="1003000126")],
        ),
        example(
            "a specimen that was sent to the hospital",
            line("99213", pos="11"),
            earlier=[
                claim_before(line("80053", revenue_code="0301"), institutional=True, tob="0141")
            ],
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
                    line("99284", revenue_code="0450"), institutional=True, claim_id="FIRST"
                ),
                claim_before(
                    line("99284", revenue_code="0450"),
                    institutional=True,
                    frequency_code="8",
                    payer_claim_control_number="FIRST",
                ),
            ],
        ),
        example(
            "in the middle of a stay",
            line("99213", pos="11"),
            earlier=[claim_before(line("", revenue_code="0120"), **_STAY)],
            hit=True,
            variant="during_stay",
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
        example(
            "on the last day of a bill after which the stay goes on",
            line("99213", pos="11"),
            day="2025-10-17",
            earlier=[
                claim_before(
                    line("", revenue_code="0120"),
                    **{**_STAY, "tob": "0112", "frequency_code": "2", "discharge_date": ""},
                )
            ],
            hit=True,
            variant="during_stay",
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, past: Past, params: Params) -> Hits:
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
    elsewhere = _in_a_facility(batch, facts, past, params)
    by_provider = taxonomy > 0
    if not (len(elsewhere.line) or by_provider.any()):
        return Hits.none(*gaps)
    case, earlier = np.full((2, len(lines)), -1, np.int64)
    case[elsewhere.line], earlier[elsewhere.line] = elsewhere.case, elsewhere.claim
    case[by_provider], earlier[by_provider] = _PROVIDER, -1
    return Hits.on_lines(
        batch,
        case >= 0,
        variant=case,
        evidence={
            "place_of_service": lines.place_of_service,
            "taxonomy": taxonomy,
            "earlier_claim": earlier,
        },
        not_evaluated=gaps,
    )


def _spoken_of(listing: Listing, taxonomy: Ints) -> Bools:
    """Lines whose taxonomy has rows; neighbours share one, and each run of them asks once."""
    begins = np.append(0, np.flatnonzero(np.diff(taxonomy)) + 1)[: len(taxonomy)]
    known = listing.covers(taxonomy[begins]) & (taxonomy[begins] > 0)
    return np.repeat(known, np.diff(begins, append=len(taxonomy)))


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """Office lines, each with an earlier claim of a facility. Shapes are (n,)."""

    line: Ints
    claim: Ints
    case: Ints

    def strongest(self) -> "_Elsewhere":
        """Keep the claim of each line that says most, the first of equals."""
        order = np.lexsort((self.claim, self.case, self.line))
        order = order[np.unique(self.line[order], return_index=True)[1]]
        return _Elsewhere(self.line[order], self.claim[order], self.case[order])


def _in_a_facility(batch: Batch, facts: Facts, past: Past, params: Params) -> _Elsewhere:
    """Office lines of members whom a facility has billed for on the day."""
    nothing = np.empty(0, np.int64)
    if not len(past):
        return _Elsewhere(nothing, nothing, nothing)
    outpatient, inpatient = (
        _bills(past, params.words(name)) for name in ("outpatient_bills", "inpatient_bills")
    )
    center = _of_surgical_centers(past)
    if not (outpatient.any() or inpatient.any() or center.any()):
        return _Elsewhere(nothing, nothing, nothing)
    office = np.flatnonzero(batch.professional & (batch.lines.place_of_service == _OFFICE))
    member, earlier = batch.claims.member[batch.lines.claim[office]], past.claims.member
    visited = office[np.isin(member, np.append(earlier[outpatient], past.lines.member[center]))]
    pairs = past.counted(past.pairs_of_day(batch, visited))
    same_code, same = _same_service(batch, facts, past, pairs, params)
    claim = past.lines.claim[pairs.earlier]
    other_biller = (
        batch.claims.billing_npi[batch.lines.claim[pairs.line]] != (past.claims.billing_npi[claim])
    )
    billed = outpatient[claim] | (center[pairs.earlier] & same_code & other_biller)
    line, stay = _within_stays(batch, past, office[np.isin(member, earlier[inpatient])], inpatient)
    return _Elsewhere(
        np.concatenate([pairs.line[billed], line]),
        np.concatenate([claim[billed], stay]),
        np.concatenate(
            [np.where(same[billed], _SAME_SERVICE, _SAME_DAY), np.full(len(line), _DURING_STAY)]
        ),
    ).strongest()


def _of_surgical_centers(past: Past) -> Bools:
    """Earlier lines on the professional form in a surgical center: its own, or a surgeon's."""
    found: Bools = past.lines.place_of_service == _SURGICAL_CENTER
    return found & (past.claims.type[past.lines.claim] != INSTITUTIONAL)


def _same_service(
    batch: Batch, facts: Facts, past: Past, pairs: SeenPairs, params: Params
) -> tuple[Bools, Bools]:
    """Pairs of one code, and those of one service: by code, as a visit, or by who rendered it."""
    lines, earlier = batch.lines, past.lines
    code, other = lines.procedure[pairs.line], earlier.procedure[pairs.earlier]
    same_code: Bools = (code > 0) & (code == other)
    clinic = one_of(other, [code36(text) for text in params.words("clinic_visit_codes")])
    # A facility's line that names nobody has the facility's own number.
    npi = earlier.rendering_npi[pairs.earlier]
    somebody = (npi > 0) & (npi != past.claims.billing_npi[earlier.claim[pairs.earlier]])
    same_renderer = somebody & (npi == lines.rendering_npi[pairs.line])
    return same_code, same_code | (facts.visit[pairs.line] & clinic) | same_renderer


def _within_stays(batch: Batch, past: Past, office: Ints, inpatient: Bools) -> tuple[Ints, Ints]:
    """Office lines on a day between those of admission and discharge, and the claim of the stay."""
    claims = past.claims
    paid = np.bincount(past.lines.claim[~past.lines.denied], minlength=len(claims)) > 0
    claim, stay = past.claim_pairs(
        batch, np.unique(batch.lines.claim[office]), among=inpatient & ~claims.in_process & paid
    )
    place, at = equal_in(batch.lines.claim[office], claim)
    line, stay = office[at], stay[place]
    day, frequency = batch.lines.service_from[line], claims.frequency[stay]
    first, last = claims.service_from[stay], claims.service_to[stay]
    inside = ((first < day) | ((first == day) & one_of(frequency, _BEGAN_BEFORE))) & (
        (day < last) | ((day == last) & one_of(frequency, _GOES_ON))
    )
    return line[inside], stay[inside]


def _bills(past: Past, beginnings: tuple[str, ...]) -> Bools:
    """Earlier claims of facilities with such types of bill."""
    facility = past.claims.type == INSTITUTIONAL
    return facility & bill_is_of(past.claims.type_of_bill, beginnings)
