"""What synthetic claims are made of: the visits that practices and hospitals bill, as codes.

A visit is a list of services that may stand together on one day: no pair of them is an NCCI edit
that its modifiers do not settle, no unit count is over its limit, each has a price in its place
of service. What goes wrong on purpose is in `problems.py`; this file is the clean part.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a visit: one of some codes, in some number of units, with some chance."""

    codes: tuple[str, ...]
    modifiers: tuple[str, ...] = ()
    units: tuple[int, int] = (1, 1)
    chance: float = 1.0
    revenue: str = ""
    days: tuple[int, int] = (1, 1)
    """On how many days of the visit it is repeated, one line each."""
    day_first: int = 0
    """On which day of the visit it begins."""
    basis: str = "UN"


@dataclass(frozen=True, slots=True)
class Visit:
    """One kind of claim: who bills it, where, what for, for whom."""

    name: str
    weight: float
    """Share among the visits of its claim type, in any unit."""
    specialty: str
    place: str
    """Place of service of a professional claim, type of bill of an institutional one."""
    services: tuple[Service, ...]
    diagnoses: tuple[str, ...]
    ages: tuple[int, int] = (18, 120)
    sex: str = ""
    """F or M where the visit is for one sex only."""
    nights: tuple[int, int] = (0, 0)
    icd_procedures: tuple[str, ...] = ()
    drgs: tuple[str, ...] = ()


def _s(
    codes: str,
    modifiers: str = "",
    *,
    units: tuple[int, int] = (1, 1),
    chance: float = 1.0,
    days: tuple[int, int] = (1, 1),
    day_first: int = 0,
    basis: str = "UN",
) -> Service:
    """Write a professional service short: codes and modifiers separated by blanks."""
    return Service(
        tuple(codes.split()), tuple(modifiers.split()), units, chance, "", days, day_first, basis
    )


def _r(
    revenue: str,
    codes: str = "",
    modifiers: str = "",
    *,
    units: tuple[int, int] = (1, 1),
    chance: float = 1.0,
) -> Service:
    """Write a revenue line of an institutional claim short; without a code, a cost centre alone."""
    return Service(tuple(codes.split()), tuple(modifiers.split()), units, chance, revenue)


def _dx(codes: str) -> tuple[str, ...]:
    """Write diagnoses short."""
    return tuple(codes.split())


_CHRONIC: Final = _dx(
    "I10 E119 E785 E1165 J449 N189 E039 K219 M5450 F329 F419 G4733 E669 I2510 J45909 M179 R5383 "
    "Z79899"
)
_LABS: Final = (
    _s("36415", chance=0.9),
    _s("80053", chance=0.85),
    _s("85025", chance=0.8),
    _s("80061", chance=0.7),
    _s("83036", chance=0.65),
    _s("84443", chance=0.55),
    _s("82306", chance=0.4),
    _s("81001", chance=0.4),
    _s("82607", chance=0.3),
)

