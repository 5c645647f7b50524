"""A snapshot's published tables as read-only arrays, looked up by date of service.

Every look-up takes arrays of equal length and answers with one; a date of NaT, and a day outside
every release, give "no row" (-1), "not in the set" or False. Row -1 may be used as an index: it
reads harmless values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine.tables.code_sets import (
    AGE_CLASSES,
    BILLABLE,
    HEADER,
    NOT_IN_SET,
    DatedCodes,
    DiagnosisAgeClass,
    EvaluationManagement,
    Icd10cm,
    PlaceOfService,
)
from engine.tables.exclusions import (
    EXCLUDED,
    LISTED_WITHOUT_DATE,
    NOT_EXCLUDED,
    NOT_WAIVED,
    WAIVED,
    WAIVED_ELSEWHERE,
    Exclusions,
)
from engine.tables.fees import (
    GLOBAL_MMM,
    GLOBAL_XXX,
    GLOBAL_YYY,
    GLOBAL_ZZZ,
    FeeSchedule,
    Localities,
    OppsCap,
)
from engine.tables.keys import Int64s
from engine.tables.listing import Listing, Listings
from engine.tables.listings import LISTINGS
from engine.tables.ncci import (
    ANATOMIC,
    CONTRACTOR_DEFINED,
    DISTINCT,
    GLOBAL,
    OTHER,
    REPEAT,
    TYPE_1,
    TYPE_2,
    TYPE_3,
    AddOns,
    NcciModifiers,
    PairEdits,
    UnitLimits,
)
from engine.tables.procedure import ProcedureFacts, describe
from engine.tables.releases import Ordinals, Releases, StandIns
from engine.tables.snapshot import Dataset, Dates, Manifest, Snapshot, SnapshotError

__all__ = [
    "AGE_CLASSES",
    "ANATOMIC",
    "BILLABLE",
    "CONTRACTOR_DEFINED",
    "DISTINCT",
    "EXCLUDED",
    "GLOBAL",
    "GLOBAL_MMM",
    "GLOBAL_XXX",
    "GLOBAL_YYY",
    "GLOBAL_ZZZ",
    "HEADER",
    "LISTED_WITHOUT_DATE",
    "NOT_EXCLUDED",
    "NOT_IN_SET",
    "NOT_WAIVED",
    "OTHER",
    "REPEAT",
    "TYPE_1",
    "TYPE_2",
    "TYPE_3",
    "WAIVED",
    "WAIVED_ELSEWHERE",
    "ProcedureFacts",
    "Reference",
    "SnapshotError",
    "describe",
]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reference:
    """The tables of one snapshot: opened once, never changed, shared by passes and processes."""

    manifest: Manifest
    mpfs: FeeSchedule
    localities: Localities
    opps_cap: OppsCap
    ptp_practitioner: PairEdits
    ptp_hospital: PairEdits
    mue_practitioner: UnitLimits
    mue_hospital: UnitLimits
    mue_dme: UnitLimits
    addons: AddOns
    leie: Exclusions
    place_of_service: PlaceOfService
    modifiers: DatedCodes
    icd10cm: Icd10cm
    hcpcs: DatedCodes
    evaluation_management: EvaluationManagement
    ncci_modifiers: NcciModifiers
    diagnosis_age_class: DiagnosisAgeClass
    listings: Listings
    """The project's listings as one tenant sees them; at first those for all tenants."""
    releases_by_dataset: Mapping[str, Releases]
    releases_standing_in: StandIns

    @classmethod
    def open(cls, path: Path, *, verify: bool = False) -> "Reference":
        """Open a snapshot folder; SnapshotError unless it is whole and of this version's format.

        Verified, everything in it is read and held against the manifest's hashes first.
        """
        snapshot = Snapshot.open(Path(path))
        if verify:
            snapshot.verify()
        datasets = snapshot.manifest.datasets
        localities = Localities.open(snapshot)
        return cls(
            manifest=snapshot.manifest,
            mpfs=FeeSchedule.open(snapshot),
            localities=localities,
            opps_cap=OppsCap.open(snapshot, localities),
            ptp_practitioner=PairEdits.open(snapshot, "ncci_ptp_practitioner"),
            ptp_hospital=PairEdits.open(snapshot, "ncci_ptp_hospital"),
            mue_practitioner=UnitLimits.open(snapshot, "ncci_mue_practitioner"),
            mue_hospital=UnitLimits.open(snapshot, "ncci_mue_hospital"),
            mue_dme=UnitLimits.open(snapshot, "ncci_mue_dme"),
            addons=AddOns.open(snapshot),
            leie=Exclusions.open(snapshot),
            place_of_service=PlaceOfService.open(snapshot),
            modifiers=DatedCodes.open(snapshot, "modifiers"),
            icd10cm=Icd10cm.open(snapshot),
            hcpcs=DatedCodes.open(snapshot, "hcpcs"),
            evaluation_management=EvaluationManagement(
                DatedCodes.open(snapshot, "evaluation_management")
            ),
            ncci_modifiers=NcciModifiers.open(snapshot),
            diagnosis_age_class=DiagnosisAgeClass.open(snapshot),
            listings=Listings.open(snapshot, LISTINGS),
            releases_by_dataset={name: Releases.of(each) for name, each in datasets.items()},
            releases_standing_in=StandIns.of(tuple(datasets.values())),
        )

    def __repr__(self) -> str:
        """Name the snapshot, not its millions of rows."""
        return f"Reference({self.release[:12]})"

    @property
    def release(self) -> str:
        """Id of the snapshot: the hash of everything in it."""
        return self.manifest.snapshot

    def for_tenant(self, tenant: str) -> "Reference":
        """Return the same tables with the listings as the tenant sees them."""
        listings = self.listings.for_tenant(tenant)
        return self if listings is self.listings else replace(self, listings=listings)

    def listing(self, name: str) -> Listing:
        """Return a listing by name, be it empty."""
        return self.listings[name]

    def dataset_release(self, dataset: str, day: Dates) -> Ordinals:
        """Return the ordinal of the dataset's release in force on each day, -1 for none."""
        return self.releases_by_dataset.get(dataset, _NO_RELEASES).at(day)

    def release_name(self, dataset: str, ordinal: int) -> str:
        """Return the publisher's name of a release; empty for -1."""
        return self.releases_by_dataset.get(dataset, _NO_RELEASES).name(ordinal)

    def stand_ins(self, day: Dates) -> Int64s:
        """Return, for each day, a bit for each release that only stands in for a missing one."""
        return self.releases_standing_in.at(day)

    def stand_in_names(self, mask: int) -> tuple[str, ...]:
        """Return dataset and release of each bit of such a mask, like `mpfs RVU25D`."""
        return self.releases_standing_in.names_of(mask)


_NO_RELEASES = Releases.of(Dataset("", (), (), 0))
