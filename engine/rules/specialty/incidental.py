"""Services that are paid within another one."""

from typing import Final

import numpy as np

from engine.columns import Batch, Bools, rows_where
from engine.facts import Facts
from engine.pricing.allowed import Allowed, PriceStatus
from engine.reference import Reference
from engine.rules.listed import ListedPairs, gap_of, pairs_with_rows, rows_of_lines
from engine.rules.pairs import pairs_within
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
    example,
    line,
    rule,
)

_ALWAYS, _BESIDE_PAYABLE, _LISTED = range(3)
_BUNDLED, _ONLY_ALONE = ord("B"), ord("T")
_STATUSES: Final = ("", "B", "T")


@rule(
    id="SPECIALTY_INCIDENTAL",
    category=Category.SPECIALTY,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.DENY_LINE,
    certainty=Certainty.ADVISE,
    families=(Family.BUNDLING,),
    variants={"always": Variant(), "beside_payable": Variant(), "listed": Variant()},
    carc="97",
    cites="Medicare Claims Processing Manual ch. 12 s. 20.3; MPFS status codes B and T",
    datasets=("mpfs", "incidental_procedures"),
    evidence={"procedure": Kind.CODE, "status": Kind.NAME, "other": Kind.CODE},
    names={"status": _STATUSES},
    caveat="The fee schedule speaks of professional lines only, by provider and day of one claim. "
    "Of several services of status T alone on their day the highest is paid. What a contract pays "
    "is not incidental by the fee schedule. A payer's own pairs are a table.",
    examples=[
        example(
            "a draw from a port beside a visit",
            line("36591"),
            line("99213"),
            hit=True,
            hit_lines=(1,),
            variant="beside_payable",
        ),
        example("the draw alone", line("36591")),
        example("the visit on another day", line("36591"), line("99213", day="2025-10-16")),
        example("the visit by another provider", line("36591"), line("99213", npi="1003000126")),
        example(
            "beside a laboratory test, which the schedule does not pay",
            line("36591"),
            line("80053"),
        ),
        example(
            "beside another bundled service",
            line("36591"),
            line("99000"),
            hit=True,
            hit_lines=(2,),
            variant="always",
        ),
        example(
            "handling of a specimen is never paid",
            line("99000"),
            hit=True,
            hit_lines=(1,),
            variant="always",
        ),
        example(
            "beside a visit neither",
            line("99000"),
            line("99213"),
            hit=True,
            hit_lines=(1,),
            variant="always",
        ),
        example("a hospital has no fee schedule of physicians", line("99000"), institutional=True),
        example(
            "no fee schedule is loaded for the day: not evaluated",
            line("99000", day="2010-10-15"),
            received="2010-10-20",
        ),
        example(
            "a payer's own pair",
            line("A6402"),
            line("11042"),
            hit=True,
            hit_lines=(1,),
            variant="listed",
        ),
        example("its service alone", line("A6402")),
        example("beside a service that does not include it", line("A6402"), line("99213")),
        example("on another day", line("A6402"), line("11042", day="2025-10-16")),
        example(
            "the pair ended",
            line("A6402", day="2026-07-01"),
            line("11042", day="2026-07-01"),
            received="2026-07-05",
        ),
        example(
            "pairs hold for hospitals too",
            line("A6402"),
            line("11042"),
            institutional=True,
            hit=True,
            hit_lines=(1,),
            variant="listed",
        ),
    ],
)
def find(batch: Batch, reference: Reference, facts: Facts, allowed: Allowed) -> Hits:
    """A service is bundled by its status, beside a payable one, or into another of the day."""
    lines, listing = batch.lines, reference.listing("incidental_procedures")
    letter = np.where(batch.professional, reference.mpfs.status[facts.mpfs], 0)
    always = (letter == _BUNDLED) & (allowed.status != PriceStatus.PRICED)
    alone = letter == _ONLY_ALONE
    beside = alone & (allowed.status == PriceStatus.BUNDLED)
    listed = _listed(batch, reference, facts)
    found = always | beside
    found[listed.line] = True
    gaps = (
        *gap_of(listing, reason="no_list"),
        NotEvaluated("no_price", lines=alone & (allowed.status == PriceStatus.NO_PRICE)),
        NotEvaluated(
            "no_release" if reference.mpfs.loaded else "no_dataset",
            lines=batch.professional & (lines.procedure > 0) & ~facts.mpfs_in_force,
        ),
    )
    if not found.any():
        return Hits.none(*gaps)
    row = rows_where(found)
    payable = rows_where(batch.professional & (allowed.status == PriceStatus.PRICED))
    left, right = pairs_within(facts.session, rows_where(beside), payable)
    left, right = np.concatenate([left, listed.line]), np.concatenate([right, listed.other])
    pair = np.unique(np.stack([left, right], axis=1), axis=0)
    other = np.zeros(len(lines), np.int64)
    other[pair[::-1, 0]] = lines.procedure[pair[::-1, 1]]
    variant = np.select([always, beside], [_ALWAYS, _BESIDE_PAYABLE], _LISTED)
    return Hits(
        claim=lines.claim[row],
        line_hit=np.arange(len(row)),
        line=row,
        partner_hit=row.searchsorted(pair[:, 0]),
        partner=pair[:, 1],
        variant=variant[row],
        evidence={
            "procedure": lines.procedure[row],
            "status": np.where(always, 1, np.where(beside, 2, 0))[row],
            "other": other[row],
        },
        not_evaluated=gaps,
    )


def _listed(batch: Batch, reference: Reference, facts: Facts) -> ListedPairs:
    """Lines that are incidental to another of their session, by the payer's pairs."""
    found = rows_of_lines(reference.listing("incidental_procedures"), batch, facts)
    coded: Bools = batch.lines.procedure > 0
    others = rows_where(coded) if len(found) else found.place
    pairs = pairs_with_rows(found, facts.session, others)
    return pairs.where(pairs.row.within("other", batch.lines.procedure[pairs.other]))
