"""A visit on the day of a surgery that already pays for it."""

from typing import Any, Final, NamedTuple

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Dates, Ints, one_of
from engine.facts import SURGICAL_DAYS, Facts, global_days_of
from engine.past import Past
from engine.reference import Reference
from engine.rules.earlier import EARLIER_EVIDENCE, PAID_BEFORE, named, paid_before
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

_MAJOR_DAYS: Final = 90
_VISIT, _PAID_BEFORE = 0, 1
_FOR_MINOR: Final = code36("25")
_FOR_MAJOR: Final = code36("57")
_NOT_THE_SURGEON: Final = tuple(map(code36, ("80", "81", "82", "AS", "62", "66", "55", "56")))


@rule(
    id="GLOBAL_SURGERY_NO_MODIFIER",
    category=Category.COVERAGE,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.DENY_LINE,
    certainty=Certainty.ADVISE,
    carc="97",
    cites="Medicare Claims Processing Manual ch. 12 s. 40.2 and 30.6.6",
    families=(Family.GLOBAL_SURGERY,),
    variants={"": Variant(), "paid_before": PAID_BEFORE},
    datasets=("mpfs", "evaluation_management"),
    evidence={
        "surgery": Kind.CODE,
        "global_days": Kind.COUNT,
        "days_before": Kind.COUNT,
        "needed_modifier": Kind.CODE,
        **EARLIER_EVIDENCE,
        "recovery_cents": Kind.CENTS,
    },
    uses_history=True,
    caveat="The days after a surgery are SURGICAL_GLOBAL_PERIOD's; where a service "
    "without global days (XXX) asks for 25, an edit of NCCI_PTP says so. Where the visit was paid "
    "on another claim its charge is what may come back. [U] No G code counts as a visit by "
    "default.",
    examples=[
        example(
            "a visit with a minor procedure", line("99213"), line("17110"), hit=True, hit_lines=(1,)
        ),
        example("25 on the visit", line("99213-25"), line("17110")),
        example(
            "25 on the procedure does not help",
            line("99213"),
            line("17110-25"),
            hit=True,
            hit_lines=(1,),
        ),
        example("57 does not stand for 25", line("99213-57"), line("17110"), hit=True),
        example(
            "a visit with a major surgery", line("99213"), line("27447"), hit=True, hit_lines=(1,)
        ),
        example("57 on the visit", line("99213-57"), line("27447")),
        example("25 does not stand for 57", line("99213-25"), line("27447"), hit=True),
        example(
            "the visit on the day before a major surgery",
            line("99213"),
            line("27447", day="2025-10-16"),
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "the visit on the day before a minor one",
            line("99213"),
            line("17110", day="2025-10-16"),
        ),
        example("two days before", line("99213"), line("27447", day="2025-10-17")),
        example("the day after", line("99213", day="2025-10-16"), line("27447", day="2025-10-15")),
        example(
            "a minor and a major one: each asks for its own",
            line("99213-25"),
            line("17110"),
            line("27447"),
            hit=True,
        ),
        example("both modifiers", line("99213-25-57"), line("17110"), line("27447")),
        example("an assistant's surgery does not count", line("99213"), line("27447-AS")),
        example("postoperative care alone does not count", line("99213"), line("27447-55")),
        example("another provider's surgery", line("99213"), line("17110", npi="1003000126")),
        example("a code without a global period", line("99213"), line("71046")),
        example(
            "the surgery was billed on a claim of its own",
            line("99213"),
            earlier=[claim_before(line("17110"))],
            hit=True,
            hit_lines=(1,),
            variant="",
        ),
        example("the same with 25", line("99213-25"), earlier=[claim_before(line("17110"))]),
        example(
            "a major surgery of the next day was billed before",
            line("99213"),
            earlier=[claim_before(line("27447"), day="2025-10-16")],
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "a minor one of the next day",
            line("99213"),
            earlier=[claim_before(line("17110"), day="2025-10-16")],
        ),
        example(
            "the visit of the day before was paid: a person looks at what may come back",
            line("27447"),
            earlier=[claim_before(line("99213"), day="2025-10-14")],
            hit=True,
            hit_lines=(1,),
            variant="paid_before",
        ),
        example(
            "it carried 57",
            line("27447"),
            earlier=[claim_before(line("99213-57"), day="2025-10-14")],
        ),
        example(
            "it was two days before",
            line("27447"),
            earlier=[claim_before(line("99213"), day="2025-10-13")],
        ),
        example(
            "it was another provider's",
            line("27447"),
            earlier=[claim_before(line("99213"), day="2025-10-14", npi="1003000126")],
        ),
        example(
            "the assistant's claim after the visit",
            line("27447-AS"),
            earlier=[claim_before(line("99213"), day="2025-10-14")],
        ),
        example(
            "the assistant's claim before it",
            line("99213"),
            earlier=[claim_before(line("27447-AS"))],
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, past: Past) -> Hits:
    """A visit by the surgeon on the day of a surgery, or before a major one, lacks 25 or 57."""
    lines, professional = batch.lines, batch.professional
    visit_lines = professional & facts.visit
    surgery_lines = professional & facts.surgical & ~facts.visit
    surgery_lines &= ~batch.has_modifier(*_NOT_THE_SURGEON)
    visit, surgery = pairs_within(
        lines.claim, np.flatnonzero(visit_lines), np.flatnonzero(surgery_lines)
    )
    here = _pairs(
        lines.service_from[visit],
        lines.modifiers[visit],
        lines.procedure[surgery],
        facts.global_days[surgery],
        lines.service_from[surgery],
    )
    lacking = here.lacking & (lines.provider[visit] == lines.provider[surgery])
    here, visit, surgery = here.take(lacking), visit[lacking], surgery[lacking]
    there, line, earlier = _surgeries_elsewhere(batch, reference, past, visit_lines)
    row = np.concatenate([visit, line])
    columns: list[Any] = [np.concatenate(each) for each in zip(here, there, strict=True)]
    both = _Pairs(*columns)
    hits = hits_on_pairs(
        batch,
        row,
        np.concatenate([surgery, np.full(len(line), -1)]),
        rank=-both.global_days,
        variant=np.full(len(row), _VISIT),
        evidence={
            **both.evidence,
            **named(past, np.concatenate([np.full(len(visit), -1), earlier])),
            "recovery_cents": np.full(len(row), -1),
        },
        not_evaluated=(NotEvaluated("no_release", visit_lines & ~facts.mpfs_in_force),),
    )
    return Hits.joined(hits, _visits_elsewhere(batch, reference, facts, past, surgery_lines))


class _Pairs(NamedTuple):
    """Visits and surgeries. Shapes are (pairs,)."""

    surgery: Ints
    """Code of the surgery."""
    global_days: Ints
    days_before: Ints
    """How many days before the surgery the visit was."""
    needed: Ints
    """The modifier that the visit needs."""
    lacking: Bools
    """The surgery pays for the day of the visit, which lacks the modifier."""

    def take(self, keep: Bools) -> "_Pairs":
        """Return the pairs of the mask."""
        columns: tuple[Any, ...] = self
        return _Pairs(*(column[keep] for column in columns))

    @property
    def evidence(self) -> dict[str, Ints]:
        """What is shown of the pairs."""
        return {
            "surgery": self.surgery,
            "global_days": self.global_days,
            "days_before": self.days_before,
            "needed_modifier": self.needed,
        }


def _pairs(
    visit_day: Dates, visit_modifiers: Ints, surgery: Ints, global_days: Ints, surgery_day: Dates
) -> _Pairs:
    days = (surgery_day - visit_day).astype(np.int64)
    major = global_days == _MAJOR_DAYS
    needed = np.where(major, _FOR_MAJOR, _FOR_MINOR)
    lacks = (visit_modifiers != needed[:, None]).all(axis=1)
    paid_for = (days == 0) | (major & (days == 1))
    return _Pairs(surgery, global_days, days, needed, lacks & paid_for)


def _surgeries_elsewhere(
    batch: Batch, reference: Reference, past: Past, visits: Bools
) -> tuple[_Pairs, Ints, Ints]:
    """Visits of the pass with a paid surgery of another claim: pairs, visit, surgery."""
    lines, other = batch.lines, past.lines
    rows = np.flatnonzero(visits) if len(past) else np.empty(0, np.int64)
    day = lines.service_from[rows]
    seen = past.counted(past.pairs(batch, rows, day, day + 1))
    seen = seen.where(past.same_provider(batch, seen))
    code, operated = other.procedure[seen.earlier], other.service_from[seen.earlier]
    global_days = global_days_of(reference, code, operated)
    surgeon = ~one_of(other.modifiers[seen.earlier], _NOT_THE_SURGEON).any(axis=1)
    surgery = one_of(global_days, SURGICAL_DAYS) & surgeon
    surgery &= ~reference.evaluation_management.contains(code, operated)
    pairs = _pairs(
        lines.service_from[seen.line], lines.modifiers[seen.line], code, global_days, operated
    )
    hit = surgery & pairs.lacking
    return pairs.take(hit), seen.line[hit], seen.earlier[hit]


def _visits_elsewhere(
    batch: Batch, reference: Reference, facts: Facts, past: Past, surgeries: Bools
) -> Hits:
    """Surgeries of the pass whose visit was paid on another claim."""
    lines, other = batch.lines, past.lines
    rows = np.flatnonzero(surgeries) if len(past) else np.empty(0, np.int64)
    day = lines.service_from[rows]
    seen = past.counted(past.pairs(batch, rows, day - 1, day))
    seen = seen.where(past.same_provider(batch, seen))
    seen = seen.where(
        reference.evaluation_management.contains(
            other.procedure[seen.earlier], other.service_from[seen.earlier]
        )
    )
    pairs = _pairs(
        other.service_from[seen.earlier],
        other.modifiers[seen.earlier],
        lines.procedure[seen.line],
        facts.global_days[seen.line],
        lines.service_from[seen.line],
    )
    seen, pairs = seen.where(pairs.lacking), pairs.take(pairs.lacking)
    return paid_before(
        batch,
        past,
        seen.line,
        seen.earlier,
        rank=-pairs.global_days,
        case=_PAID_BEFORE,
        evidence=pairs.evidence,
    )
