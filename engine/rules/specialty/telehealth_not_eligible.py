"""Services that are not paid as telehealth, or not in this way."""

from typing import Final

import numpy as np

from engine.codes import code36
from engine.columns import LOB_MEDICARE_FFS, Batch, Bools, Dates, Ints, one_of
from engine.policy import Params
from engine.reference import Reference
from engine.rules.bills import bill_is_of
from engine.rules.listed import gap_of
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
    example,
    line,
    rule,
)
from engine.rules.specialty.telehealth import (
    AUDIO_VIDEO,
    PLACE_HOME,
    is_listed_for,
    of_business,
    telehealth_lines,
)

_NONE, _NOT_LISTED, _AUDIO_ONLY, _NOT_METHOD_II, _OUTSIDE_WINDOW = range(-1, 4)
_METHOD_II_BILLS: Final = ("085",)
_METHOD_II_REVENUE: Final = tuple(map(code36, ("096", "097", "098")))
"""Professional fees of a critical access hospital that has elected to bill them."""


@rule(
    id="SPECIALTY_TELEHEALTH_NOT_ELIGIBLE",
    category=Category.SPECIALTY,
    scope=Scope.LINE,
    severity=Severity.MEDIUM,
    weight=0.13,
    action=Action.PEND,
    certainty=Certainty.APPLY,
    variants={
        "not_listed": Variant(),
        "audio_only": Variant(),
        "not_method_ii": Variant(),
        "outside_window": Variant(),
    },
    carc="96",
    cites="SSA 1834(m); 42 CFR 410.78; Medicare Claims Processing Manual ch. 12 s. 190",
    datasets=("telehealth_procedures",),
    params={"home_from": 20200306, "home_until": 20271231, "audio_only_modifiers": ("93", "FQ")},
    evidence={
        "procedure": Kind.CODE,
        "place_of_service": Kind.POS,
        "type_of_bill": Kind.CODE,
        "line_of_business": Kind.NAME,
    },
    names={
        "line_of_business": (
            "unknown",
            "Medicare",
            "Medicare Advantage",
            "Medicaid",
            "commercial",
            "other",
        )
    },
    caveat="[U] Under current law the home is a place of the patient through 2027-12-31 (days as "
    "YYYYMMDD in `home_from` and `home_until`); beyond it for the codes whose row says "
    "`home_always`. FQ is read as sound alone, as 93 is (`audio_only_modifiers`); that the patient "
    "could not or would not use video is what they say, and is not checked. Places other than the "
    "home (rural area, originating site) and GQ outside Alaska and Hawaii are not judged. A line "
    "of business without a list of its own is not evaluated. Also known as "
    "SPECIALTY_TELEHEALTH_CODE.",
    examples=[
        example(
            "a knee replacement at home",
            line("27447", pos="10"),
            hit=True,
            hit_lines=(1,),
            variant="not_listed",
        ),
        example("a visit by video, the patient at home", line("99213-95", pos="10")),
        example("a visit by video, the patient elsewhere", line("99213-95", pos="02")),
        example(
            "the modifier alone makes it telehealth",
            line("27447-95", pos="22"),
            hit=True,
            variant="not_listed",
        ),
        example("stored and forwarded", line("27447-GQ", pos="22"), hit=True, variant="not_listed"),
        example(
            "FQ on a code that is not listed",
            line("27447-FQ", pos="22"),
            hit=True,
            variant="not_listed",
        ),
        example("the same code in person", line("27447", pos="22")),
        example("audio only, the patient at home", line("99213-93", pos="10")),
        example(
            "audio only, the patient elsewhere: Medicare asks for the home",
            line("99213-93", pos="02"),
            hit=True,
            variant="audio_only",
        ),
        example("a commercial payer does not", line("99213-93", pos="02"), line_of_business=4),
        example(
            "audio only on a service that has to be seen",
            line("97110-93", pos="10"),
            hit=True,
            variant="audio_only",
        ),
        example(
            "FQ is sound alone too",
            line("97110-FQ", pos="10"),
            hit=True,
            variant="audio_only",
        ),
        example(
            "where FQ is not read so",
            line("97110-FQ", pos="10"),
            params={"audio_only_modifiers": ("93",)},
        ),
        example("the same by video", line("97110-95", pos="10")),
        example(
            "GT on a professional claim to Medicare",
            line("99213-GT", pos="10"),
            hit=True,
            variant="not_method_ii",
        ),
        example("GT to a commercial payer", line("99213-GT", pos="10"), line_of_business=4),
        example(
            "GT by a critical access hospital, method II",
            line("99213-GT", revenue_code="0981"),
            institutional=True,
            tob="0851",
        ),
        example(
            "GT by the same hospital, not for a professional fee",
            line("99213-GT", revenue_code="0510"),
            institutional=True,
            tob="0851",
            hit=True,
            variant="not_method_ii",
        ),
        example(
            "GT by another hospital",
            line("99213-GT", revenue_code="0981"),
            institutional=True,
            hit=True,
            variant="not_method_ii",
        ),
        example(
            "the last day of the window",
            line("99213-95", pos="10", day="2027-12-31"),
            received="2028-01-10",
        ),
        example(
            "after the window the home is no place of the patient",
            line("99213-95", pos="10", day="2028-01-01"),
            received="2028-01-10",
            hit=True,
            variant="outside_window",
        ),
        example(
            "psychotherapy at home goes on",
            line("90834-95", pos="10", day="2028-01-01"),
            received="2028-01-10",
        ),
        example(
            "after the window, the patient elsewhere",
            line("99213-95", pos="02", day="2028-01-01"),
            received="2028-01-10",
        ),
        example(
            "a law that extends the window is a parameter",
            line("99213-95", pos="10", day="2028-01-01"),
            received="2028-01-10",
            params={"home_until": 20291231},
        ),
        example(
            "the window binds Medicare only",
            line("99213-95", pos="10", day="2028-01-01"),
            received="2028-01-10",
            line_of_business=4,
        ),
        example(
            "listed from 2026 on",
            line("90849-95", pos="10", day="2026-01-01"),
            received="2026-01-10",
        ),
        example(
            "before it was listed",
            line("90849-95", pos="10", day="2025-12-31"),
            received="2026-01-10",
            hit=True,
            variant="not_listed",
        ),
        example(
            "Medicare lists it, the commercial payer does not",
            line("97110-95", pos="10"),
            line_of_business=4,
            hit=True,
            variant="not_listed",
        ),
        example(
            "Medicaid has no list loaded: not evaluated",
            line("27447-95", pos="10"),
            line_of_business=3,
        ),
        example("a visit in the office", line("99213")),
    ],
)
def find(batch: Batch, reference: Reference, params: Params) -> Hits:
    """A line is telehealth, but its code, modifier, place or day is not paid so."""
    listing, lines = reference.listing("telehealth_procedures"), batch.lines
    row = telehealth_lines(batch)
    if not len(row) or not listing.loaded:
        return Hits.none(*gap_of(listing))
    day, business = lines.service_from[row], batch.claims.line_of_business[lines.claim[row]]
    spoken_of = is_listed_for(listing, business, day)
    found = of_business(listing.match(lines.procedure[row], day), business).first(len(row))
    audio, home = (found >= 0) & np.stack(
        [listing.columns[name][found] for name in ("audio_only", "home_always")]
    )
    medicare = business == LOB_MEDICARE_FFS
    place = lines.place_of_service[row]
    at_home = place == PLACE_HOME
    elsewhere = ~at_home & (place >= 0)
    by_ear = _carries(batch, row, *map(code36, params.words("audio_only_modifiers")))
    faults = (
        spoken_of & (found < 0),
        spoken_of & by_ear & (~audio | (medicare & elsewhere)),
        medicare & _carries(batch, row, AUDIO_VIDEO) & ~_method_ii(batch, row),
        medicare & at_home & ~home & ~_in_window(day, lines.claim[row], params),
    )
    fault = np.full(len(lines), _NONE)
    fault[row] = np.select(
        faults, [_NOT_LISTED, _AUDIO_ONLY, _NOT_METHOD_II, _OUTSIDE_WINDOW], _NONE
    )
    silent = np.zeros(len(lines), np.bool_)
    silent[row] = ~spoken_of
    return Hits.on_lines(
        batch,
        fault != _NONE,
        variant=fault,
        evidence={
            "procedure": lines.procedure,
            "place_of_service": lines.place_of_service,
            "type_of_bill": batch.of_line(batch.claims.type_of_bill),
            "line_of_business": batch.of_line(batch.claims.line_of_business),
        },
        not_evaluated=(NotEvaluated("no_list", lines=silent),) if silent.any() else (),
    )


def _carries(batch: Batch, row: Ints, *modifiers: int) -> Bools:
    carried: Bools = np.isin(batch.lines.modifiers[row], modifiers)
    return np.logical_or.reduce(carried, axis=1)


def _method_ii(batch: Batch, row: Ints) -> Bools:
    """Lines for professional fees on a bill of a critical access hospital."""
    bill = batch.claims.type_of_bill[batch.lines.claim[row]]
    professional = one_of(batch.lines.revenue[row] // 36, _METHOD_II_REVENUE)
    return bill_is_of(bill, _METHOD_II_BILLS) & professional


def _in_window(day: Dates, claim: Ints, params: Params) -> Bools:
    """Days on which the law lets the patient be at home, whatever the service."""
    month = day.astype("datetime64[M]")
    year = day.astype("datetime64[Y]")
    written = (
        (year.astype(np.int64) + 1970) * 10_000
        + ((month - year).astype(np.int64) + 1) * 100
        + (day - month).astype(np.int64)
        + 1
    )
    within: Bools = (params["home_from"][claim] <= written) & (
        written <= params["home_until"][claim]
    )
    return within
