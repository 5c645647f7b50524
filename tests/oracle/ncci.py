"""Pair edits, unit limits and add-ons: domain C.9 with C.1, L.2, L.7 and L.10 to L.12.

`lines` are judged; `others` are lines of earlier claims of the member that are visible to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from tests.oracle.bill import ANATOMIC, DISTINCT, NCCI, Bill, Line, same_session, sessions
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


def edit(bill: Bill, tables: Tables) -> Edits:
    """Judge a claim by the three edits."""
    found = Edits()
    coded = [line for line in bill.lines if line.code]
    _pairs(bill, coded, tables, found)
    _limits(bill, coded, tables, found)
    _add_ons(bill, coded, tables, found)
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


def _pairs(bill: Bill, lines: Sequence[Line], tables: Tables, found: Edits) -> None:
    dataset = bill.pair_table
    if dataset is None:
        return
    for second in lines:
        partners: dict[bool, list[Line]] = {False: [], True: []}
        for first in lines:
            if first is second or not same_session(first, second):
                continue
            row = tables.pair_edit(dataset, second.day, first.code, second.code)
            if row is not None and not bypassed(first, second, row):
                partners[row.exclusive].append(first)
        if partners[False]:
            # A visit beside a surgery is of the family of global surgery (domain D.1).
            surgical = any(is_surgical(line, tables) for line in partners[False])
            variant = "visit" if second.is_visit and surgical else "procedure"
            found.hits.append(_denial("NCCI_PTP", variant, [second], partners[False]))
        if partners[True]:
            found.hits.append(_denial("NCCI_MUTUALLY_EXCLUSIVE", "", [second], partners[True]))
        if tables.rows(dataset, second.day) is None:
            found.skip("NCCI_PTP", "no_release", second)
            found.skip("NCCI_MUTUALLY_EXCLUSIVE", "no_release", second)


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


def is_surgical(line: Line, tables: Tables) -> bool:
    """Domain C.1."""
    fee = (tables.rows("mpfs", line.day) or {}).get((line.code, ""))
    return fee is not None and fee.global_days in ("000", "010", "090")


# --- units


def _limits(bill: Bill, lines: Sequence[Line], tables: Tables, found: Edits) -> None:
    dataset = bill.limit_table
    if dataset is None:
        return
    for line in lines:
        if tables.rows(dataset, line.day) is None:
            found.skip("NCCI_MUE", "no_release", line)
    counted = [
        line for line in lines if LEFT_OUT_OF_LIMITS not in line.modifiers and not line.in_minutes
    ]
    for session in sessions(counted):
        for code in sorted({line.code for line in session}):
            limit = (tables.rows(dataset, session[0].day) or {}).get(code)
            if limit is None:
                continue
            alike = [line for line in session if line.code == code]
            if limit.mai == LINE_LIMIT:
                over = [[line] for line in alike if units_a_day(line) > limit.units]
            else:
                over = [alike] if sum(map(units_a_day, alike)) > limit.units else []
            variant, certainty = {
                LINE_LIMIT: ("line", "APPLY"),
                POLICY_LIMIT: ("day_policy", "APPLY"),
                CLINICAL_LIMIT: ("day_clinical", "ADVISE"),
            }[limit.mai]
            found.hits += [_denial("NCCI_MUE", variant, each, certainty=certainty) for each in over]


def units_a_day(line: Line) -> Decimal:
    """Units of a day: those of a span are divided by its days, to the nearest whole."""
    if line.days == 1:
        return line.units
    return (line.units / line.days).quantize(Decimal(1), ROUND_HALF_UP)


# --- add-ons


def _add_ons(bill: Bill, lines: Sequence[Line], tables: Tables, found: Edits) -> None:
    if bill.inpatient:
        return
    denied = {number for hit in found.hits if hit.certainty == "APPLY" for number in hit.lines}
    denied |= {each.number for each in lines if bill.professional and never_paid(each, tables)}
    for line in lines:
        if tables.rows("ncci_aoc", line.day) is None:
            found.skip("NCCI_ADDON_NO_PRIMARY", "no_release", line)
            continue
        rows = tables.add_ons(line.day, line.code)
        fee = (tables.rows("mpfs", line.day) or {}).get((line.code, ""))
        if not rows and fee is not None and fee.global_days == "ZZZ":
            found.skip("NCCI_ADDON_NO_PRIMARY", "no_addon_row", line)
        if not rows or _has_primary(line, lines, tables, denied, ()):
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


def never_paid(line: Line, tables: Tables) -> bool:
    """Whether another edit denies a line for certain: a role that its code never pays (C.17)."""
    fee = (tables.rows("mpfs", line.day) or {}).get((line.code, ""))
    return fee is not None and (
        (line.assists and fee.assistant == "1")
        or ("62" in line.modifiers and fee.co_surgeon == "0")
        or ("66" in line.modifiers and fee.team == "0")
    )


def _listed(line: Line, lines: Sequence[Line], tables: Tables) -> list[Line]:
    """Lines of the day and provider whose code is on the list of an add-on, payable or not."""
    primaries = {row.primary for row in tables.add_ons(line.day, line.code)}
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
    above: tuple[int, ...],
) -> bool:
    """Whether a payable primary stands beside an add-on; one that is an add-on needs its own."""
    for each in _listed(line, lines, tables):
        if each.number in denied or each.number in above:
            continue
        own = tables.add_ons(each.day, each.code)
        if (
            not own
            or any(row.primary == CONTRACTOR_DEFINED for row in own)
            or _has_primary(each, lines, tables, denied, (*above, line.number))
        ):
            return True
    return False
