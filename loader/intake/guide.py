"""What the guides of 837P and 837I say about loops: who is named where, and what must be there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from claimgate.v1 import claim_pb2


@dataclass(frozen=True, slots=True)
class Role:
    """What an NM1 opens: its loop, and the field for the provider (empty: not kept)."""

    loop: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Guide:
    """One form of the 837: the differences between professional and institutional claims."""

    claim_type: claim_pb2.ClaimType.ValueType
    name: str
    facility_qualifier: str
    """CLM05-2: how CLM05-1 is meant."""
    service_segment: str
    """The segment that bills a line."""
    unit_bases: frozenset[str]
    claim_required: tuple[str, ...]
    """What loop 2300 must hold."""
    line_days_required: bool
    """Whether each line must hold DTP*472; the lines of a stay may leave it out."""
    claim_roles: Mapping[str, Role]
    """NM101 in loop 2300 to its role."""
    payer_roles: Mapping[str, Role]
    """NM101 in loop 2320 to its role."""
    line_roles: Mapping[str, Role]
    """NM101 in loop 2400 to its role."""


PROFESSIONAL: Final = Guide(
    claim_type=claim_pb2.CLAIM_TYPE_PROFESSIONAL,
    name="837P",
    facility_qualifier="B",
    service_segment="SV1",
    unit_bases=frozenset({"UN", "MJ"}),
    claim_required=("HI",),
    line_days_required=True,
    claim_roles={
        "DN": Role("2310A", "referring_provider"),
        "P3": Role("2310A"),
        "82": Role("2310B", "rendering_provider"),
        "77": Role("2310C", "facility_provider"),
        "DQ": Role("2310D", "supervising_provider"),
        "PW": Role("2310E"),
        "45": Role("2310F"),
    },
    payer_roles={
        "IL": Role("2330A"),
        "PR": Role("2330B"),
        "DN": Role("2330C"),
        "P3": Role("2330C"),
        "82": Role("2330D"),
        "77": Role("2330E"),
        "DQ": Role("2330F"),
        "85": Role("2330G"),
    },
    line_roles={
        "82": Role("2420A", "rendering_provider"),
        "QB": Role("2420B"),
        "77": Role("2420C", "facility_provider"),
        "DQ": Role("2420D", "supervising_provider"),
        "DK": Role("2420E", "ordering_provider"),
        "DN": Role("2420F", "referring_provider"),
        "P3": Role("2420F"),
        "PW": Role("2420G"),
        "45": Role("2420H"),
    },
)

INSTITUTIONAL: Final = Guide(
    claim_type=claim_pb2.CLAIM_TYPE_INSTITUTIONAL,
    name="837I",
    facility_qualifier="A",
    service_segment="SV2",
    unit_bases=frozenset({"UN", "DA"}),
    claim_required=("DTP*434", "CL1", "HI"),
    line_days_required=False,
    claim_roles={
        "71": Role("2310A", "attending_provider"),
        "72": Role("2310B", "operating_provider"),
        "ZZ": Role("2310C"),
        "82": Role("2310D", "rendering_provider"),
        "77": Role("2310E", "facility_provider"),
        "DN": Role("2310F", "referring_provider"),
    },
    payer_roles={
        "IL": Role("2330A"),
        "PR": Role("2330B"),
        "71": Role("2330C"),
        "72": Role("2330D"),
        "ZZ": Role("2330E"),
        "77": Role("2330F"),
        "82": Role("2330G"),
        "DN": Role("2330H"),
        "85": Role("2330I"),
    },
    line_roles={
        "72": Role("2420A"),
        "ZZ": Role("2420B"),
        "82": Role("2420C", "rendering_provider"),
        "DN": Role("2420D", "referring_provider"),
    },
)

GUIDES: Final[Mapping[str, Guide]] = {"005010X222": PROFESSIONAL, "005010X223": INSTITUTIONAL}
"""The first ten characters of ST03 to the guide."""

PARTY_ROLES: Final[Mapping[str, Mapping[str, Role]]] = {
    "1000": {"41": Role("1000A"), "40": Role("1000B")},
    "2000A": {"85": Role("2010AA"), "87": Role("2010AB"), "PE": Role("2010AC")},
    "2000B": {"IL": Role("2010BA"), "PR": Role("2010BB")},
    "2000C": {"QC": Role("2010CA")},
}
"""NM101 above the claim to its role, by hierarchy level."""

PARTY_LEVELS: Final = {"85": "2000A", "IL": "2000B", "PR": "2000B", "QC": "2000C"}
"""NM101 to the one level of the hierarchy at which it may stand above a claim."""

PARTY_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "2010AA": ("N3", "N4", "REF*EI"),
    "2010CA": ("N3", "N4", "DMG"),
}
"""What a loop above the claim must hold."""

SUBSCRIBER_PATIENT_REQUIRED: Final = ("N3", "N4", "DMG")
"""What 2010BA must hold where the subscriber is the patient."""

CLAIM_LINES_MAX: Final = 999
"""Most lines of any claim (loop 2400 of 837I)."""

CLAIM_SEGMENTS_MAX: Final = 30_000
"""Most segments of a claim that are read: 999 lines with 30 segments each."""

PAYER_SEQUENCES: Final = frozenset("PSTABCDEFGHU")
FREQUENCIES: Final = frozenset("123456789")
ACCIDENTS: Final = frozenset({"AA", "EM", "OA"})
PURPOSES: Final = frozenset({"CH", "RP", "31"})

ICD9_LAST_DAY: Final = "2015-09-30"
"""ICD-10 holds for services after it (45 CFR 162.1002)."""

ICD9_QUALIFIERS: Final = frozenset({"BK", "BF", "BJ", "PR", "BN", "BR", "BQ"})

PRINCIPAL_DIAGNOSIS: Final = frozenset({"ABK", "BK"})
OTHER_DIAGNOSIS: Final = frozenset({"ABF", "BF"})
