"""Who appears on synthetic claims: members, practices, hospitals, payers; all invented.

ZIP codes, taxonomies and claim filing indicators are real.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from random import Random
from typing import Final

from claimgate.v1.claim_pb2 import Provider

_NPI_BASE: Final = 100_000_000
"""Identifiers below 1003000000 pass the check digit and have not been given to anybody."""

PLACES: Final = (
    ("10001", "NY"),
    ("02114", "MA"),
    ("19104", "PA"),
    ("20010", "DC"),
    ("30303", "GA"),
    ("33136", "FL"),
    ("35204", "AL"),
    ("46202", "IN"),
    ("55415", "MN"),
    ("59701", "MT"),
    ("60612", "IL"),
    ("63110", "MO"),
    ("77030", "TX"),
    ("80204", "CO"),
    ("85006", "AZ"),
    ("90012", "CA"),
    ("94110", "CA"),
    ("97209", "OR"),
    ("98104", "WA"),
    ("99501", "AK"),
)
"""Where care is given: ZIP and state, each in another price locality."""

SPECIALTIES: Final = {
    "primary_care": ("207Q00000X", "08"),
    "paediatrics": ("208000000X", "37"),
    "orthopaedics": ("207X00000X", "20"),
    "dermatology": ("207N00000X", "07"),
    "physical_therapy": ("225100000X", "65"),
    "radiology": ("2085R0202X", "30"),
    "laboratory": ("291U00000X", "69"),
    "cardiology": ("207RC0000X", "06"),
    "gastroenterology": ("207RG0100X", "10"),
    "ophthalmology": ("207W00000X", "18"),
    "pain": ("208VP0014X", "72"),
    "neurosurgery": ("207T00000X", "14"),
    "general_surgery": ("208600000X", "02"),
    "anaesthesiology": ("207L00000X", "05"),
    "emergency": ("207P00000X", "93"),
    "hospital_medicine": ("208M00000X", "C6"),
    "psychiatry": ("2084P0800X", "26"),
    "oncology": ("207RX0202X", "90"),
    "obstetrics": ("207V00000X", "16"),
    "pathology": ("207ZP0102X", "22"),
    "urology": ("208800000X", "34"),
    "otolaryngology": ("207Y00000X", "04"),
    "pulmonology": ("207RP1001X", "29"),
    "neurology": ("2084N0400X", "13"),
    "hospital": ("282N00000X", "A0"),
}
"""Taxonomy and Medicare specialty code by specialty."""

_NUMBERS: Final = {name: number for number, name in enumerate(SPECIALTIES)}
_PRACTITIONERS: Final = 3
_NAMES: Final = (
    "Alder",
    "Birch",
    "Cedar",
    "Dogwood",
    "Elder",
    "Fir",
    "Gorse",
    "Hazel",
    "Ivy",
    "Juniper",
    "Laurel",
    "Maple",
    "Oak",
    "Pine",
    "Rowan",
    "Sorrel",
    "Thorn",
    "Willow",
    "Yew",
)
_FIRST_NAMES: Final = (
    "Ada",
    "Ben",
    "Cleo",
    "Dan",
    "Eve",
    "Finn",
    "Gia",
    "Hal",
    "Ida",
    "Jon",
    "Kay",
    "Leo",
    "Mia",
    "Ned",
    "Ona",
    "Pia",
    "Ray",
    "Sue",
    "Tom",
    "Una",
    "Vic",
    "Wes",
)

PAYERS: Final = {
    "MB": ("SYNMCRB", "Synthetic Medicare B"),
    "MA": ("SYNMCRA", "Synthetic Medicare A"),
    "16": ("SYNADV", "Synthetic Advantage"),
    "MC": ("SYNMCD", "Synthetic Medicaid"),
    "CI": ("SYNCOM", "Synthetic Commercial"),
    "BL": ("SYNBLU", "Synthetic Mutual"),
    "HM": ("SYNHMO", "Synthetic Health Plan"),
    "12": ("SYNPPO", "Synthetic Preferred"),
    "CH": ("SYNTRI", "Synthetic Military"),
    "WC": ("SYNWRK", "Synthetic Workers Fund"),
    "AM": ("SYNAUT", "Synthetic Auto"),
    "11": ("SYNOTH", "Synthetic Other"),
}
"""Payer id and name by claim filing indicator."""

_FILING_YOUNG: Final = (
    ("CI",) * 34
    + ("BL",) * 20
    + ("HM",) * 13
    + ("12",) * 10
    + ("MC",) * 17
    + (
        "CH",
        "CH",
        "WC",
        "AM",
        "11",
        "11",
    )
)
_FILING_OLD: Final = ("MB",) * 60 + ("16",) * 32 + ("CI",) * 6 + ("BL",) * 2


@dataclass(frozen=True, slots=True)
class Member:
    """A patient as the payer knows him or her."""

    member_id: str
    subscriber_id: str
    birth: date
    sex: str
    first_name: str
    last_name: str
    filing: str
    place: int


@dataclass(frozen=True, slots=True)
class Practice:
    """Who bills, and who works there."""

    facility_id: str
    billing: Provider
    site: Provider
    practitioners: tuple[Provider, ...]
    charge_ratio: float
    """What the practice charges, as a multiple of the typical fee."""


def npi(number: int) -> str:
    """Return the identifier of that number, with its check digit (Luhn after 80840)."""
    digits = str(_NPI_BASE + number)
    total = 24 + sum(
        int(digit) if place % 2 else sum(divmod(2 * int(digit), 10))
        for place, digit in enumerate(reversed(digits))
    )
    return f"{digits}{-total % 10}"


@lru_cache(maxsize=4096)
def member(seed: int, number: int) -> Member:
    """Return one member of the population of that seed."""
    random = Random((seed << 80) | (1 << 64) | number)  # noqa: S311 - claims are made up, not secret
    child = random.random() < 0.16
    age_days = (
        int(random.uniform(1.2, 17.5) * 365.25) if child else int(_adult_age(random) * 365.25)
    )
    birth = date.fromordinal(date(2025, 10, 1).toordinal() - age_days)
    old = age_days > 65 * 365.25
    filings = _FILING_OLD if old else _FILING_YOUNG
    member_id = f"M{seed:X}{number:09d}"
    return Member(
        member_id=member_id,
        subscriber_id=f"{member_id}S" if child else "",
        birth=birth,
        sex="F" if random.random() < 0.54 else "M",
        first_name=random.choice(_FIRST_NAMES),
        last_name=random.choice(_NAMES),
        filing=random.choice(filings),
        place=int(random.random() * len(PLACES)),
    )


def _adult_age(random: Random) -> float:
    """Return an age in years, older than the population is: the old see doctors more often."""
    return min(98.0, 18.0 + 80.0 * random.betavariate(1.9, 1.5))


@cache
def practice(specialty: str, place: int) -> Practice:
    """Return the practice of that specialty in that place; the same for every seed."""
    number = (place * len(SPECIALTIES) + _NUMBERS[specialty]) * (_PRACTITIONERS + 1)
    random = Random(number)  # noqa: S311 - as above
    zip_code, state = PLACES[place]
    taxonomy, code = SPECIALTIES[specialty]
    hospital = specialty == "hospital"
    kind = "Hospital" if hospital else "Practice"
    billing = Provider(
        npi=npi(number),
        tin=f"00{number:07d}",
        entity_type=2,
        last_or_org_name=f"{_NAMES[number % len(_NAMES)]} {kind} {number}",
        taxonomy=taxonomy,
        specialty=code,
        ccn=f"99{place:04d}" if hospital else "",
        state=state,
        zip=zip_code,
    )
    people = tuple(
        Provider(
            npi=npi(number + 1 + person),
            entity_type=1,
            last_or_org_name=random.choice(_NAMES),
            first_name=random.choice(_FIRST_NAMES),
            taxonomy="207R00000X" if hospital else taxonomy,
            specialty="11" if hospital else code,
            state=state,
            zip=zip_code,
        )
        for person in range(_PRACTITIONERS)
    )
    dear = random.random() < 0.08
    return Practice(
        facility_id=f"F{number:05d}",
        billing=billing,
        site=Provider(
            npi=billing.npi,
            entity_type=2,
            last_or_org_name=billing.last_or_org_name,
            state=state,
            zip=zip_code,
        ),
        practitioners=people,
        charge_ratio=random.uniform(1.6, 2.1) if dear else random.uniform(0.95, 1.35),
    )
