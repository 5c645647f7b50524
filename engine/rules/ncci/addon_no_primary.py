"""A code that is only paid beside another one, without that one."""

from itertools import chain

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Ints, one_of, rows_where
from engine.facts import SETTING_DME, SETTING_HOSPITAL, SETTING_PRACTITIONER, Facts
from engine.past import Past, SeenPairs
from engine.policy import Params
from engine.reference import CONTRACTOR_DEFINED, GLOBAL_ZZZ, TYPE_1, TYPE_2, TYPE_3, Reference
from engine.rules.earlier import EARLIER_EVIDENCE, first_of_lines, named
from engine.rules.ncci.served import served
from engine.rules.pairs import pair_blocks
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
    claim_before,
    example,
    line,
    rule,
)

_CLOSED_LIST, _OPEN_LIST, _SHARED = 0, 1, 2
_ABSENT, _DENIED, _UNDECIDED = 0, 1, 2


@rule(
    id="NCCI_ADDON_NO_PRIMARY",
    category=Category.NCCI,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.15,
    action=Action.DENY_LINE,
    certainty=Certainty.APPLY,
    carc="107/B15",
    cites="CMS NCCI add-on code edits (CR 7501); Medicare Claims Processing Manual ch. 12 s. 30",
    variants={
        "closed_list": Variant(),
        "open_list": Variant(action=Action.PEND, certainty=Certainty.ADVISE),
        "shared_care": Variant(certainty=Certainty.ADVISE),
    },
    datasets=("ncci_aoc",),
    params={"shared_care_codes": ("99292",)},
    evidence={
        "addon": Kind.CODE,
        "list": Kind.NAME,
        "primary": Kind.NAME,
        "listed_lines": Kind.COUNT,
        **EARLIER_EVIDENCE,
    },
    names={
        "list": ("closed", "open", "closed"),
        "primary": ("absent", "not payable", "not decided"),
    },
    uses_history=True,
    caveat="A listed primary code counts unless an edit of coding denies it for certain or it is "
    "itself an add-on without its primary; on another claim it counts if it was paid. A primary of "
    "the day before counts for none, also over midnight. The notes of "
    "the add-on file (facility only, practitioner only) are not read. The primary of "
    "`shared_care_codes` may stand on a bill of another physician of the group and specialty, so "
    "their hit only advises. [U] A primary that is an add-on with contractor-defined primaries "
    "counts as payable.",
    examples=[
        example(
            "without its primary code",
            line("11045"),
            hit=True,
            hit_lines=(1,),
            variant="closed_list",
        ),
        example("with its primary code", line("11042"), line("11045")),
        example(
            "without a primary code of an open list: a person decides",
            line("88311"),
            hit=True,
            hit_lines=(1,),
            variant="open_list",
        ),
        example("with a primary code of it", line("88305"), line("88311")),
        example("another level alone", line("64484"), hit=True, hit_lines=(1,)),
        example(
            "with another code than a listed one",
            line("11043"),
            line("11045"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "the primary on another day",
            line("11042"),
            line("11045", day="2025-10-16"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "the primary by another provider",
            line("11042"),
            line("11045", npi="1003000126"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "a primary that a pair edit denies is none",
            line("17110"),
            line("17000"),
            line("17003"),
            hit=True,
            hit_lines=(3,),
        ),
        example("the same, separated by 59", line("17110"), line("17000-59"), line("17003")),
        example(
            "a primary that is an add-on without its own",
            line("33508"),
            line("33518"),
            hit=True,
            hit_lines=(1, 2),
        ),
        example("the whole chain", line("33508"), line("33518"), line("33533")),
        example(
            "further critical care: the first hour may be a colleague's",
            line("99292"),
            hit=True,
            variant="shared_care",
        ),
        example(
            "critical care begun by a colleague on the same bill",
            line("99291", npi="1003000126"),
            line("99292"),
        ),
        example(
            "a primary beyond its limit by policy is none",
            line("17000", units=2),
            line("17003"),
            hit=True,
            hit_lines=(2,),
        ),
        example(
            "the primary on an earlier claim", line("11045"), earlier=[claim_before(line("11042"))]
        ),
        example(
            "the primary on an earlier claim of another provider",
            line("11045"),
            earlier=[claim_before(line("11042"), npi="1003000126")],
            hit=True,
            hit_lines=(1,),
        ),
        example(
            "the primary on an earlier claim of another day",
            line("11045"),
            earlier=[claim_before(line("11042"), day="2025-10-14")],
            hit=True,
        ),
        example(
            "the primary on a claim that was voided",
            line("11045"),
            earlier=[
                claim_before(line("11042")),
                claim_before(
                    line("11042"), frequency_code="8", payer_claim_control_number="EARLIER-1"
                ),
            ],
            hit=True,
        ),
        example(
            "a chain that begins on an earlier claim",
            line("33508"),
            line("33518"),
            earlier=[claim_before(line("33533"))],
        ),
        example(
            "critical care begun by a colleague of the group and specialty on a claim of their own",
            line("99292"),
            rendering_provider={"npi": "1003000126", "specialty": "11"},
            earlier=[
                claim_before(
                    line("99291"), rendering_provider={"npi": "1184722773", "specialty": "11"}
                )
            ],
        ),
        example(
            "critical care begun by another specialty of the group",
            line("99292"),
            rendering_provider={"npi": "1003000126", "specialty": "11"},
            earlier=[
                claim_before(
                    line("99291"), rendering_provider={"npi": "1184722773", "specialty": "06"}
                )
            ],
            hit=True,
            variant="shared_care",
        ),
        example("primaries that the contractor defines: not evaluated", line("61781")),
        example("a global period of ZZZ without an add-on row: not evaluated", line("G2211")),
        example("no add-on", line("99213")),
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
    """An add-on code stands without a payable primary code of the same day and provider."""
    addons, code, day = reference.addons, batch.lines.procedure, batch.lines.service_from
    settings = (SETTING_PRACTITIONER, SETTING_HOSPITAL, SETTING_DME)
    lines = served(batch, facts, ((addons, settings),))
    asked = rows_where(lines.any)
    types = np.zeros(len(code), np.uint8)
    may_be = rows_where(lines.any & addons.hold(facts.distinct_codes)[facts.distinct_code])
    types[may_be] = addons.types(code[may_be], day[may_be])
    shared = one_of(code, [code36(text) for text in params.words("shared_care_codes")])
    addon, primary = _listed_pairs(batch, reference, facts, rows_where(types), asked, shared)
    elsewhere = _listed_elsewhere(batch, reference, past, rows_where(types), shared)
    paid_elsewhere = _mask(past.counted(elsewhere).line, len(code))
    supported = _supported(types, addon, primary, ~denied, paid_elsewhere)
    missing = (types > 0) & ~supported
    contractor = missing & (types & CONTRACTOR_DEFINED != 0)
    rowless = lines.any & (types == 0) & (facts.global_days == GLOBAL_ZZZ)
    listed = np.bincount(addon, minlength=len(code))
    closed = types & (TYPE_1 | TYPE_2 | TYPE_3) == TYPE_1
    variant = np.select([~closed, shared], [_OPEN_LIST, _SHARED], _CLOSED_LIST)
    row = rows_where(missing & ~contractor)
    of_hit = np.isin(addon, row)
    return Hits.on_groups(
        batch,
        row,
        row,
        variant=variant,
        evidence={
            "addon": code,
            "list": variant,
            "primary": _why_none(past, listed, elsewhere),
            "listed_lines": listed,
            **named(past, first_of_lines(elsewhere.line, elsewhere.earlier, len(code))),
        },
        partner=(primary[of_hit], addon[of_hit]),
        not_evaluated=(
            *lines.not_evaluated,
            NotEvaluated("contractor_defined", contractor),
            NotEvaluated("no_addon_row", rowless),
        ),
    )


def _listed_elsewhere(
    batch: Batch, reference: Reference, past: Past, addon: Ints, shared: Bools
) -> SeenPairs:
    """Pairs of an add-on line and a listed one of its day and provider on another claim.

    Where care is shared, a colleague of the group and specialty is enough.
    """
    if not len(past) or not len(addon):
        return SeenPairs.none()
    code, day = batch.lines.procedure, batch.lines.service_from
    seen = past.pairs_of_day(batch, addon)
    seen = seen.where(
        past.same_provider(batch, seen) | (shared[seen.line] & _colleagues(batch, past, seen))
    )
    other = past.lines.procedure[seen.earlier].astype(code.dtype)
    listed = reference.addons.accepts(code[seen.line], other, day[seen.line])
    return seen.where(listed & past.outpatient(seen))


def _colleagues(batch: Batch, past: Past, seen: SeenPairs) -> Bools:
    """Pairs billed by one group on the same form, unless the specialties are known to differ."""
    own, other = batch.lines.claim[seen.line], past.lines.claim[seen.earlier]
    biller = batch.claims.billing_npi[own]
    specialty, others = batch.lines.specialty[seen.line], past.lines.specialty[seen.earlier]
    apart = (specialty > 0) & (others > 0) & (specialty != others)
    group = (biller > 0) & (biller == past.claims.billing_npi[other])
    colleagues: Bools = group & ~apart & (batch.claims.type[own] == past.claims.type[other])
    return colleagues


def _why_none(past: Past, listed: Ints, elsewhere: SeenPairs) -> Ints:
    """What is the matter with the primary code of each line that has none which is payable."""
    why = np.where(listed > 0, _DENIED, _ABSENT)
    if len(elsewhere):
        open_ = past.claims.in_process[past.lines.claim[elsewhere.earlier]]
        why[elsewhere.line[~open_]] = _DENIED
        why[elsewhere.line[open_]] = _UNDECIDED
    return why


def _listed_pairs(
    batch: Batch, reference: Reference, facts: Facts, addon: Ints, other: Ints, shared: Bools
) -> tuple[Ints, Ints]:
    """Pairs of an add-on line and a listed line of its session, of its day where care is shared."""
    lines = batch.lines
    other = other[batch.any_line(_mask(addon, len(lines)))[lines.claim[other]]]
    blocks = chain(
        pair_blocks(facts.session, addon[~shared[addon]], other),
        pair_blocks(lines.claim, addon[shared[addon]], other),
    )
    found = [
        (left[listed], right[listed])
        for left, right in blocks
        for listed in [_listed(batch, reference, left, right)]
    ]
    left, right = map(np.concatenate, zip(*found, strict=True))
    return left, right


def _listed(batch: Batch, reference: Reference, addon: Ints, other: Ints) -> Bools:
    """Pairs of one day whose other code is on the list of the add-on."""
    code, day = batch.lines.procedure, batch.lines.service_from
    accepted = reference.addons.accepts(code[addon], code[other], day[addon])
    return accepted & (day[addon] == day[other])


def _supported(
    types: Ints, addon: Ints, primary: Ints, payable: Bools, paid_elsewhere: Bools
) -> Bools:
    """Add-on lines with a payable primary, which may be an add-on that is itself supported."""
    stands = (types == 0) | (types & CONTRACTOR_DEFINED != 0) | paid_elsewhere
    while True:
        here = _mask(addon[stands[primary] & payable[primary]], len(types))
        supported = here | paid_elsewhere
        if not (supported & ~stands).any():
            return supported
        stands = stands | supported


def _mask(rows: Ints, lines: int) -> Bools:
    mask = np.zeros(lines, np.bool_)
    mask[rows] = True
    return mask
