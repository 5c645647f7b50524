"""What each line of a claim costs: domain E with L.6, L.17 and L.23 to L.27, in decimals.

A line is worked on one step after the other; amounts are rounded half up to cents after each.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from tests.oracle.bill import Bill, Line, sessions
from tests.oracle.tables import Fee, Tables

CENT = Decimal("0.01")
ONE, HALF, NOTHING = Decimal(1), Decimal("0.5"), Decimal(0)
FACTORS_BY_DAY = (
    ("2020-01-01", "36.0896"),
    ("2021-01-01", "34.8931"),
    ("2022-01-01", "34.6062"),
    ("2023-01-01", "33.8872"),
    ("2024-01-01", "32.7442"),
    ("2024-03-09", "33.2875"),
    ("2025-01-01", "32.3465"),
    ("2026-01-01", "33.4009"),
)
"""Domain E.1: conversion factors, each from its day; 2026 without the qualifying APM's."""
REPORT_MODIFIERS = frozenset(("22", "52", "66"))
TECHNICAL, PROFESSIONAL = "TC", "26"
LATER_PARTS = {
    "4": {TECHNICAL: HALF, PROFESSIONAL: Decimal("0.95")},
    "6": {TECHNICAL: Decimal("0.75"), PROFESSIONAL: ONE},
    "7": {TECHNICAL: Decimal("0.80"), PROFESSIONAL: ONE},
}
"""What the second and later parts of imaging, cardiovascular and ophthalmology tests pay."""
SURGERY_RANKS = {
    "1": (ONE, HALF, Decimal("0.25"), Decimal("0.25"), Decimal("0.25")),
    "2": (ONE, HALF, HALF, HALF, HALF),
}
ENDOSCOPY, THERAPY = "3", "5"
MINUTES_PER_UNIT = 15
TENTH = Decimal("0.1")
PHYSICAL_UNITS = {"P3": 1, "P4": 2, "P5": 3}
QUALIFYING_UNITS = {"99100": 1, "99116": 5, "99135": 5, "99140": 2}
DIRECTION = frozenset(("QK", "QX", "QY"))
SUPERVISION, SUPERVISED_UNITS = "AD", 3
"""What E.8 leaves open stands in docs/scoring and its caveats."""


@dataclass(slots=True)
class Price:
    """The price of a line while it is worked out, and in the end."""

    line: Line
    status: str = ""
    """PRICED, BUNDLED, BY_REPORT or NO_PRICE; empty as long as nothing speaks against a price."""
    reason: str = ""
    component: str = ""
    row: Fee | None = None
    place: str = ""
    indices: tuple[Decimal, Decimal, Decimal] = (ONE, ONE, ONE)
    fee: Decimal = NOTHING
    """One unit, as published, not above the outpatient cap."""
    reference: Decimal = NOTHING
    """After units, before reductions across lines (domain L.17)."""
    amount: Decimal = NOTHING
    by_report: bool = False
    unknown: bool = False
    allowed_cents: int | None = None
    rvu_total_e4: int = 0
    factor: Decimal = ONE
    is_anesthesia: bool = False

    @property
    def payable(self) -> bool:
        return self.status == ""


