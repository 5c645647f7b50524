"""What is wrong with some synthetic claims on purpose, and how often.

Two forms: a visit whose services break a rule as they stand, or a change to a clean claim.
Together about 18 % of the claims have a problem that calls for more than a note, 3 % one that is
a note, 0.2 % cannot be scored at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Final

from claimgate.v1.claim_pb2 import Claim

from loader.synthetic.catalogue import Service, Visit

EXCLUDED_NPIS: Final = (
    # Invented firms of the sample tables.
    "2000001000",
    "2000002487",
    "2000003220",
    # Organisations on the public list of the Inspector General: excluded in 2016 and 2023.
    "1629125307",
    "1215968847",
    "1477094274",
)
"""Providers excluded on every day of 2024 and later."""

Change = Callable[[Claim, Random], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of wrong claim: of all claims, `share` percent."""

    name: str
    share: float
    visit: Visit | None = None
    """The wrong visit itself; None for a clean visit that is changed."""
    change: Change | None = None
    professional_only: bool = False


def _visit(
    place: str,
    *services: tuple[str, str, int],
    specialty: str = "primary_care",
    diagnoses: str = "M1711 M25561",
    ages: tuple[int, int] = (18, 120),
) -> Visit:
    """Write a wrong visit short: code, modifiers and units of each service."""
    return Visit(
        "planted",
        0,
        specialty,
        place,
        tuple(
            Service((code,), tuple(modifiers.split()), (units, units))
            for code, modifiers, units in services
        ),
        tuple(diagnoses.split()),
        ages=ages,
    )


