"""Quotes: the worked examples of several lines, what cannot be read, and one way to price."""

from datetime import date
from pathlib import Path

import pytest

from engine.reference import Reference
from loader.quote import (
    Parties,
    QuotedLine,
    QuoteError,
    UnknownCodeError,
    cents,
    modifiers_of,
    procedure_code,
    quote,
    thousandths,
)
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
WORKED = "mpfs/PPRRVU_2024_worked_examples.csv"
DAY, ZIP = date(2024, 4, 15), "00601"
RATES = """\
tenant_id,code_from,code_to,contract,plan,billing_npi,billing_tin,modifier,setting,rate_kind,rate,\
net,effective_from,effective_to
T,99213,,C,,,,,any,cents_per_unit,95.00,no,,
T,99213,,C,GOLD,1234567893,,,any,cents_per_unit,99.00,no,,
T,E0601,,,,,,RR,any,cents_per_unit,80.00,no,,
T,99203,,,,,,,any,percent_of_charge,0.5,no,,
"""
GPCI = """\
ADDENDUM E. GEOGRAPHIC PRACTICE COST INDICES: made for a test,,,,,,
,,,,,,
Medicare Administrative Contractor (MAC),State,Locality Number,Locality Name,PW GPCI,PE GPCI,MP GPCI
90000,PR,01,UNIT,1.000,1.000,1.000
"""


@pytest.fixture(scope="module")
def worked(tmp_path_factory) -> Reference:
    """The release of the worked examples with indices of 1, and a ZIP that spans localities."""
    folder = tmp_path_factory.mktemp("worked")
    (folder / "fees.csv").write_text((SAMPLE / WORKED).read_text())
    (folder / "gpci.csv").write_text(GPCI)
    zips = [f"PR{zip5}9000001".ljust(20) + flag for zip5, flag in ((ZIP, "0"), ("00602", "1"))]
    (folder / "zip.txt").write_text("".join(f"{each.ljust(75)}20241\n" for each in zips))
    (folder / "pos.csv").write_text((SAMPLE / "codes" / "place_of_service_sample.csv").read_text())
    files = {"mpfs": "fees.csv", "gpci": "gpci.csv", "zip_locality": "zip.txt"}
    (folder / "releases.toml").write_text(
        "".join(
            f'[[release]]\ndataset = "{dataset}"\nid = "made"\nfiles = ["{file}"]\n'
            "from = 2024-03-09\nto = 2024-12-31\n"
            for dataset, file in (files | {"place_of_service": "pos.csv"}).items()
        )
    )
    build(folder, folder / "snapshot")
    return Reference.open(folder / "snapshot")


def quoted(reference: Reference, *lines: str, pos: str = "11", zip5: str = ZIP, day: date = DAY):
    return quote(
        reference, [QuotedLine.of_text(each) for each in lines], day=day, zip_code=zip5, place=pos
    )


@pytest.mark.parametrize(
    ("pos", "lines", "amounts"),
    [
        ("11", ("99213",), (90_87,)),
        ("22", ("99213",), (65_24,)),
        ("11", ("11042", "17110", "20610"), (129_82, 57_09, 32_62)),
        ("22", ("45385", "45380-59"), (249_32, 15_64)),
        ("11", ("20610-50",), (97_86,)),
        ("22", ("27447-80",), (205_42,)),
        ("22", ("27447-AS",), (174_61,)),
        ("22", ("29880-62",), (356_18,)),
        ("22", ("27447-54",), (1014_28,)),
        ("11", ("70553-TC", "70551-TC"), (220_03, 66_08)),
        ("11", ("97110x2", "97140"), (51_59, 20_80)),
    ],
)
def test_quotes_are_those_of_the_worked_examples(worked, pos, lines, amounts):
    found = quoted(worked, *lines, pos=pos)

    assert tuple(each.allowed_cents for each in found.lines) == amounts
    assert found.allowed_cents == sum(amounts)
    assert found.unpriced_lines == 0


def test_quote_shows_each_step(worked):
    [line] = quoted(worked, "20610-50x2").lines

    assert [each.step for each in line.trace] == [
        "release", "row", "place", "fee", "bilateral", "units",
    ]  # fmt: skip
    assert line.trace[1].detail == "20610, status A: active"
    assert line.trace[2].detail == "non-facility, locality 9000001"
    assert line.trace[4].detail == "65.24 x 1.5, both sides"
    assert [each.amount_cents for each in line.trace] == [0, 0, 0, 65_24, 97_86, 195_72]


