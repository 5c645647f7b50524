"""A modifier that does not exist, or that does not fit its code."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Ints, one_of
from engine.facts import MOD_26, MOD_TC, Facts
from engine.policy import Params
from engine.reference import ANATOMIC, GLOBAL_ZZZ, Reference
from engine.rules.listed import gap_of, rows_of_lines
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

_FAULTS: Final = (
    "none",
    "not in the modifier table",
    "repeated on the line",
    "no such component of the code",
    "51 on an add-on code",
    "no assistant at this procedure",
    "no co-surgeons at this procedure",
    "no surgical team at this procedure",
    "on a code that is no visit",
    "a side or digit on a code that has none",
)
_COMPONENTS: Final = (MOD_26, MOD_TC)
_MULTIPLE: Final = code36("51")
_ASSISTANT: Final = tuple(map(code36, ("80", "81", "82", "AS")))
_CO_SURGEON: Final = code36("62")
_TEAM: Final = code36("66")
_VISIT: Final = tuple(map(code36, ("24", "25", "57")))
_BY_INDICATOR: Final = (*_COMPONENTS, *_ASSISTANT, _CO_SURGEON, _TEAM)
_NOT_APPLICABLE: Final = 9
_SHORTEST: Final = code36("00")
"""Shorter or unreadable modifiers are FORMAT_INVALID_CODE's."""


@dataclass(frozen=True, slots=True)
class _Used:
    """The modifiers of a pass, one row for each that a line carries."""

    line: Ints
    slot: Ints
    code: Ints


