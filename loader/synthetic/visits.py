"""From a kind of visit to a claim: services drawn, dated and priced, written as messages."""

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Final, TypeVar

from claimgate.v1.claim_pb2 import (
    CLAIM_TYPE_INSTITUTIONAL,
    CLAIM_TYPE_PROFESSIONAL,
    Claim,
    Diagnosis,
    IcdProcedure,
    ServiceLine,
)

from loader.synthetic.catalogue import Service, Visit
from loader.synthetic.fees import fee_cents
from loader.synthetic.people import PAYERS, PLACES, Member, Practice, practice

_T = TypeVar("_T")

_FACILITY_PLACES: Final = frozenset({"02", "19", "21", "22", "23", "24", "31"})
_REFERRED: Final = frozenset({"laboratory", "radiology", "physical_therapy", "pathology"})
_REVENUE_CENTS: Final = {
    "0120": (140_000, 210_000),
    "0250": (4_000, 30_000),
    "0270": (15_000, 70_000),
    "0272": (5_000, 40_000),
    "0278": (250_000, 600_000),
    "0300": (20_000, 90_000),
    "0320": (15_000, 60_000),
    "0360": (400_000, 800_000),
    "0370": (30_000, 90_000),
    "0410": (10_000, 60_000),
    "0710": (20_000, 60_000),
    "0730": (8_000, 30_000),
}
"""What hospitals charge for a cost centre without a code."""

_ROOM: Final = "0120"
_REDUCED: Final = {"50": 1.5, "62": 0.625, "80": 0.16, "82": 0.16, "AS": 0.136}


@dataclass(frozen=True, slots=True)
class Window:
    """The days on which services happen, as ordinals, both included."""

    first: int
    last: int


def write_claim(
    visit: Visit, patient: Member, claim_id: str, window: Window, random: Random
) -> Claim:
    """Return one claim of that visit."""
    nights = _between(visit.nights, random)
    start = window.first + int(random.random() * max(window.last - window.first - nights + 1, 1))
    end = min(start + nights, window.last)
    place = patient.place if random.random() < 0.93 else int(random.random() * len(PLACES))
    biller = practice(visit.specialty, place)
    diagnoses = _diagnoses(visit, random)
    institutional = len(visit.place) == 4
    lines = _lines(visit, biller, (start, end), len(diagnoses), random)
    claim = Claim(
        claim_id=claim_id,
        claim_version=1,
        facility_id=biller.facility_id,
        patient_account_number=f"A{claim_id}",
        frequency_code="1",
        person_id=patient.member_id,
        subscriber_id=patient.subscriber_id,
        relationship_code="19" if patient.subscriber_id else "18",
        patient_first_name=patient.first_name,
        patient_last_name=patient.last_name,
        patient_date_of_birth=patient.birth.isoformat(),
        patient_sex=patient.sex,
        service_from_date=_iso(start),
        service_to_date=_iso(end),
        received_date=_iso(end + 2 + int(min(random.expovariate(1 / 9), 60))),
        total_charge_cents=sum(line.charge_cents for line in lines),
        payer_sequence="P",
        diagnoses=[Diagnosis(code=code) for code in diagnoses],
        billing_provider=biller.billing,
        lines=lines,
    )
    _name_payer(claim, patient.filing, institutional=institutional)
    if institutional:
        _complete_institutional(claim, visit, biller, (start, end), random)
    else:
        _complete_professional(claim, visit, biller, random)
    return claim


def _name_payer(claim: Claim, filing: str, *, institutional: bool) -> None:
    """Write who pays; original Medicare has one indicator for each form."""
    if institutional and filing == "MB":
        filing = "MA"
    claim.insurance_type = filing
    claim.payer_id, claim.payer_name = PAYERS[filing]
    claim.insurance_plan_id = f"{claim.payer_id}1"