def test_zip_that_spans_localities_is_said(worked):
    [line] = quoted(worked, "99213", zip5="00602").lines

    assert line.allowed_cents == 90_87
    assert "zip5_only" in line.trace[2].detail


@pytest.mark.parametrize(
    ("lines", "zip5", "status", "reason", "words"),
    [
        (("27447",), ZIP, "no_price", "NA", "no price for the code in this setting"),
        (("99213",), "99999", "no_price", "locality", "in no locality"),
        (("99213-26",), ZIP, "no_price", "no_row", "no row for the code and its 26"),
        (("99213-22",), ZIP, "by_report", "report", "from the report"),
    ],
)
def test_line_without_a_price_says_why_in_words(worked, lines, zip5, status, reason, words):
    found = quoted(worked, *lines, zip5=zip5)

    assert found.allowed_cents is None
    assert (found.lines[0].price_status, found.lines[0].no_price_reason) == (status, reason)
    assert words in found.lines[0].trace[-1].detail


def test_charge_limits_the_price(worked):
    found = quote(
        worked, [QuotedLine("99213", charge_cents=50_00)], day=DAY, zip_code=ZIP, place="11"
    )

    assert found.allowed_cents == 50_00
    assert found.lines[0].trace[-1].step == "charge_limit"


def test_stand_ins_of_the_price_are_named(sample_reference):
    found = quoted(sample_reference, "99213", zip5="35201")

    assert found.price_stand_ins == ("anesthesia_cf ANES2025", "zip_locality ZIP5-2025-10")
    assert "zip_locality ZIP5-2025-10 (stands in)" in found.lines[0].trace[0].detail


def test_modifier_that_no_table_has_is_warned_of(sample_reference):
    assert quoted(sample_reference, "99213-ZZ", zip5="35201").warnings == (
        "modifier ZZ is not in the table of modifiers on 2024-04-15",
    )
    assert quoted(sample_reference, "99213-25", zip5="35201").warnings == ()


def test_place_and_tenant_that_no_table_has_are_warned_of(contracted):
    asked = {"lines": [QuotedLine("99213")], "day": date(2025, 10, 15), "zip_code": "35201-0001"}

    found = quote(contracted, place="00", parties=Parties("OTHER"), **asked)
    known = quote(contracted, place="11", parties=Parties("T"), **asked)

    assert found.warnings == (
        "place of service 00 is not assigned on 2025-10-15",
        "no table has rows of tenant 'OTHER': those for all tenants hold",
    )
    assert known.warnings == ()


def test_npi_that_is_none_is_refused(worked):
    with pytest.raises(QuoteError, match="ten digits"):
        quote(
            worked, [QuotedLine("99213")], day=DAY, zip_code=ZIP, place="11",
            parties=Parties(npi="123"),
        )  # fmt: skip


def test_anesthesia_is_quoted_by_minutes(sample_reference):
    asked = [QuotedLine("00840", ("QK",), 90_000, minutes=True)]

    found = quote(sample_reference, asked, day=date(2025, 10, 15), zip_code="35201", place="22")

    assert found.allowed_cents == 115_86  # (6 + 6.0) x 19.31 x 0.5
    assert [each.step for each in found.lines[0].trace[3:]] == ["anesthesia", "anesthesia_role"]


@pytest.fixture(scope="module")
def contracted(tmp_path_factory) -> Reference:
    """The sample tables with rates of a tenant's contract."""
    folder = tmp_path_factory.mktemp("contracted")
    for each in SAMPLE.iterdir():
        if each.name != "claimgate":
            (folder / each.name).symlink_to(each)
    (folder / "claimgate").mkdir()
    (folder / "claimgate" / "contract_rates.csv").write_text(RATES)
    (folder / "claimgate" / "conversion_factors.csv").write_text(
        "tenant_id,npi,conversion_factor,effective_from,effective_to\n,1111111112,40,,\n"
    )
    build(folder, folder / "snapshot")
    return Reference.open(folder / "snapshot")


