"""Prices to the cent: worked examples, every reason for no price, and an oracle of its own."""

import csv
import gzip
import tomllib
from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.policy import Policy
from engine.pricing import Allowed, PriceReason, PriceStatus, price
from engine.reference import Reference
from engine.rules.rule import example, line
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
CLAIMS_RANDOM = 5_500

# What the worked examples are priced with: real figures where an example states them, else the
# total alone (with indices of 1 its split into parts does not matter).
UNIT, MANHATTAN, ALABAMA, SAN_FRANCISCO, LOS_ANGELES = "00601", "10001", "35201", "94101", "90001"
GPCI = """\
ADDENDUM E. GEOGRAPHIC PRACTICE COST INDICES: made for a test,,,,,,
,,,,,,
Medicare Administrative Contractor (MAC),State,Locality Number,Locality Name,PW GPCI,PE GPCI,MP GPCI
90000,PR,01,UNIT,1.000,1.000,1.000
13202,NY,01,MANHATTAN,1.065,1.166,1.656
10112,AL,00,ALABAMA,1.000,0.869,0.575
01112,CA,05,SAN FRANCISCO,1.088,1.419,0.445
01182,CA,18,LOS ANGELES,1.041,1.183,0.664
"""
ZIPS = {
    UNIT: "9000001",
    MANHATTAN: "1320201",
    ALABAMA: "1011200",
    SAN_FRANCISCO: "0111205",
    LOS_ANGELES: "0118218",
}
CAPS = """\
HCPCS,MOD,PROCSTAT,CARRIER,LOCALITY,FACILITY PRICE,NON-FACILTY PRICE
71046,,A,90000,01,20.00,30.00
71046,TC,A,90000,01,999.00,999.00
"""
ROWS_2024 = {  # code and component: status, flag, work, PE and NA elsewhere, PE and NA here, MP
    "99213": ("A", "", "1.30", "1.33", "", "0.56", "", "0.10"),
    "43239": ("A", "", "2.39", "8.58", "", "1.40", "", "0.31"),
    "27447": ("A", "", "19.60", "14.99", "NA", "14.99", "", "3.98"),
    "66984": ("A", "", "7.35", "8.20", "NA", "8.20", "", "0.59"),
    "70496": ("A", "", "1.75", "5.93", "", "5.93", "", "0.12"),  # PE after the cap
    "71046": ("A", "", "0.18", "0.60", "", "0.60", "", "0.02"),
    "71046-TC": ("A", "", "0.00", "0.50", "", "0.50", "", "0.01"),
    "97110": ("A", "", "0.45", "0.42", "", "0.42", "NA", "0.01"),
    "11111": ("A", "", "1.00", "0.10", "", "0.10", "", "0.10"),  # 1.20 RVU: a tie at 33.2875
    "11055": ("R", "", "0.35", "1.72", "", "0.08", "", "0.03"),
    "15824": ("R", "", "0.00", "0.00", "", "0.00", "", "0.00"),
    "36591": ("T", "", "0.00", "0.82", "", "0.82", "", "0.01"),
    "36592": ("T", "", "0.00", "0.93", "", "0.93", "", "0.01"),
    "36593": ("T", "", "0.00", "0.82", "", "0.82", "", "0.01"),
    "64999": ("C", "", "0.00", "0.00", "", "0.00", "", "0.00"),
    "99070": ("B", "", "0.50", "0.50", "", "0.50", "", "0.50"),
    "97010": ("B", "+", "0.06", "0.13", "", "0.13", "", "0.01"),
    "A4550": ("P", "", "0.00", "0.00", "", "0.00", "", "0.00"),
    "99396": ("N", "+", "1.90", "1.71", "", "0.75", "", "0.10"),
    "36415": ("X", "", "1.00", "0.00", "", "0.00", "", "0.00"),
    "J0131": ("E", "", "1.00", "0.00", "", "0.00", "", "0.00"),
    "99242": ("I", "", "1.08", "1.10", "", "0.51", "", "0.06"),
    "0001F": ("M", "", "1.00", "0.00", "", "0.00", "", "0.00"),
    "00100": ("J", "", "0.00", "0.00", "", "0.00", "", "0.00"),
    "90281": ("A", "+", "1.00", "1.00", "", "1.00", "", "0.10"),
    "77777": ("A", "", "0.00", "0.00", "", "0.00", "", "0.00"),
    "96446": ("A", "", "0.37", "4.10", "", "0.14", "", "0.08"),  # PC/TC 5
    "D2940": ("R", "", "0.00", "0.00", "", "0.00", "", "0.00"),  # PC/TC 5
}
ROWS_2026 = {"99213": ("A", "", "1.30", "1.46", "", "0.57", "", "0.09")}
PARTICIPANT = "2222222228"
INCIDENT_TO = {"96446", "D2940"}
APRIL, FEBRUARY, MAY_2026 = "2024-04-15", "2024-02-15", "2026-05-15"
RELEASES = (
    ("mpfs", "RVU24A", "a.csv", "2024-01-01", "2024-03-08"),
    ("mpfs", "RVU24B", "b.csv", "2024-03-09", "2024-06-30"),
    ("mpfs", "RVU26C", "c.csv", "2026-04-01", "2026-06-30"),
    ("gpci", "made", "gpci.csv", "2024-01-01", "2026-12-31"),
    ("zip_locality", "made", "zip.txt", "2024-01-01", "2026-12-31"),
    ("opps_cap", "made", "caps.csv", "2024-01-01", "2026-12-31"),
    ("place_of_service", "2024", "pos.csv", "2024-01-01", "2026-12-31"),
)


