"""A service that is part of another one on the same day."""

from dataclasses import replace

import numpy as np

from engine.columns import Batch
from engine.facts import Facts
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
    example,
    line,
    rule,
)


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
    },
    datasets=PAIR_DATASETS,
    evidence=PAIR_EVIDENCE,
    uses_history=True,
    caveat="[U] Which modifiers bypass on which line: an anatomic one that both lines carry does "
    "not, 24, 25 and 57 do on a visit only, 59 and X{E,P,S,U} never where the pair has a visit; "
    "membership of 24, 27 and 57 in the list. [U] The deletion date is the last day of an edit. "
    "Suppliers of equipment are judged by the practitioner table.",
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
    ],
)
def find(batch: Batch, facts: Facts, pair_edits: FoundPairs) -> Hits:
    """A line is part of another of its day and provider; no modifier says that it was separate."""
    hits = find_bundled(batch, pair_edits, mutually_exclusive=False)
    beside_surgery = np.bincount(hits.partner_hit, facts.surgical[hits.partner], len(hits)) > 0
    return replace(hits, variant=(facts.visit[hits.line] & beside_surgery).astype(np.int64))
