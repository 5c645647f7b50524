"""What the tables of a snapshot say of one procedure on one day, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.codes import code36, text36
from engine.tables.fees import GLOBAL_MMM, GLOBAL_XXX, GLOBAL_YYY, GLOBAL_ZZZ
from engine.tables.ncci import CONTRACTOR_DEFINED, TYPE_1, TYPE_2, TYPE_3
from engine.tables.snapshot import Dates

if TYPE_CHECKING:
    from engine.reference import Reference

_GLOBAL_DAYS: Final[Mapping[int, str]] = {
    0: "000",
    10: "010",
    90: "090",
    GLOBAL_MMM: "MMM",
    GLOBAL_XXX: "XXX",
    GLOBAL_YYY: "YYY",
    GLOBAL_ZZZ: "ZZZ",
}
_ADDON_TYPES: Final = (
    (TYPE_1, "1"),
    (TYPE_2, "2"),
    (TYPE_3, "3"),
    (CONTRACTOR_DEFINED, "contractor defined"),
)


@dataclass(frozen=True, slots=True)
class FeeFacts:
    """A row of the fee schedule in words."""

    release: str
    status: str
    work_e2: int
    non_facility_pe_e2: int
    facility_pe_e2: int
    malpractice_e2: int
    non_facility_na: bool
    facility_na: bool
    not_for_payment: bool
    pctc: str
    global_days: str
    pre_e2: int
    intra_e2: int
    post_e2: int
    multiple_procedure: str
    bilateral: str
    assistant: str
    co_surgeon: str
    team: str
    endoscopy_base: str
    conversion_factor_e4: int
    imaging_family: str


@dataclass(frozen=True, slots=True)
class UnitLimitFacts:
    """A unit limit in one setting."""

    setting: str
    limit: int
    adjudication_indicator: int
    release: str


@dataclass(frozen=True, slots=True)
class ProcedureFacts:
    """What the tables say of a procedure on a day."""

    procedure_code: str
    modifier: str
    day: date
    fee: FeeFacts | None
    """None where the fee schedule has no row on that day."""
    unit_limits: tuple[UnitLimitFacts, ...]
    addon_types: tuple[str, ...]
    """Empty where the code is no add-on."""
    evaluation_management: bool
    hcpcs_level_2: bool
    """Whether the Level II set has the code on that day; CPT codes are never in it."""
    in_pair_edits: tuple[str, ...]
    """Settings whose pair edits name the code on any day."""
    stand_ins: tuple[str, ...]
    """Datasets and releases that stand in on that day."""


def describe(reference: "Reference", code: str, day: date, modifier: str = "") -> ProcedureFacts:
    """Return what the tables say of a procedure code, with 26, TC, 53 or no modifier, on a day."""
    codes, days = np.array([code36(code)]), np.array([day], "datetime64[D]")
    addon = int(reference.addons.types(codes, days)[0])
    pairs = {"practitioner": reference.ptp_practitioner, "hospital": reference.ptp_hospital}
    return ProcedureFacts(
        procedure_code=code.strip().upper(),
        modifier=modifier.strip().upper(),
        day=day,
        fee=_fee(reference, code, modifier, days),
        unit_limits=_unit_limits(reference, code, days),
        addon_types=tuple(name for bit, name in _ADDON_TYPES if addon & bit),
        evaluation_management=bool(reference.evaluation_management.contains(codes, days)[0]),
        hcpcs_level_2=bool(reference.hcpcs.valid(codes, days)[0]),
        in_pair_edits=tuple(name for name, each in pairs.items() if each.involves(codes)[0]),
        stand_ins=reference.stand_in_names(int(reference.stand_ins(days)[0])),
    )


def _fee(reference: "Reference", code: str, modifier: str, day: Dates) -> FeeFacts | None:
    table = reference.mpfs
    row = int(table.rows(np.array([code36(code)]), np.array([code36(modifier)]), day)[0])
    if row < 0:
        return None
    return FeeFacts(
        release=table.releases.name(int(table.release[row])),
        status=chr(table.status[row]),
        work_e2=int(table.work_e2[row]),
        non_facility_pe_e2=int(table.non_facility_pe_e2[row]),
        facility_pe_e2=int(table.facility_pe_e2[row]),
        malpractice_e2=int(table.malpractice_e2[row]),
        non_facility_na=bool(table.non_facility_na[row]),
        facility_na=bool(table.facility_na[row]),
        not_for_payment=bool(table.not_for_payment[row]),
        pctc=str(table.pctc[row]),
        global_days=_GLOBAL_DAYS[int(table.global_days[row])],
        pre_e2=int(table.pre_e2[row]),
        intra_e2=int(table.intra_e2[row]),
        post_e2=int(table.post_e2[row]),
        multiple_procedure=str(table.multiple[row]),
        bilateral=str(table.bilateral[row]),
        assistant=str(table.assistant[row]),
        co_surgeon=str(table.co_surgeon[row]),
        team=str(table.team[row]),
        endoscopy_base=text36(int(table.endoscopy_base[row])),
        conversion_factor_e4=int(table.conversion_factor_e4[row]),
        imaging_family=str(table.imaging_family[row]),
    )


def _unit_limits(reference: "Reference", code: str, day: Dates) -> tuple[UnitLimitFacts, ...]:
    tables = {
        "practitioner": reference.mue_practitioner,
        "hospital": reference.mue_hospital,
        "dme": reference.mue_dme,
    }
    facts = []
    for setting, table in tables.items():
        row = int(table.rows(np.array([code36(code)]), day)[0])
        if row >= 0:
            release = table.releases.name(int(table.release_at(day)[0]))
            facts.append(
                UnitLimitFacts(setting, int(table.limit[row]), int(table.mai[row]), release)
            )
    return tuple(facts)