def write_fees(file: Path, rows: dict[str, tuple[str, ...]], factor: str) -> None:
    header = (SAMPLE / "mpfs" / "PPRRVU_sample.csv").read_text().splitlines()[:10]
    lines = []
    for key, (status, flag, work, pe, na, pe_here, na_here, mp) in rows.items():
        code, _, modifier = key.partition("-")
        pctc = 5 if key in INCIDENT_TO else 0
        total, total_here = (Decimal(work) + Decimal(each) + Decimal(mp) for each in (pe, pe_here))
        lines.append(
            f"{code},{modifier},,{status},{flag},{work},{pe},{na},{pe_here},{na_here},{mp},{total},"
            f"{total_here},{pctc},XXX,0.00,0.00,0.00,0,0,0,0,0,,{factor},09,0,99,0.00,0.00,0.00"
        )
    file.write_text("\n".join([*header, *lines, ""]))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Reference:
    """A snapshot with a locality whose indices are 1, for figures that are stated without one."""
    folder = tmp_path_factory.mktemp("made")
    write_fees(folder / "a.csv", ROWS_2024, "32.7442")
    write_fees(folder / "b.csv", ROWS_2024, "33.2875")
    write_fees(folder / "c.csv", ROWS_2026, "33.4009")
    (folder / "gpci.csv").write_text(GPCI)
    (folder / "caps.csv").write_text(CAPS)
    places = SAMPLE / "codes" / "place_of_service_sample.csv"
    (folder / "pos.csv").write_text(places.read_text())
    zips = [f"PR{zip5}{locality}".ljust(20) + "0" for zip5, locality in ZIPS.items()]
    (folder / "zip.txt").write_text("".join(f"{each.ljust(75)}20241\n" for each in zips))
    (folder / "releases.toml").write_text(
        "".join(
            f'[[release]]\ndataset = "{dataset}"\nid = "{name}"\nfiles = ["{file}"]\n'
            f"from = {first}\nto = {last}\n"
            for dataset, name, file, first, last in RELEASES
        )
    )
    (folder / "claimgate").mkdir()
    (folder / "claimgate" / "conversion_factors.csv").write_text(
        "tenant_id,npi,conversion_factor,effective_from,effective_to\n"
        f",{PARTICIPANT},33.5675,2026-01-01,\n"
    )
    build(folder, folder / "snapshot")
    return Reference.open(folder / "snapshot")


class Priced(NamedTuple):
    status: str
    reason: str
    fee_cents: int
    capped_cents: int
    amount_cents: int
    allowed_cents: int
    rvu_total_e4: int
    locality: str


def prices(
    reference: Reference, claims: list[claim_pb2.Claim], policy: Policy | None = None
) -> list[Priced]:
    batch = decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)
    assert not batch.violations
    allowed = price(batch, reference, look_up(batch, reference), policy or Policy())
    return as_rows(allowed, reference)


def as_rows(allowed: Allowed, reference: Reference) -> list[Priced]:
    label = reference.localities.label
    return [
        Priced(PriceStatus(status).name, PriceReason(reason).name, *amounts, rvu, label(place))
        for status, reason, *amounts, rvu, place in zip(
            allowed.status.tolist(),
            allowed.reason.tolist(),
            allowed.fee_cents.tolist(),
            allowed.capped_cents.tolist(),
            allowed.amount_cents.tolist(),
            allowed.allowed_cents.tolist(),
            allowed.rvu_total_e4.tolist(),
            allowed.locality.tolist(),
            strict=True,
        )
    ]


