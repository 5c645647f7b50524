"""Every listing of the project: what its rows are about, and what they say.

A source folder brings them as `claimgate/<name>.csv`; docs/listings.md is written from here. One
that a folder does not bring is not loaded, and rules that rest on it say `no_dataset`.
"""

from collections.abc import Mapping
from typing import Final

from engine.tables.listing import Form, ListingField, ListingSpec

LINES_OF_BUSINESS: Final = (
    "",
    "medicare_ffs",
    "medicare_advantage",
    "medicaid",
    "commercial",
    "other",
)
"""Names by the numbers of the API; blank is any."""
SEXES: Final = ("", "F", "M")

MEASURES: Final = ("units", "visits", "cents")
PERIODS: Final = ("calendar_year", "plan_year", "lifetime")
WINDOWS: Final = ("calendar_year", "rolling_months", "lifetime")
COUNTED: Final = ("occurrences", "units")
PER: Final = ("line", "claim")
PLACE_RULES: Final = ("allowed", "excluded")
REVENUE_RULES: Final = ("allowed", "excluded", "required")
COMPANIONS: Final = ("none", "procedure")
GROUP_EVIDENCE: Final = ("diagnosis", "secondary_diagnosis", "procedure")
DIAGNOSIS_RULES: Final = ("covered", "non_covered")
POLICY_LEVELS: Final = ("national", "local", "payer")
BUNDLES: Final = ("comprehensive", "panel")
SETTINGS: Final = ("any", "facility", "non_facility")
RATE_KINDS: Final = ("cents_per_unit", "percent_of_fee", "percent_of_charge")

_PLAN: Final = ListingField(
    "plan", Form.WORD, "Plan id as in `insurance_plan_id`; blank for all", optional=True, key=True
)
_PROCEDURES: Final = ListingField("code", Form.PROCEDURES, "Procedure codes")
_LOB: Final = ListingField(
    "line_of_business", Form.LINE_OF_BUSINESS, "Blank for all", optional=True, key=True
)
_PLACE: Final = ListingField(
    "place_of_service", Form.PLACE, "Place of service; blank for all", optional=True, key=True
)
_DIAGNOSES: Final = ListingField(
    "diagnosis",
    Form.DIAGNOSES,
    "Only with such a diagnosis; blank for any",
    optional=True,
    key=True,
)
_TAXONOMY: Final = ListingField("taxonomy", Form.TAXONOMIES, "Beginning of provider taxonomy codes")


def _procedures(name: str, about: str, *fields: ListingField, group: str = "") -> ListingSpec:
    return ListingSpec(name, about, (_PROCEDURES, *fields), group)