PROFESSIONAL: Final = (
    Visit(
        "primary care",
        36,
        "primary_care",
        "11",
        (_s("99212 99213 99213 99213 99214 99214 99215"), *_LABS),
        _CHRONIC,
    ),
    Visit(
        "new patient",
        6,
        "primary_care",
        "11",
        (_s("99202 99203 99203 99204 99205"), *_LABS[:7]),
        _CHRONIC,
    ),
    Visit(
        "visit with vaccines",
        5,
        "primary_care",
        "11",
        (
            _s("99213 99214", "25"),
            _s("90471"),
            _s("90715"),
            _s("36415", chance=0.4),
            _s("80053", chance=0.4),
            _s("83036", chance=0.3),
        ),
        _dx("Z23 I10 E119 E785 J069"),
    ),
    Visit(
        "yearly examination",
        4,
        "primary_care",
        "11",
        (_s("G0439"), _s("36415"), *_LABS[1:6]),
        _dx("Z0000 Z0001 Z1211 E785"),
        ages=(66, 120),
    ),
    Visit(
        "child",
        3,
        "paediatrics",
        "11",
        (
            _s("99212 99213 99213 99214"),
            _s("87880", chance=0.5),
            _s("87804", units=(1, 1), chance=0.4),
            _s("81003", chance=0.25),
        ),
        _dx("J069 J029 R059 J309 J209 L309"),
        ages=(1, 17),
    ),
    Visit(
        "video visit",
        1.5,
        "primary_care",
        "10",
        (_s("99212 99213 99214", "95"),),
        _dx("J069 I10 F419 J309 N390"),
    ),
    Visit(
        "injection of a joint",
        4,
        "orthopaedics",
        "11",
        (
            _s("99213 99214", "25", chance=0.7),
            _s("20610", "RT"),
            _s("J3301", units=(4, 4), chance=0.8),
            _s("73562", "RT", chance=0.5),
        ),
        _dx("M1711 M25561 M179 M7541"),
    ),
    Visit(
        "fracture clinic",
        2,
        "orthopaedics",
        "11",
        (_s("99203 99213 99214"), _s("73610 73630", "LT")),
        _dx("S52501A S93401A T148XXA"),
        ages=(5, 120),
    ),
    Visit(
        "skin",
        4,
        "dermatology",
        "11",
        (
            _s("99212 99213 99213 99214", "25"),
            _s("17000"),
            _s("17003", units=(1, 9), chance=0.6),
            _s("88305", units=(1, 2), chance=0.2),
        ),
        _dx("L570 L821 L820 L579"),
        ages=(30, 120),
    ),
    Visit(
        "skin biopsy",
        2,
        "dermatology",
        "11",
        (
            _s("99213 99214", "25", chance=0.8),
            _s("11102"),
            _s("11103", units=(1, 3), chance=0.5),
            _s("88305", units=(1, 4), chance=0.8),
        ),
        _dx("L821 L720 L570"),
        ages=(25, 120),
    ),
    Visit(
        "therapy",
        9,
        "physical_therapy",
        "11",
        (
            _s("97110", "GP", units=(1, 4)),
            _s("97112", "GP", units=(1, 2), chance=0.6),
            _s("97140", "GP", units=(1, 2), chance=0.7),
            _s("G0283", "GP", chance=0.4),
            _s("97035", "GP", chance=0.25),
        ),
        _dx("M5450 M25561 M25511 M542 Z96651 M549"),
    ),
    Visit(
        "therapy of several days",
        4,
        "physical_therapy",
        "11",
        (
            _s("97110", "GP", units=(2, 3), days=(2, 4)),
            _s("97140", "GP", units=(1, 1), days=(2, 3)),
        ),
        _dx("M5450 M25561 M25511 M542 Z96651"),
        nights=(6, 13),
    ),
    Visit(
        "therapy evaluation",
        1.5,
        "physical_therapy",
        "11",
        (_s("97161 97162", "GP"), _s("97110", "GP", units=(1, 2)), _s("97035", "GP", chance=0.3)),
        _dx("M5450 M25561 M25511 M542"),
    ),
    Visit(
        "picture read in hospital",
        6,
        "radiology",
        "22",
        (
            _s("71046", "26"),
            _s("74177 70450 71260 72148 76700 93970", "26", chance=0.6),
        ),
        _dx("R0789 R109 R051 J189 R0602 M5450"),
    ),
    Visit(
        "picture in the office",
        3,
        "radiology",
        "11",
        (_s("71046 73030 72100"), _s("76700 76536 93971", chance=0.5), _s("77080", chance=0.3)),
        _dx("R0789 R109 M810 M549"),
    ),
    Visit(
        "mammogram",
        3,
        "radiology",
        "11",
        (_s("77067"), _s("77063")),
        _dx("Z1231 R928 N6310"),
        ages=(40, 90),
        sex="F",
    ),
    Visit(
        "laboratory",
        24,
        "laboratory",
        "81",
        (
            _s("80053", chance=0.95),
            _s("85025", chance=0.95),
            _s("80061", chance=0.9),
            _s("83036", chance=0.75),
            _s("84443", chance=0.75),
            _s("82306", chance=0.65),
            _s("82607", chance=0.6),
            _s("81001", chance=0.55),
            _s("82043", chance=0.45),
            _s("87086", chance=0.45),
            _s("84439", chance=0.45),
            _s("85610", chance=0.35),
        ),
        _CHRONIC,
    ),
    Visit(
        "heart clinic",
        6,
        "cardiology",
        "11",
        (
            _s("99213 99214 99214 99215", "25"),
            _s("93000"),
            _s("93306", chance=0.35),
            _s("36415", chance=0.3),
            _s("80053", chance=0.3),
            _s("84484", chance=0.2),
        ),
        _dx("I10 I2510 I4891 I509 R0789 E785 R55"),
        ages=(35, 120),
    ),
    Visit(
        "colonoscopy",
        2.5,
        "gastroenterology",
        "24",
        (_s("45385"), _s("45380", "59", chance=0.5)),
        _dx("Z1211 D126 D124 K635"),
        ages=(45, 85),
    ),
    Visit(
        "upper endoscopy",
        1.5,
        "gastroenterology",
        "24",
        (_s("43239"),),
        _dx("K219 K2970 R109"),
        ages=(25, 90),
    ),
    Visit(
        "knee replacement",
        0.7,
        "orthopaedics",
        "21",
        (_s("27447", "RT"),),
        _dx("M1711 M1712 M179"),
        ages=(50, 90),
    ),
    Visit(
        "knee arthroscopy",
        0.9,
        "orthopaedics",
        "24",
        (_s("29881", "LT"),),
        _dx("S83241A M1712"),
    ),
    Visit(
        "cataract",
        1.6,
        "ophthalmology",
        "24",
        (_s("66984", "RT"),),
        _dx("H2511 H2513 H25811"),
        ages=(55, 95),
    ),
    Visit(
        "eye clinic",
        2,
        "ophthalmology",
        "11",
        (_s("92012 92014"), _s("92134", chance=0.6), _s("92083", chance=0.3)),
        _dx("H2513 H409 H3530 H269 E119"),
        ages=(20, 120),
    ),
    Visit(
        "back injection",
        1.5,
        "pain",
        "11",
        (
            _s("64483", "RT"),
            _s("64484", "RT", chance=0.5),
            _s("J1100", units=(4, 10), chance=0.7),
            _s("J3301", units=(4, 8), chance=0.3),
        ),
        _dx("M5416 M5126 M549"),
        ages=(30, 90),
    ),
    Visit(
        "back operation",
        0.4,
        "neurosurgery",
        "21",
        (_s("22612"), _s("22614", units=(1, 2), chance=0.7)),
        _dx("M5126 M5416 M519"),
        ages=(35, 85),
    ),
    Visit(
        "wound",
        1.2,
        "general_surgery",
        "11",
        (_s("11042"), _s("11045", units=(1, 3), chance=0.5)),
        _dx("L97511 L0390"),
        ages=(30, 100),
    ),
    Visit(
        "gall bladder operation",
        0.6,
        "general_surgery",
        "22",
        (_s("47562"),),
        _dx("K8020 R109"),
        ages=(20, 85),
    ),
    Visit(
        "anaesthesia",
        2,
        "anaesthesiology",
        "24",
        (_s("00811 00731 01400 00790", "AA", units=(20, 95), basis="MJ"),),
        _dx("Z1211 K219 M1712 K8020"),
    ),
    Visit(
        "emergency physician",
        5,
        "emergency",
        "23",
        (
            _s("99283 99284 99284 99285", "25"),
            _s("93010", chance=0.5),
        ),
        _dx("R0789 R109 R519 R55 J189 N390"),
        ages=(1, 120),
    ),
    Visit(
        "cut sewn in the emergency department",
        1,
        "emergency",
        "23",
        (_s("99282 99283", "25"), _s("12001 12002")),
        _dx("S0101XA S61001A"),
        ages=(1, 120),
    ),
    Visit(
        "hospital stay, physician",
        3,
        "hospital_medicine",
        "21",
        (
            _s("99222 99223 99223"),
            _s("99232 99232 99233", days=(2, 5), day_first=1),
        ),
        _dx("J189 I509 N189 J9601 J449 I4891 E1165"),
        ages=(20, 120),
        nights=(5, 8),
    ),
    Visit(
        "critical care",
        0.7,
        "hospital_medicine",
        "21",
        (_s("99291"), _s("99292", units=(1, 2), chance=0.6)),
        _dx("J9601 I509 I639"),
        ages=(20, 120),
    ),
    Visit(
        "nursing home",
        1.0,
        "primary_care",
        "31",
        (_s("99308 99309 99309 99310"),),
        _dx("I10 E119 J449 I639"),
        ages=(65, 120),
    ),
    Visit(
        "psychotherapy",
        2.5,
        "psychiatry",
        "11",
        (_s("90834 90837"),),
        _dx("F329 F411 F419 F330 F430"),
        ages=(12, 100),
    ),
    Visit(
        "psychiatry",
        2,
        "psychiatry",
        "11",
        (_s("99213 99214"), _s("96127", units=(1, 2), chance=0.6)),
        _dx("F329 F411 F32A F330 F909"),
        ages=(12, 100),
    ),
    Visit(
        "infusion",
        3.5,
        "oncology",
        "11",
        (
            _s("99213 99214", "25", chance=0.5),
            _s("96413"),
            _s("96415", units=(1, 2), chance=0.5),
            _s("96375", units=(1, 2), chance=0.8),
            _s("J1100", units=(8, 12), chance=0.8),
            _s("J2405", units=(8, 16), chance=0.7),
            _s("J9035", units=(30, 60), chance=0.6),
            _s("85025", chance=0.7),
            _s("80053", chance=0.7),
        ),
        _dx("C50911 C3490 C189 Z5111"),
        ages=(30, 90),
    ),
    Visit(
        "pregnancy",
        1.2,
        "obstetrics",
        "11",
        (
            _s("76801 76805 76817"),
            _s("59025", chance=0.5),
            _s("81003", chance=0.6),
            _s("36415", chance=0.3),
            _s("85025", chance=0.3),
        ),
        _dx("Z3401 Z3400 O0990 O24410"),
        ages=(18, 44),
        sex="F",
    ),
    Visit(
        "delivery",
        0.4,
        "obstetrics",
        "21",
        (_s("59400 59510"),),
        _dx("O80"),
        ages=(18, 44),
        sex="F",
    ),
    Visit(
        "pathology",
        1.2,
        "pathology",
        "22",
        (
            _s("88305", "26", units=(1, 4)),
            _s("88342", "26", chance=0.4),
        ),
        _dx("K635 D126 C50911 L821"),
    ),
    Visit(
        "urology",
        1.5,
        "urology",
        "11",
        (
            _s("99213 99214", "25"),
            _s("52000", chance=0.5),
            _s("80053", chance=0.5),
        ),
        _dx("N401 N400 R310"),
        ages=(45, 95),
        sex="M",
    ),
    Visit(
        "ear, nose and throat",
        1.2,
        "otolaryngology",
        "11",
        (_s("99213 99214", "25"), _s("31231 31575", chance=0.6)),
        _dx("H6123 J309 J069"),
        ages=(10, 100),
    ),
    Visit(
        "lungs",
        1.2,
        "pulmonology",
        "11",
        (_s("99214 99215", "25"), _s("94060"), _s("71046", chance=0.3)),
        _dx("J449 J45909 R0602 G4733"),
        ages=(18, 100),
    ),
    Visit(
        "nerves",
        1.0,
        "neurology",
        "11",
        (_s("99214 99215", "25"), _s("95909 95910", chance=0.5)),
        _dx("G5601 G43909 M5416"),
        ages=(18, 100),
    ),
)

