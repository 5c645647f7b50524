"""A claim as the oracle reads it: lines with everything that they inherit from their claim."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from claimgate.v1 import claim_pb2

FACILITY_PLACES = frozenset("02 06 08 19 21 22 23 24 26 31 34 41 42 51 52 53 56 61".split())
"""Domain C.1 and L.4."""
INPATIENT_BILLS = frozenset("11 18 21 28 41 65 66 86".split())
"""Facility and classification of bills that no edit table is for (docs/scoring)."""
VISITS = (
    *(("99202", "99215"), ("99221", "99239"), ("99242", "99245"), ("99252", "99255")),
    *(("99281", "99285"), ("99291", "99292"), ("99304", "99316"), ("99341", "99350")),
    *(("99381", "99397"), ("92002", "92014")),
)
"""Domain L.14, from and to."""
ANATOMIC = frozenset(
    "E1 E2 E3 E4 FA F1 F2 F3 F4 F5 F6 F7 F8 F9 TA T1 T2 T3 T4 T5 T6 T7 T8 T9 "
    "LT RT LC LD RC LM RI".split()
)
DISTINCT = frozenset("59 XE XS XP XU".split())
NCCI = ANATOMIC | DISTINCT | frozenset("24 25 57 58 78 79 27 91".split())
"""Domain C.1."""
ASSISTANTS = frozenset("80 81 82 AS".split())


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    code: str
    modifiers: tuple[str, ...]
    day: date
    last_day: date
    units: Decimal
    in_minutes: bool
    charge_cents: int
    place: str
    zip5: str
    npi: str
    specialty: str
    provider: int
    """Equal for the lines of a claim that are of one provider."""

    @property
    def days(self) -> int:
        return (self.last_day - self.day).days + 1

    @property
    def is_visit(self) -> bool:
        return any(first <= self.code <= last for first, last in VISITS)

    @property
    def in_facility(self) -> bool:
        return self.place in FACILITY_PLACES

    @property
    def assists(self) -> bool:
        return bool(ASSISTANTS & set(self.modifiers))


@dataclass(frozen=True, slots=True)
class Bill:
    claim_id: str
    biller: str
    lines: tuple[Line, ...]
    professional: bool
    inpatient: bool
    supplier: bool
    """The biller supplies equipment (domain L.11)."""
    medicare: bool
    """Original Medicare pays."""

    @property
    def pair_table(self) -> str | None:
        if self.inpatient:
            return None
        return "ncci_ptp_practitioner" if self.professional else "ncci_ptp_hospital"

    @property
    def limit_table(self) -> str | None:
        if self.inpatient:
            return None
        if not self.professional:
            return "ncci_mue_hospital"
        return "ncci_mue_dme" if self.supplier else "ncci_mue_practitioner"


def sessions(lines: Iterable[Line]) -> list[list[Line]]:
    """Group lines of one claim by day and provider, in their order."""
    found: dict[tuple[date, int], list[Line]] = {}
    for line in lines:
        found.setdefault((line.day, line.provider), []).append(line)
    return list(found.values())


def same_session(a: Line, b: Line) -> bool:
    return a.day == b.day and a.provider == b.provider


@dataclass(frozen=True, slots=True)
class Earlier:
    """A line of another claim of the member, which a claim sees."""

    bill: Bill
    line: Line


def seen_by(claim: claim_pb2.Claim, message: Sequence[claim_pb2.Claim]) -> list[claim_pb2.Claim]:
    """Return the earlier claims of a message that a claim of it sees (decision 12).

    Those of its member, but for its own id, voids, and what was replaced by then: by a claim of
    frequency 7 or 8 that names it, or by a later version of it.
    """
    found: list[claim_pb2.Claim] = []
    for each in message:
        if (each.payer_id, each.person_id) != (claim.payer_id, claim.person_id):
            continue
        replaced = each.payer_claim_control_number if each.frequency_code in ("7", "8") else ""
        found = [
            other
            for other in found
            if other.claim_id.upper() != replaced.upper()
            and not (other.claim_id == each.claim_id and other.claim_version < each.claim_version)
        ]
        if each is claim:
            break
        found.append(each)
    return [
        each for each in found if each.claim_id != claim.claim_id and each.frequency_code != "8"
    ]


def earlier_lines(bills: Iterable[Bill]) -> list[Earlier]:
    """Lines of other claims that edits look at: none of inpatients."""
    return [Earlier(bill, line) for bill in bills if not bill.inpatient for line in bill.lines]


def same_provider(bill: Bill, line: Line, earlier: Earlier) -> bool:
    """Domain C.1 across claims of one form; tax ids are not compared (decision 12)."""
    other = earlier.bill
    if bill.professional != other.professional:
        return False
    if not bill.professional:
        return bill.biller == other.biller
    return line.npi == earlier.line.npi or (
        bill.biller == other.biller
        and line.specialty != ""
        and line.specialty == earlier.line.specialty
    )


def bill_of(claim: claim_pb2.Claim) -> Bill:
    """Read a claim; what a line leaves out it takes from the claim."""
    professional = claim.claim_type == claim_pb2.CLAIM_TYPE_PROFESSIONAL
    biller = claim.billing_provider
    people = [_renderer(claim, line) for line in claim.lines]
    providers = providers_of(people) if professional else [0] * len(people)
    return Bill(
        claim_id=claim.claim_id,
        biller=biller.npi,
        lines=tuple(
            _line(claim, line, *person, provider)
            for line, person, provider in zip(claim.lines, people, providers, strict=True)
        ),
        professional=professional,
        inpatient=not professional and claim.type_of_bill[1:3] in INPATIENT_BILLS,
        supplier=professional and biller.taxonomy[:3] in ("332", "335"),
        medicare=claim.line_of_business == claim_pb2.LINE_OF_BUSINESS_MEDICARE_FFS
        or (
            claim.line_of_business == claim_pb2.LINE_OF_BUSINESS_UNSPECIFIED
            and claim.insurance_type == "MB"
        ),
    )


def _line(
    claim: claim_pb2.Claim, line: claim_pb2.ServiceLine, npi: str, specialty: str, provider: int
) -> Line:
    day = line.service_from_date or claim.service_from_date
    places = (line.facility_provider, claim.facility_provider, claim.billing_provider)
    return Line(
        number=line.line_number,
        code=line.procedure_code,
        modifiers=tuple(line.modifiers),
        day=date.fromisoformat(day),
        last_day=date.fromisoformat(line.service_to_date or day),
        units=Decimal(line.units_milli).scaleb(-3),
        in_minutes=line.unit_basis == "MJ",
        charge_cents=line.charge_cents,
        place=line.place_of_service or claim.place_of_service,
        zip5=next((each.zip for each in places if each.zip), "")[:5],
        npi=npi,
        specialty=specialty,
        provider=provider,
    )


def _renderer(claim: claim_pb2.Claim, line: claim_pb2.ServiceLine) -> tuple[str, str]:
    """Who rendered a line, and the specialty: the line's own, else the claim's, else the biller's.

    A renderer of the claim without a specialty is taken to be of the biller's.
    """
    own, renderer, biller = (
        line.rendering_provider,
        claim.rendering_provider,
        claim.billing_provider,
    )
    default = renderer.npi or biller.npi
    if own.npi and own.npi != default:
        return own.npi, own.specialty or own.taxonomy
    stated = (renderer.specialty, renderer.taxonomy, biller.specialty, biller.taxonomy)
    return default, next((text for text in stated if text), "")


def providers_of(people: Sequence[tuple[str, str]]) -> list[int]:
    """Number the providers of a claim (domain C.1).

    One renderer is one provider, and so are two of one specialty, since they bill as one group.
    """
    numbers = list(range(len(people)))
    for a, (npi, specialty) in enumerate(people):
        for b in range(a):
            if npi == people[b][0] or (specialty and specialty == people[b][1]):
                joined, into = numbers[a], numbers[b]
                numbers = [into if each == joined else each for each in numbers]
    return numbers
