"""A service that another claim of the day has too."""

from typing import Final

import numpy as np

from engine.codes import ABSENT, code36
from engine.columns import PROFESSIONAL, Batch, Bools, Ints, rows_where
from engine.past import Past, SeenPairs
from engine.policy import Params
from engine.reference import ANATOMIC, DISTINCT, REPEAT, Reference
from engine.rules.duplicate.claims import IN_PROCESS, are_repeated
from engine.rules.earlier import EARLIER_EVIDENCE, named
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
    claim_before,
    example,
    line,
    rule,
)

_PARTS: Final = ("26", "TC", "54", "55", "56", "62", "66", "80", "81", "82", "AS")


@rule(
    id="DUPLICATE_CROSS_CLAIM",
    category=Category.DUPLICATE,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    families=(Family.DUPLICATE,),
    carc="18",
    cites="Medicare Claims Processing Manual ch. 1 s. 120",
    datasets=("ncci_modifiers",),
    params={"part_modifiers": _PARTS, "again_modifiers": ("27",)},
    evidence={
        **EARLIER_EVIDENCE,
        "earlier_state": Kind.NAME,
        "charge_cents": Kind.CENTS,
        "units": Kind.UNITS,
        "earlier_charge_cents": Kind.CENTS,
        "earlier_units": Kind.UNITS,
        "equal_lines": Kind.COUNT,
    },
    names={"earlier_state": IN_PROCESS},
    uses_history=True,
    caveat="[U] What tells two services apart: modifiers of repeats (76, 77, 91), 59 and "
    "X{E,P,S,U} and `again_modifiers` on either line, other modifiers of side or digit, other "
    "`part_modifiers` (components, split care, roles at a surgery), another drug code, for "
    "facilities another revenue code. Claims whose review is open count.",
    examples=[
        example(
            "the whole test on two claims of a day",
            line("93000"),
            earlier=[claim_before(line("93000", charge=90))],
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "the physician's part and the hospital's",
            line("93010"),
            earlier=[claim_before(line("93005", revenue_code="0730"), institutional=True)],
        ),
        example(
            "26 of the physician and the hospital's own bill of one code",
            line("71046-26"),
            earlier=[claim_before(line("71046-TC", revenue_code="0324"), institutional=True)],
        ),
        example(
            "26 and TC of one group on two claims",
            line("71046-26"),
            earlier=[claim_before(line("71046-TC"))],
        ),
        example(
            "the same part twice",
            line("71046-26"),
            earlier=[claim_before(line("71046-26", charge=90))],
            hit=True,
        ),
        example(
            "equal claims are another rule's",
            line("93000"),
            earlier=[claim_before(line("93000"))],
        ),
        example(
            "one claim is equal, another shares a service",
            line("93000"),
            earlier=[claim_before(line("93000")), claim_before(line("93000", charge=90))],
            hit=True,
        ),
        example(
            "the other claim is replaced by this one",
            line("93000"),
            earlier=[claim_before(line("93000", charge=90))],
            frequency_code="7",
            payer_claim_control_number="EARLIER-1",
        ),
        example(
            "only the line that both have",
            line("99213"),
            line("93000"),
            earlier=[claim_before(line("93000", charge=90))],
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "another day",
            line("93000"),
            earlier=[claim_before(line("93000", charge=90), day="2025-10-14")],
        ),
        example(
            "another provider",
            line("93000"),
            earlier=[claim_before(line("93000", charge=90), npi="1003000126")],
        ),
        example(
            "a colleague of the group and specialty is no other provider",
            line("93000"),
            rendering_provider={"npi": "1003000126", "specialty": "06"},
            earlier=[
                claim_before(
                    line("93000", charge=90),
                    rendering_provider={"npi": "1184722773", "specialty": "06"},
                )
            ],
            hit=True,
        ),
        example(
            "said to be a repeat",
            line("93000-76"),
            earlier=[claim_before(line("93000", charge=90))],
        ),
        example(
            "said to be distinct",
            line("20610-59"),
            earlier=[claim_before(line("20610", charge=90))],
        ),
        example(
            "the other side",
            line("20610-LT"),
            earlier=[claim_before(line("20610-RT", charge=90))],
        ),
        example(
            "the same side",
            line("20610-RT"),
            earlier=[claim_before(line("20610-RT", charge=90))],
            hit=True,
        ),
        example(
            "the surgeon and the assistant",
            line("27447-AS"),
            earlier=[claim_before(line("27447"))],
        ),
        example(
            "packages of two makers",
            line("J1885", ndc="00000000001"),
            earlier=[claim_before(line("J1885", ndc="00000000002", charge=90))],
        ),
        example(
            "two cost centres of a hospital",
            line("99284", revenue_code="0450"),
            institutional=True,
            earlier=[claim_before(line("99284", revenue_code="0981"), institutional=True)],
        ),
        example(
            "a second visit to the hospital that day, said so",
            line("99284-27", revenue_code="0450"),
            institutional=True,
            earlier=[
                claim_before(line("99284", revenue_code="0450", charge=90), institutional=True)
            ],
        ),
        example(
            "revenue lines without a code",
            line("", revenue_code="0270"),
            institutional=True,
            earlier=[claim_before(line("", revenue_code="0270", charge=90), institutional=True)],
        ),
    ],
)
def find(batch: Batch, reference: Reference, past: Past, params: Params) -> Hits:
    """A service stands on another claim of the member, day and provider; nothing sets it apart."""
    lines, other = batch.lines, past.lines
    seen = past.pairs_of_day(batch, rows_where(lines.procedure > 0))
    seen = seen.where(lines.procedure[seen.line] == other.procedure[seen.earlier])
    seen = seen.where(past.same_provider(batch, seen))
    if len(seen):
        seen = seen.where(~_of_equal_claims(batch, past, seen))
    if not len(seen):
        return Hits.none()
    one, two = lines.modifiers[seen.line], other.modifiers[seen.earlier]
    bare = ((one == ABSENT) & (two == ABSENT)).all(axis=1)
    judged = bare | reference.ncci_modifiers.loaded
    unjudged = np.zeros(len(lines), np.bool_)
    unjudged[seen.line[~judged]] = True
    apart = _apart(reference, params, one, two) | _other_item(batch, past, seen)
    seen = seen.where(judged & ~apart)
    line, first, count = np.unique(seen.line, return_index=True, return_counts=True)
    earlier = seen.earlier[first]
    return Hits(
        claim=lines.claim[line],
        line_hit=np.arange(len(line)),
        line=line,
        evidence={
            **named(past, earlier),
            "earlier_state": past.claims.in_process[other.claim[earlier]].astype(np.int64),
            "charge_cents": lines.charge_cents[line],
            "units": lines.units_milli[line],
            "earlier_charge_cents": other.charge_cents[earlier],
            "earlier_units": other.units_milli[earlier],
            "equal_lines": count,
        },
        not_evaluated=(NotEvaluated("no_dataset", lines=unjudged),),
    )


