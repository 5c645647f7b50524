"""Parts of a service billed beside the whole, or a panel billed by its members."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Dates, Ints, distinct_values, rows_where
from engine.facts import SETTING_HOSPITAL, Facts
from engine.joins import equal_in
from engine.policy import Params
from engine.reference import Reference
from engine.rules.listed import ListedPairs, gap_of, pairs_with_rows, rows_of_lines
from engine.rules.ncci.pair_edits import FoundPairs
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Family,
    Hits,
    Kind,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)
from engine.tables.listing import Listing
from engine.tables.listings import BUNDLES

_COMPONENTS, _PANEL = range(2)
_PANEL_ROWS: Final = BUNDLES.index("panel")
_CODE_BITS: Final = 32
_BASIC_PANEL: Final = tuple(
    line(code) for code in ("82310", "82374", "82435", "82565", "82947", "84132", "84295", "84520")
)

_COMPREHENSIVE_PANEL: Final = (
    *_BASIC_PANEL,
    *(line(code) for code in ("82040", "82247", "84075", "84155", "84450", "84460")),
)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Lines that are parts of something. Shapes are (parts,)."""

    line: Ints
    whole: Ints
    """What they are part of: the whole's line, or a number of session and panel."""
    code: Ints
    """The code that stands for them."""


@rule(
    id="SPECIALTY_UNBUNDLING",
    category=Category.SPECIALTY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.16,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    families=(Family.BUNDLING,),
    variants={"components": Variant(), "panel": Variant()},
    carc="97",
    cites="NCCI Policy Manual ch. I s. B-H; CPT panels of laboratory tests",
    datasets=("comprehensive_procedures",),
    params={"modifiers_distinct": ("59", "XE", "XP", "XS", "XU", "91")},
    evidence={"comprehensive": Kind.CODE, "components": Kind.COUNT, "service_date": Kind.DATE},
    caveat="[U] A component with 59, an X modifier or 91 is taken for a service of its own "
    "(`modifiers_distinct`). A pair that an edit in force names, in either order and whatever its "
    "indicator, is left to NCCI_PTP. Panels with alternative members are not told apart: all rows "
    "of a panel count. A line that is billed beside its whole, or that a larger panel takes, is no "
    "member of another panel. Only lines of one claim, day and provider are compared.",
    examples=[
        example(
            "all eight members of a basic metabolic panel",
            *_BASIC_PANEL,
            hit=True,
            hit_lines=(1, 2, 3, 4, 5, 6, 7, 8),
            variant="panel",
        ),
        example("two of eight", *_BASIC_PANEL[:2]),
        example(
            "seven of eight, but all four of an electrolyte panel",
            *_BASIC_PANEL[1:],
            hit=True,
            hit_lines=(1, 2, 5, 6),
            variant="panel",
        ),
        example(
            "a comprehensive panel, and direct bilirubin: no hepatic panel beside it",
            *_COMPREHENSIVE_PANEL,
            line("82248"),
            hit=True,
            hit_lines=tuple(range(1, 15)),
            variant="panel",
        ),
        example(
            "members on two days",
            *_BASIC_PANEL[:7],
            line("84520", day="2025-10-16"),
            hit=True,
            hit_lines=(2, 3, 6, 7),
        ),
        example(
            "one of eight by another laboratory",
            *_BASIC_PANEL[:7],
            line("84520", npi="1003000126"),
            hit=True,
            hit_lines=(2, 3, 6, 7),
        ),
        example(
            "a member that was repeated, said by 91, is no member",
            *_BASIC_PANEL[1:6],
            line("84295-91"),
            line("84520"),
        ),
        example("the panel", line("80048")),
        example(
            "the panel and one of its members",
            line("80048"),
            line("82947"),
            hit=True,
            hit_lines=(2,),
            variant="components",
        ),
        example("the panel, and glucose once more", line("80048"), line("82947-91")),
        example(
            "the panel and all of its members",
            line("80048"),
            *_BASIC_PANEL,
            hit=True,
            hit_lines=(2, 3, 4, 5, 6, 7, 8, 9),
            variant="components",
        ),
        example(
            "a tracing beside the whole electrocardiogram",
            line("93000"),
            line("93005"),
            hit=True,
            hit_lines=(2,),
            variant="components",
        ),
        example("its two parts without the whole are no panel", line("93005"), line("93010")),
        example("the tracing on another day", line("93000"), line("93005", day="2025-10-16")),
        example("the tracing by another provider", line("93000"), line("93005", npi="1003000126")),
        example(
            "the whole after its part, and the part of it after that",
            line("93005"),
            line("93000"),
            line("93010"),
            hit=True,
            hit_lines=(1, 3),
            variant="components",
        ),
        example("a separate tracing", line("93000"), line("93005-XE")),
        example("an edit names the pair: NCCI_PTP owns it", line("45385"), line("45380")),
        example("even if a modifier bypasses the edit", line("45385"), line("45380-59")),
        example(
            "no edit for practitioners", line("94060"), line("94010"), hit=True, hit_lines=(2,)
        ),
        example("an edit for hospitals", line("94060"), line("94010"), institutional=True),
        example(
            "an inpatient bill is paid by stay",
            line("93000"),
            line("93005"),
            institutional=True,
            tob="0111",
        ),
        example(
            "no edits are loaded for the day: not evaluated",
            line("93000", day="2010-10-15"),
            line("93005", day="2010-10-15"),
            received="2010-10-20",
        ),
    ],
)
def find(
    batch: Batch, reference: Reference, facts: Facts, pair_edits: FoundPairs, params: Params
) -> Hits:
    """Parts are billed beside the comprehensive code, or all members of a panel without it."""
    listing = reference.listing("comprehensive_procedures")
    component = _components(batch, listing, facts, pair_edits, params)
    if not len(component):
        return Hits.none(*gap_of(listing), *pair_edits.lines.not_evaluated)
    pairs = _with_wholes(batch, listing, facts, component)
    beside = _beside_whole(batch, reference, facts, pairs)
    # What its whole or an edit accounts for already is no member of another panel.
    panels = _panels(batch, listing, facts, np.setdiff1d(component, pairs.other))
    offset = len(batch.lines)
    line_of = np.concatenate([beside.line, panels.line])
    group = np.concatenate([beside.whole, panels.whole + offset])
    code = np.concatenate([beside.code, panels.code])
    order = np.lexsort((line_of, group))
    _, first, hit, count = np.unique(
        group[order], return_index=True, return_inverse=True, return_counts=True
    )
    lead = order[first]
    by_whole = rows_where(group[lead] < offset)
    return Hits(
        claim=batch.lines.claim[line_of[lead]],
        line_hit=hit,
        line=line_of[order],
        partner_hit=by_whole,
        partner=group[lead][by_whole],
        variant=np.where(group[lead] < offset, _COMPONENTS, _PANEL),
        evidence={
            "comprehensive": code[lead],
            "components": count,
            "service_date": batch.lines.service_from[line_of[lead]],
        },
        not_evaluated=pair_edits.lines.not_evaluated,
    )