def priced(
    reference: Reference,
    *lines,
    day: str = APRIL,
    zip5: str = UNIT,
    policy: Policy | None = None,
    **fields,
) -> list[Priced]:
    claim = claim_of(
        example("a", *lines, day=day, received=day, billing_provider={"zip": zip5}, **fields)
    )
    return prices(reference, [claim], policy)


def plain(text: str, **fields):
    return line(text, **{"charge": 99_999, **fields})


# --- worked examples


@pytest.mark.parametrize(
    ("code", "pos", "day", "cents"),
    [
        ("99213", "11", APRIL, 90_87),
        ("99213", "22", APRIL, 65_24),
        ("99213", "11", FEBRUARY, 89_39),
        ("99213", "22", FEBRUARY, 64_18),
        ("43239", "11", FEBRUARY, 369_35),
        ("43239", "22", FEBRUARY, 134_25),
        ("27447", "21", FEBRUARY, 1262_94),
        ("27447", "21", APRIL, 1283_90),
        ("66984", "24", FEBRUARY, 528_49),
    ],
)
def test_national_amounts_are_those_of_the_worked_example(made, code, pos, day, cents):
    [found] = priced(made, plain(code, pos=pos), day=day)

    assert (found.status, found.fee_cents, found.allowed_cents) == ("PRICED", cents, cents)


@pytest.mark.parametrize(
    ("code", "day", "zip5", "cents", "rvu_e4", "locality"),
    [
        ("70496", APRIL, MANHATTAN, 298_82, 89769, "1320201"),  # 8.97685
        ("70496", APRIL, ALABAMA, 232_09, 69722, "1011200"),  # 6.97217
        ("70496", APRIL, SAN_FRANCISCO, 345_26, 103721, "0111205"),  # 10.37207
        ("99213", APRIL, MANHATTAN, 103_22, 31009, "1320201"),  # 3.10088
        ("99213", APRIL, ALABAMA, 83_66, 25133, "1011200"),  # 2.51327
        ("99213", MAY_2026, LOS_ANGELES, 104_89, 31402, "0118218"),  # 3.14024
    ],
)
def test_local_amounts_are_those_of_the_worked_examples(
    made, code, day, zip5, cents, rvu_e4, locality
):
    [found] = priced(made, plain(code), day=day, zip5=zip5)

    assert (found.fee_cents, found.rvu_total_e4, found.locality) == (cents, rvu_e4, locality)


@pytest.mark.parametrize(("zip5", "cents"), [("10001", 103_22), ("35201", 83_66)])
def test_sample_release_of_2024_gives_the_worked_example(sample_reference, zip5, cents):
    [found] = priced(sample_reference, plain("99213"), zip5=zip5)

    assert found.fee_cents == cents


@pytest.mark.parametrize(
    ("day", "npi", "cents"),
    [
        (MAY_2026, PARTICIPANT, 105_41),  # 3.14024 x 33.5675
        (MAY_2026, "1234567893", 104_89),
        (APRIL, PARTICIPANT, 99_63),  # before it qualified: 2.99309 x 33.2875
    ],
)
def test_factor_of_a_qualifying_participant_is_its_own(made, day, npi, cents):
    [found] = priced(made, plain("99213", npi=npi), day=day, zip5=LOS_ANGELES)

    assert found.fee_cents == cents


def test_release_that_stands_in_brings_its_own_factor(sample_reference):
    [found] = priced(sample_reference, plain("99213"), day="2026-02-10", zip5=ALABAMA)

    # The relative values and 32.3465 of RVU25D, with the indices of 2026.
    assert found.fee_cents == 82_09


def test_simple_formula_takes_the_legacy_factor_and_no_indices(made):
    policy = Policy(price_formula="simple")

    office, far = (
        priced(made, plain("99213"), zip5=zip5, policy=policy)[0] for zip5 in (MANHATTAN, "99999")
    )

    assert office.fee_cents == far.fee_cents == 106_12
    assert priced(made, plain("99213", units=2), policy=policy)[0].allowed_cents == 212_24
    assert priced(made, plain("99213", pos="22"), policy=policy)[0].fee_cents == 76_19


def test_simple_formula_knows_no_cap(made):
    [found] = priced(made, plain("71046"), policy=Policy(price_formula="simple"))

    assert found.capped_cents == found.fee_cents == 31_10


# --- rounding, units, charge