@pytest.mark.parametrize(
    ("parties", "amount", "basis"),
    [
        (Parties("T", "C"), 95_00, "contract"),
        (Parties("T"), 81_86, "fee_schedule"),
        (Parties("T", "C", "GOLD", "1234567893"), 99_00, "contract"),
        (Parties("OTHER", "C"), 81_86, "fee_schedule"),
        (Parties(), 81_86, "fee_schedule"),
    ],
)
def test_rates_of_the_tenants_contract_are_quoted(contracted, parties, amount, basis):
    found = quote(
        contracted, [QuotedLine("99213")], day=date(2025, 10, 15), zip_code="35201", place="11",
        parties=parties,
    )  # fmt: skip

    assert (found.allowed_cents, found.lines[0].price_basis) == (amount, basis)


def test_code_that_only_a_contract_has_is_quoted(contracted):
    asked = {"day": date(2025, 10, 15), "zip_code": "35201", "place": "12"}

    found = quote(contracted, [QuotedLine("E0601", ("RR",))], parties=Parties("T"), **asked)

    assert found.allowed_cents == 80_00
    with pytest.raises(UnknownCodeError):
        quote(contracted, [QuotedLine("E0601", ("RR",))], **asked)


def test_conversion_factor_of_the_provider_is_named(contracted):
    found = quote(
        contracted, [QuotedLine("99213")], day=date(2025, 10, 15), zip_code="35201", place="11",
        parties=Parties(npi="1111111112"),
    )  # fmt: skip

    assert found.allowed_cents == 101_23  # 2.53065 x 40
    release = contracted.release_name("conversion_factors", 0)
    assert f") x 40.0000 of conversion_factors {release}, non-" in found.lines[0].trace[3].detail


def test_share_of_the_charge_needs_the_charge(contracted):
    asked = {"day": date(2025, 10, 15), "zip_code": "35201", "place": "11", "parties": Parties("T")}

    with pytest.raises(QuoteError, match="share of the charge"):
        quote(contracted, [QuotedLine("99203")], **asked)

    found = quote(contracted, [QuotedLine("99203", charge_cents=200_00)], **asked)
    assert (found.allowed_cents, found.lines[0].price_basis) == (100_00, "charge")


def test_line_is_read_from_its_text():
    assert QuotedLine.of_text("20610-59-rtx2.5") == QuotedLine("20610", ("59", "RT"), 2500)
    assert QuotedLine.of_text("j1100") == QuotedLine("J1100")


@pytest.mark.parametrize("text", ["", "2061", "20610-5", "20610x", "20610x0", "20610--59", "x2"])
def test_line_that_cannot_be_read_is_refused(text):
    with pytest.raises(QuoteError):
        QuotedLine.of_text(text)


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (procedure_code, "9921", "five letters and digits"),
        (modifiers_of, "26,5", "two letters or digits"),
        (lambda text: thousandths(text, "--units"), "two", "--units 'two'"),
        (lambda text: thousandths(text, "--units"), "NaN", "--units 'NaN'"),
        (lambda text: thousandths(text, "--units"), "1.0001", "up to 3 decimals"),
        (lambda text: thousandths(text, "--units"), "9" * 20, r"--units '9+' is out of range"),
        (lambda text: cents(text, "--charge"), "-5", "more than 0"),
        (lambda text: cents(text, "--charge"), "1e9", "at most 999999999.99"),
    ],
)
def test_value_that_cannot_be_read_says_what_was_expected(read, text, told):
    with pytest.raises(QuoteError, match=told):
        read(text)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"zip5": "3520"}, "five or nine digits"),
        ({"pos": "1"}, "two digits"),
        ({"zip5": "35201-67"}, "five or nine digits"),
        ({"day": date(1850, 1, 1)}, "no calendar date"),
    ],
)
def test_place_and_day_are_checked(worked, changed, told):
    with pytest.raises((QuoteError, UnknownCodeError), match=told):
        quoted(worked, "99213", **changed)


def test_code_of_no_table_is_refused(worked):
    with pytest.raises(UnknownCodeError, match="99998"):
        quoted(worked, "99213", "99998")


def test_what_the_engine_refuses_is_refused(worked):
    with pytest.raises(QuoteError, match=r"modifiers: has more than 4"):
        quoted(worked, "99213-25-26-50-51-52")
