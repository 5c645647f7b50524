"""Services whose coverage policy does not know the diagnosis that they are given for."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.codes import code36
from engine.columns import INSTITUTIONAL, Batch, Bools, Ints, distinct_values, rows_where
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.coverage.policies import (
    CAVEAT,
    EVIDENCE,
    NAMES,
    is_prevailing,
    policies_of_lines,
    policy_evidence,
)
from engine.rules.diagnoses import diagnoses_of_lines
from engine.rules.listed import gap_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)
from engine.tables.code_sets import diagnosis_order
from engine.tables.listing import Listing, Matches
from engine.tables.listings import DIAGNOSIS_RULES

_NONE_COVERED, _PART_MISSING, _NON_COVERED = range(3)
_COVERED_RULE, _NON_COVERED_RULE = range(len(DIAGNOSIS_RULES))
_GA, _GZ = code36("GA"), code36("GZ")
_SHOWN: Final = 4
"""How many of the diagnoses that were compared a hit names."""
_LIABLE: Final = ("patient", "provider")
_MASSACHUSETTS: Final = {"npi": "1234567893", "entity_type": 2, "zip": "02101"}


@rule(
    id="LCD_MISMATCH",
    category=Category.COVERAGE,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.20,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    carc="50",
    cites="Social Security Act 1862(a)(1)(A); Medicare Program Integrity Manual ch. 13; "
    "42 CFR 405.1060 (national coverage determinations), 422.101(b)",
    variants={
        "none_covered": Variant(),
        "part_missing": Variant(),
        "non_covered": Variant(),
    },
    datasets=("coverage_policies", "coverage_diagnoses"),
    evidence={
        **EVIDENCE,
        "service_date": Kind.DATE,
        **{f"diagnosis_{n}": Kind.CODE for n in range(1, _SHOWN + 1)},
        "diagnoses_compared": Kind.COUNT,
        "policies_compared": Kind.COUNT,
        "liable": Kind.NAME,
    },
    names={**NAMES, "liable": _LIABLE},
    caveat=(
        f"{CAVEAT} GA and GZ say who is liable and leave the service as little covered as it is. "
        "A code without a policy, or whose policies list no diagnoses, is taken to be covered. "
        "A policy that lists none but diagnoses it does not cover leaves all others to the next "
        "level. One diagnosis that is not covered is enough, whatever stands beside it."
    ),
    examples=[
        example(
            "none of the pointed diagnoses is covered",
            line("83090"),
            line("99213"),
            dx=("Z0000",),
            hit=True,
            hit_lines=(1,),
            variant="none_covered",
        ),
        example("a covered diagnosis", line("83090"), dx=("I509",)),
        example("a more specific code of a covered family", line("83090"), dx=("I5022",)),
        example("another policy of the contractor covers it", line("83090"), dx=("E7211",)),
        example(
            "the covered diagnosis is on the claim and the line does not point to it",
            line("83090", dx=(1,)),
            dx=("Z0000", "I509"),
            hit=True,
        ),
        example(
            "one of two pointed ones is covered", line("83090", dx=(1, 2)), dx=("Z0000", "I509")
        ),
        example(
            "a facility's bill has no pointers: every diagnosis of it counts",
            line("83090"),
            institutional=True,
            dx=("Z0000", "I509"),
        ),
        example(
            "none of a facility's diagnoses is covered",
            line("83090"),
            institutional=True,
            dx=("Z0000", "E119"),
            hit=True,
        ),
        example(
            "another contractor's policy covers other diagnoses",
            line("83090"),
            dx=("I509",),
            billing_provider=_MASSACHUSETTS,
            hit=True,
        ),
        example(
            "what that contractor covers",
            line("83090"),
            dx=("D6851",),
            billing_provider=_MASSACHUSETTS,
        ),
        example(
            "before the policy began",
            line("83090"),
            dx=("Z0000",),
            day="2023-12-31",
            received="2024-01-05",
        ),
        example("no policy", line("83091"), dx=("Z0000",)),
        example(
            "a policy without a list of diagnoses", line("84153"), dx=("Z0000",), patient_sex="M"
        ),
        example("a code within a range of the policy", line("64555"), dx=("Z0000",), hit=True),
        example("the list of another code of the policy", line("64555"), dx=("N3941",), hit=True),
        example("the list of its own code", line("64561"), dx=("N3941",)),
        example(
            "two diagnoses are needed and both are there",
            line("78608", dx=(1, 2)),
            dx=("G309", "R413"),
        ),
        example(
            "two are needed and one is there",
            line("78608", dx=(1,)),
            dx=("G309", "R413"),
            hit=True,
            variant="part_missing",
        ),
        example(
            "a contractor covers it and the national policy does not",
            line("78608"),
            dx=("E119",),
            hit=True,
            variant="none_covered",
        ),
        example(
            "a diagnosis that the policy does not cover",
            line("76977"),
            dx=("Z0000",),
            hit=True,
            variant="non_covered",
        ),
        example("one that it says nothing of", line("76977"), dx=("E119",)),
        example(
            "the national policy does not cover it, whatever the contractor's says",
            line("78350"),
            dx=("Z1382",),
            hit=True,
            variant="non_covered",
        ),
        example(
            "the national policy says nothing of it, and the contractor's does not know it",
            line("78350"),
            dx=("E119",),
            hit=True,
            variant="none_covered",
        ),
        example("the contractor's covers it", line("78350"), dx=("M810",)),
        example(
            "a non-covered one beside another",
            line("76977", dx=(1, 2)),
            dx=("E119", "Z0000"),
            hit=True,
            variant="non_covered",
        ),
        example(
            "GA makes the patient liable and covers nothing",
            line("83090-GA"),
            dx=("Z0000",),
            hit=True,
        ),
        example("GZ makes the provider liable", line("83090-GZ"), dx=("Z0000",), hit=True),
        example(
            "Medicare's policy, another payer", line("83090"), dx=("Z0000",), insurance_type="CI"
        ),
        example(
            "a payer's own policy",
            line("83090"),
            dx=("I509",),
            insurance_type="CI",
            payer_id="SAMPLE-PAYER",
            hit=True,
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts) -> Hits:
    """A policy of the code covers no diagnosis of the line, or lists one as not covered."""
    policies = policies_of_lines(batch, reference, facts)
    listing = reference.listing("coverage_diagnoses")
    gaps = (*gap_of(reference.listing("coverage_policies"), listing), *policies.not_evaluated)
    if not len(policies.found) or not listing.loaded:
        return Hits.none(*gaps)
    judged = _judge(batch, listing, policies.found)
    pairs, count = judged.found, len(batch.lines)
    covered = pairs.where(judged.met).found(count)
    unmet = pairs.where(judged.needed).found(count) & ~covered
    partly = pairs.where(judged.partly).found(count)
    non_covered = pairs.where(judged.names_one).found(count)
    hit = unmet | non_covered
    if not hit.any():
        return Hits.none(*gaps, evaluated=judged.evaluated)
    variant = np.select(
        [non_covered, partly], [np.int64(_NON_COVERED), np.int64(_PART_MISSING)], _NONE_COVERED
    )
    speaking = pairs.where(np.where(non_covered[pairs.place], judged.names_one, judged.needed))
    return Hits.on_lines(
        batch,
        hit,
        variant=variant,
        evidence={
            **policy_evidence(speaking, count),
            **_evidence(batch, judged, rows_where(hit)),
        },
        not_evaluated=gaps,
        evaluated=judged.evaluated,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """Lines and the policies on their diagnoses that prevail. Shapes are mostly (pairs,)."""

    found: Matches
    needed: Bools
    """The policy lists diagnoses of which the line needs one, or one of each part."""
    met: Bools
    partly: Bools
    """It has a diagnosis of some part, and not of each."""
    names_one: Bools
    """The line has a diagnosis that the policy does not cover."""
    refused: tuple[Ints, Ints]
    """Lines, each with the row of a diagnosis that such a policy does not cover."""
    evaluated: Bools
    """Lines with a policy that lists diagnoses, shape (lines,)."""


def _judge(batch: Batch, listing: Listing, found: Matches) -> _Judged:
    """Hold each line against the diagnoses of its policies."""
    count = len(batch.lines)
    parts, lists = _parts_needed(batch, listing, found)
    found, parts = found.where(lists), parts[lists]
    place, diagnosis = diagnoses_of_lines(batch, found.place)
    listed = listing.match(
        diagnosis_order(batch.diagnoses.code[diagnosis]),
        batch.lines.service_from[found.place[place]],
        found["policy_key"][place],
    )
    listed = listed.where(
        listed.within("code", batch.lines.procedure[found.place[place[listed.place]]])
    )
    pair, row = place[listed.place], diagnosis[listed.place]
    covers, refuses = listed["rule"] == _COVERED_RULE, listed["rule"] == _NON_COVERED_RULE
    has = _count_parts(pair[covers], listed["part"][covers], len(found))
    names_one = np.bincount(pair[refuses], minlength=len(found)) > 0
    needed = parts > 0
    # A policy that is silent on the line's diagnoses leaves them to the next level.
    prevails = is_prevailing(found, needed | names_one, count)
    refused = refuses & prevails[pair]
    return _Judged(
        found=found.where(prevails),
        needed=needed[prevails],
        met=(needed & (has == parts))[prevails],
        partly=(needed & (has > 0) & (has < parts))[prevails],
        names_one=names_one[prevails],
        refused=(found.place[pair[refused]], row[refused]),
        evaluated=found.found(count),
    )


def _parts_needed(batch: Batch, listing: Listing, found: Matches) -> tuple[Ints, Bools]:
    """How many parts a policy's covered diagnoses have for the line; whether it lists any."""
    lists = listing.outlined(found["policy_key"], batch.lines.service_from[found.place])
    lists = lists.where(lists.within("code", batch.lines.procedure[found.place[lists.place]]))
    covers = lists["rule"] == _COVERED_RULE
    parts = _count_parts(lists.place[covers], lists["part"][covers], len(found))
    return parts, lists.found(len(found))