def _observation(hours: int) -> Visit:
    """Return a stay for observation of that many hours."""
    return Visit(
        "planted",
        0,
        "hospital",
        "0131",
        (
            Service(("G0378",), units=(hours, hours), revenue="0762"),
            Service(("80053",), revenue="0301"),
            Service(("85025",), revenue="0305"),
            Service(("93005",), revenue="0730"),
        ),
        ("R0789", "R55"),
        nights=(hours // 24, hours // 24),
    )


def _bill_again(claim: Claim, change: int) -> None:
    """Append a copy of the first line that has a code, with another charge if so asked."""
    copy = claim.lines.add()
    copy.CopyFrom(next(line for line in claim.lines if line.procedure_code))
    copy.line_number = len(claim.lines)
    copy.charge_cents += change
    claim.total_charge_cents += copy.charge_cents


def _duplicate_line(claim: Claim, _: Random) -> None:
    _bill_again(claim, 0)


def _duplicate_day(claim: Claim, _: Random) -> None:
    _bill_again(claim, 1500)


def _multiply_charges(claim: Claim, factor: int) -> None:
    """Make every charge that many times as high."""
    for line in claim.lines:
        line.charge_cents *= factor
    claim.total_charge_cents *= factor


def _dear(claim: Claim, random: Random) -> None:
    _multiply_charges(claim, 3 + int(random.random() * 4))


def _high_dollar(claim: Claim, random: Random) -> None:
    tier_cents = 1_000_000 if random.random() < 0.6 else 2_500_000
    _multiply_charges(claim, tier_cents // claim.total_charge_cents + 1)


def _excluded(claim: Claim, random: Random) -> None:
    provider = claim.billing_provider
    if random.random() < 0.5:
        provider = claim.referring_provider
    provider.npi = EXCLUDED_NPIS[int(random.random() * len(EXCLUDED_NPIS))]


def _bad_npi(claim: Claim, _: Random) -> None:
    claim.billing_provider.npi = "1234567890"


def _bad_code(claim: Claim, random: Random) -> None:
    if random.random() < 0.5:
        claim.lines[0].procedure_code = claim.lines[0].procedure_code[:4] or "9921"
    else:
        claim.diagnoses[0].code = "E119X"


def _bad_sum(claim: Claim, random: Random) -> None:
    claim.total_charge_cents += 500 + int(random.random() * 20_000)


def _received_after(claim: Claim, days: int) -> None:
    """Let the claim arrive so many days after its last day of service."""
    end = date.fromisoformat(claim.service_to_date)
    claim.received_date = (end + timedelta(days=days)).isoformat()


def _late(claim: Claim, random: Random) -> None:
    _received_after(claim, 372 + int(random.random() * 40))


def _late_excused(claim: Claim, random: Random) -> None:
    _late(claim, random)
    claim.timely_filing_exception = "provider_vacation"


def _nearly_late(claim: Claim, random: Random) -> None:
    _received_after(claim, 335 + int(random.random() * 25))


def _wrong_age(claim: Claim, random: Random) -> None:
    born = date.fromisoformat(claim.patient_date_of_birth)
    newborn = date.fromisoformat(claim.service_from_date) - born <= timedelta(days=366)
    old = "N401" if random.random() < 0.5 else "H2511"
    pointers = claim.lines[0].diagnosis_pointers
    pointed = pointers[0] - 1 if pointers else 0
    claim.diagnoses[pointed].code = old if newborn else "P599"


def _outside(claim: Claim, _: Random) -> None:
    line = claim.lines[len(claim.lines) - 1]
    before = date.fromisoformat(claim.service_from_date) - timedelta(days=3)
    line.service_from_date = before.isoformat()


def _no_payer(claim: Claim, _: Random) -> None:
    claim.payer_id = ""


def _no_member(claim: Claim, _: Random) -> None:
    claim.person_id = ""


def _secondary(claim: Claim, _: Random) -> None:
    claim.payer_sequence = "S"


def _unassigned_place(claim: Claim, random: Random) -> None:
    claim.place_of_service = ("29", "30", "37", "43")[int(random.random() * 4)]


def _unknown_modifier(claim: Claim, _: Random) -> None:
    del claim.lines[0].modifiers[3:]
    claim.lines[0].modifiers.append("9Q")


def _unscorable(claim: Claim, random: Random) -> None:
    """Break the structure in one of several ways, so that the claim cannot be scored."""
    match int(random.random() * 7):
        case 0:
            del claim.lines[:]
        case 1:
            claim.facility_id = ""
        case 2:
            claim.patient_account_number = ""
        case 3:
            claim.service_from_date, claim.service_to_date = "2025-12-24", "2025-12-20"
        case 4:
            claim.lines[0].units_milli = 0
        case 5:
            claim.lines.add().CopyFrom(claim.lines[0])
        case _:
            claim.service_from_date = "2025-11-31"


PROBLEMS: Final = (
    Problem(
        "pair of codes without a modifier",
        1.0,
        _visit(
            "24",
            ("45385", "", 1),
            ("45380", "", 1),
            specialty="gastroenterology",
            diagnoses="D126 K635",
            ages=(45, 85),
        ),
    ),
    Problem(
        "pair that no modifier separates",
        0.5,
        _visit(
            "24",
            ("43239", "", 1),
            ("43235", "59", 1),
            specialty="gastroenterology",
            diagnoses="K219 K2970",
        ),
    ),
    Problem(
        "panel with its part",
        0.5,
        _visit(
            "81",
            ("80053", "", 1),
            ("80048", "", 1),
            ("85025", "", 1),
            ("80061", "", 1),
            specialty="laboratory",
            diagnoses="I10 E785 E119",
        ),
    ),
    Problem(
        "mutually exclusive codes",
        0.6,
        _visit(
            "11",
            ("97150", "GP", 1),
            ("97110", "GP", 2),
            specialty="physical_therapy",
            diagnoses="M5450 M542",
        ),
    ),
    Problem(
        "too many units, clinical limit",
        1.0,
        _visit(
            "11",
            ("97110", "GP", 8),
            ("97140", "GP", 1),
            specialty="physical_therapy",
            diagnoses="M5450 M542",
        ),
    ),
    Problem(
        "too many units, absolute limit",
        0.4,
        _visit(
            "21",
            ("27447", "RT", 1),
            ("27447", "LT", 1),
            specialty="orthopaedics",
            diagnoses="M1711 M1712",
            ages=(50, 90),
        ),
    ),
    Problem(
        "add-on without its primary, closed list",
        0.5,
        _visit(
            "11",
            ("11045", "", 1),
            ("99213", "", 1),
            specialty="general_surgery",
            diagnoses="L97511",
        ),
    ),
    Problem(
        "add-on without its primary, back",
        0.4,
        _visit("11", ("64484", "RT", 1), ("99213", "25", 1), specialty="pain", diagnoses="M5416"),
    ),
    Problem(
        "component of a code that has none",
        0.5,
        _visit(
            "11", ("99213", "26", 1), ("36415", "", 1), ("80053", "", 1), diagnoses="I10 E119 E785"
        ),
    ),
    Problem("modifier that does not exist", 0.4, change=_unknown_modifier, professional_only=True),
    Problem(
        "both sides and one side",
        0.4,
        _visit("11", ("20610", "50 LT", 1), specialty="orthopaedics"),
    ),
    Problem(
        "both sides where there is no such price",
        0.4,
        _visit("11", ("11042", "50", 1), specialty="general_surgery", diagnoses="L97511"),
    ),
    Problem(
        "both sides where that means nothing",
        0.3,
        _visit("11", ("36415", "50", 1), ("80053", "", 1), diagnoses="I10 E119"),
    ),
    Problem(
        "both sides of a code that is both sides",
        0.4,
        _visit("11", ("69210", "50", 1), specialty="otolaryngology", diagnoses="H6123"),
    ),
    Problem("place that is not assigned", 0.4, change=_unassigned_place, professional_only=True),
    Problem(
        "place without a price",
        0.4,
        _visit(
            "11", ("27447", "RT", 1), specialty="orthopaedics", diagnoses="M1711", ages=(50, 90)
        ),
    ),
    Problem("charge far over the fee", 1.8, change=_dear, professional_only=True),
    Problem("high charge", 0.6, change=_high_dollar),
    Problem("excluded provider", 0.5, change=_excluded),
    Problem("same line twice", 0.7, change=_duplicate_line, professional_only=True),
    Problem("same code twice", 0.5, change=_duplicate_day, professional_only=True),
    Problem(
        "assistant that is never paid",
        0.4,
        _visit("22", ("64721", "80", 1), specialty="orthopaedics", diagnoses="G5601"),
    ),
    Problem(
        "assistant without documentation",
        0.3,
        _visit("24", ("29880", "80", 1), specialty="orthopaedics", diagnoses="S83241A M1712"),
    ),
    Problem(
        "second surgeon that is not paid",
        0.3,
        _visit("24", ("29881", "62", 1), specialty="orthopaedics", diagnoses="S83241A"),
    ),
    Problem(
        "team that is not paid",
        0.3,
        _visit(
            "21", ("27447", "66", 1), specialty="orthopaedics", diagnoses="M1711", ages=(50, 90)
        ),
    ),
    Problem(
        "visit with a small operation, no modifier",
        0.8,
        _visit(
            "11", ("99213", "", 1), ("17110", "", 1), specialty="dermatology", diagnoses="L820 L821"
        ),
    ),
    Problem(
        "distinct service that is distinct from nothing",
        0.4,
        _visit(
            "11",
            ("71046", "59", 1),
            ("77080", "", 1),
            specialty="radiology",
            diagnoses="R0789 R0602",
        ),
    ),
    Problem(
        "dental code",
        0.3,
        _visit("11", ("D0150", "", 1), diagnoses="R519"),
    ),
    Problem(
        "unlisted procedure",
        0.3,
        _visit("22", ("64999", "", 1), specialty="pain", diagnoses="M5416 M549"),
    ),
    Problem(
        "incidental service beside another",
        0.4,
        _visit(
            "11", ("36591", "", 1), ("99213", "", 1), specialty="oncology", diagnoses="C50911 Z5111"
        ),
    ),
    Problem("observation for too long", 0.3, _observation(60)),
    Problem("long observation", 0.3, _observation(30)),
    Problem("late", 0.5, change=_late),
    Problem("late with a reason that is none", 0.3, change=_late_excused),
    Problem("nearly late", 0.5, change=_nearly_late),
    Problem("diagnosis of another age", 0.4, change=_wrong_age),
    Problem("code that is none", 0.4, change=_bad_code, professional_only=True),
    Problem("identifier with a wrong check digit", 0.4, change=_bad_npi),
    Problem("total that is not the sum", 0.5, change=_bad_sum),
    Problem("line outside the claim's days", 0.3, change=_outside),
    Problem("no payer", 0.3, change=_no_payer),
    Problem("no member", 0.1, change=_no_member),
    Problem("second payer without the first one's answer", 0.4, change=_secondary),
    Problem("same claim under another id", 0.4),
    Problem("cannot be scored", 0.2, change=_unscorable),
)
"""Every problem. The one without visit and change sends the claim before it again."""
