"""Equipment without the documents that it needs on file."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from engine.columns import LOB_MEDICARE_ADVANTAGE, LOB_MEDICARE_FFS, Batch, Ints
from engine.facts import Facts
from engine.members import Documents, Members, holds_on, rows_about
from engine.policy import Params
from engine.reference import Reference
from engine.rules.listed import rows_of_lines
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
from engine.tables.listing import ANY, Matches
from engine.words import word_key

_MISSING, _ATTACHED, _ABOLISHED = range(3)
_NONE, _NOT_YET, _EXPIRED, _ON_FILE = range(4)
_STATUSES: Final = ("none", "not_yet_valid", "expired", "on_file")
_MEDICARE: Final = (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE)
_ABOLITION: Final = np.datetime64("2023-01-01", "D")
"""From this day of service on Medicare takes no certificate of medical necessity."""

_OXYGEN: Final = {"document": "CMN", "code_first": "E0424", "code_last": "E0444"}
_ORDER: Final = {"document": "written order", "code_first": "K0856", "effective": "2025-09-01"}
_VISIT: Final = {"document": "face-to-face visit", "effective": "2025-08-15"}
_IN_2022: Final[Mapping[str, Any]] = {"day": "2022-12-01", "received": "2022-12-10", "pos": "12"}
_IN_2023: Final[Mapping[str, Any]] = {"day": "2023-01-01", "received": "2023-01-10", "pos": "12"}


@rule(
    id="SPECIALTY_DME_NO_CMN",
    category=Category.SPECIALTY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="50",
    cites="42 CFR 410.38; Medicare Claims Processing Manual ch. 20 s. 100.2; elimination of CMN "
    "and DIF from 2023-01-01 on (CGS)",
    variants={
        "missing": Variant(),
        "attached": Variant(weight=0.05, action=Action.INFO),
        "abolished_form": Variant(weight=0.05, action=Action.INFO),
    },
    datasets=("equipment_documents",),
    params={"abolished_documents": ("CMN", "DIF")},
    evidence={
        "document": Kind.TEXT,
        "status": Kind.NAME,
        "valid_from": Kind.DATE,
        "valid_to": Kind.DATE,
    },
    names={"status": _STATUSES},
    caveat=(
        "Medicare asks for no document of the kinds `abolished_documents` from 2023-01-01 on, "
        "whatever the table says; one that is on file for such a service is noted, since claims "
        "with one are rejected. Where documentation comes with the claim (PWK), a missing document "
        "is for information: which one it is, nobody has looked at yet."
    ),
    examples=[
        example("oxygen in 2022 without a CMN", line("E0424-RR"), **_IN_2022,
            on_file={"documents": []}, hit=True, hit_lines=(1,), variant="missing"),
        example("the same a month later, when Medicare had done away with it", line("E0424-RR"),
            **_IN_2023, on_file={"documents": []}),
        example("with a CMN in 2022", line("E0424-RR"), **_IN_2022,
            on_file={"documents": [{**_OXYGEN, "effective": "2022-06-01"}]}),
        example("with a CMN in 2023, when claims with one are rejected", line("E0424-RR"),
            **_IN_2023, on_file={"documents": [{**_OXYGEN, "effective": "2022-06-01"}]},
            hit=True, variant="abolished_form"),
        example("a CMN that has expired", line("E0424-RR"), **_IN_2022,
            on_file={"documents": [{**_OXYGEN, "termination": "2022-11-30"}]},
            hit=True, variant="missing"),
        example("on its last day", line("E0424-RR"), **_IN_2022,
            on_file={"documents": [{**_OXYGEN, "termination": "2022-12-01"}]}),
        example("a CMN for other equipment", line("E0424-RR"), **_IN_2022,
            on_file={"documents": [{"document": "CMN", "code_first": "E0784"}]}, hit=True),
        example("another payer still wants one in 2025", line("E0424-RR", pos="12"),
            insurance_type="CI", on_file={"documents": []}, hit=True, variant="missing"),
        example("a power wheelchair with order and visit", line("K0856-RR", pos="12"),
            on_file={"documents": [_ORDER, _VISIT]}),
        example("the order, and no visit", line("K0856-RR", pos="12"),
            on_file={"documents": [_ORDER]}, hit=True, variant="missing"),
        example("neither: two hits on the line", line("K0856-RR", pos="12"),
            on_file={"documents": []}, hit=True, hit_lines=(1,)),
        example("an order that was written after the delivery", line("K0856-RR", pos="12"),
            on_file={"documents": [{**_ORDER, "effective": "2025-10-16"}, _VISIT]}, hit=True),
        example("documentation comes with the line", line("K0856-RR", has_documentation=True),
            pos="12", on_file={"documents": [_ORDER]}, hit=True, variant="attached"),
        example("equipment that needs none", line("E0118", pos="12"), on_file={"documents": []}),
        example("no documents are loaded", line("K0856-RR", pos="12")),
    ],
)  # fmt: skip
def find(
    batch: Batch, reference: Reference, facts: Facts, members: Members, params: Params
) -> Hits:
    """The equipment needs a document of which none is on file on the day of service."""
    listing, documents = reference.listing("equipment_documents"), members.documents
    if not listing.loaded or documents is None:
        return Hits.none(NotEvaluated("no_dataset"))
    known = listing.covers(facts.distinct_codes)
    if not known.any():
        return Hits.none()
    lines = batch.lines
    names = params.words("abolished_documents")
    # No document is -1: it stands beside the empty name, so that the list may be empty.
    abolished = np.array([*map(word_key, names), -1], np.int64)
    medicare = np.isin(batch.of_line(batch.claims.line_of_business), _MEDICARE)
    free = medicare & (lines.service_from >= _ABOLITION)

    needed = rows_of_lines(listing, batch, facts)
    business = needed["line_of_business"]
    own = (business == ANY) | (
        business == batch.of_line(batch.claims.line_of_business)[needed.place]
    )
    own &= ~(free[needed.place] & np.isin(needed["document_key"], abolished))
    missing = _missing(batch, documents, needed.where(own))
    kept = np.flatnonzero(known[facts.distinct_code] & free)
    return Hits.joined(missing, _abolished(batch, documents, kept, abolished, names))


def _about(batch: Batch, documents: Documents, line: Ints) -> tuple[Ints, Ints]:
    """Return the documents of each line's member for its code, as pairs of a place and a row."""
    place, row = rows_about(documents.member, batch.claims.member[batch.lines.claim[line]])
    code = batch.lines.procedure[line[place]]
    first = documents.code_first[row]
    last = np.maximum(first, documents.code_last[row])
    own = (first == ANY) | ((first <= code) & (code <= last))
    return place[own], row[own]


