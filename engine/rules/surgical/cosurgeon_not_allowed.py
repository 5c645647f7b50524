"""Two surgeons at a surgery that pays one."""

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from engine.columns import PROFESSIONAL, Batch, Bools, Ints, one_of
from engine.facts import Facts
from engine.past import Past
from engine.reference import Reference
from engine.rules.earlier import EARLIER_EVIDENCE, named
from engine.rules.pairs import hits_on_pairs, pairs_within
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    NotEvaluated,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)
from engine.rules.surgical.roles import CO_SURGEON, ROLE_EVIDENCE, ROLE_VARIANTS, find_role

_TWO_SPECIALTIES: Final = 2
_SAME_SPECIALTY: Final = 3


@rule(
    id="SURGICAL_COSURGEON_NOT_ALLOWED",
    category=Category.SURGICAL,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.13,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="54",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.8; MPFS co-surgeon indicator",
    variants={
        **ROLE_VARIANTS,
        "same_specialty": Variant(action=Action.PEND, certainty=Certainty.ADVISE),
    },
    datasets=("mpfs",),
    evidence={**ROLE_EVIDENCE, **EARLIER_EVIDENCE},
    uses_history=True,
    caveat="Indicator 2 asks for two specialties: the other surgeon's line with 62, of the same "
    "member, code and day, is sought on this claim and on earlier ones, whatever became of them; "
    "until it is there, or while a specialty is unknown, that is not evaluated. [U] Two surgeons "
    "of one specialty are left to a person. Indicator 9 is MODIFIER_INVALID's.",
    examples=[
        example(
            "indicator 0: never paid",
            line("29881-62"),
            hit=True,
            hit_lines=(1,),
            variant="never_paid",
        ),
        example(
            "indicator 1: paid with records, none announced",
            line("27447-62"),
            hit=True,
            variant="needs_records",
        ),
        example(
            "indicator 1 with records on the line",
            line("27447-62", has_documentation=True),
            hit=True,
            variant="documented",
        ),
        example("indicator 2: the other surgeon has not billed yet", line("63030-62")),
        example(
            "indicator 2: the other surgeon is of another specialty",
            line("63030-62"),
            rendering_provider={"npi": "1003000126", "specialty": "14"},
            earlier=[
                claim_before(
                    line("63030-62"),
                    npi="1184722773",
                    rendering_provider={"npi": "1184722773", "specialty": "20"},
                )
            ],
        ),
        example(
            "indicator 2: the other surgeon is of the same specialty",
            line("63030-62"),
            rendering_provider={"npi": "1003000126", "specialty": "20"},
            earlier=[
                claim_before(
                    line("63030-62"),
                    npi="1184722773",
                    rendering_provider={"npi": "1184722773", "specialty": "20"},
                )
            ],
            hit=True,
            hit_lines=(1,),
            variant="same_specialty",
        ),
        example(
            "indicator 2: both on one bill of their group, of one specialty",
            line("63030-62", rendering_provider={"npi": "1003000126", "specialty": "20"}),
            line("63030-62", rendering_provider={"npi": "1184722773", "specialty": "20"}),
            hit=True,
            hit_lines=(1, 2),
            variant="same_specialty",
        ),
        example(
            "indicator 2: both on one bill, of two specialties",
            line("63030-62", rendering_provider={"npi": "1003000126", "specialty": "14"}),
            line("63030-62", rendering_provider={"npi": "1184722773", "specialty": "20"}),
        ),
        example(
            "the same surgeon's other bill is no partner",
            line("63030-62"),
            rendering_provider={"npi": "1003000126", "specialty": "20"},
            earlier=[
                claim_before(
                    line("63030-62"), rendering_provider={"npi": "1003000126", "specialty": "20"}
                )
            ],
        ),
        example(
            "the other surgeon billed without 62",
            line("63030-62"),
            rendering_provider={"npi": "1003000126", "specialty": "20"},
            earlier=[
                claim_before(
                    line("63030"), rendering_provider={"npi": "1184722773", "specialty": "20"}
                )
            ],
        ),
        example("a single surgeon", line("29881")),
        example("indicator 9 is another rule's", line("36415-62")),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, past: Past) -> Hits:
    """A line bills a co-surgeon where the code never pays two, with records, or two specialties."""
    indicator = reference.mpfs.co_surgeon
    hits = find_role(batch, facts, CO_SURGEON, indicator)
    billed = batch.professional & batch.has_modifier(*CO_SURGEON.modifiers)
    of_two = np.flatnonzero(billed & (indicator[facts.mpfs_code] == _TWO_SPECIALTIES))
    hits = replace(hits, evidence={**hits.evidence, **named(past, np.full(len(hits), -1))})
    if not len(of_two):
        return hits
    partners = _joined(_on_claim(batch, of_two), _on_earlier_claims(batch, past, of_two))
    known = (batch.lines.specialty[partners.line] > 0) & (partners.specialty > 0)
    differ = partners.specialty != batch.lines.specialty[partners.line]
    lines = len(batch.lines)
    two_kinds = _mask(partners.line[known & differ], lines)
    same = partners.take(known & ~differ & ~two_kinds[partners.line])
    one_kind = _mask(same.line, lines)
    unknown = _mask(partners.line[~known], lines) & ~two_kinds & ~one_kind
    alone = _mask(of_two, lines) & ~_mask(partners.line, lines)
    of_one_kind = hits_on_pairs(
        batch,
        same.line,
        same.partner,
        rank=np.zeros(len(same.line), np.int64),
        variant=np.full(len(same.line), _SAME_SPECIALTY),
        evidence={
            "modifier": np.full(len(same.line), CO_SURGEON.modifiers[0]),
            "indicator": np.full(len(same.line), _TWO_SPECIALTIES),
            **named(past, same.earlier),
        },
        not_evaluated=(
            NotEvaluated("no_partner_claim", alone),
            NotEvaluated("no_specialty", unknown),
        ),
    )
    return Hits.joined(hits, of_one_kind)


class _Partners(NamedTuple):
    """Lines of co-surgeons, each with one of another. Shapes are (pairs,)."""

    line: Ints
    partner: Ints
    """Row of the other's line in the pass; -1 where it is on another claim."""
    earlier: Ints
    """Row of it in `Past.lines`; -1 where it is on the same claim."""
    specialty: Ints

    def take(self, keep: Bools) -> "_Partners":
        """Return the pairs of the mask."""
        return _Partners(*(column[keep] for column in self))


def _on_claim(batch: Batch, rows: Ints) -> _Partners:
    lines = batch.lines
    line, other = pairs_within(lines.claim, rows, rows)
    partner = lines.procedure[line] == lines.procedure[other]
    partner &= lines.service_from[line] == lines.service_from[other]
    partner &= lines.rendering_npi[line] != lines.rendering_npi[other]
    line, other = line[partner], other[partner]
    return _Partners(line, other, np.full(len(line), -1, np.int64), lines.specialty[other])


def _on_earlier_claims(batch: Batch, past: Past, rows: Ints) -> _Partners:
    lines, other = batch.lines, past.lines
    seen = past.pairs_of_day(batch, rows)
    partner = lines.procedure[seen.line] == other.procedure[seen.earlier]
    partner &= lines.rendering_npi[seen.line] != other.rendering_npi[seen.earlier]
    partner &= past.claims.type[other.claim[seen.earlier]] == PROFESSIONAL
    partner &= one_of(other.modifiers[seen.earlier], CO_SURGEON.modifiers).any(axis=1)
    seen = seen.where(partner)
    return _Partners(
        seen.line,
        np.full(len(seen), -1, np.int64),
        seen.earlier,
        other.specialty[seen.earlier],
    )


def _joined(one: _Partners, other: _Partners) -> _Partners:
    return _Partners(*(np.concatenate(columns) for columns in zip(one, other, strict=True)))


def _mask(rows: Ints, lines: int) -> Bools:
    mask = np.zeros(lines, np.bool_)
    mask[rows] = True
    return mask