def _complete_professional(claim: Claim, visit: Visit, biller: Practice, random: Random) -> None:
    """Write what only professional claims carry."""
    claim.claim_type = CLAIM_TYPE_PROFESSIONAL
    claim.place_of_service = visit.place
    if visit.specialty != "laboratory":
        claim.rendering_provider.CopyFrom(_one(biller.practitioners, random))
    if visit.place in _FACILITY_PLACES:
        claim.facility_provider.CopyFrom(biller.site)
    if visit.specialty in _REFERRED:
        place = PLACES.index((biller.billing.zip, biller.billing.state))
        claim.referring_provider.CopyFrom(
            _one(practice("primary_care", place).practitioners, random)
        )


def _complete_institutional(
    claim: Claim, visit: Visit, biller: Practice, days: tuple[int, int], random: Random
) -> None:
    """Write what only institutional claims carry."""
    claim.claim_type = CLAIM_TYPE_INSTITUTIONAL
    claim.type_of_bill = visit.place
    claim.admission_type = "1" if visit.services[0].revenue == "0450" else "3"
    claim.admission_source = "1"
    claim.patient_status = "01"
    claim.attending_provider.CopyFrom(_one(biller.practitioners, random))
    if visit.place.startswith("011"):
        claim.admission_date = _iso(days[0])
        claim.admission_hour = f"{int(random.random() * 24):02d}"
        claim.discharge_date = _iso(days[1])
        claim.discharge_hour = "11"
        claim.admitting_diagnosis = claim.diagnoses[0].code
        for diagnosis in claim.diagnoses:
            diagnosis.present_on_admission = "Y"
    if visit.drgs:
        claim.drg_code = _one(visit.drgs, random)
    for code in visit.icd_procedures:
        claim.icd_procedures.append(IcdProcedure(code=code, date=_iso(days[0])))
        claim.operating_provider.CopyFrom(biller.practitioners[0])


def _diagnoses(visit: Visit, random: Random) -> list[str]:
    """Return one to four of the visit's diagnoses, each once, in random order."""
    wanted = min(1 + int(random.random() * 4), len(visit.diagnoses))
    return random.sample(visit.diagnoses, wanted)


def _lines(
    visit: Visit, biller: Practice, days: tuple[int, int], diagnoses: int, random: Random
) -> list[ServiceLine]:
    """Return the service lines of a visit; it always has its first service."""
    lines: list[ServiceLine] = []
    for service in visit.services:
        if lines and service.chance < 1 and random.random() >= service.chance:
            continue
        code = _one(service.codes, random) if service.codes else ""
        for day in range(_between(service.days, random)):
            on = min(days[0] + service.day_first + day, days[1])
            line = _line(service, code, visit, biller, days=(on, days), random=random)
            line.line_number = len(lines) + 1
            if not service.revenue:
                line.diagnosis_pointers.append(1 + int(random.random() * diagnoses))
            lines.append(line)
    return lines


def _line(
    service: Service,
    code: str,
    visit: Visit,
    biller: Practice,
    *,
    days: tuple[int, tuple[int, int]],
    random: Random,
) -> ServiceLine:
    """Return one line, priced at what the practice charges for that many units."""
    on, (start, end) = days
    units = _between(service.units, random)
    if service.revenue == _ROOM:
        units = max(end - start, 1)
    if code:
        fee = units * fee_cents(code, service.modifiers, facility=visit.place in _FACILITY_PLACES)
        fee = int(fee * biller.charge_ratio * (0.96 + 0.08 * random.random()))
        for modifier in service.modifiers:
            fee = int(fee * _REDUCED.get(modifier, 1.0))
    else:
        fee = _between(_REVENUE_CENTS[service.revenue], random) * units
    return ServiceLine(
        service_from_date=_iso(on),
        procedure_code=code,
        modifiers=service.modifiers,
        revenue_code=service.revenue,
        units_milli=units * 1000,
        unit_basis=service.basis,
        charge_cents=max(fee, 100),
    )


def _between(bounds: tuple[int, int], random: Random) -> int:
    """Return a whole number between both bounds, each included."""
    low, high = bounds
    return low + int(random.random() * (high - low + 1)) if high > low else low


def _one(choices: tuple[_T, ...], random: Random) -> _T:
    """Return one of the choices, each as likely."""
    return choices[int(random.random() * len(choices))]


def _iso(ordinal: int) -> str:
    """Return the day as the API writes it."""
    return date.fromordinal(ordinal).isoformat()
