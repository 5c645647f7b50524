"""Services that need a prior authorization and have none that fits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.codes import code36
from engine.columns import INSTITUTIONAL, Batch, Bools, Ints, Table, distinct_values, rows_where
from engine.facts import Facts
from engine.joins import equal_in
from engine.members import Authorizations, Members, holds_on, rows_about
from engine.past import Past
from engine.policy import Params
from engine.reference import Reference
from engine.rules.eligibility.consume import fitting
from engine.rules.eligibility.plans import rows_by_plan
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
    example,
    line,
    rule,
)
from engine.tables.listing import ANY, ANY_PLACE

_FOUND: Final = (
    "none",
    "number_not_on_file",
    "other_code",
    "other_provider",
    "not_approved",
    "not_begun",
    "expired",
    "decided_too_late",
    "exhausted",
    "too_few_units",
    "taken_by_earlier_lines",
)
"""What there is instead of an authorization that fits, the nearest last."""
(
    _NONE, _NOT_ON_FILE, _OTHER_CODE, _OTHER_PROVIDER, _NOT_APPROVED, _NOT_BEGUN, _EXPIRED, _LATE,
    _EXHAUSTED, _TOO_FEW, _TAKEN,
) = range(len(_FOUND))  # fmt: skip
_FITS: Final = len(_FOUND)
_NAMED: Final = len(_FOUND) + 1
"""What the number that the claim names adds to how near an authorization is."""
_EMERGENCY_PLACE: Final = 23
_EMERGENCY_ROOM: Final = (code36("0450"), code36("0459"))
_UNLIMITED: Final = 1 << 50

_BRAIN = {"number": "AUTH1", "code_first": "70551", "code_last": "70553"}
_OPEN = {**_BRAIN, "effective": "2025-10-01", "termination": "2025-12-31", "units_milli": 1000}
_A: Final[Mapping[str, Any]] = {"insurance_plan_id": "SAMPLE-PLAN-A"}


@rule(
    id="ELIGIBILITY_NO_AUTH",
    category=Category.ELIGIBILITY,
    scope=Scope.LINE,
    severity=Severity.HIGH,
    weight=0.16,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    carc="197",
    cites="plan terms; Medicare DMEPOS: 42 CFR 414.234",
    datasets=("authorization_requirements",),
    params={"retro_days": 0},
    evidence={
        "found": Kind.NAME,
        "units_left": Kind.UNITS,
        "requested": Kind.UNITS,
        "authorized_from": Kind.DATE,
        "authorized_to": Kind.DATE,
        "decided": Kind.DATE,
    },
    names={"found": _FOUND},
    caveat=(
        "An authorization may be decided up to `retro_days` after the service [U]. The provider of "
        "an authorization is compared with who renders, bills and houses the service. Earlier "
        "lines of the claim and earlier claims of the message take units first; claims of earlier "
        "messages count as the payer has entered them. A bill with an emergency room line (revenue "
        "045x) is exempt like place 23."
    ),
    examples=[
        example("a scan that needs leave, and there is none", line("70553"), **_A,
            on_file={"authorizations": []}, hit=True, hit_lines=(1,)),
        example("one unit is left", line("70553"), **_A, on_file={"authorizations": [_OPEN]}),
        example("no unit is left", line("70553"), **_A,
            on_file={"authorizations": [{**_OPEN, "used_milli": 1000}]}, hit=True),
        example("two units asked for where one is left", line("70553", units=2), **_A,
            on_file={"authorizations": [_OPEN]}, hit=True),
        example("the first line takes the only unit", line("70553"), line("70551"), **_A,
            on_file={"authorizations": [_OPEN]}, hit=True, hit_lines=(2,)),
        example("a second authorization serves the second line", line("70553"), line("70551"), **_A,
            on_file={"authorizations": [_OPEN, {**_OPEN, "number": "AUTH2"}]}),
        example("an authorization without limit", line("70553"), line("70551"), **_A,
            on_file={"authorizations": [{**_OPEN, "units_milli": -1}]}),
        example("the number on the claim leads to one that has expired", line("70553"), **_A,
            prior_authorization_number="AUTH1",
            on_file={"authorizations": [{**_OPEN, "termination": "2025-10-14"}]}, hit=True),
        example("on its last day", line("70553"), **_A,
            on_file={"authorizations": [{**_OPEN, "termination": "2025-10-15"}]}),
        example("it begins the day after", line("70553"), **_A,
            on_file={"authorizations": [{**_OPEN, "effective": "2025-10-16"}]}, hit=True),
        example("the number on the claim is not on file", line("70553"), **_A,
            prior_authorization_number="AUTH9", on_file={"authorizations": []}, hit=True),
        example("another number on the claim than the one that fits", line("70553"), **_A,
            prior_authorization_number="AUTH9", on_file={"authorizations": [_OPEN]}),
        example("an authorization for another code", line("70553"), **_A,
            on_file={"authorizations": [{**_OPEN, "code_first": "72148", "code_last": "72148"}]},
            hit=True),
        example("for another provider", line("70553"), **_A,
            on_file={"authorizations": [{**_OPEN, "npi": "1003000126"}]}, hit=True),
        example("for the one who renders it", line("70553", npi="1003000126"), **_A,
            on_file={"authorizations": [{**_OPEN, "npi": "1003000126"}]}),
        example("an authorization that was refused", line("70553"), **_A,
            on_file={"authorizations": [{**_OPEN, "approved": False}]}, hit=True),
        example("decided two days after the service", line("70553"), **_A,
            on_file={"authorizations": [{**_OPEN, "decided": "2025-10-17"}]}, hit=True),
        example("the same where the plan leaves three days for it", line("70553"), **_A,
            on_file={"authorizations": [{**_OPEN, "decided": "2025-10-17"}]},
            params={"retro_days": 3}),
        example("an emergency", line("70553", emergency_indicator=True), **_A,
            on_file={"authorizations": []}),
        example("in an emergency room", line("70553", pos="23"), **_A,
            on_file={"authorizations": []}),
        example("on a hospital's bill with an emergency room line",
            line("70553", revenue_code="0611"), line("99284", revenue_code="0450"), **_A,
            institutional=True, on_file={"authorizations": []}),
        example("a place where the plan asks for none", line("E0601", pos="21"), **_A,
            on_file={"authorizations": []}),
        example("at home it does", line("E0601", pos="12"), **_A,
            on_file={"authorizations": []}, hit=True),
        example("another plan", line("70553"), insurance_plan_id="SAMPLE-PLAN-B",
            on_file={"authorizations": []}),
        example("equipment on Medicare's own list, whatever the plan", line("K0856", pos="12"),
            on_file={"authorizations": []}, hit=True),
        example("the same for another payer", line("K0856", pos="12"), insurance_type="CI",
            on_file={"authorizations": []}),
        example("no authorizations are loaded", line("70553"), **_A),
    ],
)  # fmt: skip
def find(
    batch: Batch,
    reference: Reference,
    facts: Facts,
    past: Past,
    members: Members,
    params: Params,
) -> Hits:
    """The plan asks for an authorization, and none fits member, code, provider, day and units."""
    listing, authorizations = (
        reference.listing("authorization_requirements"),
        members.authorizations,
    )
    if not listing.loaded or authorizations is None:
        return Hits.none(NotEvaluated("no_dataset"))
    asked = _lines_that_need_one(batch, reference, facts, members)
    if not len(asked):
        return Hits.none(*gap_of(listing))
    pairs = _compare(batch, authorizations, asked, params["retro_days"])
    served = _serve(batch, past, authorizations, asked, pairs)
    lacking = asked[~served]
    if not len(lacking):
        return Hits.none()
    return _hits(batch, authorizations, lacking, pairs.take(~served[pairs.place]))


@dataclass(frozen=True, slots=True)
class _Pairs(Table):
    """Lines that need an authorization, each with every one that its member has."""

    place: Ints
    """Place of the line among those that need one."""
    line: Ints
    row: Ints
    """Row of the authorization."""
    named: Bools
    """The line, or its claim, gives the number."""
    nearness: Ints
    """The first thing that does not fit, as a place in _FOUND; _FITS where only units may lack."""


def _lines_that_need_one(
    batch: Batch, reference: Reference, facts: Facts, members: Members
) -> Ints:
    found = rows_by_plan(reference.listing("authorization_requirements"), batch, facts, members)
    place, line_of_business = found["place_of_service"], found["line_of_business"]
    own_place = batch.lines.place_of_service[found.place]
    own_business = batch.of_line(batch.claims.line_of_business)[found.place]
    needs = found.where(
        ((place == ANY_PLACE) | (place == own_place))
        & ((line_of_business == ANY) | (line_of_business == own_business))
    ).found(len(batch.lines))
    if not needs.any():
        return np.empty(0, np.int64)
    return rows_where(needs & ~_emergency(batch))


def _emergency(batch: Batch) -> Bools:
    lines = batch.lines
    first, last = _EMERGENCY_ROOM
    room = (lines.revenue >= first) & (lines.revenue <= last)
    room &= batch.of_line(batch.claims.type) == INSTITUTIONAL
    emergency: Bools = lines.emergency | (lines.place_of_service == _EMERGENCY_PLACE)
    return emergency | batch.of_line(batch.any_line(room))


def _compare(batch: Batch, authorizations: Authorizations, asked: Ints, retro_days: Ints) -> _Pairs:
    """Hold every line that needs an authorization against all that its member has."""
    lines, claims, table = batch.lines, batch.claims, authorizations
    place, row = rows_about(table.member, claims.member[lines.claim[asked]])
    line = asked[place]
    claim = lines.claim[line]
    code, day, npi = lines.procedure[line], lines.service_from[line], table.npi[row]
    last_code = np.maximum(table.code_first, table.code_last)[row]
    same_code = (table.code_first[row] == ANY) | (
        (table.code_first[row] <= code) & (code <= last_code)
    )
    providers = (
        lines.rendering_npi[line], claims.billing_npi[claim],
        lines.facility_npi[line], claims.facility_npi[claim],
    )  # fmt: skip
    same_provider = (npi == ANY) | np.logical_or.reduce([npi == each for each in providers])
    late = table.decided[row] > day + retro_days[claim].astype("timedelta64[D]")
    nearness = np.select(
        [
            ~same_code,
            ~same_provider,
            ~table.approved[row],
            table.effective[row] > day,
            ~holds_on(table.effective[row], table.termination[row], day),
            late,
        ],
        [_OTHER_CODE, _OTHER_PROVIDER, _NOT_APPROVED, _NOT_BEGUN, _EXPIRED, _LATE],
        default=_FITS,
    )
    named = (table.number[row] != ANY) & (table.number[row] == lines.authorization[line])
    return _Pairs(place, line, row, named, nearness)


def _left(authorizations: Authorizations) -> Ints:
    """Units that are left of each authorization, in thousandths."""
    limited = authorizations.units_milli >= 0
    left = authorizations.units_milli - authorizations.used_milli
    return np.where(limited, np.maximum(left, 0), _UNLIMITED)


def _serve(
    batch: Batch, past: Past, authorizations: Authorizations, asked: Ints, pairs: _Pairs
) -> Bools:
    """Give lines units of authorizations that fit, first come first; which lines got some.

    A line draws on the one that it names, else on the one with most units; a line that this one
    does not serve tries its next. Each claim sees the units as the payer has them, less what
    earlier claims of its message and its own earlier lines take.
    """
    lines, left = batch.lines, _left(authorizations)
    fits = pairs.take(pairs.nearness == _FITS)
    order = np.lexsort((fits.row, -left[fits.row], ~fits.named, fits.place))
    choice_place, choice = fits.place[order], fits.row[order]
    viewer, taker = _takers(batch, past, asked)
    begin = choice_place.searchsorted(taker)
    width = choice_place.searchsorted(taker, side="right") - begin
    place = np.repeat(np.arange(len(taker)), width)
    turn = np.arange(len(place)) - np.repeat(np.cumsum(width) - width, width)
    row = choice[turn + np.repeat(begin, width)]
    purses, purse = np.unique(viewer[place] * (len(left) + 1) + row, return_inverse=True)
    purse_left = left[purses % (len(left) + 1)]
    served = np.zeros(len(taker), np.bool_)
    for number in range(int(width.max(initial=0))):
        trying = rows_where((turn == number) & ~served[place])
        request = lines.units_milli[asked[taker[place[trying]]]]
        got = fitting(purse[trying], request, purse_left)
        served[place[trying[got]]] = True
        used = np.bincount(purse[trying[got]], request[got], len(purse_left))
        purse_left = purse_left - used.astype(np.int64)
    own = viewer == lines.claim[asked[taker]]
    by_line = np.zeros(len(asked), np.bool_)
    by_line[taker[own]] = served[own]
    return by_line


def _takers(batch: Batch, past: Past, asked: Ints) -> tuple[Ints, Ints]:
    """Return each claim with the lines whose units it does not get: earlier claims', then its own.

    Lines are places in `asked`; claims of earlier messages are in what the payer has entered.
    """
    claim = batch.lines.claim[asked].astype(np.int64)
    viewer, earlier = past.claim_pairs(batch, distinct_values(claim), among=past.claim_message >= 0)
    other = batch.claims.ordinal.searchsorted(past.claim_ordinal[earlier])
    place, takers = equal_in(claim, other)
    viewers = np.concatenate([viewer[place], claim])
    takers = np.concatenate([takers, np.arange(len(asked))])
    order = np.lexsort((takers, viewers))
    return viewers[order], takers[order]


def _hits(batch: Batch, authorizations: Authorizations, lacking: Ints, pairs: _Pairs) -> Hits:
    """Hits on the lines that lack one, with the nearest that there is."""
    lines, count = batch.lines, len(batch.lines)
    left = _left(authorizations)[pairs.row]
    short = np.select(
        [left <= 0, left < lines.units_milli[pairs.line]], [_EXHAUSTED, _TOO_FEW], default=_TAKEN
    )
    nearness = np.where(pairs.nearness == _FITS, short, pairs.nearness)
    order = np.lexsort((pairs.row, nearness + _NAMED * pairs.named, pairs.line))
    last = rows_where(np.diff(pairs.line[order], append=-1))
    best = order[last]
    line, row = pairs.line[best], pairs.row[best]
    found, units_left = np.full(count, _NONE, np.int64), np.full(count, -1, np.int64)
    days = np.full((3, count), np.datetime64("NaT"), "datetime64[D]")
    found[line] = nearness[best]
    units_left[line] = np.where(left[best] < _UNLIMITED, left[best], -1)
    for each, column in zip(
        days,
        (authorizations.effective, authorizations.termination, authorizations.decided),
        strict=True,
    ):
        each[line] = column[row]
    names_one = np.zeros(count, np.bool_)
    names_one[pairs.line[pairs.named]] = True
    unknown = (lines.authorization != ANY) & ~names_one & (found <= _OTHER_CODE)
    found[unknown] = _NOT_ON_FILE
    mask = np.zeros(count, np.bool_)
    mask[lacking] = True
    return Hits.on_lines(
        batch,
        mask,
        evidence={
            "found": found,
            "units_left": units_left,
            "requested": lines.units_milli,
            "authorized_from": days[0],
            "authorized_to": days[1],
            "decided": days[2],
        },
    )
