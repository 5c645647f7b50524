"""Reductions: the worked examples of several lines, and the edges of each indicator."""

import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from claimgate.v1 import score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.policy import Policy
from engine.pricing import PriceReason, PriceStatus, price
from engine.pricing.trace import steps_of
from engine.reference import Reference
from engine.rules.rule import example, line
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
WORKED = SAMPLE / "mpfs" / "PPRRVU_2024_worked_examples.csv"
DAY, NEXT_DAY = "2024-04-15", "2024-04-16"
ONE, OTHER = "1234567893", "1111111112"
ZIP = "00601"
GPCI = """\
ADDENDUM E. GEOGRAPHIC PRACTICE COST INDICES: made for a test,,,,,,
,,,,,,
Medicare Administrative Contractor (MAC),State,Locality Number,Locality Name,PW GPCI,PE GPCI,MP GPCI
90000,PR,01,UNIT,1.000,1.000,1.000
"""
CAPS = """\
HCPCS,MOD,PROCSTAT,CARRIER,LOCALITY,FACILITY PRICE,NON-FACILTY PRICE
40003,,A,90000,01,150.00,150.00
40003,TC,A,90000,01,60.00,60.00
"""
RELEASES = (
    ("mpfs", "fees.csv"),
    ("gpci", "gpci.csv"),
    ("zip_locality", "zip.txt"),
    ("opps_cap", "caps.csv"),
    ("place_of_service", "pos.csv"),
)


def row(code: str, work="0.00", practice="0.00", **columns: str) -> str:
    """A row of the fee schedule with a conversion factor of 100: 1.00 is 100 dollars."""
    code, _, modifier = code.partition("-")
    total = Decimal(work) + Decimal(practice)
    shares = columns.get("shares", "0.00,0.00,0.00")
    indicators = ",".join(columns.get(name, "0") for name in ("multiple", "bilateral"))
    return (
        f"{code},{modifier},,{columns.get('status', 'A')},,{work},{practice},"
        f"{columns.get('na', '')},{practice},,0.00,{total},{total},{columns.get('pctc', '0')},"
        f"{columns.get('days', '000')},{shares},{indicators},0,0,0,{columns.get('base', '')},"
        f"100.0000,09,0,{columns.get('family', '99')},0.00,0.00,0.00"
    )


def split_rows(code: str, multiple: str, technical: str, professional: str, **columns) -> list[str]:
    """A test with its two parts."""
    columns |= {"multiple": multiple, "pctc": "1", "days": "XXX"}
    return [
        row(code, professional, technical, **columns),
        row(f"{code}-TC", "0.00", technical, **columns),
        row(f"{code}-26", professional, **columns),
    ]