def test_half_a_cent_is_rounded_up(made):
    [found] = priced(made, plain("11111"))

    assert found.fee_cents == 39_95, "1.20 x 33.2875 is 39.945; to the even cent it is 39.94"


@pytest.mark.parametrize(
    ("units", "cents"), [(1, 90_87), (2, 181_74), (1.5, 136_31), (0.001, 9), (0.005, 45)]
)
def test_units_multiply_the_rounded_fee(made, units, cents):
    [found] = priced(made, plain("99213", units=units))

    assert (found.amount_cents, found.allowed_cents) == (cents, cents)


def test_no_more_than_the_charge_is_allowed(made):
    below, equal, above = priced(
        made,
        line("99213", charge=90.86),
        line("99213", charge=90.87),
        line("99213", charge=90.88),
    )

    assert [each.allowed_cents for each in (below, equal, above)] == [90_86, 90_87, 90_87]
    assert {each.amount_cents for each in (below, equal, above)} == {90_87}


def test_free_service_is_allowed_nothing(made):
    free, _ = priced(made, line("99213", charge=0), line("99213"))

    assert (free.status, free.allowed_cents) == ("PRICED", 0)


# --- statuses


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("99213", "PRICED", "NONE"),
        ("11055", "PRICED", "NONE"),
        ("15824", "BY_REPORT", "REPORT"),
        ("36591", "PRICED", "NONE"),
        ("64999", "NO_PRICE", "CONTRACTOR"),
        ("99070", "BUNDLED", "NONE"),
        ("97010", "BUNDLED", "NONE"),
        ("A4550", "BUNDLED", "NONE"),
        ("99396", "NO_PRICE", "STATUS"),
        ("36415", "NO_PRICE", "STATUS"),
        ("J0131", "NO_PRICE", "STATUS"),
        ("99242", "NO_PRICE", "STATUS"),
        ("0001F", "NO_PRICE", "STATUS"),
        ("00100", "NO_PRICE", "ANESTHESIA"),
        ("90281", "NO_PRICE", "NOT_FOR_PAYMENT"),
        ("77777", "NO_PRICE", "ZERO"),
        ("55555", "NO_PRICE", "NO_ROW"),
        ("ABC", "NO_PRICE", "NO_ROW"),
        ("99213-26", "NO_PRICE", "NO_ROW"),
        ("99213-25-TC", "NO_PRICE", "NO_ROW"),
    ],
)
def test_status_of_the_row_decides_whether_there_is_a_price(made, code, status, reason):
    [found] = priced(made, plain(code))

    assert (found.status, found.reason) == (status, reason)
    if status != "PRICED":
        assert found[2:] == (0, 0, 0, 0, 0, "")


def test_component_row_is_the_one_priced(made):
    whole, technical, later = priced(
        made, plain("71046"), plain("71046-TC"), plain("71046-59-TC"), pos="22"
    )

    assert whole.fee_cents == 26_63
    assert technical.fee_cents == later.fee_cents == 16_98


@pytest.mark.parametrize(
    ("code", "pos", "reason"),
    [
        ("27447", "11", "NA"),
        ("27447", "22", "NONE"),
        ("97110", "22", "NA"),
        ("97110", "11", "NONE"),
    ],
)
def test_setting_without_a_price_says_so(made, code, pos, reason):
    [found] = priced(made, plain(code, pos=pos))

    assert found.reason == reason
    assert (found.status == "PRICED") == (reason == "NONE")


def test_service_incident_to_a_visit_is_not_paid_in_a_facility(made):
    office, hospital = priced(made, plain("96446"), plain("96446", pos="22"))

    assert (office.status, office.fee_cents) == ("PRICED", 151_46)
    assert (hospital.status, hospital.reason) == ("NO_PRICE", "INCIDENT_TO")


def test_service_incident_to_a_visit_is_not_priced_by_report_in_a_facility_either(made):
    office, hospital = priced(made, plain("D2940"), plain("D2940", pos="22"))

    assert (office.status, office.reason) == ("BY_REPORT", "REPORT")
    assert (hospital.status, hospital.reason) == ("NO_PRICE", "INCIDENT_TO")


FACILITIES = {
    f"{number:02}"
    for number in (2, 6, 8, 19, 21, 22, 23, 24, 26, 31, 34, 41, 42, 51, 52, 53, 56, 61)
}


@pytest.mark.parametrize("pos", [f"{number:02}" for number in range(1, 100)])
def test_facilities_are_those_of_the_definition(made, pos):
    [found] = priced(made, plain("99213", pos=pos))

    assert found.fee_cents == (65_24 if pos in FACILITIES else 90_87)