_HOSPITAL_LABS: Final = (
    _r("0300", "36415", chance=0.7),
    _r("0301", "80053", chance=0.7),
    _r("0305", "85025", chance=0.7),
    _r("0301", "84439", chance=0.3),
)

INSTITUTIONAL: Final = (
    Visit(
        "emergency department",
        34,
        "hospital",
        "0131",
        (
            _r("0450", "99283 99284 99284 99285", "25"),
            *_HOSPITAL_LABS,
            _r("0301", "84484", chance=0.5),
            _r("0730", "93005", chance=0.6),
            _r("0324", "71046", chance=0.6),
            _r("0260", "96374", chance=0.5),
            _r("0636", "J1885", units=(1, 4), chance=0.5),
            _r("0636", "J2405", units=(4, 8), chance=0.4),
            _r("0250", chance=0.5),
        ),
        _dx("R0789 R109 R519 R55 J189 N390 S0101XA"),
        ages=(1, 120),
    ),
    Visit(
        "outpatient laboratory",
        20,
        "hospital",
        "0131",
        (
            *_HOSPITAL_LABS,
            _r("0301", "80061", chance=0.6),
            _r("0301", "83036", chance=0.5),
            _r("0301", "84443", chance=0.5),
            _r("0307", "81001", chance=0.4),
        ),
        _CHRONIC,
    ),
    Visit(
        "outpatient imaging",
        14,
        "hospital",
        "0131",
        (
            _r("0352", "74177"),
            _r("0636", "J7030", units=(1, 2)),
            _r("0301", "80048", chance=0.4),
            _r("0320", "71046", chance=0.3),
        ),
        _dx("R109 C189 K5730"),
    ),
    Visit(
        "outpatient endoscopy",
        9,
        "hospital",
        "0131",
        (
            _r("0750", "45385"),
            _r("0750", "45380", "59", chance=0.4),
            _r("0370"),
            _r("0710"),
            _r("0250"),
            _r("0312", "88305", units=(1, 3), chance=0.8),
        ),
        _dx("Z1211 D126 K635 D124"),
        ages=(45, 85),
    ),
    Visit(
        "outpatient operation",
        6,
        "hospital",
        "0131",
        (
            _r("0360", "47562"),
            _r("0370"),
            _r("0710"),
            _r("0250"),
            _r("0272"),
            _r("0636", "J2405", units=(4, 4), chance=0.6),
        ),
        _dx("K8020"),
        ages=(20, 85),
    ),
    Visit(
        "outpatient therapy",
        7,
        "hospital",
        "0131",
        (
            _r("0420", "97110", "GP", units=(1, 4)),
            _r("0420", "97140", "GP", units=(1, 2), chance=0.7),
            _r("0420", "97112", "GP", units=(1, 2), chance=0.5),
        ),
        _dx("M5450 M25561 Z96651"),
    ),
    Visit(
        "observation",
        4,
        "hospital",
        "0131",
        (
            _r("0762", "G0378", units=(8, 22)),
            *_HOSPITAL_LABS,
            _r("0301", "84484", units=(1, 2)),
            _r("0730", "93005"),
            _r("0250"),
        ),
        _dx("R0789 R55 I4891 J449"),
        ages=(25, 120),
        nights=(1, 1),
    ),
    Visit(
        "hospital stay",
        6,
        "hospital",
        "0111",
        (
            _r("0120", units=(0, 0)),
            _r("0250"),
            _r("0300"),
            _r("0270"),
            _r("0320", chance=0.6),
            _r("0410", chance=0.4),
            _r("0730", chance=0.5),
        ),
        _dx("J189 I509 N189 J449 I4891"),
        ages=(20, 120),
        nights=(2, 7),
        drgs=_dx("193 291 682 871 190 308"),
    ),
    Visit(
        "hospital operation",
        1.5,
        "hospital",
        "0111",
        (
            _r("0120", units=(0, 0)),
            _r("0360"),
            _r("0370"),
            _r("0278"),
            _r("0250"),
            _r("0300"),
            _r("0710"),
        ),
        _dx("M1711 M1712"),
        ages=(50, 90),
        nights=(1, 3),
        icd_procedures=("0SRC0J9",),
        drgs=("470",),
    ),
)
