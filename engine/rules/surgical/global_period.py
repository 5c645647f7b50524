"""What a surgeon bills in the days of care that a surgery already pays for."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from engine.as_earlier import pointed_diagnoses
from engine.codes import code36
from engine.columns import Batch, Bools, Ints, one_of, rows_where
from engine.facts import Facts, global_days_of
from engine.past import Past
from engine.policy import Params
from engine.reference import Reference
from engine.rules.earlier import EARLIER_EVIDENCE, named
from engine.rules.pairs import hits_on_pairs, pairs_within
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)

_MINOR, _MAJOR = 10, 90
_PROCEDURE, _VISIT, _SAME_DIAGNOSIS = 0, 1, 2
_POSTOPERATIVE_CARE: Final = (code36("55"),)


@rule(
    id="SURGICAL_GLOBAL_PERIOD",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.DENY_LINE,
    certainty=Certainty.ADVISE,
    families=(Family.GLOBAL_SURGERY,),
    carc="97",
    cites="Medicare Claims Processing Manual ch. 12 s. 40 to 40.4",
    variants={
        "procedure": Variant(),
        "visit": Variant(),
        "same_diagnosis": Variant(action=Action.PEND),
    },
    datasets=("mpfs", "evaluation_management"),
    params={
        "visit_modifiers": ("24", "FT"),
        "procedure_modifiers": ("58", "78", "79"),
        "modifiers_without_window": ("54", "56", "78", "80", "81", "82", "AS"),
        "compare_diagnoses": 1,
    },
    evidence={
        "surgery": Kind.CODE,
        "surgery_date": Kind.DATE,
        "global_days": Kind.COUNT,
        "days_after": Kind.COUNT,
        "needed_modifier": Kind.NAME,
        **EARLIER_EVIDENCE,
    },
    names={"needed_modifier": ("58, 78 or 79", "24", "an unrelated diagnosis")},
    uses_history=True,
    caveat="The day of the surgery and the day before a major one are "
    "GLOBAL_SURGERY_NO_MODIFIER's; other procedures of the day itself are those of one session. "
    "[U] FT counts as 24. [U] A visit with 24 is related where all the diagnoses that it points "
    "to are those of the surgery (`compare_diagnoses` 0: not compared). [U] Which modifiers of a "
    "surgery leave its surgeon no days of care: `modifiers_without_window` (care handed over, "
    "assistants, returns to the operating room). Maternity care (MMM) and codes of YYY have no "
    "window here. Tests and other services without a global period are paid beside it. A visit "
    "that was paid before its surgery was billed is not looked for.",
    examples=[
        example(
            "a visit on the 90th day",
            line("99213"),
            day="2025-10-15",
            earlier=[claim_before(line("27447"), day="2025-07-17")],
            hit=True,
            hit_lines=(1,),
            variant="visit",
        ),
        example(
            "a visit on the 91st day",
            line("99213"),
            day="2025-10-15",
            earlier=[claim_before(line("27447"), day="2025-07-16")],
        ),
        example(
            "24, for an unrelated diagnosis",
            line("99213-24"),
            dx=("J209",),
            earlier=[claim_before(line("27447"), day="2025-10-01", dx=("M1711",))],
        ),
        example(
            "24, for the diagnosis of the surgery",
            line("99213-24"),
            dx=("M1711",),
            earlier=[claim_before(line("27447"), day="2025-10-01", dx=("M1711",))],
            hit=True,
            variant="same_diagnosis",
        ),
        example(
            "24, for that diagnosis and another",
            line("99213-24", dx=(1, 2)),
            dx=("M1711", "J209"),
            earlier=[claim_before(line("27447"), day="2025-10-01", dx=("M1711",))],
        ),
        example(
            "24 where diagnoses are not compared",
            line("99213-24"),
            dx=("M1711",),
            params={"compare_diagnoses": 0},
            earlier=[claim_before(line("27447"), day="2025-10-01", dx=("M1711",))],
        ),
        example(
            "another diagnosis without 24",
            line("99213"),
            dx=("J209",),
            earlier=[claim_before(line("27447"), day="2025-10-01", dx=("M1711",))],
            hit=True,
        ),
        example(
            "25 and 57 are for the day of a surgery",
            line("99213-25-57"),
            earlier=[claim_before(line("27447"), day="2025-10-01")],
            hit=True,
        ),
        example(
            "a visit on the tenth day after a minor procedure",
            line("99213"),
            earlier=[claim_before(line("17110"), day="2025-10-05")],
            hit=True,
        ),
        example(
            "a visit on the eleventh",
            line("99213"),
            earlier=[claim_before(line("17110"), day="2025-10-04")],
        ),
        example(
            "a visit on the day after an endoscopy, which pays its own day alone",
            line("99213"),
            earlier=[claim_before(line("45385"), day="2025-10-14")],
        ),
        example(
            "the visit and the surgery on one bill of several days",
            line("27447", day="2025-10-10"),
            line("99213", day="2025-10-12"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "a visit on the day of the surgery is another rule's",
            line("99213"),
            earlier=[claim_before(line("27447"))],
        ),
        example(
            "a second procedure within the days",
            line("20610"),
            earlier=[claim_before(line("27447"), day="2025-10-01")],
            hit=True,
            variant="procedure",
        ),
        example(
            "a staged procedure",
            line("20610-58"),
            earlier=[claim_before(line("27447"), day="2025-10-01")],
        ),
        example(
            "a return to the operating room",
            line("10060-78"),
            earlier=[claim_before(line("27447"), day="2025-10-01")],
        ),
        example(
            "an unrelated procedure",
            line("66984-79"),
            earlier=[claim_before(line("27447"), day="2025-10-01")],
        ),
        example(
            "24 is for visits",
            line("20610-24"),
            earlier=[claim_before(line("27447"), day="2025-10-01")],
            hit=True,
        ),
        example(
            "two procedures of one session",
            line("17110"),
            earlier=[claim_before(line("10060"))],
        ),
        example(
            "a return to the operating room begins no days of its own",
            line("99213"),
            earlier=[claim_before(line("10060-78"), day="2025-10-10")],
        ),
        example(
            "a test within the days",
            line("71046"),
            earlier=[claim_before(line("27447"), day="2025-10-01")],
        ),
        example(
            "an add-on follows its primary",
            line("33518"),
            earlier=[claim_before(line("27447"), day="2025-10-01")],
        ),
        example(
            "maternity care has days of another kind",
            line("99213"),
            earlier=[claim_before(line("59400"), day="2025-10-01")],
        ),
        example(
            "a physician of another group",
            line("99213"),
            earlier=[claim_before(line("27447"), day="2025-10-01", npi="1003000126")],
        ),
        example(
            "another specialty of the group",
            line("99213"),
            rendering_provider={"npi": "1003000126", "specialty": "08"},
            earlier=[
                claim_before(
                    line("27447"),
                    day="2025-10-01",
                    rendering_provider={"npi": "1184722773", "specialty": "20"},
                )
            ],
        ),
        example(
            "a colleague of the group and specialty",
            line("99213"),
            rendering_provider={"npi": "1003000126", "specialty": "20"},
            earlier=[
                claim_before(
                    line("27447"),
                    day="2025-10-01",
                    rendering_provider={"npi": "1184722773", "specialty": "20"},
                )
            ],
            hit=True,
        ),
        example(
            "the surgeon handed the care over",
            line("99213"),
            earlier=[claim_before(line("27447-54"), day="2025-10-01")],
        ),
        example(
            "whoever took the care over is paid for the days",
            line("99213"),
            earlier=[claim_before(line("27447-55"), day="2025-10-01")],
            hit=True,
        ),
        example(
            "the care that is taken over is itself no second surgery",
            line("27447-55"),
            earlier=[claim_before(line("27447-54"), day="2025-10-01")],
        ),
        example(
            "the assistant's bill opens no days",
            line("99213"),
            earlier=[claim_before(line("27447-AS"), day="2025-10-01")],
        ),
        example(
            "the surgery was voided",
            line("99213"),
            earlier=[
                claim_before(line("27447"), day="2025-10-01"),
                claim_before(
                    line("27447"),
                    day="2025-10-01",
                    frequency_code="8",
                    payer_claim_control_number="EARLIER-1",
                ),
            ],
        ),
        example(
            "a surgery that an edit denies opens no days",
            line("27447-LT", day="2025-10-05"),
            line("27447-RT", day="2025-10-05"),
            line("99213", day="2025-10-06"),
        ),
        example(
            "a hospital's visit",
            line("99213"),
            institutional=True,
            earlier=[claim_before(line("27447"), day="2025-10-01", institutional=True)],
        ),
    ],
)
def find(
    batch: Batch,
    reference: Reference,
    facts: Facts,
    past: Past,
    denied: Bools,
    params: Params,
) -> Hits:
    """A visit or procedure falls into the days of care after a surgery; no modifier says why."""
    lines, professional = batch.lines, batch.professional
    gap = NotEvaluated("no_release", professional & facts.visit & ~facts.mpfs_in_force)
    judged = rows_where(professional & (facts.visit | facts.surgical))
    judged = judged[~_carries(lines.modifiers[judged], _POSTOPERATIVE_CARE)]
    without = [code36(text) for text in params.words("modifiers_without_window")]
    here = _within_claims(batch, facts, judged, denied, without)
    there = _across_claims(batch, reference, past, judged, without)
    found = _Windows(*(np.concatenate(each) for each in zip(here, there, strict=True)))
    if not len(found.line):
        return Hits.none(gap)
    visit = facts.visit[found.line]
    modifiers = lines.modifiers[found.line]
    unrelated = _carries(modifiers, map(code36, params.words("visit_modifiers")))
    again = _carries(modifiers, map(code36, params.words("procedure_modifiers")))
    compared = batch.of_line(params["compare_diagnoses"])[found.line] != 0
    same = visit & unrelated & compared & _related(batch, found)
    variant = np.where(same, _SAME_DIAGNOSIS, np.where(visit, _VISIT, _PROCEDURE))
    hit = same | np.where(visit, ~unrelated, ~again)
    row = found.take(hit)
    return hits_on_pairs(
        batch,
        row.line,
        row.surgery,
        rank=row.days_after,
        variant=variant[hit],
        evidence={
            "surgery": row.code,
            "surgery_date": lines.service_from[row.line] - row.days_after,
            "global_days": row.global_days,
            "days_after": row.days_after,
            "needed_modifier": variant[hit],
            **named(past, row.earlier),
        },
        not_evaluated=(gap,),
    )


class _Windows(NamedTuple):
    """Lines that fall into the days after a surgery. Shapes are (pairs,)."""

    line: Ints
    surgery: Ints
    """Row of the surgery in the pass; -1 where it is on another claim."""
    earlier: Ints
    """Row of the surgery in `Past.lines`; -1 where it is on the same claim."""
    code: Ints
    """Code of the surgery."""
    diagnoses: Ints
    """Diagnoses of the surgery, shape (pairs, 4)."""
    global_days: Ints
    days_after: Ints

    def take(self, keep: Bools) -> "_Windows":
        """Return the pairs of the mask."""
        return _Windows(*(column[keep] for column in self))


def _within_claims(
    batch: Batch, facts: Facts, judged: Ints, denied: Bools, without: Sequence[int]
) -> _Windows:
    """Lines after a surgery of their own claim and provider."""
    lines = batch.lines
    several_days = batch.claims.service_to > batch.claims.service_from
    judged = judged[several_days[lines.claim[judged]]]
    surgery = judged[one_of(facts.global_days[judged], (_MINOR, _MAJOR)) & ~facts.visit[judged]]
    surgery = surgery[~denied[surgery] & ~_carries(lines.modifiers[surgery], without)]
    line, surgery = pairs_within(lines.claim, judged, surgery)
    days = (lines.service_from[line] - lines.service_from[surgery]).astype(np.int64)
    global_days = facts.global_days[surgery].astype(np.int64)
    own = lines.provider[line] == lines.provider[surgery]
    inside = own & (days >= 1) & (days <= global_days)
    line, surgery = line[inside], surgery[inside]
    return _Windows(
        line=line,
        surgery=surgery,
        earlier=np.full(len(line), -1, np.int64),
        code=lines.procedure[surgery],
        diagnoses=pointed_diagnoses(batch, surgery),
        global_days=global_days[inside],
        days_after=days[inside],
    )


def _across_claims(
    batch: Batch, reference: Reference, past: Past, judged: Ints, without: Sequence[int]
) -> _Windows:
    """Lines after a paid surgery of another claim of their provider."""
    day, other = batch.lines.service_from[judged], past.lines
    seen = past.counted(past.pairs(batch, judged, day - _MAJOR, day - 1))
    seen = seen.where(past.same_provider(batch, seen))
    seen = seen.where(~_carries(other.modifiers[seen.earlier], without))
    operated = other.service_from[seen.earlier]
    code = other.procedure[seen.earlier]
    global_days = global_days_of(reference, code, operated).astype(np.int64)
    days = (batch.lines.service_from[seen.line] - operated).astype(np.int64)
    visit = reference.evaluation_management.contains(code, operated)
    opens: Bools = one_of(global_days, (_MINOR, _MAJOR)) & (days <= global_days) & ~visit
    seen = seen.where(opens)
    return _Windows(
        line=seen.line,
        surgery=np.full(len(seen), -1, np.int64),
        earlier=seen.earlier,
        code=code[opens],
        diagnoses=other.diagnoses[seen.earlier],
        global_days=global_days[opens],
        days_after=days[opens],
    )


def _carries(modifiers: Ints, codes: Iterable[int]) -> Bools:
    """Rows, shape (rows, 4), with one of these modifiers."""
    carries: Bools = np.any(np.isin(modifiers, list(codes)), axis=1)
    return carries


def _related(batch: Batch, found: _Windows) -> Bools:
    """Pairs whose line points to diagnoses of the surgery alone."""
    own = pointed_diagnoses(batch, found.line)
    of_surgery = (own[:, :, None] == found.diagnoses[:, None, :]).any(axis=2) | (own == 0)
    related: Bools = np.all(of_surgery, axis=1) & np.any(own != 0, axis=1)
    return related
