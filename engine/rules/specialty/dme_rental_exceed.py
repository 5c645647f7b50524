"""Equipment that is rented for longer, or for more, than is paid."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import Batch, Bools, Dates, Ints, rows_where
from engine.facts import Facts
from engine.joins import equal_in
from engine.past import Past
from engine.reference import Reference
from engine.rules.billers import month_of
from engine.rules.listed import gap_of, rows_of_lines
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    Scope,
    Severity,
    Variant,
    claim_before,
    example,
    line,
    rule,
)

_MONTHS, _PRICE = range(2)
_RENTAL: Final = code36("RR")
_LONG_AGO: Final = np.timedelta64(40_000, "D")


@rule(
    id="SPECIALTY_DME_RENTAL_EXCEED",
    category=Category.SPECIALTY,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.12,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    variants={"months": Variant(), "purchase_price": Variant()},
    carc="108",
    cites="42 CFR 414.229; Medicare Claims Processing Manual ch. 20 s. 30.5",
    datasets=("equipment_rentals",),
    evidence={
        "month": Kind.COUNT,
        "months_max": Kind.COUNT,
        "rented_cents": Kind.CENTS,
        "purchase_price_cents": Kind.CENTS,
        "earlier_claim": Kind.EARLIER_CLAIM,
    },
    uses_history=True,
    caveat="The month is the one that the line names, or one more than the months of earlier "
    "rentals of the code, on the claim and in history, whichever is later; history reaches back "
    "400 days. Rentals together are compared by charges.",
    examples=[
        example(
            "the fourteenth month of thirteen",
            line("E0601-RR", rental_month=14),
            hit=True,
            hit_lines=(1,),
            variant="months",
        ),
        example("the thirteenth", line("E0601-RR", rental_month=13)),
        example("an item that is sold", line("E0601-NU", rental_month=14)),
        example("marked as a rental without RR", line("E0601", is_rental=True, rental_month=14),
                hit=True),
        example(
            "the line names no month, but three were billed before and three are paid",
            line("E0445-RR"),
            earlier=[
                claim_before(line("E0445-RR", day=f"2025-{month:02d}-15")) for month in (7, 8, 9)
            ],
            hit=True,
        ),
        example(
            "three months on one claim, of which one was billed before",
            *(line("E0445-RR", day=f"2025-{month:02d}-15") for month in (8, 9, 10)),
            earlier=[claim_before(line("E0445-RR", day="2025-07-15"))],
            hit=True,
            hit_lines=(3,),
        ),
        example(
            "two lines of one month on one claim are one month",
            line("E0445-RR"),
            line("E0445-RR"),
            earlier=[
                claim_before(line("E0445-RR", day=f"2025-{month:02d}-15")) for month in (8, 9)
            ],
        ),
        example(
            "two lines of one claim are together above the purchase price",
            line("E0260-RR", charge=300, purchase_price_cents=50_000),
            line("E0260-RR", charge=300, purchase_price_cents=50_000),
            hit=True,
            hit_lines=(2,),
            variant="purchase_price",
        ),
        example(
            "two in one month are one month",
            line("E0445-RR"),
            earlier=[
                claim_before(line("E0445-RR", day=day))
                for day in ("2025-08-01", "2025-08-31", "2025-09-15")
            ],
        ),
        example(
            "another item does not count",
            line("E0445-RR"),
            earlier=[
                claim_before(line("E0601-RR", day=f"2025-{month:02d}-15")) for month in (7, 8, 9)
            ],
        ),
        example(
            "rentals together are above the purchase price",
            line("E0260-RR", charge=150, purchase_price_cents=50_000),
            earlier=[claim_before(line("E0260-RR", charge=400, day="2025-09-15"))],
            hit=True,
            variant="purchase_price",
        ),
        example(
            "exactly the purchase price",
            line("E0260-RR", charge=100, purchase_price_cents=50_000),
            earlier=[claim_before(line("E0260-RR", charge=400, day="2025-09-15"))],
        ),
        example(
            "a plan that does not cap rentals at the price of the item",
            line("E0601-RR", charge=150, purchase_price_cents=50_000),
            earlier=[claim_before(line("E0601-RR", charge=400, day="2025-09-15"))],
        ),
        example("no rule for the item", line("E1390-RR", rental_month=40)),
    ],
)  # fmt: skip
def find(batch: Batch, reference: Reference, facts: Facts, past: Past) -> Hits:
    """A rental is beyond the months that are paid, or beyond the price of the item."""
    listing, lines = reference.listing("equipment_rentals"), batch.lines
    found = rows_of_lines(listing, batch, facts)
    rented = lines.is_rental | batch.has_modifier(_RENTAL)
    found = found.where(rented[found.place])
    if not len(found):
        return Hits.none(*gap_of(listing))
    line_of, first = np.unique(found.place, return_index=True)
    months_max = found["months_max"][first]
    before, cents, claim = _rented_before(batch, past, line_of)
    month = np.maximum(lines.rental_month[line_of], before + 1)
    together = cents + lines.charge_cents[line_of]
    price = lines.purchase_price_cents[line_of]
    too_long: Bools = (months_max >= 0) & (month > months_max)
    too_dear = found["capped_at_purchase"][first] & (price > 0) & (together > price)
    over = rows_where(too_long | too_dear)
    return Hits(
        claim=lines.claim[line_of[over]],
        line_hit=np.arange(len(over)),
        line=line_of[over],
        variant=np.where(too_long[over], _MONTHS, _PRICE),
        evidence={
            "month": month[over],
            "months_max": months_max[over],
            "rented_cents": together[over],
            "purchase_price_cents": price[over],
            "earlier_claim": claim[over],
        },
        not_evaluated=gap_of(listing),
    )


def _rented_before(batch: Batch, past: Past, line: Ints) -> tuple[Ints, Ints, Ints]:
    """Months, charges and the last claim of earlier rentals of each line's item.

    Args:
        batch: The pass.
        past: Its past.
        line: Rows of the lines that rent something, ascending, shape (n,).
    """
    months, cents = np.zeros((2, len(line)), np.int64)
    claim = np.full(len(line), -1, np.int64)
    lines = batch.lines
    on: Dates = lines.service_from[line]
    pairs = past.counted(past.pairs(batch, line, on - _LONG_AGO, on))
    earlier = pairs.earlier
    rented = past.lines.is_rental[earlier] | (past.lines.modifiers[earlier] == _RENTAL).any(axis=1)
    same = past.lines.procedure[earlier] == batch.lines.procedure[pairs.line]
    pairs = pairs.where(rented & same)
    at, earlier = line.searchsorted(pairs.line), pairs.earlier
    # The lines of one claim before the line: of an earlier day, or named first on the same day.
    item = np.unique(np.stack([lines.claim[line], lines.procedure[line]]), axis=1,
        return_inverse=True)[1]  # fmt: skip
    order = np.argsort(item, kind="stable")
    place, found = equal_in(item[order], item)
    other = order[found]
    before = (on[other] < on[place]) | ((on[other] == on[place]) & (other < place))
    place, other = place[before], other[before]
    rental = np.concatenate([at, place])
    day = np.concatenate([past.lines.service_from[earlier], on[other]])
    charge = np.concatenate([past.lines.charge_cents[earlier], lines.charge_cents[line[other]]])
    distinct = np.unique(np.stack([rental, month_of(day)], axis=1), axis=0)
    current = distinct[:, 1] == month_of(on)[distinct[:, 0]]
    np.add.at(months, distinct[~current, 0], 1)
    np.add.at(cents, rental, charge)
    order = np.lexsort((past.lines.claim[earlier], past.lines.service_from[earlier], at))
    claim[at[order]] = past.lines.claim[earlier[order]]
    return months, cents, claim
