"""Pair edits, unit limits and add-ons: domain C.9 with C.1, L.2, L.7 and L.10 to L.12.

A claim is judged with the lines of earlier claims of its member that it sees (decision 12).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from tests.oracle.bill import (
    ANATOMIC,
    DISTINCT,
    NCCI,
    Bill,
    Earlier,
    Line,
    earlier_lines,
    same_provider,
    same_session,
    sessions,
)
from tests.oracle.tables import CONTRACTOR_DEFINED, PairEdit, Tables

ONLY_ON_VISITS = frozenset(("24", "25", "57"))
DISTINCT_ON_EITHER_LINE = date(2019, 7, 1)
LEFT_OUT_OF_LIMITS = "55"
SHARED_CARE = "99292"
POLICY_LIMIT, CLINICAL_LIMIT = 2, 3
LINE_LIMIT = 1
OPEN_LIST = 3
WEIGHTS = {
    "NCCI_PTP": 0.18,
    "NCCI_MUTUALLY_EXCLUSIVE": 0.17,
    "NCCI_MUE": 0.16,
    "NCCI_ADDON_NO_PRIMARY": 0.15,
}
"""Domain C.3."""


@dataclass(frozen=True, slots=True)
class Hit:
    rule: str
    variant: str
    action: str
    certainty: str
    lines: tuple[int, ...]
    partners: tuple[int, ...] = ()
    paid_before: tuple[str, int] | None = None
    """The claim and line that the edit falls on, where it is another claim's."""

    @property
    def weight(self) -> float:
        return WEIGHTS[self.rule]


@dataclass(slots=True)
class Edits:
    """What the edits say of a claim: hits, and by rule and reason the lines not evaluated."""

    hits: list[Hit] = field(default_factory=list)
    not_evaluated: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    def skip(self, rule: str, reason: str, line: Line) -> None:
        self.not_evaluated.setdefault((rule, reason), set()).add(line.number)


def edit(
    bill: Bill,
    tables: Tables,
    seen: Sequence[Bill] = (),
    denied_otherwise: frozenset[int] = frozenset(),
) -> Edits:
    """Judge a claim by the three edits.

    Args:
        bill: The claim.
        tables: The published tables.
        seen: Earlier claims that it sees.
        denied_otherwise: Lines that other edits of coding deny for certain.
    """
    found = Edits()
    if bill.inpatient:
        return found
    coded = [line for line in bill.lines if line.code]
    earlier = earlier_lines(seen)
    _pairs(bill, coded, earlier, tables, found)
    _limits(bill, coded, earlier, tables, found)
    _add_ons(bill, coded, earlier, tables, found, denied_otherwise)
    return found


# --- pairs


def bypassed(first: Line, second: Line, row: PairEdit) -> bool:
    """Whether a modifier says that the column 2 line was separate."""
    if row.indicator == "0":
        return False
    with_visit = first.is_visit or second.is_visit
    for modifier in second.modifiers:
        if modifier not in NCCI:
            continue
        if modifier in ANATOMIC and modifier in first.modifiers:
            continue
        if modifier in ONLY_ON_VISITS and not second.is_visit:
            continue
        if modifier in DISTINCT and with_visit:
            continue
        return True
    return (
        second.day >= DISTINCT_ON_EITHER_LINE
        and not with_visit
        and any(modifier in DISTINCT for modifier in first.modifiers)
    )


def _pairs(
    bill: Bill, lines: Sequence[Line], earlier: Sequence[Earlier], tables: Tables, found: Edits
) -> None:
    dataset = bill.pair_table

    def excludes(first: Line, second: Line, *, exclusive: bool) -> bool:
        row = tables.pair_edit(dataset, second.day, first.code, second.code)
        return row is not None and row.exclusive == exclusive and not bypassed(first, second, row)

    def beside(line: Line) -> list[Earlier]:
        return [
            each
            for each in earlier
            if each.line.day == line.day and same_provider(bill, line, each)
        ]

    for exclusive, rule in ((False, "NCCI_PTP"), (True, "NCCI_MUTUALLY_EXCLUSIVE")):
        for second in lines:
            if tables.rows(dataset, second.day) is None:
                found.skip(rule, "no_release", second)
            own = [
                first
                for first in lines
                if first is not second
                and same_session(first, second)
                and excludes(first, second, exclusive=exclusive)
            ]
            others = [
                each.line
                for each in beside(second)
                if excludes(each.line, second, exclusive=exclusive)
            ]
            if own or others:
                # A visit beside a surgery is of the family of global surgery (domain D.1).
                surgical = any(
                    is_surgical(first.code, second.day, tables) for first in own + others
                )
                visit = "visit" if second.is_visit and surgical else "procedure"
                found.hits.append(_denial(rule, "" if exclusive else visit, [second], own))
        for each in earlier:
            own = [
                first
                for first in lines
                if each in beside(first) and excludes(first, each.line, exclusive=exclusive)
            ]
            if own:
                found.hits.append(
                    Hit(
                        rule,
                        "paid_before",
                        "PEND",
                        "ADVISE",
                        _numbers(own),
                        paid_before=(each.bill.claim_id, each.line.number),
                    )
                )


def _denial(
    rule: str,
    variant: str,
    lines: Sequence[Line],
    partners: Sequence[Line] = (),
    certainty: str = "APPLY",
) -> Hit:
    return Hit(rule, variant, "DENY_LINE", certainty, _numbers(lines), _numbers(partners))


def _numbers(lines: Sequence[Line]) -> tuple[int, ...]:
    return tuple(sorted(line.number for line in lines))