def rounded(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def price(bill: Bill, tables: Tables) -> list[Price]:
    """Price every line of a claim, in its order."""
    prices = [_gate(bill, line, tables) for line in bill.lines]
    by_number = {each.line.number: each for each in prices}
    for session in sessions(bill.lines):
        _anesthesia(bill, [by_number[line.number] for line in session], tables)
        _only_alone([by_number[line.number] for line in session])
    for each in prices:
        if each.payable:
            _until_units(each, tables)
    for session in sessions(bill.lines):
        for assists in (False, True):
            _reduce(
                [
                    by_number[line.number]
                    for line in session
                    if line.assists == assists and by_number[line.number].payable
                ],
                tables,
            )
    for each in prices:
        _finish(each)
    return prices


# --- steps 1 to 4: whether there is a price at all


def _gate(bill: Bill, line: Line, tables: Tables) -> Price:
    found = Price(line)
    if not line.code:
        return _no_price(found, "no_code")
    if not bill.professional:
        return _no_price(found, "institutional")
    fees = tables.rows("mpfs", line.day)
    if fees is None:
        return _no_price(found, "no_release")
    found.factor = conversion_factor(line.day, tables)
    found.component = _component(line, fees)
    found.row = fees.get((line.code, found.component))
    reason = closed(found.row, line.in_facility)
    found.place = (tables.rows("zip_locality", line.day) or {}).get(line.zip5, "")
    if reason == "anesthesia":
        return _gate_of_anesthesia(found, tables)
    if reason == "bundled":
        found.status = "BUNDLED"
        return found
    if reason:
        return _no_price(found, reason)
    if line.in_minutes:
        return _no_price(found, "minutes")
    indices = (tables.rows("gpci", line.day) or {}).get(found.place)
    if indices is None:
        return _no_price(found, "locality")
    found.indices = indices
    if _total(found.row, line.in_facility, indices) == 0:
        if found.row.status == "R":
            return _by_report(found)
        return _no_price(found, "zero")
    return found


def conversion_factor(day: date, tables: Tables) -> Decimal:
    """Dollars per unit: by date (E.1), but a release that stands in brings its own (L.29)."""
    release = tables.release("mpfs", day)
    if not release.first <= day <= release.last:
        return next(iter(release.rows.values())).factor
    return Decimal([factor for first, factor in FACTORS_BY_DAY if first <= day.isoformat()][-1])


def _no_price(found: Price, reason: str) -> Price:
    found.status, found.reason = "NO_PRICE", reason
    return found


def _by_report(found: Price) -> Price:
    found.status, found.reason = "BY_REPORT", "report"
    return found


def _component(line: Line, fees: dict) -> str:
    """The modifier of the row: 26 or TC, the first of them, else 53 where the code has such a row.

    A part of a service stays that part when it is stopped (53).
    """
    parts = [modifier for modifier in line.modifiers if modifier in (TECHNICAL, PROFESSIONAL)]
    if parts:
        return parts[0]
    return "53" if "53" in line.modifiers and (line.code, "53") in fees else ""


def closed(row: Fee | None, in_facility: bool) -> str:
    """Why a row has no price wherever it is billed; empty if it may have one (domain E.3)."""
    if row is None:
        return "no_row"
    if row.status in "NXEIM":
        return "status"
    if row.status == "C":
        return "contractor"
    if row.status == "J":
        return "anesthesia"
    if row.status in "BP":
        return "bundled"
    if row.not_for_payment:
        return "not_for_payment"
    if row.na[in_facility]:
        return "NA"
    if in_facility and row.pctc == "5":
        return "incident_to"
    return ""


def _only_alone(session: Sequence[Price]) -> None:
    """Status T: paid where nothing else is payable; of several the dearest, of equals the first."""
    injections = [each for each in session if each.payable and each.row.status == "T"]
    if not injections:
        return
    others = [each for each in session if each.payable and each.row.status != "T"]
    kept = (
        None
        if others
        else max(injections, key=lambda each: (fee_of_row(each, each.row), -each.line.number))
    )
    for each in injections:
        if each is not kept:
            each.status = "BUNDLED"


# --- anesthesia: domain E.8


def _gate_of_anesthesia(found: Price, tables: Tables) -> Price:
    found.is_anesthesia = True
    factors = tables.rows("anesthesia_cf", found.line.day) or {}
    if found.line.code not in tables.base_units:
        return _no_price(found, "anesthesia")
    if not found.line.in_minutes:
        return _no_price(found, "minutes")
    if found.place not in (tables.rows("gpci", found.line.day) or {}):
        return _no_price(found, "locality")
    if found.place not in factors:
        return _no_price(found, "anesthesia_factor")
    given = set(found.line.modifiers)
    if given & REPORT_MODIFIERS or "53" in given:
        return _by_report(found)
    found.factor = factors[found.place]
    return found


def _anesthesia(bill: Bill, session: Sequence[Price], tables: Tables) -> None:
    """Price the anesthesia of a session; circumstances count once, with the most base units."""
    services = [each for each in session if each.payable and each.is_anesthesia]
    if not services:
        return
    base = {each.line.number: tables.base_units[each.line.code] for each in services}
    first = min(services, key=lambda each: (-base[each.line.number], each.line.number))
    codes = {each.line.code for each in session}
    qualifying = sum(units for code, units in QUALIFYING_UNITS.items() if code in codes)
    for each in services:
        given = set(each.line.modifiers)
        physical = max((PHYSICAL_UNITS.get(modifier, 0) for modifier in given), default=0)
        risk = physical + (qualifying if each is first else 0)
        time = (each.line.units / MINUTES_PER_UNIT).quantize(TENTH, ROUND_HALF_UP)
        units = base[each.line.number] + time + (0 if bill.medicare else risk)
        if SUPERVISION in given:
            units = Decimal(SUPERVISED_UNITS)
        each.reference = each.amount = rounded(units * each.factor)
        if given & DIRECTION:
            each.amount = rounded(each.amount * HALF)
        _priced(each, each.amount)


# --- steps 5 to 9: one line by itself


def _total(
    row: Fee,
    in_facility: bool,
    indices: tuple[Decimal, Decimal, Decimal],
    practice_share: Decimal = ONE,
) -> Decimal:
    work, practice, malpractice = indices
    return row.work * work + row.pe[in_facility] * practice * practice_share + row.mp * malpractice


def fee_of_row(of: Price, row: Fee, practice_share: Decimal = ONE) -> Decimal:
    """One unit of a row where and when a line was rendered, rounded once (domain E.1)."""
    total = _total(row, of.line.in_facility, of.indices, practice_share)
    return rounded(total * of.factor)


def _capped(of: Price, component: str, code: str, tables: Tables) -> Decimal | None:
    """One unit of any row where and when a line was rendered; None where it has no price."""
    line = of.line
    row = (tables.rows("mpfs", line.day) or {}).get((code, component))
    if closed(row, line.in_facility):
        return None
    fee = fee_of_row(of, row)
    caps = tables.rows("opps_cap", line.day) or {}
    cap = caps.get((code, component, of.place))
    return fee if cap is None else min(fee, cap[line.in_facility])


def _times(of: Price, unit: Decimal) -> Decimal:
    """Step 8, both sides, then step 9, units."""
    sides = ONE
    if "50" in of.line.modifiers:
        sides = {"1": Decimal("1.5"), "3": Decimal(2)}.get(of.row.bilateral, ONE)
    return rounded(rounded(unit * sides) * of.line.units)


def _until_units(of: Price, tables: Tables) -> None:
    of.fee = _capped(of, of.component, of.line.code, tables)
    of.reference = of.amount = _times(of, of.fee)
    total = _total(of.row, of.line.in_facility, of.indices)
    of.rvu_total_e4 = int(total.scaleb(4).quantize(ONE, ROUND_HALF_UP))
    given = set(of.line.modifiers)
    of.by_report = bool(given & REPORT_MODIFIERS) or ("53" in given and of.component != "53")


# --- step 10: reductions across the lines of a session


def _reduce(session: Sequence[Price], tables: Tables) -> None:
    by_indicator = defaultdict(list)
    for each in session:
        by_indicator[each.row.multiple].append(each)
    _endoscopies_and_surgeries(session, tables)
    for indicator, later in LATER_PARTS.items():
        tests = by_indicator[indicator]
        if indicator == "4":
            tests = [each for each in tests if each.row.imaging_family == "88"]
        _later_parts(tests, later, tables)
    _therapy(by_indicator[THERAPY])


def _endoscopies_and_surgeries(session: Sequence[Price], tables: Tables) -> None:
    ranked = [each for each in session if each.row.global_days != "ZZZ"]
    families: dict[str, list[Price]] = defaultdict(list)
    for each in ranked:
        if each.row.multiple == ENDOSCOPY:
            families[each.row.base].append(each)
    procedures = []
    for base, members in families.items():
        highest = min(members, key=lambda each: (-each.amount, each.line.number))
        for each in members:
            if each is highest:
                continue
            base_fee = _capped(each, "", base, tables)
            if base_fee is None:
                each.unknown, each.amount = True, NOTHING
            else:
                each.amount = max(each.amount - _times(each, base_fee), NOTHING)
        bases = [each for each in ranked if each.line.code == base]
        for each in bases:
            each.amount = NOTHING
        procedures.append(members + bases)
    in_families = {id(each) for family in procedures for each in family}
    procedures += [
        [each]
        for each in ranked
        if each.row.multiple in SURGERY_RANKS and id(each) not in in_families
    ]
    procedures.sort(
        key=lambda lines: (
            -sum(each.amount for each in lines),
            min(each.line.number for each in lines),
        )
    )
    for rank, lines in enumerate(procedures):
        for each in lines:
            shares = SURGERY_RANKS["1" if each.row.multiple == "1" else "2"]
            if rank < len(shares):
                each.amount = rounded(each.amount * shares[rank])
            else:
                each.by_report = True


def _later_parts(tests: Sequence[Price], later: dict[str, Decimal], tables: Tables) -> None:
    """Pay the second and later technical and professional parts less; each sort by itself."""
    parts = {id(each): _parts(each, tables) for each in tests}
    reduced: dict[int, set[str]] = defaultdict(set)
    for sort, share in later.items():
        having = [each for each in tests if parts[id(each)] is None or sort in parts[id(each)]]
        having.sort(
            key=lambda each: (
                parts[id(each)] is None,
                -(parts[id(each)] or {}).get(sort, NOTHING),
                each.line.number,
            )
        )
        for each in having[1:]:
            if share != 1:
                reduced[id(each)].add(sort)
    for each in tests:
        known = parts[id(each)]
        if not reduced[id(each)]:
            continue
        if known is None:
            each.unknown = True
        else:
            each.amount = sum(
                (
                    rounded(amount * (later[sort] if sort in reduced[id(each)] else ONE))
                    for sort, amount in known.items()
                ),
                NOTHING,
            )


def _parts(of: Price, tables: Tables) -> dict[str, Decimal] | None:
    """The amounts of a line's technical and professional part; None where not published."""
    if of.component in (TECHNICAL, PROFESSIONAL):
        return {of.component: of.amount}
    if of.row.pctc == "3":
        return {TECHNICAL: of.amount}
    if of.row.pctc == "2":
        return {PROFESSIONAL: of.amount}
    if of.row.pctc != "1":
        return None
    units = {sort: _capped(of, sort, of.line.code, tables) for sort in (TECHNICAL, PROFESSIONAL)}
    if None in units.values():
        return None
    return {sort: _times(of, unit) for sort, unit in units.items()}


def _therapy(lines: Sequence[Price]) -> None:
    """The unit with the highest practice expense pays in full, all others half of theirs."""
    if not lines:
        return

    def practice(of: Price) -> Decimal:
        return of.row.pe[of.line.in_facility] * of.indices[1]

    first = min(lines, key=lambda each: (-practice(each), each.line.number))
    for each in lines:
        whole_units = min(each.line.units, ONE) if each is first else NOTHING
        if each.line.units == whole_units:
            continue
        less = fee_of_row(each, each.row, HALF)
        each.amount = rounded(_side(each, each.fee) * whole_units) + rounded(
            _side(each, less) * (each.line.units - whole_units)
        )


def _side(of: Price, unit: Decimal) -> Decimal:
    sides = {"1": Decimal("1.5"), "3": Decimal(2)}.get(of.row.bilateral, ONE)
    return rounded(unit * sides) if "50" in of.line.modifiers else unit


# --- steps 11 and 12


def _finish(of: Price) -> None:
    if of.payable:
        share = _share(of)
        if of.by_report:
            _by_report(of)
        elif of.unknown or share is None:
            _no_price(of, "reduction")
        else:
            _priced(of, rounded(of.amount * share))
    if of.status == "BUNDLED":
        of.allowed_cents = 0


def _priced(of: Price, amount: Decimal) -> None:
    of.status = "PRICED"
    of.allowed_cents = min(int(amount.scaleb(2)), of.line.charge_cents)


def _share(of: Price) -> Decimal | None:
    """What a role in the surgery is paid; None where the shares of its care are not published."""
    given, row, share = set(of.line.modifiers), of.row, ONE
    if "AS" in given:
        share = Decimal("0.136")
    elif given & {"80", "81", "82"}:
        share = Decimal("0.16")
    elif "62" in given:
        share = Decimal("0.625")
    split = given & {"54", "55", "56", "78"}
    if row.global_days not in ("010", "090") or not split:
        return share
    if row.pre + row.intra + row.post == 0:
        return None
    if "78" in split:
        return share * row.intra
    pre = row.pre if split & {"54", "56"} else NOTHING
    intra = row.intra if "54" in split else NOTHING
    post = row.post if "55" in split else NOTHING
    return share * (pre + intra + post)
