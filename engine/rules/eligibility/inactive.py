"""Services on days on which the payer does not cover the member."""

from typing import Final

import numpy as np

from engine.columns import MISSING_PERSON_ID, Batch, Bools, Dates, Ints, rows_where
from engine.members import EligibilitySpans, Members, holds_on, rows_about
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Stake,
    Variant,
    example,
    line,
    rule,
)

_WHOLE_CLAIM, _SOME_LINES, _NOT_FOUND, _ENDS_WITHIN = range(4)
_UNKNOWN, _BEFORE, _BETWEEN, _AFTER, _WITHIN = range(5)
_STATUSES: Final = (
    "not_found",
    "before_coverage",
    "between_spans",
    "after_coverage",
    "ends_within",
)
_FIRST_DAY, _LAST_DAY = np.datetime64("0001-01-01", "D"), np.datetime64("9999-12-31", "D")

_UNTIL_MAY = {"payer": "PAYER", "effective": "2024-01-01", "termination": "2024-05-31"}
_FROM_JULY = {"payer": "PAYER", "effective": "2024-07-01"}


@rule(
    id="ELIGIBILITY_INACTIVE",
    category=Category.ELIGIBILITY,
    scope=Scope.CLAIM,
    severity=Severity.CRITICAL,
    weight=0.22,
    action=Action.DENY_CLAIM,
    certainty=Certainty.APPLY,
    carc="27",
    cites="plan terms; Medicare: 42 CFR 406 and 407 (entitlement), 42 CFR 424.5",
    stake=Stake.LINES,
    variants={
        "whole_claim": Variant(),
        "some_lines": Variant(action=Action.DENY_LINE),
        "not_found": Variant(),
        "ends_within": Variant(weight=0.10, action=Action.PEND, certainty=Certainty.ADVISE),
    },
    evidence={
        "status": Kind.NAME,
        "day": Kind.DATE,
        "covered_until": Kind.DATE,
        "covered_from": Kind.DATE,
    },
    names={"status": _STATUSES},
    caveat=(
        "[U] 42 CFR 424.5 as the ground for Medicare. Where only some lines are on days without "
        "coverage, these lines alone are denied. A member of whom the payer has no span at all is "
        "a case of its own (not_found), so that a policy may ask a person instead. A line of "
        "several days that begins under coverage and ends without is shown to a person; its first "
        "and its last day are compared, not those between."
    ),
    examples=[
        example(
            "the day after the coverage ended",
            line("99213"),
            day="2024-06-01",
            received="2024-06-10",
            on_file={"eligibility": [_UNTIL_MAY]},
            hit=True,
            hit_lines=(1,),
            variant="whole_claim",
        ),
        example(
            "the last day of the coverage",
            line("99213"),
            day="2024-05-31",
            received="2024-06-10",
            on_file={"eligibility": [_UNTIL_MAY]},
        ),
        example(
            "the first day of the coverage",
            line("99213"),
            day="2024-01-01",
            received="2024-06-10",
            on_file={"eligibility": [_UNTIL_MAY]},
        ),
        example(
            "the day before it",
            line("99213"),
            day="2023-12-31",
            received="2024-06-10",
            on_file={"eligibility": [_UNTIL_MAY]},
            hit=True,
        ),
        example(
            "in the gap between two spans",
            line("99213"),
            day="2024-06-15",
            received="2024-07-10",
            on_file={"eligibility": [_UNTIL_MAY, _FROM_JULY]},
            hit=True,
            variant="whole_claim",
        ),
        example(
            "in the second of two spans, which is open",
            line("99213"),
            day="2024-07-01",
            received="2024-07-10",
            on_file={"eligibility": [_UNTIL_MAY, _FROM_JULY]},
        ),
        example(
            "a member of whom the payer has no span",
            line("99213"),
            on_file={"eligibility": []},
            hit=True,
            variant="not_found",
        ),
        example(
            "a span with another payer",
            line("99213"),
            on_file={"eligibility": [{"payer": "OTHER", "effective": "2024-01-01"}]},
            hit=True,
            variant="not_found",
        ),
        example("nothing is loaded about members", line("99213")),
        example(
            "a claim of several days, of which the last is not covered",
            line("97110", day="2024-05-30"),
            line("97110", day="2024-05-31"),
            line("97110", day="2024-06-01"),
            received="2024-06-10",
            on_file={"eligibility": [_UNTIL_MAY]},
            hit=True,
            hit_lines=(3,),
            variant="some_lines",
        ),
        example(
            "a line that begins under coverage and ends without",
            line("A4253", day="2024-05-20", service_to_date="2024-06-19"),
            received="2024-06-30",
            on_file={"eligibility": [_UNTIL_MAY]},
            hit=True,
            hit_lines=(1,),
            variant="ends_within",
        ),
        example(
            "a line that runs on from one span into the next without a gap",
            line("A4253", day="2024-06-20", service_to_date="2024-07-19"),
            received="2024-07-30",
            on_file={
                "eligibility": [
                    {"payer": "PAYER", "effective": "2024-01-01", "termination": "2024-06-30"},
                    _FROM_JULY,
                ]
            },
        ),
        example(
            "an inpatient admitted under coverage that ended during the stay",
            line("", revenue_code="0120", day="2024-06-02"),
            institutional=True,
            tob="0111",
            day="2024-05-30",
            received="2024-06-20",
            service_to_date="2024-06-03",
            admission_date="2024-05-30",
            discharge_date="2024-06-03",
            on_file={"eligibility": [_UNTIL_MAY]},
        ),
        example(
            "an inpatient admitted before the coverage began",
            line("", revenue_code="0120", day="2024-07-02"),
            institutional=True,
            tob="0111",
            day="2024-06-28",
            received="2024-07-20",
            service_to_date="2024-07-03",
            admission_date="2024-06-28",
            discharge_date="2024-07-03",
            on_file={"eligibility": [_FROM_JULY]},
            hit=True,
            variant="whole_claim",
        ),
    ],
)
def find(batch: Batch, members: Members) -> Hits:
    """No span of the member's eligibility with the payer holds the day of service or admission."""
    spans = members.eligibility
    if spans is None:
        return Hits.none(NotEvaluated("no_dataset"))
    claims, lines = batch.claims, batch.lines
    unnamed = (claims.missing & MISSING_PERSON_ID) != 0
    nameless = (NotEvaluated("no_person_id", claims=unnamed),)
    first_day, last_day = _days(batch)
    asked = _not_within_one_span(batch, spans, first_day, last_day)
    asked = asked[~np.isnat(first_day[asked]) & ~unnamed[lines.claim[asked]]]
    begins = _covered(batch, spans, asked, first_day[asked])
    ends_covered = _covered(batch, spans, asked, last_day[asked])
    outside, longer = np.zeros((2, len(lines)), np.bool_)
    outside[asked[~begins]] = True
    longer[asked[begins & ~ends_covered & (last_day > first_day)[asked]]] = True
    row = rows_where(outside | longer)
    if not len(row):
        return Hits.none(*nameless)

    day = np.where(outside, first_day, last_day)
    known, until, since = _around(batch, spans, row, day[row])
    status = np.zeros(len(lines), np.int64)
    status[row] = np.select(
        [longer[row], ~known, np.isnat(until), ~np.isnat(since)],
        [np.int64(_WITHIN), np.int64(_UNKNOWN), np.int64(_BEFORE), np.int64(_BETWEEN)],
        default=_AFTER,
    )
    whole = batch.of_line(batch.all_lines(outside))
    variant = np.where(whole, _WHOLE_CLAIM, _SOME_LINES)
    variant[outside & (status == _UNKNOWN)] = _NOT_FOUND
    variant[longer] = _ENDS_WITHIN
    ends, begins_again = np.full((2, len(lines)), np.datetime64("NaT"), "datetime64[D]")
    ends[row], begins_again[row] = until, since
    return Hits.on_groups(
        batch,
        row,
        # One hit for the whole claim; else one for the lines of each status.
        lines.claim[row].astype(np.int64) * len(_STATUSES) + np.where(whole[row], 0, status[row]),
        variant=variant,
        evidence={
            "status": status,
            "day": day,
            "covered_until": ends,
            "covered_from": begins_again,
        },
        not_evaluated=nameless,
    )