def test_unknown_zip_code_has_no_price_but_still_bundles(made):
    office, supply = priced(made, plain("99213"), plain("99070"), zip5="99999")

    assert (office.status, office.reason) == ("NO_PRICE", "LOCALITY")
    assert supply.status == "BUNDLED"


def test_zip_code_of_the_service_prevails_over_that_of_the_biller(made):
    there = {"zip": MANHATTAN}

    by_claim = priced(made, plain("99213"), facility_provider=there)
    by_line = priced(made, plain("99213", facility_provider=there), plain("99213"))

    assert [each.fee_cents for each in by_claim] == [103_22]
    assert [each.fee_cents for each in by_line] == [103_22, 90_87]


def test_day_without_a_release_has_no_price(made):
    [found] = priced(made, plain("99213"), day="2023-12-31")

    assert (found.status, found.reason) == ("NO_PRICE", "NO_RELEASE")


def test_facility_bill_is_not_priced_by_the_schedule(made):
    visit, board = priced(made, plain("99213"), plain(""), institutional=True)

    assert (visit.reason, board.reason) == ("INSTITUTIONAL", "NO_CODE")


# --- status T


def statuses(found: list[Priced]) -> list[str]:
    return [each.status for each in found]


def test_injection_alone_is_paid(made):
    assert statuses(priced(made, plain("36591"))) == ["PRICED"]


def test_injection_beside_a_payable_service_is_bundled(made):
    found = priced(made, plain("36591"), plain("99213"))

    assert statuses(found) == ["BUNDLED", "PRICED"]
    assert found[0].allowed_cents == 0


@pytest.mark.parametrize("other", ["99070", "99396", "36415", "27447", "90281"])
def test_service_that_is_not_payable_does_not_bundle_an_injection(made, other):
    assert statuses(priced(made, plain("36591"), plain(other)))[0] == "PRICED"


def test_injection_on_another_day_is_paid(made):
    found = priced(made, plain("36591", day="2024-04-14"), plain("99213"))

    assert statuses(found) == ["PRICED", "PRICED"]


def test_injection_by_another_provider_is_paid(made):
    found = priced(made, plain("36591", npi="1111111112"), plain("99213", npi="2222222228"))

    assert statuses(found) == ["PRICED", "PRICED"]


@pytest.mark.parametrize(
    ("lines", "paid"),
    [
        (("36591", "36592"), 1),
        (("36592", "36591"), 0),
        (("36591", "36593"), 0),
        (("36593", "36592", "36591"), 1),
    ],
)
def test_of_injections_alone_the_dearest_is_paid_and_of_equals_the_first(made, lines, paid):
    found = statuses(priced(made, *map(plain, lines)))

    assert found == ["PRICED" if at == paid else "BUNDLED" for at in range(len(lines))]


# --- the outpatient cap


@pytest.mark.parametrize(("pos", "cents"), [("22", 20_00), ("11", 26_63)])
def test_imaging_is_capped_in_its_setting(made, pos, cents):
    [found] = priced(made, plain("71046", pos=pos, units=2))

    assert found.fee_cents == 26_63
    assert found.capped_cents == cents
    assert found.amount_cents == 2 * cents


def test_cap_is_looked_up_for_the_component(made):
    [found] = priced(made, plain("71046-TC", pos="22"))

    assert found.capped_cents == found.fee_cents == 16_98


def test_no_cap_in_a_locality_that_is_not_listed(made):
    [found] = priced(made, plain("71046", pos="22"), zip5=ALABAMA)

    assert found.capped_cents == found.fee_cents > 20_00


# --- the amounts of a published file


@pytest.fixture(scope="module")
def fee_tables(shared_data, tmp_path_factory) -> Path:
    """The published files that prices rest on, without the large edit tables."""
    folder = tmp_path_factory.mktemp("fees")
    for each in ("mpfs", "gpci", "codes"):
        (folder / each).symlink_to(shared_data / each)
    entries = (shared_data / "releases.toml").read_text().split("[[release]]")[1:]
    wanted = ("mpfs", "opps_cap", "gpci", "zip_locality", "place_of_service")
    kept = [each for each in entries if tomllib.loads(each)["dataset"] in wanted]
    (folder / "releases.toml").write_text("".join(f"[[release]]{each}" for each in kept))
    return folder


@pytest.fixture(scope="module")
def published(fee_tables) -> Reference:
    build(fee_tables, fee_tables / "snapshot")
    return Reference.open(fee_tables / "snapshot")