def _missing(batch: Batch, documents: Documents, needed: Matches) -> Hits:
    """Hits on lines and documents that they need, where none holds on the day."""
    line, count = needed.place, len(needed)
    place, row = _about(batch, documents, line)
    same = documents.document[row] == needed["document_key"][place]
    place, row = place[same], row[same]
    day = batch.lines.service_from[line]
    first, last = documents.effective[row], documents.termination[row]
    on_file = np.bincount(place[holds_on(first, last, day[place])], minlength=count) > 0
    # Of several that do not hold the last row is shown; an expired one before one still to come.
    nearest = np.full(count, -1, np.int64)
    order = np.argsort(last < day[place], kind="stable")
    nearest[place[order]] = row[order]
    lacking = np.flatnonzero(~on_file)
    nearest = nearest[lacking]
    there = nearest >= 0
    valid_from, valid_to = np.full((2, len(lacking)), np.datetime64("NaT"), "datetime64[D]")
    valid_from[there] = documents.effective[nearest[there]]
    valid_to[there] = documents.termination[nearest[there]]
    hit_line = line[lacking]
    return Hits(
        claim=batch.lines.claim[hit_line],
        line_hit=np.arange(len(hit_line)),
        line=hit_line,
        variant=np.where(batch.lines.has_documentation[hit_line], _ATTACHED, _MISSING),
        evidence={
            "document": needed["document"][lacking],
            "status": np.where(there, np.where(valid_to < day[lacking], _EXPIRED, _NOT_YET), _NONE),
            "valid_from": valid_from,
            "valid_to": valid_to,
        },
    )


def _abolished(
    batch: Batch, documents: Documents, line: Ints, abolished: Ints, names: Sequence[str]
) -> Hits:
    """Hits on Medicare's lines for whose equipment a form is on file that it no longer takes."""
    place, row = _about(batch, documents, line)
    noted = np.isin(documents.document[row], abolished) & holds_on(
        documents.effective[row], documents.termination[row], batch.lines.service_from[line[place]]
    )
    place, first = np.unique(place[noted], return_index=True)
    row, hit_line = row[noted][first], line[place]
    return Hits(
        claim=batch.lines.claim[hit_line],
        line_hit=np.arange(len(hit_line)),
        line=hit_line,
        variant=np.full(len(hit_line), _ABOLISHED),
        evidence={
            "document": np.array([*names, ""], "S")[
                (documents.document[row][:, None] == abolished).argmax(axis=1)
            ],
            "status": np.full(len(hit_line), _ON_FILE),
            "valid_from": documents.effective[row],
            "valid_to": documents.termination[row],
        },
    )