@rule(
    id="MODIFIER_INVALID",
    category=Category.MODIFIER,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="4",
    cites="Medicare Claims Processing Manual ch. 12 and 23; HCPCS modifier file; "
    "MPFS payment policy indicators",
    datasets=("modifiers", "mpfs", "evaluation_management", "sided_procedures"),
    params={"payer_modifiers": ()},
    evidence={"modifier": Kind.CODE, "fault": Kind.NAME, "pctc_indicator": Kind.COUNT},
    names={"fault": _FAULTS},
    caveat="Which codes have sides is a table; without it that is not judged. 24, 25 and 57 are "
    "judged on professional lines only, by the table of visits, which holds no G code [U]. "
    "A payer's own modifiers go into `payer_modifiers`.",
    examples=[
        example(
            "a component of a code that is not split", line("99213-26"), hit=True, hit_lines=(1,)
        ),
        example("the professional component of an image", line("71046-26")),
        example("the technical component of a professional service", line("93010-TC"), hit=True),
        example("a modifier that nobody has assigned", line("99213-Z9"), hit=True),
        example(
            "the same where the payer has assigned it",
            line("99213-Z9"),
            params={"payer_modifiers": ("Z9",)},
        ),
        example("the order of modifiers is not judged", line("20610-59-RT")),
        example("a modifier of one character is a matter of format", line("99213-2")),
        example("51 on an add-on code", line("64483"), line("64484-51"), hit=True, hit_lines=(2,)),
        example("51 on a procedure", line("17110"), line("11042-51")),
        example("an assistant where the concept does not apply", line("36415-80"), hit=True),
        example("an assistant where the law forbids it is another rule's", line("64721-80")),
        example("two surgeons where the concept does not apply", line("36415-62"), hit=True),
        example("a team where the concept does not apply", line("36415-66"), hit=True),
        example("25 on a procedure", line("20610-25"), hit=True),
        example("24 on a procedure", line("20610-24"), hit=True),
        example("57 on a laboratory test", line("80053-57"), hit=True),
        example("25 on a visit", line("99213-25"), line("17110")),
        example(
            "25 on an outpatient bill is left to the hospital's rules",
            line("20610-25"),
            institutional=True,
        ),
        example("both sides on a code without sides is another rule's", line("36415-50")),
        example("the same modifier twice", line("27447-RT-RT"), hit=True),
        example("the side of a joint", line("20610-RT")),
        example("the side of a visit", line("99213-RT"), hit=True),
        example("the finger of a laboratory test", line("80053-F1"), hit=True),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, params: Params) -> Hits:
    """A line carries a modifier that is not valid on its day or does not fit its code."""
    modifiers = batch.lines.modifiers
    line_rows, slot = np.nonzero(modifiers >= _SHORTEST)
    used = _Used(line_rows, slot, modifiers[line_rows, slot])
    payer_modifiers = [code36(text) for text in params.words("payer_modifiers")]
    # In the order of _FAULTS; the first that holds is the one that is shown.
    faults = (
        _unassigned(batch, reference, used) & ~np.isin(used.code, payer_modifiers),
        _repeated(batch, used),
        *_against_indicators(batch, reference, facts, used),
        _without_visit(batch, facts, used),
        _without_sides(batch, reference, facts, used),
    )
    fault = np.select(faults, range(1, len(_FAULTS)), 0)
    shown = np.flatnonzero(fault)[::-1]
    modifier_of, fault_of = np.zeros((2, len(batch.lines)), np.int64)
    modifier_of[used.line[shown]], fault_of[used.line[shown]] = used.code[shown], fault[shown]
    return Hits.on_lines(
        batch,
        fault_of > 0,
        evidence={
            "modifier": modifier_of,
            "fault": fault_of,
            "pctc_indicator": reference.mpfs.pctc[facts.mpfs_code],
        },
        not_evaluated=_gaps(batch, reference, facts, used),
    )


def _unassigned(batch: Batch, reference: Reference, used: _Used) -> Bools:
    day = batch.lines.service_from[used.line]
    in_force = reference.modifiers.release_at(day) >= 0
    return in_force & ~reference.modifiers.valid(used.code, day)


def _repeated(batch: Batch, used: _Used) -> Bools:
    same = batch.lines.modifiers[used.line] == used.code[:, None]
    return same.argmax(axis=1) < used.slot


def _against_indicators(
    batch: Batch, reference: Reference, facts: Facts, used: _Used
) -> tuple[Bools, ...]:
    """Professional lines whose modifier asks for what the code does not have."""
    mpfs, row = reference.mpfs, facts.mpfs_code[used.line]
    known = batch.professional[used.line] & (row >= 0)
    component = np.flatnonzero(known & one_of(used.code, _COMPONENTS))
    at = used.line[component]
    no_component = np.zeros(len(used.line), np.bool_)
    no_component[component] = (
        mpfs.rows(batch.lines.procedure[at], used.code[component], batch.lines.service_from[at]) < 0
    )
    return (
        no_component,
        known & (used.code == _MULTIPLE) & (facts.global_days[used.line] == GLOBAL_ZZZ),
        known & one_of(used.code, _ASSISTANT) & (mpfs.assistant[row] == _NOT_APPLICABLE),
        known & (used.code == _CO_SURGEON) & (mpfs.co_surgeon[row] == _NOT_APPLICABLE),
        known & (used.code == _TEAM) & (mpfs.team[row] == _NOT_APPLICABLE),
    )


def _without_visit(batch: Batch, facts: Facts, used: _Used) -> Bools:
    procedure = (batch.professional & (batch.lines.procedure > 0) & ~facts.visit)[used.line]
    return one_of(used.code, _VISIT) & procedure


def _without_sides(batch: Batch, reference: Reference, facts: Facts, used: _Used) -> Bools:
    anatomic = reference.ncci_modifiers.group(used.code) & ANATOMIC != 0
    sided = reference.listing("sided_procedures")
    if not sided.loaded or not anatomic.any():
        return np.zeros(len(used.line), np.bool_)
    listed = rows_of_lines(sided, batch, facts).found(len(batch.lines))
    without: Bools = (~listed & (batch.lines.procedure > 0))[used.line]
    return anatomic & without


def _gaps(
    batch: Batch, reference: Reference, facts: Facts, used: _Used
) -> tuple[NotEvaluated, ...]:
    """Lines whose modifiers no table speaks of."""
    table, lines = reference.modifiers, batch.lines
    without_table = table.release_at(lines.service_from[used.line]) < 0
    asked = one_of(used.code, _BY_INDICATOR) & batch.professional[used.line]
    in_force, row = facts.mpfs_in_force[used.line], facts.mpfs_code[used.line]
    gaps = (
        ("no_release" if table.loaded else "no_dataset", without_table),
        ("no_release", asked & ~in_force),
        ("no_row", asked & in_force & (row < 0)),
    )
    sides = gap_of(reference.listing("sided_procedures"), reason="no_list_of_sides")
    return sides + tuple(
        NotEvaluated(reason, _lines(used.line[mask], len(lines)))
        for reason, mask in gaps
        if mask.any()
    )


def _lines(rows: Ints, lines: int) -> Bools:
    mask = np.zeros(lines, np.bool_)
    mask[rows] = True
    return mask