def test_the_amounts_of_all_109_localities_are_priced_to_the_cent(published, shared_data):
    text = (shared_data / "mpfs" / "PFREV25C.txt").read_text()
    records = [
        [field.strip('" ') for field in each.split(",")]
        for each in text.splitlines()
        if "TRL" not in each
    ]
    with gzip.open(shared_data / "gpci" / "ZIP5_OCT2025.txt.gz", "rt") as lines:
        zip_of = {each[7:14]: each[2:7] for each in lines if len(each) > 20}
    claims = [
        claim_of(
            example("a", plain(code), billing_provider={"zip": zip_of[carrier + locality]}),
            carrier + locality,
        )
        for _, carrier, locality, code, *_ in records
    ]

    found = prices(published, claims)

    expected = [
        (carrier + locality, int(Decimal(office) * 100))
        for _, carrier, locality, _, _, office, *_ in records
    ]
    assert [(each.locality, each.fee_cents) for each in found] == expected
    assert len({each.locality for each in found}) == 109


# --- the oracle: written from the specification, a line at a time, in decimals


class Release(NamedTuple):
    first: date
    last: date
    stands_in: tuple[date, date] | None
    rows: dict[tuple[str, ...], SimpleNamespace | str | tuple[Decimal, ...]]


def base_units(source: Path) -> set[str]:
    """The codes whose base units the folder brings."""
    file = source / "claimgate" / "anesthesia_base_units.csv"
    rows = file.read_text().splitlines() if file.is_file() else []
    return {each[1] for each in csv.reader(rows)}