_SPECS: Final = (
    # Benefits of plans.
    _procedures(
        "benefit_exclusions",
        "Services that a plan does not cover.",
        _PLAN,
        _PLACE,
        _DIAGNOSES,
        ListingField("age_from", Form.COUNT, "Youngest age that is excluded", optional=True),
        ListingField("age_to", Form.COUNT, "Oldest age that is excluded", optional=True),
        group="plan",
    ),
    _procedures(
        "benefit_limits",
        "How much of a benefit a plan covers in a period.",
        _PLAN,
        ListingField("benefit", Form.LABEL, "Name of the benefit; codes share it", key=True),
        ListingField("measure", Form.CHOICE, "What is counted", choices=MEASURES),
        ListingField("period", Form.CHOICE, "Over which time", choices=PERIODS),
        ListingField("plan_year_month", Form.COUNT, "First month of a plan year", optional=True),
        ListingField("limit", Form.UNITS, "Most that is covered; of cents, dollars"),
        ListingField("splits", Form.FLAG, "Units up to the limit are paid, only those beyond not"),
        group="plan",
    ),
    _procedures(
        "authorization_requirements",
        "Services that need a prior authorization.",
        _PLAN,
        _PLACE,
        _LOB,
        group="plan",
    ),
    _procedures(
        "experimental_procedures",
        "Services that a payer holds for experimental.",
        _DIAGNOSES,
    ),
    _procedures(
        "frequency_limits",
        "How often a service is covered.",
        _LOB,
        ListingField(
            "code_group", Form.TEXT, "Name of the group whose codes count together", key=True
        ),
        ListingField("window", Form.CHOICE, "Over which time", choices=WINDOWS),
        ListingField("months", Form.COUNT, "Length of a rolling window", optional=True),
        ListingField("counted", Form.CHOICE, "What is counted", choices=COUNTED),
        ListingField(
            "count_max", Form.COUNT, "Most in the window; blank for no limit", optional=True
        ),
        ListingField("days_min", Form.COUNT, "Fewest days since the last", optional=True),
        ListingField("months_min", Form.COUNT, "Fewest full months between", optional=True),
    ),
    # Contracts and prices.
    _procedures(
        "contract_rates",
        "What a contract pays, before the fee schedule.",
        ListingField("contract", Form.WORD, "Contract id; blank for all", optional=True, key=True),
        ListingField("plan", Form.WORD, "Plan id; blank for all", optional=True, key=True),
        ListingField("billing_npi", Form.NPI, "Biller; blank for all", optional=True, key=True),
        ListingField(
            "billing_tin", Form.TIN, "Biller's tax id; blank for all", optional=True, key=True
        ),
        ListingField(
            "modifier", Form.MODIFIER, "26, TC or 53; blank for none", optional=True, key=True
        ),
        ListingField("setting", Form.CHOICE, "Where it holds", choices=SETTINGS, key=True),
        ListingField("rate_kind", Form.CHOICE, "What the rate is", choices=RATE_KINDS),
        ListingField("rate", Form.RATIO_E4, "Dollars, or a share such as 1.25"),
        ListingField("net", Form.FLAG, "Final: no modifier or other line changes it"),
        group="contract",
    ),
    ListingSpec(
        "conversion_factors",
        "Providers whose services have another conversion factor than the fee schedule's, such as "
        "qualifying participants of alternative payment models.",
        (
            ListingField("npi", Form.NPI, "Who renders the service"),
            ListingField("conversion_factor", Form.RATIO_E4, "Dollars per relative value unit"),
        ),
    ),
    _procedures(
        "anesthesia_base_units",
        "Base units of anesthesia services.",
        ListingField("base_units", Form.COUNT, "Base units"),
    ),
    _procedures(
        "unit_limits",
        "Most units that a contract or policy pays.",
        ListingField("contract", Form.WORD, "Contract id; blank for all", optional=True, key=True),
        ListingField(
            "per", Form.CHOICE, "Of a line, or of all lines of a claim", choices=PER, key=True
        ),
        ListingField("units_max", Form.UNITS, "Most units"),
        group="contract",
    ),
    ListingSpec(
        "drg_rules",
        "What a claim has to show for a diagnosis related group; one row of each kind is enough.",
        (
            ListingField("drg", Form.GROUPS, "Groups"),
            ListingField(
                "evidence", Form.CHOICE, "What is asked for", choices=GROUP_EVIDENCE, key=True
            ),
            ListingField(
                "diagnosis",
                Form.DIAGNOSES,
                "Principal or secondary diagnoses, of which one is enough",
                optional=True,
                key=True,
            ),
            ListingField(
                "procedure",
                Form.ICD_PROCEDURES,
                "Procedures, of which one is enough",
                optional=True,
                key=True,
            ),
        ),
    ),
    ListingSpec(
        "drg_weights",
        "Relative weights of diagnosis related groups by fiscal year.",
        (
            ListingField("drg", Form.GROUPS, "Group"),
            ListingField("weight", Form.RATIO_E4, "Relative weight"),
        ),
    ),
    ListingSpec(
        "revenue_code_procedures",
        "Which procedures a revenue code goes with.",
        (
            ListingField("revenue", Form.REVENUE_CODES, "Revenue codes"),
            ListingField("rule", Form.CHOICE, "What holds", choices=REVENUE_RULES, key=True),
            ListingField(
                "code",
                Form.PROCEDURES,
                "Procedures; blank with `required`: any",
                optional=True,
                key=True,
            ),
        ),
    ),
    ListingSpec(
        "revenue_codes",
        "Revenue codes that are assigned, and what has to stand beside them.",
        (
            ListingField("revenue", Form.REVENUE_CODES, "Revenue codes"),
            ListingField("companion", Form.CHOICE, "What the line needs too", choices=COMPANIONS),
            ListingField(
                "code",
                Form.PROCEDURES,
                "Procedures of which it needs one; blank for any",
                optional=True,
                key=True,
            ),
        ),
    ),
    ListingSpec(
        "revenue_code_conflicts",
        "Pairs of revenue codes that exclude each other on a day.",
        (
            ListingField("revenue", Form.REVENUE_CODES, "One"),
            ListingField("other", Form.REVENUE_CODES, "The other", key=True),
        ),
    ),
    # Coding and coverage.
    _procedures("inpatient_only", "Procedures that Medicare pays to inpatients only."),
    _procedures("unlisted_procedures", "Unlisted and not otherwise classified codes."),
    _procedures(
        "modifier_requirements",
        "Modifiers of which a code needs one: alternatives share a requirement.",
        _LOB,
        _PLACE,
        ListingField("requirement", Form.TEXT, "Name of the requirement", key=True),
        ListingField("modifier", Form.MODIFIER, "One that meets it", key=True),
    ),
    _procedures("sided_procedures", "Codes that have sides, fingers, toes, lids or vessels."),
    _procedures("bilateral_procedures", "Codes that a payer accepts with modifier 50."),
    _procedures(
        "place_restrictions",
        "Places of service that a code is allowed in, or excluded from.",
        ListingField("rule", Form.CHOICE, "What holds", choices=PLACE_RULES, key=True),
        ListingField("place_of_service", Form.PLACE, "Place of service", key=True),
    ),
    ListingSpec(
        "provider_places",
        "Places of service that providers of a kind are allowed in, or excluded from.",
        (
            _TAXONOMY,
            ListingField("rule", Form.CHOICE, "What holds", choices=PLACE_RULES, key=True),
            ListingField("place_of_service", Form.PLACE, "Place of service", key=True),
        ),
    ),
    _procedures(
        "telehealth_procedures",
        "Services that are paid as telehealth.",
        _LOB,
        ListingField("audio_only", Form.FLAG, "Sound without picture is enough"),
        ListingField(
            "home_always",
            Form.FLAG,
            "The home is a place of the patient beyond the statutory window: mental health, "
            "home dialysis",
        ),
    ),
    ListingSpec(
        "telehealth_providers",
        "Kinds of practitioners that may give telehealth services.",
        (_TAXONOMY, _LOB),
    ),
    _procedures(
        "coverage_policies",
        "Coverage policies and articles, with the codes that they speak of.",
        ListingField("policy", Form.LABEL, "Id of the policy or article, such as A57718", key=True),
        ListingField("version", Form.TEXT, "Its version or revision"),
        ListingField("level", Form.CHOICE, "Whose policy it is", choices=POLICY_LEVELS),
        ListingField(
            "carrier", Form.CARRIER, "Its contractor; blank for all", optional=True, key=True
        ),
        ListingField("payer", Form.WORD, "Its payer; blank for all", optional=True, key=True),
        _LOB,
        ListingField("age_from", Form.COUNT, "Youngest age that is covered", optional=True),
        ListingField("age_to", Form.COUNT, "Oldest age that is covered", optional=True),
        ListingField("sex", Form.SEX, "Only this sex is covered; blank for any", optional=True),
        ListingField(
            "investigational", Form.FLAG, "The policy holds the service for investigational"
        ),
    ),
    ListingSpec(
        "coverage_diagnoses",
        "Diagnoses that a policy covers, or does not cover.",
        (
            ListingField("diagnosis", Form.DIAGNOSES, "Diagnoses"),
            ListingField(
                "policy", Form.WORD, "Id of the policy, as in coverage_policies", key=True
            ),
            ListingField(
                "rule", Form.CHOICE, "Whether they are covered", choices=DIAGNOSIS_RULES, key=True
            ),
            ListingField(
                "code",
                Form.PROCEDURES,
                "Only for these procedures; blank for all of the policy",
                optional=True,
                key=True,
            ),
            ListingField(
                "part",
                Form.COUNT,
                "With several parts, a diagnosis of each is needed",
                optional=True,
                key=True,
            ),
        ),
        group="policy",
        outlined=True,
    ),
    _procedures(
        "comprehensive_procedures",
        "Codes that stand for others, and panels.",
        ListingField("component", Form.PROCEDURE, "A code that it includes", key=True),
        ListingField(
            "bundle", Form.CHOICE, "Any component beside it, or all without it", choices=BUNDLES
        ),
    ),
    _procedures(
        "incidental_procedures",
        "Services that are incidental to others.",
        ListingField("other", Form.PROCEDURES, "The services that include them", key=True),
    ),
    _procedures(
        "procedure_families",
        "Families of procedures that seldom share one diagnosis.",
        ListingField("family", Form.TEXT, "Name of the family"),
    ),
    # Equipment.
    _procedures(
        "equipment_documents",
        "Documents that equipment needs on file.",
        _LOB,
        ListingField(
            "document", Form.LABEL, "Kind of document, as in the members' documents", key=True
        ),
    ),
    _procedures(
        "equipment_rentals",
        "How long equipment is rented.",
        ListingField("months_max", Form.COUNT, "Most months; blank for no limit", optional=True),
        ListingField(
            "capped_at_purchase", Form.FLAG, "Rentals together are not paid above the price"
        ),
    ),
    # Fraud, waste and abuse.
    ListingSpec(
        "watch_list",
        "Providers that the payer's investigators watch, by NPI.",
        (ListingField("npi", Form.NPI, "NPI"),),
    ),
    ListingSpec(
        "watch_list_tins",
        "Providers that the payer's investigators watch, by tax id.",
        (ListingField("tin", Form.TIN, "Tax id"),),
    ),
    ListingSpec(
        "exclusion_specialties",
        "Specialties of the OIG list as taxonomy codes; without them no names are compared.",
        (
            _TAXONOMY,
            ListingField("specialty", Form.WORD, "Specialty as the list has it", key=True),
        ),
    ),
    ListingSpec("high_risk_specialties", "Specialties that are noted.", (_TAXONOMY,)),
    ListingSpec(
        "zip_centroids",
        "Middle points of ZIP codes, or of their first three digits.",
        (
            ListingField("zip", Form.ZIP, "Five digits, or three"),
            ListingField("latitude", Form.DEGREES_E4, "Degrees north"),
            ListingField("longitude", Form.DEGREES_E4, "Degrees east"),
        ),
    ),
    _procedures(
        "utilization_benchmarks",
        "What is usual for a service, by region, specialty and setting.",
        ListingField("carrier", Form.CARRIER, "Contractor; blank for all", optional=True, key=True),
        ListingField(
            "taxonomy", Form.TAXONOMIES, "Specialty; blank for all", optional=True, key=True
        ),
        ListingField("setting", Form.CHOICE, "Where", choices=SETTINGS, key=True),
        ListingField("services", Form.COUNT, "How many services it rests on"),
        ListingField(
            "charge_p99", Form.CENTS, "Charge per unit that 99 of 100 stay below", optional=True
        ),
        ListingField("units_mean", Form.UNITS, "Mean units of a line", optional=True),
    ),
)

LISTINGS: Final[Mapping[str, ListingSpec]] = {spec.name: spec for spec in _SPECS}
"""By name."""
