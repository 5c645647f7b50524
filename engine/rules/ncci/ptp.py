"""A service that is part of another one on the same day."""

from dataclasses import replace

import numpy as np

from engine.columns import Batch, Bools, one_of
from engine.facts import SURGICAL_DAYS, Facts, global_days_of
from engine.reference import Reference
from engine.rules.earlier import PAID_BEFORE
from engine.rules.ncci.pair_edits import PAIR_DATASETS, PAIR_EVIDENCE, FoundPairs, find_bundled
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)

_PROCEDURE, _VISIT, _PAID_BEFORE = 0, 1, 2


@rule(
    id="NCCI_PTP",
    category=Category.NCCI,
    scope=Scope.LINE,
    severity=Severity.CRITICAL,
    weight=0.18,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="236/97",
    cites="NCCI Policy Manual ch. I; Medicare Claims Processing Manual ch. 23 s. 20.9; CR 11168",
    families=(Family.BUNDLING,),
    variants={
        "procedure": Variant(),
        "visit": Variant(families=(Family.BUNDLING, Family.GLOBAL_SURGERY)),
        "paid_before": PAID_BEFORE,
    },
    datasets=PAIR_DATASETS,
    evidence=PAIR_EVIDENCE,
    uses_history=True,
    caveat="[U] Which modifiers bypass on which line: an anatomic one that both lines carry does "
    "not, 24, 25 and 57 do on a visit only, 59 and X{E,P,S,U} never where the pair has a visit; "
    "membership of 24, 27 and 57 in the list. [U] The deletion date is the last day of an edit. "
    "Suppliers of equipment are judged by the practitioner table. Where column 2 was paid on "
    "another claim its charge is what may come back: what was paid is not known.",
    examples=[
        example(
            "both codes of a pair, no modifier",
            line("45385"),
            line("45380"),
            hit=True,
            hit_lines=(2,),
            variant="procedure",
        ),
        example(
            "the column 2 line is named wherever it stands",
            line("45380"),
            line("45385"),
            hit=True,
            hit_lines=(1,),
        ),
        example("59 on column 2", line("45385"), line("45380-59")),
        example("59 on column 1 counts since July 2019", line("45385-59"), line("45380")),
        example("XS in the place of 59", line("45385"), line("45380-XS")),
        example(
            "indicator 0: no modifier helps",
            line("43239"),
            line("43235-59"),
            hit=True,
            hit_lines=(2,),
        ),
        example("51 is no modifier of this list", line("45385"), line("45380-51"), hit=True),
        example(
            "one hit on a line with two partners",
            line("17110"),
            line("20610"),
            line("99214"),
            hit=True,
            hit_lines=(3,),
        ),
        example("both codes, on two days", line("45385"), line("45380", day="2025-10-16")),
        example("both codes, by two providers", line("45385"), line("45380", npi="1003000126")),
        example(
            "all units of the line, not only the excess",
            line("45385"),
            line("45380", units=2),
            hit=True,
            hit_lines=(2,),
        ),
        example("an edit that was deleted", line("97530"), line("97116")),
        example(
            "29880 is column 1, in whatever order the lines stand",
            line("29881"),
            line("29880"),
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "a surgical center has the practitioner table",
            line("45385", pos="24"),
            line("45380", pos="24"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "of a pair that was published in both orders, the order in force",
            line("99291"),
            line("90832"),
            hit=True,
            hit_lines=(1,),
        ),
        example("a code makes no pair with itself", line("45380"), line("45380")),
        example("the other side", line("29880-RT"), line("29881-LT")),
        example("the same side on both lines", line("29880-RT"), line("29881-RT"), hit=True),
        example("a side on column 2 alone", line("29880"), line("29881-LT")),
        example(
            "a visit beside a procedure needs 25",
            line("20610"),
            line("99213"),
            hit=True,
            hit_lines=(2,),
            variant="visit",
        ),
        example("25 on the visit", line("20610"), line("99213-25")),
        example("25 on the procedure helps nobody", line("20610-25"), line("99213"), hit=True),
        example("59 on a visit never bypasses", line("20610"), line("99213-59"), hit=True),
        example("25 on a line that is no visit", line("45385"), line("45380-25"), hit=True),
        example(
            "hospital outpatient bills have a table of their own",
            line("45385"),
            line("45380"),
            hit=True,
            hit_lines=(2,),
            institutional=True,
        ),
        example(
            "inpatient bills have none",
            line("45385"),
            line("45380"),
            institutional=True,
            tob="0111",
            admission_date="2025-10-15",
        ),
        example(
            "column 1 was paid on another claim",
            line("45380"),
            earlier=[claim_before(line("45385"))],
            hit=True,
            hit_lines=(1,),
            variant="procedure",
        ),
        example(
            "column 2 was paid on another claim: a person looks at what may come back",
            line("45385"),
            earlier=[claim_before(line("45380"))],
            hit=True,
            hit_lines=(1,),
            variant="paid_before",
        ),
        example(
            "59 on either claim separates them",
            line("45385"),
            earlier=[claim_before(line("45380-59"))],
        ),
        example(
            "the other claim was of another day",
            line("45380"),
            earlier=[claim_before(line("45385"), day="2025-10-14")],
        ),
        example(
            "the other claim was of another provider",
            line("45380"),
            earlier=[claim_before(line("45385"), npi="1003000126")],
        ),
        example(
            "the other claim was replaced by this one",
            line("45380"),
            earlier=[claim_before(line("45385"))],
            frequency_code="7",
            payer_claim_control_number="EARLIER-1",
        ),
        example(
            "a visit after a procedure that was billed before",
            line("99213"),
            earlier=[claim_before(line("20610"))],
            hit=True,
            variant="visit",
        ),
        example(
            "one hit for partners on this claim and on another",
            line("17110"),
            line("99214"),
            earlier=[claim_before(line("20610"))],
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "an inpatient bill of the hospital is no partner",
            line("45380"),
            institutional=True,
            earlier=[
                claim_before(
                    line("45385"), institutional=True, tob="0111", admission_date="2025-10-15"
                )
            ],
        ),
        example(
            "the hospital's bill is not the physician's",
            line("45380"),
            earlier=[claim_before(line("45385"), institutional=True)],
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, pair_edits: FoundPairs) -> Hits:
    """A line is part of another of its day and provider; no modifier says that it was separate."""
    hits = find_bundled(batch, pair_edits, mutually_exclusive=False, case_before=_PAID_BEFORE)
    if not len(hits):
        return hits
    denial = np.flatnonzero(hits.variant != _PAID_BEFORE)
    line = hits.line[np.searchsorted(hits.line_hit, denial)]
    visit = facts.visit[line] & _beside_surgery(batch, reference, facts, pair_edits)[line]
    variant = np.full(len(hits), _PAID_BEFORE)
    variant[denial] = np.where(visit, _VISIT, _PROCEDURE)
    return replace(hits, variant=variant)


def _beside_surgery(batch: Batch, reference: Reference, facts: Facts, found: FoundPairs) -> Bools:
    """Lines that are column 2 of a surgery, of their claim or of another one."""
    mask = np.zeros(len(batch.lines), np.bool_)
    pairs, across = found.denying(mutually_exclusive=False)
    mask[pairs.column2[facts.surgical[pairs.column1]]] = True
    line, earlier = across.line[across.denied], across.earlier[across.denied]
    if len(line):
        codes = found.past.lines.procedure[earlier]
        days = global_days_of(reference, codes, batch.lines.service_from[line])
        mask[line[one_of(days, SURGICAL_DAYS)]] = True
    return mask