def _of_equal_claims(batch: Batch, past: Past, seen: SeenPairs) -> Bools:
    """Pairs of lines whose claims are equal as a whole: DUPLICATE_EXACT says so."""
    claim, earlier = batch.lines.claim[seen.line], past.lines.claim[seen.earlier]
    key = claim.astype(np.int64) * len(past.claims) + earlier
    pair, place = np.unique(key, return_inverse=True)
    equal = are_repeated(batch, past, pair // len(past.claims), pair % len(past.claims))
    repeated: Bools = equal[place]
    return repeated


def _apart(reference: Reference, params: Params, one: Ints, two: Ints) -> Bools:
    """Pairs of lines whose modifiers say that they are two services; shapes (pairs, 4)."""
    groups1, groups2 = reference.ncci_modifiers.group(one), reference.ncci_modifiers.group(two)
    again = [code36(text) for text in params.words("again_modifiers")]
    said = ((groups1 | groups2) & (REPEAT | DISTINCT) != 0).any(axis=1)
    said |= (np.isin(one, again) | np.isin(two, again)).any(axis=1)
    parts = [code36(text) for text in params.words("part_modifiers")]
    place1 = np.where((groups1 & ANATOMIC != 0) | np.isin(one, parts), one, ABSENT)
    place2 = np.where((groups2 & ANATOMIC != 0) | np.isin(two, parts), two, ABSENT)
    said |= (np.sort(place1, axis=1) != np.sort(place2, axis=1)).any(axis=1)
    return said


def _other_item(batch: Batch, past: Past, seen: SeenPairs) -> Bools:
    """Pairs of lines of two drugs, or of two cost centres of a facility."""
    lines, other = batch.lines, past.lines
    ndc, others = lines.ndc[seen.line], other.ndc[seen.earlier]
    centre = lines.revenue[seen.line] != other.revenue[seen.earlier]
    facility = batch.claims.type[lines.claim[seen.line]] != PROFESSIONAL
    item: Bools = ((ndc != 0) & (others != 0) & (ndc != others)) | (facility & centre)
    return item