ROWS = [
    *(row(f"1000{n}", f"{10 - n}.00", multiple="2") for n in range(1, 8)),  # 900 down to 300
    row("10010", "0.03", multiple="2"),
    row("10011", "1.01", multiple="2"),
    row("10020", "5.00", multiple="2", days="ZZZ"),
    row("10021", "5.00", multiple="0"),
    row("10022", "5.00", multiple="9", bilateral="9"),
    row("10031", "8.00", multiple="1"),
    row("10032", "7.00", multiple="1"),
    row("10033", "6.00", multiple="1"),
    # a family of endoscopies, its base, another family, and one whose base has no price
    row("20000", "2.00", multiple="2"),
    row("20001", "5.00", multiple="3", base="20000"),
    row("20002", "3.00", multiple="3", base="20000"),
    row("20003", "1.50", multiple="3", base="20000"),
    row("20010", "1.00", multiple="2"),
    row("20011", "4.50", multiple="3", base="20010"),
    row("20020", "1.00", multiple="2", status="C"),
    row("20021", "4.00", multiple="3", base="20020"),
    row("20022", "3.00", multiple="3", base="20020"),
    *(row(f"3000{n}", "1.01", multiple="2", bilateral=f"{n}") for n in (0, 1, 2, 3, 9)),
    *split_rows("40001", "4", "2.00", "1.00", family="88"),
    *split_rows("40002", "4", "1.00", "1.50", family="88"),
    *split_rows("40003", "4", "1.90", "0.90", family="88"),
    *split_rows("40004", "4", "5.00", "5.00", family="99"),
    *split_rows("60001", "6", "2.00", "1.00"),
    *split_rows("60002", "6", "1.00", "1.50"),
    row("60003", "0.00", "0.50", multiple="6", pctc="3"),
    row("60004", "0.10", "0.20", multiple="6", pctc="4"),
    *split_rows("70001", "7", "2.00", "1.00"),
    *split_rows("70002", "7", "1.00", "1.50"),
    row("50001", "1.00", "1.00", multiple="5", pctc="7"),
    row("50002", "5.00", "0.61", multiple="5", pctc="7"),
    row("50003", "0.10", "1.00", multiple="5", pctc="7"),
    row("80001", "10.01", days="090", shares="0.10,0.69,0.21"),
    row("80002", "10.01", days="010", shares="0.10,0.80,0.10"),
    row("80003", "10.01", days="000"),
    row("80004", "10.01", days="090"),
    row("80005", "4.00", days="090", multiple="2", shares="0.10,0.69,0.21"),
    row("80006", "4.00"),
    row("80006-53", "2.00"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Reference:
    """The release of the worked examples where indices are 1, and rows made for the edges."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "fees.csv").write_text("\n".join([WORKED.read_text().rstrip("\n"), *ROWS, ""]))
    (folder / "gpci.csv").write_text(GPCI)
    (folder / "caps.csv").write_text(CAPS)
    (folder / "zip.txt").write_text(f"PR{ZIP}9000001".ljust(20) + "0".ljust(55) + "20241\n")
    places = SAMPLE / "codes" / "place_of_service_sample.csv"
    (folder / "pos.csv").write_text(places.read_text())
    (folder / "releases.toml").write_text(
        "".join(
            f'[[release]]\ndataset = "{dataset}"\nid = "made"\nfiles = ["{file}"]\n'
            "from = 2024-03-09\nto = 2024-12-31\n"
            for dataset, file in RELEASES
        )
    )
    build(folder, folder / "snapshot")
    return Reference.open(folder / "snapshot")


class Priced(NamedTuple):
    status: str
    reason: str
    amount: int
    allowed: int
    trace: list[tuple[str, str, int]]


def priced(reference: Reference, *lines, formula: str = "full", **fields) -> list[Priced]:
    """Price the lines of one claim; each is the text of a line, or a line."""
    lines = [plain(each) if isinstance(each, str) else each for each in lines]
    claim = claim_of(example("a", *lines, day=DAY, billing_provider={"zip": ZIP}, **fields))
    batch = decode([score_pb2.ClaimBatch(claims=[claim])], allow_zero_charge=True)
    assert not batch.violations
    facts, policy = look_up(batch, reference), Policy(price_formula=formula)
    allowed = price(batch, reference, facts, policy)
    return [
        Priced(
            PriceStatus(int(allowed.status[at])).name,
            PriceReason(int(allowed.reason[at])).name,
            int(allowed.amount_cents[at]),
            int(allowed.allowed_cents[at]),
            steps_of(allowed, batch, facts, reference, policy, at),
        )
        for at in range(len(allowed))
    ]


def plain(text: str, **fields):
    return line(text, **{"charge": 99_999, **fields})


def cents(reference: Reference, *lines, **fields) -> list[int | None]:
    """What each line is allowed; None where it has no price."""
    return [
        each.allowed if each.status == "PRICED" else None
        for each in priced(reference, *lines, **fields)
    ]


# --- worked examples


@pytest.mark.parametrize(
    ("pos", "lines", "amounts"),
    [
        ("11", ("11042", "17110", "20610"), (129_82, 57_09, 32_62)),
        ("22", ("45385", "45380-59", "45378"), (249_32, 197_06 - 181_42, 0)),
        ("22", ("45385", "45380-59"), (249_32, 15_64)),
        ("11", ("20610-50",), (97_86,)),
        ("22", ("27447-80",), (205_42,)),
        ("22", ("27447-AS",), (174_61,)),
        ("22", ("29880-62",), (356_18,)),
        ("22", ("27447-54",), (1014_28,)),
        ("22", ("27447-55",), (269_62,)),
        ("11", ("70553-TC", "70551-TC"), (220_03, 66_08)),
        ("11", ("70553-26", "70551-26"), (106_85, 65_78)),
    ],
)
def test_amounts_are_those_of_the_worked_examples(made, pos, lines, amounts):
    found = cents(made, *(plain(each, pos=pos) for each in lines))

    assert found == list(amounts)


def test_therapy_is_that_of_the_worked_example(made):
    [twice, once] = priced(made, plain("97110", units=2), plain("97140"))

    assert (twice.allowed, once.allowed) == (29_29 + 22_30, 20_80)


# --- several procedures


def test_highest_procedure_is_paid_in_full_four_by_half_and_the_sixth_by_report(made):
    found = priced(made, *(f"1000{n}" for n in range(1, 8)))

    assert [each.allowed for each in found[:5]] == [900_00, 400_00, 350_00, 300_00, 250_00]
    for each in found[5:]:
        assert (each.status, each.reason, each.amount, each.allowed) == (
            "BY_REPORT",
            "REPORT",
            0,
            0,
        )


def test_rank_does_not_depend_on_the_order_of_the_lines(made):
    found = cents(made, *(f"1000{n}" for n in range(7, 0, -1)))

    assert found == [None, None, 250_00, 300_00, 350_00, 400_00, 900_00]


def test_of_equal_procedures_the_first_line_is_paid_in_full(made):
    assert cents(made, "10002", "10001", "10001") == [400_00, 900_00, 450_00]


def test_half_a_cent_of_a_half_is_rounded_up(made):
    assert cents(made, "10001", "10010", "10011") == [900_00, 1_50, 50_50]
    assert cents(made, "20610", "11042", pos="11") == [32_62, 129_82]


@pytest.mark.parametrize("alone", ["10020", "10021", "10022", "40004"])
def test_add_ons_and_procedures_without_a_reduction_are_not_ranked(made, alone):
    found = cents(made, "10004", alone, alone)

    assert found[0] == 600_00
    assert found[1] == found[2] in (500_00, 1000_00)


@pytest.mark.parametrize(
    "apart", [{"day": NEXT_DAY}, {"npi": OTHER}, {"day": NEXT_DAY, "npi": OTHER}]
)
def test_days_and_providers_do_not_mix(made, apart):
    found = cents(
        made,
        plain("10001", npi=ONE),
        plain("10002", npi=ONE),
        plain("10003", **{"npi": ONE, **apart}),
        plain("10004", **{"npi": ONE, **apart}),
        plain("10005", npi=ONE),
    )

    assert found == [900_00, 400_00, 700_00, 300_00, 250_00]


def test_physicians_of_one_specialty_rank_together(made):
    other = {"npi": OTHER, "specialty": "06"}
    lines = (plain("10001"), plain("10002", rendering_provider=other))

    together = cents(made, *lines, rendering_provider={"npi": ONE, "specialty": "06"})
    apart = cents(made, *lines, rendering_provider={"npi": ONE, "specialty": "08"})

    assert together == [900_00, 400_00]
    assert apart == [900_00, 800_00]


def test_units_multiply_before_the_ranking_and_are_not_ranked_themselves(made):
    found = priced(made, plain("10007", units=4), "10001")

    assert [each.allowed for each in found] == [1200_00, 450_00]
    assert found[0].amount == 1200_00


def test_procedure_without_a_price_takes_no_place(made):
    assert cents(made, "10002", "20020", "10001", "55555") == [400_00, None, 900_00, None]


def test_old_ladder_pays_a_quarter_from_the_third(made):
    assert cents(made, "10031", "10032", "10033") == [800_00, 350_00, 150_00]


def test_compared_amount_is_the_one_before_reductions(made):
    found = priced(made, "10001", "10002", plain("80001-80", day=NEXT_DAY))

    assert [each.amount for each in found] == [900_00, 800_00, 1001_00]
    assert [each.allowed for each in found] == [900_00, 400_00, 160_16]


def test_charge_limits_what_is_left_after_the_reductions(made):
    found = cents(made, "10001", plain("10002", charge=399.99), plain("10003", charge=350))

    assert found == [900_00, 399_99, 350_00]


def test_simple_formula_knows_no_reduction_and_no_modifier(made):
    found = cents(made, "10001", "10001-50-22", "10001-80", formula="simple")

    assert found == [349_83] * 3


# --- endoscopies


def test_other_endoscopies_pay_what_they_add_to_their_base(made):
    assert cents(made, "20002", "20001") == [100_00, 500_00]


def test_endoscopy_worth_less_than_its_base_adds_nothing(made):
    assert cents(made, "20001", "20003") == [500_00, 0]


def test_base_beside_its_family_pays_nothing_wherever_it_stands(made):
    assert cents(made, "20000", "20003") == [0, 150_00]
    assert cents(made, "20003", "20000") == [150_00, 0]


def test_base_alone_is_a_procedure_like_any_other(made):
    assert cents(made, "20000", "20011") == [100_00, 450_00]
    assert cents(made, "20000", "20000") == [200_00, 100_00]


@pytest.mark.parametrize("apart", [{"npi": OTHER}, {"day": NEXT_DAY}])
def test_base_of_another_session_is_paid(made, apart):
    assert cents(made, plain("20000", **apart), plain("20001")) == [200_00, 500_00]


def test_of_equal_endoscopies_the_first_line_is_the_full_one(made):
    assert cents(made, "20002", "20002", "20003") == [300_00, 100_00, 0]


def test_families_enter_the_ranking_with_their_totals(made):
    # 500 + 100 of the first family, 450 of the second: either before or behind 550
    assert cents(made, "20001", "20002", "20011") == [500_00, 100_00, 225_00]
    assert cents(made, "20001", "20011", "10004", "20002") == [500_00, 225_00, 300_00, 100_00]
    assert cents(made, "20001", "20011", "10003", "20002") == [250_00, 225_00, 700_00, 50_00]


def test_family_of_equal_total_ranks_by_its_first_line(made):
    assert cents(made, "20001", "10004", "20002") == [500_00, 300_00, 100_00]
    assert cents(made, "10004", "20001", "20002") == [600_00, 250_00, 50_00]


def test_family_takes_one_place(made):
    lines = ("20001", "20002", "20003", "10001", "10002", "10003", "10006")

    assert cents(made, *lines) == [250_00, 50_00, 0, 900_00, 400_00, 350_00, 200_00]


def test_family_in_the_sixth_place_is_priced_by_report_as_a_whole(made):
    lines = ("20011", "20010", "10001", "10002", "10003", "10004", "10005")

    assert cents(made, *lines)[:2] == [None, None]


def test_base_counts_in_each_unit_and_on_both_sides(made):
    assert cents(made, plain("20002", units=2), plain("20001", units=3)) == [200_00, 1500_00]


def test_endoscopy_whose_base_has_no_price_has_none_beside_another(made):
    [full, unknown] = priced(made, "20021", "20022")
    [alone] = priced(made, "20022")

    assert (full.status, full.allowed) == ("PRICED", 400_00)
    assert (unknown.status, unknown.reason, unknown.amount) == ("NO_PRICE", "REDUCTION", 0)
    assert (alone.status, alone.allowed) == ("PRICED", 300_00)


# --- both sides


@pytest.mark.parametrize(
    ("indicator", "amount"), [(0, 101_00), (1, 151_50), (2, 101_00), (3, 202_00), (9, 101_00)]
)
def test_both_sides_are_paid_by_the_indicator(made, indicator, amount):
    assert cents(made, f"3000{indicator}-50") == [amount]
    assert cents(made, plain(f"3000{indicator}-50", units=2)) == [2 * amount]
    assert cents(made, f"3000{indicator}-LT") == [101_00]


def test_both_sides_count_before_the_ranking(made):
    assert cents(made, "30001", "30001-50") == [50_50, 151_50]


def test_sides_on_two_lines_come_to_the_same(made):
    assert cents(made, "30001-LT", "30001-RT") == [101_00, 50_50]


# --- images and other tests


def test_later_technical_parts_of_images_are_paid_by_half(made):
    assert cents(made, "40002-TC", "40001-TC", "40003-TC") == [50_00, 200_00, 30_00]


def test_later_professional_parts_of_images_are_paid_by_nineteen_twentieths(made):
    assert cents(made, "40001-26", "40002-26", "40003-26") == [95_00, 150_00, 85_50]


def test_whole_image_splits_into_its_parts_and_each_ranks_by_itself(made):
    # technical 200 and 100, professional 100 and 150
    assert cents(made, "40001", "40002") == [200_00 + 95_00, 50_00 + 150_00]


def test_part_of_a_capped_image_is_the_capped_one(made):
    assert cents(made, "40003", "40001") == [30_00 + 85_50, 300_00]


def test_parts_of_one_sort_rank_across_whole_images(made):
    assert cents(made, "40001-TC", "40002", "40001-26") == [200_00, 50_00 + 150_00, 95_00]


def test_technical_and_professional_part_do_not_reduce_each_other(made):
    assert cents(made, "40001-TC", "40001-26") == [200_00, 100_00]


def test_image_of_another_family_is_not_reduced(made):
    assert cents(made, "40004", "40004", "40001") == [1000_00, 1000_00, 300_00]


def test_units_of_an_image_count_in_its_parts(made):
    assert cents(made, plain("40002", units=3), "40001") == [300_00 + 450_00, 100_00 + 95_00]


@pytest.mark.parametrize(("kind", "percent"), [("6", 75), ("7", 80)])
def test_later_technical_parts_of_tests_are_paid_in_part(made, kind, percent):
    first, second = f"{kind}0001", f"{kind}0002"

    assert cents(made, second, first) == [percent * 100 + 150_00, 300_00]
    assert cents(made, f"{first}-TC", f"{second}-TC") == [200_00, percent * 100]
    assert cents(made, f"{first}-26", f"{second}-26") == [100_00, 150_00]


def test_kinds_of_tests_do_not_mix(made):
    assert cents(made, "60002", "70002", "40002") == [250_00] * 3


def test_technical_only_test_is_a_technical_part(made):
    assert cents(made, "60003", "60001") == [37_50, 300_00]


def test_test_whose_parts_are_not_published_has_no_price_behind_another(made):
    [whole, unknown] = priced(made, "60001", "60004")

    assert (whole.status, whole.allowed) == ("PRICED", 300_00)
    assert (unknown.status, unknown.reason) == ("NO_PRICE", "REDUCTION")
    assert cents(made, "60004", "60001-26") == [30_00, 100_00]


# --- therapy


def test_unit_with_the_highest_practice_expense_is_paid_in_full(made):
    # 50002 costs more, but its practice expense is lower: 500 + 30.50
    assert cents(made, "50002", "50001") == [530_50, 200_00]


def test_each_other_unit_is_paid_with_half_the_practice_expense(made):
    assert cents(made, plain("50001", units=3)) == [200_00 + 2 * 150_00]
    assert cents(made, plain("50001", units=3), plain("50002", units=2)) == [500_00, 2 * 530_50]


def test_of_equal_practice_expense_the_first_line_is_paid_in_full(made):
    assert cents(made, "50001", "50003") == [200_00, 60_00]
    assert cents(made, "50003", "50001") == [110_00, 150_00]


def test_single_unit_of_therapy_is_not_reduced(made):
    assert cents(made, "50001", plain("50001", day=NEXT_DAY)) == [200_00, 200_00]
    assert cents(made, plain("50001", npi=ONE), plain("50003", npi=OTHER)) == [200_00, 110_00]


def test_part_of_a_unit_is_paid_by_its_part(made):
    assert cents(made, plain("50001", units=0.5)) == [100_00]
    assert cents(made, plain("50001", units=1.5)) == [200_00 + 75_00]


# --- modifiers


@pytest.mark.parametrize("modifier", ["22", "52", "53", "66"])
def test_unusual_services_and_teams_are_priced_by_report(made, modifier):
    [found] = priced(made, f"10001-{modifier}")

    assert (found.status, found.reason) == ("BY_REPORT", "REPORT")
    assert (found.amount, found.allowed) == (0, 0)
    assert found.trace[-1] == ("by_report", "a person prices it from the report", 0)


@pytest.mark.parametrize("modifier", ["22", "52", "53", "66"])
def test_line_priced_by_report_keeps_its_place(made, modifier):
    assert cents(made, f"10001-{modifier}", "10002") == [None, 400_00]


def test_stopped_service_with_a_row_of_its_own_has_a_price(made):
    assert cents(made, "80006-53") == [200_00]


@pytest.mark.parametrize("modifiers", ["53-26", "26-53"])
@pytest.mark.parametrize(("code", "reason"), [("40001", "REPORT"), ("80006", "NO_ROW")])
def test_part_of_a_service_stays_that_part_when_it_is_stopped(made, code, modifiers, reason):
    [found] = priced(made, f"{code}-{modifiers}")

    assert found.reason == reason


@pytest.mark.parametrize("modifier", ["25", "51", "58", "59", "73", "74", "76", "79", "LT", "ZZ"])
def test_other_modifiers_change_nothing(made, modifier):
    assert cents(made, f"80001-{modifier}") == [1001_00]


@pytest.mark.parametrize(
    ("modifiers", "amount"),
    [
        ("80", 160_16),
        ("81", 160_16),
        ("82", 160_16),
        ("AS", 136_14),
        ("80-AS", 136_14),
        ("AS-80", 136_14),
        ("62", 625_63),
        ("62-80", 160_16),
        ("LT-80", 160_16),
    ],
)
def test_share_of_those_who_take_part(made, modifiers, amount):
    assert cents(made, f"80001-{modifiers}") == [amount]


def test_assistants_are_ranked_separately(made):
    found = cents(made, "10001", "10002-80", "10003", "10004-AS")

    assert found == [900_00, 128_00, 350_00, 40_80]


def test_co_surgeon_is_ranked_with_the_others(made):
    assert cents(made, "10001", "10002-62") == [900_00, 250_00]


@pytest.mark.parametrize(
    ("modifiers", "percent"),
    [
        ("54", 79),
        ("55", 21),
        ("56", 10),
        ("78", 69),
        ("54-55", 100),
        ("54-56", 79),
        ("55-56", 31),
        ("54-78", 69),
    ],
)
def test_split_care_is_paid_by_the_shares_of_the_row(made, modifiers, percent):
    assert cents(made, f"80001-{modifiers}") == [1001 * percent]


def test_split_care_of_ten_days(made):
    assert cents(made, "80002-54", plain("80002-55", day=NEXT_DAY)) == [900_90, 100_10]


@pytest.mark.parametrize("modifier", ["54", "55", "56", "78"])
def test_care_without_a_global_period_is_not_split(made, modifier):
    assert cents(made, f"80003-{modifier}") == [1001_00]


def test_care_without_shares_has_no_price_when_it_is_split(made):
    [found] = priced(made, "80004-54")

    assert (found.status, found.reason) == ("NO_PRICE", "REDUCTION")
    assert cents(made, "80004") == [1001_00]


def test_assistant_of_split_care_is_rounded_once(made):
    assert cents(made, "80001-80-54") == [126_53]  # 1001.00 x 0.1264 = 126.5264


def test_split_care_comes_after_the_ranking(made):
    assert cents(made, "80005-55", "10007") == [84_00, 150_00]


# --- the trace

FOUND = ["release", "row", "place"]
FEE = re.compile(r"\((.+)\) x ([\d.]+), (?:non-)?facility, \w")


def replayed(trace: list[tuple[str, str, int]]) -> int:
    """What a trace comes to, computed from its words alone."""
    amount = Decimal(0)
    assert [step for step, _, _ in trace[: len(FOUND)]] == FOUND
    for step, detail, after in trace[len(FOUND) :]:
        if step == "fee":
            terms, factor = FEE.match(detail).groups()
            amount = rounded(sum(map(product, terms.split(" + "))) * Decimal(factor))
        elif step == "units":
            amount = rounded(amount * Decimal(detail.removeprefix("x ")))
        elif step in ("cap", "charge_limit"):
            amount = min(amount, Decimal(after) / 100)
        else:
            terms = detail.partition(", ")[0].split(" + ")
            if len(terms) == 1:
                assert Decimal(terms[0].split(" x ")[0]) == amount, "a step starts from the last"
            amount = max(sum(rounded(product(each)) for each in terms), Decimal(0))
        assert amount * 100 == after, (step, detail, after)
    return int(amount * 100)


def product(term: str) -> Decimal:
    value, factor = term.split(" x ")
    return Decimal(value) * Decimal(factor)


def rounded(dollars: Decimal) -> Decimal:
    return dollars.quantize(Decimal("0.01"), ROUND_HALF_UP)


MANY = (
    ("10001", "20001", "20002", "20003", "20000", "30001-50"),
    ("40003", "40001", "40002-26", "60001", "60002", "70001", "70002"),
    (plain("50001", units=2.5), "50003", "80001-80-54", plain("10003", charge=5)),
)


@pytest.mark.parametrize("lines", MANY)
def test_steps_of_a_trace_can_be_computed_again(made, lines):
    for found in priced(made, *lines):
        assert found.trace
        assert replayed(found.trace) == found.allowed


def test_trace_names_what_was_done(made):
    [_, second, role] = priced(made, "10001", plain("30001-50", units=2), "80001-AS-54")

    terms = "1.01 x 1.000 + 0.00 x 1.000 + 0.00 x 1.000"
    assert second.trace == [
        ("release", "mpfs made, gpci made, zip_locality made", 0),
        ("row", "30001, status A: active", 0),
        ("place", "non-facility, locality 9000001", 0),
        ("fee", f"({terms}) x 100.0000, non-facility, made", 101_00),
        ("bilateral", "101.00 x 1.5, both sides", 151_50),
        ("units", "x 2", 303_00),
        ("multiple_procedures", "303.00 x 0.5, several procedures, rank 2", 151_50),
    ]
    assert role.trace[-1] == ("surgical_role", "1001.00 x 0.10744, modifiers AS 54", 107_55)
