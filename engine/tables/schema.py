"""The columns of each dataset as the build writes them: their types, and what row -1 reads."""

from collections.abc import Mapping
from typing import Final

from engine.tables.keys import KEY_MAX
from engine.tables.snapshot import Column

Schema = Mapping[str, Column]

_KEY: Final = Column("int64", KEY_MAX)
_DAY: Final = Column("datetime64[D]", "NaT")
_RELEASE: Final = Column("int16", -1)
_CODE: Final = Column("int32", 0)
_E2: Final = Column("int32", 0)
_FLAG: Final = Column("bool", none=False)
_INDICATOR: Final = Column("int8", 9)

FEE_SCHEDULE: Final[Schema] = {
    "key": _KEY,
    "release": _RELEASE,
    "code": _CODE,
    "modifier": Column("int16", 0),
    "status": Column("uint8", 0),
    "work_e2": _E2,
    "non_facility_pe_e2": _E2,
    "facility_pe_e2": _E2,
    "malpractice_e2": _E2,
    "non_facility_na": _FLAG,
    "facility_na": _FLAG,
    "not_for_payment": _FLAG,
    "pctc": _INDICATOR,
    "global_days": Column("int16", -2),
    "pre_e2": _E2,
    "intra_e2": _E2,
    "post_e2": _E2,
    "multiple": _INDICATOR,
    "bilateral": _INDICATOR,
    "assistant": _INDICATOR,
    "co_surgeon": _INDICATOR,
    "team": _INDICATOR,
    "endoscopy_base": _CODE,
    "conversion_factor_e4": Column("int32", 0),
    "imaging_family": Column("int8", 99),
    "opps_non_facility_pe_e2": _E2,
    "opps_facility_pe_e2": _E2,
    "opps_malpractice_e2": _E2,
}

OPPS_CAP_PROCEDURES: Final[Schema] = {"procedure_key": _KEY}
OPPS_CAP: Final[Schema] = {
    "key": _KEY,
    "facility_cents": Column("int64", -1),
    "non_facility_cents": Column("int64", -1),
}

LOCALITIES: Final[Schema] = {
    "key": _KEY,
    "release": _RELEASE,
    "locality": Column("int32", -1),
    "work_e3": Column("int32", 0),
    "pe_e3": Column("int32", 0),
    "mp_e3": Column("int32", 0),
}

ANESTHESIA: Final[Schema] = {"key": _KEY, "factor_e4": Column("int32", 0)}

ZIP_CODES: Final[Schema] = {
    "key": _KEY,
    "locality": Column("int32", -1),
    "state": Column("int16", 0),
    "plus_four": _FLAG,
}

PAIR_EDITS: Final[Schema] = {
    "key": _KEY,
    "effective": _DAY,
    "deletion": _DAY,
    "indicator": _INDICATOR,
    "mutually_exclusive": _FLAG,
}
PAIR_FILTER: Final[Schema] = {"filter": Column("uint8", 0)}
PAIR_CODES: Final[Schema] = {"codes": Column("int32", 2**31 - 1)}

UNIT_LIMITS: Final[Schema] = {
    "key": _KEY,
    "limit": Column("int32", -1),
    "mai": Column("int8", 0),
}

ADDON_PAIRS: Final[Schema] = {"pair_key": _KEY, "pair_effective": _DAY, "pair_deletion": _DAY}
ADDON_TYPES: Final[Schema] = {
    "type_key": _KEY,
    "type_effective": _DAY,
    "type_deletion": _DAY,
    "type_bits": Column("uint8", 0),
}

EXCLUSIONS: Final[Schema] = {"key": _KEY, "reinstated": _DAY}
UNDATED_EXCLUSIONS: Final[Schema] = {"undated_key": _KEY}
WAIVERS: Final[Schema] = {
    "waiver_key": _KEY,
    "waiver_state": Column("int16", 0),
    "waiver_first": _DAY,
    "waiver_after": _DAY,
}

NAMED_EXCLUSIONS: Final[Schema] = {
    "name": _KEY,
    "name_release": _RELEASE,
    "name_state": Column("int32", 0),
    "name_specialty": Column("int64", 0),
    "name_excluded": _DAY,
    "name_reinstated": _DAY,
}

PLACES_OF_SERVICE: Final[Schema] = {"assigned": _FLAG, "facility": _FLAG}
"""A hundred elements per release, by code from 00 to 99, oldest release first."""

DATED_CODES: Final[Schema] = {"key": _KEY, "effective": _DAY, "deletion": _DAY}

DIAGNOSES: Final[Schema] = {"key": _KEY, "billable": _FLAG}

MODIFIER_GROUPS: Final[Schema] = {"groups": Column("uint8", 0)}
"""One element per integer of a modifier."""

AGE_CLASSES: Final[Schema] = {
    "first": Column("int64", KEY_MAX),
    "last": Column("int64", 0),
    "effective": _DAY,
    "deletion": _DAY,
    "age_class": Column("int8", 0),
    "age_from": Column("int16", -1),
    "age_to": Column("int16", -1),
}