def _days(batch: Batch) -> tuple[Dates, Dates]:
    """First and last day of each line that has to be covered: for inpatients, the admission."""
    claims, lines = batch.claims, batch.lines
    admitted = np.where(np.isnat(claims.admission_date), claims.service_from, claims.admission_date)
    inpatient, admission = batch.of_line(claims.inpatient), batch.of_line(admitted)
    return (
        np.where(inpatient, admission, lines.service_from),
        np.where(inpatient, admission, lines.service_to),
    )


def _not_within_one_span(
    batch: Batch, spans: EligibilitySpans, first_day: Dates, last_day: Dates
) -> Ints:
    """Lines of the claims that no single span holds as a whole: few, where most are covered."""
    claims = batch.claims
    claim = rows_where(claims.lines > 0)
    if not len(claim):
        return np.empty(0, np.int64)
    begin = np.minimum.reduceat(first_day, claims.line_start[claim])
    end = np.maximum.reduceat(last_day, claims.line_start[claim])
    place, row = _spans_of(batch, spans, claim)
    held = holds_on(spans.effective[row], spans.termination[row], begin[place])
    held &= holds_on(spans.effective[row], spans.termination[row], end[place])
    covered = np.zeros(len(claims), np.bool_)
    covered[claim[place[held]]] = True
    return rows_where(~batch.of_line(covered))


def _spans_of(batch: Batch, spans: EligibilitySpans, claim: Ints) -> tuple[Ints, Ints]:
    """Return the spans with the payer of each claim, as pairs of a place and a row."""
    place, row = rows_about(spans.member, batch.claims.member[claim])
    own = (spans.payer[row] == 0) | (spans.payer[row] == batch.claims.payer[claim[place]])
    return place[own], row[own]


def _covered(batch: Batch, spans: EligibilitySpans, line: Ints, day: Dates) -> Bools:
    """Whether the day of each line is in a span."""
    place, row = _spans_of(batch, spans, batch.lines.claim[line])
    held = holds_on(spans.effective[row], spans.termination[row], day[place])
    covered: Bools = np.bincount(place[held], minlength=len(line)) > 0
    return covered


def _around(
    batch: Batch, spans: EligibilitySpans, line: Ints, day: Dates
) -> tuple[Bools, Dates, Dates]:
    """Whether the member is known, the last covered day before each day, and the next one."""
    place, row = _spans_of(batch, spans, batch.lines.claim[line])
    known = np.bincount(place, minlength=len(line)) > 0
    until, since = np.full(len(line), _FIRST_DAY), np.full(len(line), _LAST_DAY)
    ended = spans.termination[row] < day[place]
    np.maximum.at(until, place[ended], spans.termination[row][ended])
    later = spans.effective[row] > day[place]
    np.minimum.at(since, place[later], spans.effective[row][later])
    nothing = np.datetime64("NaT")
    return (
        known,
        np.where(until == _FIRST_DAY, nothing, until),
        np.where(since == _LAST_DAY, nothing, since),
    )