def is_surgical(code: str, day: date, tables: Tables) -> bool:
    """Domain C.1."""
    fee = (tables.rows("mpfs", day) or {}).get((code, ""))
    return fee is not None and fee.global_days in ("000", "010", "090")


# --- units


def _limits(
    bill: Bill, lines: Sequence[Line], earlier: Sequence[Earlier], tables: Tables, found: Edits
) -> None:
    dataset = bill.limit_table
    for line in lines:
        if tables.rows(dataset, line.day) is None:
            found.skip("NCCI_MUE", "no_release", line)
    for session in sessions(filter(is_counted, lines)):
        for code in sorted({line.code for line in session}):
            limit = (tables.rows(dataset, session[0].day) or {}).get(code)
            if limit is None:
                continue
            alike = [line for line in session if line.code == code]
            elsewhere = [
                each.line
                for each in earlier
                if each.line.code == code
                and each.line.day == session[0].day
                and is_counted(each.line)
                and any(same_provider(bill, line, each) for line in alike)
            ]
            if limit.mai == LINE_LIMIT:
                over = [[line] for line in alike if units_a_day(line) > limit.units]
            else:
                total = sum(map(units_a_day, alike + elsewhere))
                over = [alike] if total > limit.units else []
            variant, certainty = {
                LINE_LIMIT: ("line", "APPLY"),
                POLICY_LIMIT: ("day_policy", "APPLY"),
                CLINICAL_LIMIT: ("day_clinical", "ADVISE"),
            }[limit.mai]
            found.hits += [_denial("NCCI_MUE", variant, each, certainty=certainty) for each in over]


def is_counted(line: Line) -> bool:
    """Units of service that count: not minutes, not those of postoperative care alone."""
    return LEFT_OUT_OF_LIMITS not in line.modifiers and not line.in_minutes


def units_a_day(line: Line) -> Decimal:
    """Units of a day: those of a span are divided by its days, to the nearest whole."""
    if line.days == 1:
        return line.units
    return (line.units / line.days).quantize(Decimal(1), ROUND_HALF_UP)


# --- add-ons


def _add_ons(
    bill: Bill,
    lines: Sequence[Line],
    earlier: Sequence[Earlier],
    tables: Tables,
    found: Edits,
    denied_otherwise: frozenset[int],
) -> None:
    denied = {number for hit in found.hits if hit.certainty == "APPLY" for number in hit.lines}
    denied |= denied_otherwise
    paid_elsewhere = {
        line.number
        for line in lines
        if any(_is_primary_elsewhere(bill, line, each, tables) for each in earlier)
    }
    for line in lines:
        if tables.rows("ncci_aoc", line.day) is None:
            found.skip("NCCI_ADDON_NO_PRIMARY", "no_release", line)
            continue
        rows = tables.add_ons(line.day, line.code)
        fee = (tables.rows("mpfs", line.day) or {}).get((line.code, ""))
        if not rows and fee is not None and fee.global_days == "ZZZ":
            found.skip("NCCI_ADDON_NO_PRIMARY", "no_addon_row", line)
        if not rows or _has_primary(line, lines, tables, denied, paid_elsewhere, ()):
            continue
        if any(row.primary == CONTRACTOR_DEFINED for row in rows):
            found.skip("NCCI_ADDON_NO_PRIMARY", "contractor_defined", line)
            continue
        if any(row.kind == OPEN_LIST for row in rows):
            variant, action, certainty = "open_list", "PEND", "ADVISE"
        elif line.code == SHARED_CARE:
            variant, action, certainty = "shared_care", "DENY_LINE", "ADVISE"
        else:
            variant, action, certainty = "closed_list", "DENY_LINE", "APPLY"
        found.hits.append(
            Hit(
                "NCCI_ADDON_NO_PRIMARY",
                variant,
                action,
                certainty,
                (line.number,),
                _numbers(_listed(line, lines, tables)),
            )
        )


def _is_primary_elsewhere(bill: Bill, line: Line, earlier: Earlier, tables: Tables) -> bool:
    """Whether a paid line of another claim is a primary of a line, by its day and provider.

    Care that is shared may be a colleague's: of one biller and form, if specialties do not differ.
    """
    other = earlier.line
    if other.day != line.day or other.code not in _primaries(line, tables):
        return False
    if line.code == SHARED_CARE and bill.professional == earlier.bill.professional:
        differ = line.specialty and other.specialty and line.specialty != other.specialty
        if bill.biller == earlier.bill.biller and not differ:
            return True
    return same_provider(bill, line, earlier)


def _primaries(line: Line, tables: Tables) -> set[str]:
    return {row.primary for row in tables.add_ons(line.day, line.code)}


def _listed(line: Line, lines: Sequence[Line], tables: Tables) -> list[Line]:
    """Lines of the day and provider whose code is on the list of an add-on, payable or not."""
    primaries = _primaries(line, tables)
    return [
        each
        for each in lines
        if each is not line
        and each.code in primaries
        and (each.day == line.day if line.code == SHARED_CARE else same_session(each, line))
    ]


def _has_primary(
    line: Line,
    lines: Sequence[Line],
    tables: Tables,
    denied: set[int],
    paid_elsewhere: set[int],
    above: tuple[int, ...],
) -> bool:
    """Whether a payable primary stands beside an add-on; one that is an add-on needs its own."""
    if line.number in paid_elsewhere:
        return True
    for each in _listed(line, lines, tables):
        if each.number in denied or each.number in above:
            continue
        own = tables.add_ons(each.day, each.code)
        if (
            not own
            or any(row.primary == CONTRACTOR_DEFINED for row in own)
            or _has_primary(each, lines, tables, denied, paid_elsewhere, (*above, line.number))
        ):
            return True
    return False