class Oracle:
    """Prices one claim at a time from the published files."""

    def __init__(self, source: Path) -> None:
        read = {
            "mpfs": self._fees,
            "gpci": self._indices,
            "zip_locality": self._zips,
            "opps_cap": self._caps,
        }
        self.base_units = base_units(source)
        self.tables: dict[str, list[Release]] = defaultdict(list)
        for entry in tomllib.loads((source / "releases.toml").read_text())["release"]:
            if entry["dataset"] in read:
                rows = {}
                for file in entry["files"]:
                    rows |= read[entry["dataset"]](text_of(source / file))
                window = entry.get("stands_in")
                self.tables[entry["dataset"]].append(
                    Release(entry["from"], entry["to"], window and tuple(window), rows)
                )

    def rows(self, dataset: str, day: date) -> dict | None:
        """The release in force: its own window, a wider one, or the newest without end."""
        releases = self.tables[dataset]
        own = [each for each in releases if each.first <= day <= each.last]
        wider = [
            each
            for each in releases
            if each.stands_in and each.stands_in[0] <= day <= each.stands_in[1]
        ]
        begun = [each for each in releases if each.first <= day]
        if own or wider:
            return (own or wider)[0].rows
        return begun[-1].rows if begun and begun[-1].stands_in is None else None

    def claim(self, claim: claim_pb2.Claim) -> list[Priced]:
        lines = [self._line(claim, each) for each in claim.lines]
        sessions = defaultdict(list)
        for at, each in enumerate(lines):
            if each.reason == "NONE" and each.status not in ("B", "P"):
                sessions[each.day, each.provider].append(at)
        for session in sessions.values():
            others = [at for at in session if lines[at].status != "T"]
            alone = [at for at in session if lines[at].status == "T"]
            dearest = max(alone, key=lambda at: (lines[at].fee, -at), default=None)
            for at in alone:
                lines[at].bundled = bool(others) or at != dearest
        return [self._answer(each) for each in lines]

    def _line(self, claim, each) -> SimpleNamespace:
        day = date.fromisoformat(each.service_from_date)
        found = SimpleNamespace(
            day=day,
            provider=each.rendering_provider.npi or claim.billing_provider.npi,
            units=Decimal(each.units_milli) / 1000,
            charge=Decimal(each.charge_cents) / 100,
            status="",
            bundled=False,
            fee=Decimal(0),
        )
        fees = self.rows("mpfs", day)
        component = next((m for m in each.modifiers if m in ("26", "TC", "53")), "")
        row = None if fees is None else fees.get((each.procedure_code, component))
        facility = (each.place_of_service or claim.place_of_service) in FACILITIES
        zip5 = each.facility_provider.zip or claim.facility_provider.zip
        found.locality = (self.rows("zip_locality", day) or {}).get(
            ((zip5 or claim.billing_provider.zip)[:5],)
        )
        index = (self.rows("gpci", day) or {}).get((found.locality,))
        found.reason = self._reason(claim, each, fees, row, index, facility=facility)
        if row is not None:
            found.status = row.status
        if found.reason == "NONE" and row.status not in ("B", "P"):
            rvus = row.work, (row.pe_here if facility else row.pe), row.mp
            found.rvu = sum(value * by for value, by in zip(rvus, index, strict=True))
            found.fee = cents(found.rvu * row.factor)
            caps = self.rows("opps_cap", day) or {}
            key = (each.procedure_code, component, found.locality)
            cap = caps[key][0 if facility else 1] if key in caps else found.fee
            found.capped = min(found.fee, cap)
        return found

    def _reason(self, claim, each, fees, row, index, *, facility: bool) -> str:
        if not each.procedure_code:
            return "NO_CODE"
        if claim.claim_type != claim_pb2.CLAIM_TYPE_PROFESSIONAL:
            return "INSTITUTIONAL"
        if fees is None:
            return "NO_RELEASE"
        if row is None:
            return "NO_ROW"
        if row.status in ("N", "X", "E", "I", "M"):
            return "STATUS"
        if row.status == "C":
            return "CONTRACTOR"
        if row.status == "J":
            # Anesthesia in minutes has a test of its own; here all lines are in units.
            return "MINUTES" if each.procedure_code in self.base_units else "ANESTHESIA"
        if row.status in ("B", "P"):
            return "NONE"
        if row.flag == "+":
            return "NOT_FOR_PAYMENT"
        if row.na_here if facility else row.na:
            return "NA"
        if row.pctc == "5" and facility:
            return "INCIDENT_TO"
        if index is None:
            return "LOCALITY"
        if row.work + (row.pe_here if facility else row.pe) + row.mp == 0:
            return "REPORT" if row.status == "R" else "ZERO"
        return "NONE"

    @staticmethod
    def _answer(found: SimpleNamespace) -> Priced:
        if found.reason != "NONE":
            status = "BY_REPORT" if found.reason == "REPORT" else "NO_PRICE"
            return Priced(status, found.reason, 0, 0, 0, 0, 0, "")
        if found.bundled or found.status in ("B", "P"):
            return Priced("BUNDLED", "NONE", 0, 0, 0, 0, 0, "")
        amount = cents(found.capped * found.units)
        amounts = (found.fee, found.capped, amount, min(amount, found.charge))
        rvu_e4 = int(found.rvu.quantize(Decimal("0.0001"), ROUND_HALF_UP) * 10_000)
        return Priced(
            "PRICED", "NONE", *(int(each * 100) for each in amounts), rvu_e4, found.locality
        )

    @staticmethod
    def _fees(text: str) -> dict:
        rows = {}
        for each in list(csv.reader(text.splitlines()))[10:]:
            rows[each[0], each[1]] = SimpleNamespace(
                status=each[3],
                flag=each[4],
                work=Decimal(each[5]),
                pe=Decimal(each[6]),
                na=each[7] == "NA",
                pe_here=Decimal(each[8]),
                na_here=each[9] == "NA",
                mp=Decimal(each[10]),
                pctc=each[13],
                multiple=each[18],
                factor=Decimal(each[24]),
            )
        return rows

    @staticmethod
    def _indices(text: str) -> dict:
        return {
            (each[0] + each[2],): tuple(map(Decimal, each[4:7]))
            for each in csv.reader(text.splitlines())
            if len(each) > 6 and each[0].isdigit()
        }

    @staticmethod
    def _zips(text: str) -> dict:
        return {(each[2:7],): each[7:14] for each in text.splitlines() if len(each) > 20}

    @staticmethod
    def _caps(text: str) -> dict:
        rows = [each for each in csv.reader(text.splitlines()) if len(each) > 6]
        return {
            (each[0], each[1].strip(), each[3] + each[4]): tuple(map(Decimal, each[5:7]))
            for each in rows[1:]
            if each[0].strip()
        }


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def text_of(file: Path) -> str:
    if file.suffix == ".gz":
        return gzip.decompress(file.read_bytes()).decode("latin-1")
    return file.read_bytes().decode("latin-1").replace("\r\n", "\n")


POSITIONS = [f"{number:02}" for number in (*range(1, 27), 31, 32, 49, 51, 61, 65, 81, 99)]
MODIFIERS = ["25", "59", "LT", "RT", "GP", "76"]