def _count_parts(pair: Ints, part: Ints, pairs: int) -> Ints:
    """Return how many different parts each pair has."""
    parts, number = np.unique(part, return_inverse=True)
    distinct = distinct_values(pair * max(len(parts), 1) + number)
    return np.bincount(distinct // max(len(parts), 1), minlength=pairs)


def _evidence(batch: Batch, judged: _Judged, line: Ints) -> dict[str, NDArray[Any]]:
    """What was compared on these lines, and who is liable; columns over all lines."""
    lines, count = batch.lines, len(batch.lines)
    place, row = diagnoses_of_lines(batch, line)
    place, row, turn = _in_order(batch, line, place, row, judged.refused)
    shown = np.zeros((_SHOWN, count), np.int64)
    first = turn < _SHOWN
    shown[turn[first], line[place[first]]] = batch.diagnoses.code[row[first]]
    compared = np.zeros(count, np.int64)
    compared[line] = np.bincount(place, minlength=len(line))
    liable = np.full(count, -1, np.int64)
    liable[batch.has_modifier(_GZ)] = _LIABLE.index("provider")
    liable[batch.has_modifier(_GA)] = _LIABLE.index("patient")
    return {
        "service_date": lines.service_from,
        **{f"diagnosis_{n}": column for n, column in enumerate(shown, 1)},
        "diagnoses_compared": compared,
        "policies_compared": np.bincount(judged.found.place, minlength=count),
        "liable": liable,
    }


def _in_order(
    batch: Batch, line: Ints, place: Ints, row: Ints, refused: tuple[Ints, Ints]
) -> tuple[Ints, Ints, Ints]:
    """Sort the diagnoses of each line as a reader wants them, and number them from 0.

    Those that are not covered come first; then it is as the line points, or as the bill lists.
    """
    lines, total = batch.lines, len(batch.diagnoses)
    sequence = batch.diagnoses.sequence[row]
    pointed = (lines.pointers[line[place]] == sequence[:, None]).argmax(axis=1)
    institutional = batch.claims.type[lines.claim[line[place]]] == INSTITUTIONAL
    named = np.isin(line[place] * total + row, refused[0] * total + refused[1])
    order = np.lexsort((np.where(institutional, sequence, pointed), ~named, place))
    place, row = place[order], row[order]
    start = place.searchsorted(np.arange(len(line)))
    return place, row, np.arange(len(place)) - start[place]
