"""A visit on the day of a surgery that already pays for it."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch
from engine.facts import Facts
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
    example,
    line,
    rule,
)

_MAJOR_DAYS: Final = 90
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
    datasets=("mpfs", "evaluation_management"),
    evidence={
        "surgery": Kind.CODE,
        "global_days": Kind.COUNT,
        "days_before": Kind.COUNT,
        "needed_modifier": Kind.CODE,
    },
    caveat="Surgeries on other claims are SURGICAL_GLOBAL_PERIOD's. "
    "[U] No G code counts as a visit by default.",
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
    ],
)
def find(batch: Batch, facts: Facts) -> Hits:
    """A visit by the surgeon on the day of a surgery, or before a major one, lacks 25 or 57."""
    lines, professional = batch.lines, batch.professional
    visit_lines = professional & facts.visit
    surgery_lines = professional & facts.surgical & ~facts.visit
    surgery_lines &= ~batch.has_modifier(*_NOT_THE_SURGEON)
    visit, surgery = pairs_within(
        lines.claim, np.flatnonzero(visit_lines), np.flatnonzero(surgery_lines)
    )
    days = (lines.service_from[surgery] - lines.service_from[visit]).astype(np.int64)
    major = facts.global_days[surgery] == _MAJOR_DAYS
    needed = np.where(major, _FOR_MAJOR, _FOR_MINOR)
    lacks = (lines.modifiers[visit] != needed[:, None]).all(axis=1)
    own = lines.provider[visit] == lines.provider[surgery]
    hit = own & lacks & ((days == 0) | (major & (days == 1)))
    visit, surgery = visit[hit], surgery[hit]
    return hits_on_pairs(
        batch,
        visit,
        surgery,
        rank=-facts.global_days[surgery],
        evidence={
            "surgery": lines.procedure[surgery],
            "global_days": facts.global_days[surgery],
            "days_before": days[hit],
            "needed_modifier": needed[hit],
        },
        not_evaluated=(NotEvaluated("no_release", visit_lines & ~facts.mpfs_in_force),),
    )