def random_claims(oracle: Oracle, count: int, random: Random) -> list[claim_pb2.Claim]:
    """Claims over every row of the newest fee file, on days in and around the releases."""
    fees = oracle.tables["mpfs"][-1].rows
    keys = sorted(fees)
    # Older releases lack some rows of 53, and what is not a row of its own is a reduction.
    keys = [key for key in keys if all(key in each.rows for each in reduced(oracle, key))]
    rare = [key for key in keys if fees[key].status in "RTBP" or fees[key].flag == "+"]
    often = [key for key in keys if fees[key].status == "T"]
    capped = [key[:2] for key in oracle.tables["opps_cap"][-1].rows]
    zips = [key[0] for key in sorted(oracle.tables["zip_locality"][-1].rows)]
    claims = []
    for number in range(count):
        lines = []
        day = date(2024, 1, 1) + timedelta(days=random.randrange(1_150))
        for _ in range(random.randint(1, 4)):
            pool = random.choices((keys, rare, often, capped), (70, 12, 8, 10))[0]
            code, component = random.choice(pool) if pool else random.choice(keys)
            extra = random.sample(MODIFIERS, random.choice((0, 0, 1, 2)))
            multiple = fees[code, component].multiple if (code, component) in fees else "0"
            if multiple not in "09" and lines:
                continue  # what is reduced beside others is alone here: see the other tests
            modifiers = [*extra, component] if component else extra
            if not component and random.random() < 0.05:
                modifiers.append(random.choice(("26", "TC")))
            at = day + timedelta(days=random.choice((0, 0, 0, 1)))
            fields = {"npi": random.choice(("1234567893", "1111111112"))}
            if random.random() < 0.1:
                fields["facility_provider"] = {"zip": random.choice(zips)}
            lines.append(
                line(
                    "-".join((code if random.random() < 0.97 else unknown(random), *modifiers)),
                    day=at.isoformat(),
                    pos=random.choice(("", *POSITIONS)),
                    units=1
                    if multiple == "5"
                    else random.choice((1, 1, 1, 2, 3, 12, 0.5, 0.333, 1.25)),
                    charge=random.randint(0, 60_000) / 100 if random.random() < 0.5 else 50_000,
                    **fields,
                )
            )
            if multiple not in "09":
                break
        zip5 = random.choice(zips) if random.random() < 0.95 else random.choice(("", "00000"))
        if random.random() < 0.2:
            zip5 += "1234" if zip5 else ""
        claims.append(
            claim_of(
                example(
                    "a",
                    *lines,
                    received="2027-12-31",
                    pos=random.choice(POSITIONS),
                    total=1,
                    billing_provider={"zip": zip5},
                    institutional=random.random() < 0.03,
                ),
                f"R-{number}",
            )
        )
    return claims


def unknown(random: Random) -> str:
    return random.choice(("5555X", "", "!"))


def reduced(oracle: Oracle, key: tuple[str, str]) -> list[Release]:
    return oracle.tables["mpfs"] if key[1] == "53" else []


def compare(reference: Reference, source: Path, seed: int) -> list[Priced]:
    oracle = Oracle(source)
    claims = random_claims(oracle, CLAIMS_RANDOM, Random(seed))

    found = prices(reference, claims)

    expected = [each for claim in claims for each in oracle.claim(claim)]
    differ = [at for at, each in enumerate(found) if each != expected[at]]
    lines = [(claim.claim_id, str(each)) for claim in claims for each in claim.lines]
    assert not differ, (len(differ), lines[differ[0]], found[differ[0]], expected[differ[0]])
    return expected


def test_random_claims_over_the_sample_cost_what_the_oracle_says(sample_reference):
    expected = compare(sample_reference, SAMPLE, seed=20251001)

    reasons = {each.reason for each in expected}
    unseen = {"ANESTHESIA_FACTOR", "INCIDENT_TO", "NOT_FOR_PAYMENT", "REDUCTION", "REPORT", "ZERO"}
    unseen |= {"FEES_UNAVAILABLE"}
    assert reasons == {reason.name for reason in PriceReason} - unseen
    assert sum(each.status == "PRICED" for each in expected) > 2_000
    assert any(each.capped_cents < each.fee_cents for each in expected)


def test_random_claims_over_the_full_schedule_cost_what_the_oracle_says(published, fee_tables):
    expected = compare(published, fee_tables, seed=7)

    reasons = {each.reason for each in expected}
    assert reasons >= {"NONE", "NO_RELEASE", "STATUS", "CONTRACTOR", "NA", "REPORT"}
    assert sum(each.status == "PRICED" for each in expected) > 1_500
