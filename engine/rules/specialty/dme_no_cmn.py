"""Equipment without the documents that it needs on file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from engine.columns import LOB_MEDICARE_ADVANTAGE, LOB_MEDICARE_FFS, Batch, Ints, one_of
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
_NONE, _NOT_YET, _EXPIRED, _WITH_THE_CLAIM = range(4)
_STATUSES: Final = ("none", "not_yet_valid", "expired", "with_the_claim")
_MEDICARE: Final = (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE)
_ABOLITION: Final = np.datetime64("2023-01-01", "D")
"""From this day of service on Medicare takes no certificate of medical necessity."""

_OXYGEN: Final = {"document": "CMN", "code_first": "E0424", "code_last": "E0444"}
_ORDER: Final = {"document": "written order", "code_first": "K0856", "effective": "2025-09-01"}
_VISIT: Final = {"document": "face-to-face visit", "effective": "2025-08-15"}
_CERTIFIED: Final = line("E0424-RR", has_medical_necessity_certificate=True)
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
        "abolished_form": Variant(),
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
        "whatever the table says, and rejects claims that come with one: the line says so itself "
        "(PWK01 CT, loop 2440), and one that is only on file is let be. Before, and for others, "
        "a certificate with the line stands for one on file. Where other documentation comes "
        "with the claim (PWK), a missing document is for information: which one it is, nobody "
        "has looked at yet."
    ),
    examples=[
        example("oxygen in 2022 without a CMN", line("E0424-RR"), **_IN_2022,
            on_file={"documents": []}, hit=True, hit_lines=(1,), variant="missing"),
        example("the same a month later, when Medicare had done away with it", line("E0424-RR"),
            **_IN_2023, on_file={"documents": []}),
        example("with a CMN in 2022", line("E0424-RR"), **_IN_2022,
            on_file={"documents": [{**_OXYGEN, "effective": "2022-06-01"}]}),
        example("the CMN of 2022 is still on file in 2023", line("E0424-RR"), **_IN_2023,
            on_file={"documents": [{**_OXYGEN, "effective": "2022-06-01"}]}),
        example("a CMN comes with the line in 2023, when claims with one are rejected", _CERTIFIED,
            **_IN_2023, on_file={"documents": []}, hit=True, hit_lines=(1,),
            variant="abolished_form"),
        example("the same where nothing is known of documents", _CERTIFIED, **_IN_2023, hit=True,
            variant="abolished_form"),
        example("a CMN comes with the line in 2022", _CERTIFIED, **_IN_2022,
            on_file={"documents": []}),
        example("a CMN comes with the line to another payer in 2025", _CERTIFIED, pos="12",
            insurance_type="CI", on_file={"documents": []}),
        example("a CMN is no order", line("K0856-RR", has_medical_necessity_certificate=True),
            pos="12", insurance_type="CI", on_file={"documents": [_VISIT]}, hit=True,
            variant="missing"),
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
    """The equipment needs a document that is not on file, or brings one that is taken no more."""
    lines = batch.lines
    medicare = one_of(batch.of_line(batch.claims.line_of_business), _MEDICARE)
    free = medicare & (lines.service_from >= _ABOLITION)
    abolished = _abolished(batch, np.flatnonzero(free & lines.has_medical_necessity_certificate))
    listing, documents = reference.listing("equipment_documents"), members.documents
    if not listing.loaded or documents is None:
        return replace(abolished, not_evaluated=(NotEvaluated("no_dataset"),))
    needed = rows_of_lines(listing, batch, facts)
    if not len(needed):
        return abolished
    business = needed["line_of_business"]
    own = (business == ANY) | (
        business == batch.of_line(batch.claims.line_of_business)[needed.place]
    )
    kinds = [word_key(name) for name in params.words("abolished_documents")]
    served = free | lines.has_medical_necessity_certificate
    own &= ~(served[needed.place] & np.isin(needed["document_key"], kinds))
    return Hits.joined(_missing(batch, documents, needed.where(own)), abolished)


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


def _abolished(batch: Batch, line: Ints) -> Hits:
    """Hits on lines that come with a form which their payer no longer takes."""
    count = len(line)
    never = np.full(count, np.datetime64("NaT"), "datetime64[D]")
    return Hits(
        claim=batch.lines.claim[line],
        line_hit=np.arange(count),
        line=line,
        variant=np.full(count, _ABOLISHED),
        evidence={
            "document": np.zeros(count, "S1"),
            "status": np.full(count, _WITH_THE_CLAIM),
            "valid_from": never,
            "valid_to": never,
        },
    )