def _components(
    batch: Batch, listing: Listing, facts: Facts, pair_edits: FoundPairs, params: Params
) -> Ints:
    """Lines whose code is a component of some row, and that are no service of their own."""
    known = np.isin(facts.distinct_codes, listing.columns["component"])
    if not known.any():
        return np.empty(0, np.int64)
    distinct = batch.has_modifier(*map(code36, params.words("modifiers_distinct")))
    return rows_where(known[facts.distinct_code] & ~distinct & pair_edits.lines.any)


def _with_wholes(batch: Batch, listing: Listing, facts: Facts, component: Ints) -> ListedPairs:
    """Wholes, each with its components of the day and provider."""
    pairs = pairs_with_rows(rows_of_lines(listing, batch, facts), facts.session, component)
    return pairs.where(pairs.row["component"] == batch.lines.procedure[pairs.other])


def _beside_whole(batch: Batch, reference: Reference, facts: Facts, pairs: ListedPairs) -> _Parts:
    """Components beside a whole with which no edit names them."""
    pairs = pairs.where(~_edited(batch, reference, facts, pairs.line, pairs.other))
    # A component beside two wholes is named once, with the first of them.
    part, first = np.unique(pairs.other, return_index=True)
    return _Parts(part, pairs.line[first], batch.lines.procedure[pairs.line[first]])


def _edited(batch: Batch, reference: Reference, facts: Facts, one: Ints, other: Ints) -> Bools:
    """Pairs of lines whose codes an edit in force names, in either order."""
    edited = np.zeros(len(one), np.bool_)
    hospital = facts.setting[one] == SETTING_HOSPITAL
    tables = ((reference.ptp_practitioner, ~hospital), (reference.ptp_hospital, hospital))
    for table, mask in tables:
        at = rows_where(mask)
        first, second = (batch.lines.procedure[row[at]] for row in (one, other))
        day = batch.lines.service_from[one[at]]
        edited[at] = (table.rows(first, second, day) >= 0) | (table.rows(second, first, day) >= 0)
    return edited


def _panels(batch: Batch, listing: Listing, facts: Facts, component: Ints) -> _Parts:
    """Members of panels that are there in full, each with the largest panel that it belongs to."""
    lines, columns = batch.lines, listing.columns
    rows = rows_where(columns["bundle"] == _PANEL_ROWS)
    rows = rows[np.argsort(columns["component"][rows], kind="stable")]
    member = columns["component"][rows]
    code = lines.procedure[component]
    place, at = equal_in(member, code)
    line_of, row = component[place], rows[at]
    day = lines.service_from[line_of]
    live = ~(columns["effective"][row] > day) & ~(columns["deletion"][row] < day)
    line_of, row = line_of[live], row[live]
    panel = columns["code_first"][row]
    key = (facts.session[line_of].astype(np.int64) << _CODE_BITS) | panel
    keys, first, group = np.unique(key, return_index=True, return_inverse=True)
    there = _distinct_per_group(group, columns["component"][row], len(keys))
    asked = _members(listing, panel[first], lines.service_from[line_of[first]])
    kept = rows_where((there == asked)[group])
    kept = kept[np.lexsort((kept, -asked[group[kept]], line_of[kept]))]
    kept = kept[np.unique(line_of[kept], return_index=True)[1]]
    # Two panels may share members; what a larger one has taken leaves the other incomplete.
    left = _distinct_per_group(group[kept], columns["component"][row[kept]], len(keys))
    kept = kept[(left == asked)[group[kept]]]
    return _Parts(line_of[kept], group[kept], panel[kept])


def _distinct_per_group(group: Ints, code: Ints, groups: int) -> Ints:
    pair = distinct_values((group.astype(np.int64) << _CODE_BITS) | code)
    return np.bincount(pair >> _CODE_BITS, minlength=groups)


def _members(listing: Listing, panel: Ints, day: Dates) -> Ints:
    """How many members each panel has on its day."""
    found = listing.match(panel, day)
    found = found.where(found["bundle"] == _PANEL_ROWS)
    # A tenant may name a member again that the rows for all tenants name.
    return _distinct_per_group(found.place, found["component"], len(panel))
