"""Anesthesia: units to the tenth, risk, direction, what has no price, and the trace of it."""

from pathlib import Path

import pytest
from claimgate.v1 import score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.policy import Policy
from engine.pricing import Allowed, PriceReason, PriceStatus, price
from engine.pricing.trace import steps_of
from engine.reference import Reference
from engine.rules.rule import example, line
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
HEADER = "tenant_id,code_from,code_to,base_units,effective_from,effective_to\n"
BASE = ",00100,,5,,\n,00142,00170,4,2025-01-01,2025-10-31\nOWN,00100,,6,,\n"
# Alabama in 2025: 19.31 dollars a unit
COMMERCIAL, MEDICARE = "CI", "MB"
DAY = "2025-10-15"
LATER = {"day": "2025-11-01", "received": "2025-11-02"}
CIRCUMSTANCES = [("99100", 1), ("99116", 5), ("99135", 5), ("99140", 2)]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Reference:
    """The sample tables with base units of a few codes, one of them another's for a tenant."""
    folder = tmp_path_factory.mktemp("made")
    for each in SAMPLE.iterdir():
        if each.name != "claimgate":
            (folder / each.name).symlink_to(each)
    (folder / "claimgate").mkdir()
    (folder / "claimgate" / "anesthesia_base_units.csv").write_text(HEADER + BASE)
    build(folder, folder / "snapshot")
    return Reference.open(folder / "snapshot")


def minutes(text: str, units: float = 60, **fields):
    return line(text, **{"units": units, "unit_basis": "MJ", "charge": 99_999, **fields})


def priced(reference: Reference, *lines, insurance: str = COMMERCIAL, day: str = DAY, **fields):
    claim = claim_of(example("a", *lines, day=day, insurance_type=insurance, **fields))
    batch = decode([score_pb2.ClaimBatch(claims=[claim])], allow_zero_charge=True)
    assert not batch.violations
    facts = look_up(batch, reference)
    allowed = price(batch, reference, facts, Policy())
    return allowed, [
        steps_of(allowed, batch, facts, reference, Policy(), at) for at in range(len(allowed))
    ]


def cents(reference: Reference, *lines, **fields) -> list[int]:
    allowed, _ = priced(reference, *lines, **fields)
    return allowed.allowed_cents.tolist()


def reason(allowed: Allowed, at: int = 0) -> tuple[str, str]:
    return PriceStatus(int(allowed.status[at])).name, PriceReason(int(allowed.reason[at])).name


def test_base_and_time_are_paid_by_the_factor_of_the_locality(made):
    assert cents(made, minutes("00100-AA")) == [173_79]  # (5 + 4.0) x 19.31


@pytest.mark.parametrize(
    ("minutes_", "amount"),
    [
        (15, 115_86),  # 6.0
        (16, 117_79),  # 16 / 15 is 1.0667: 1.1, 6.1 x 19.31 = 117.791
        (0.75, 98_48),  # exactly half a tenth of a unit counts as a tenth: 5.1 x 19.31 = 98.481
        (0.7, 96_55),
        (95, 218_20),  # 6.3333: 6.3
    ],
)
def test_time_counts_to_the_tenth_of_a_unit_and_cents_are_rounded_once(made, minutes_, amount):
    assert cents(made, minutes("00100", minutes_)) == [amount]


@pytest.mark.parametrize(
    ("modifiers", "amount"),
    [("AA", 173_79), ("QZ", 173_79), ("QK", 86_90), ("QX", 86_90), ("QY-QS", 86_90)],
)
def test_two_who_divide_the_service_are_paid_half_each(made, modifiers, amount):
    allowed, _ = priced(made, minutes(f"00100-{modifiers}"))

    assert allowed.allowed_cents.tolist() == [amount]
    assert allowed.amount_cents.tolist() == [173_79], "charges are compared with the whole"


def test_supervision_of_many_is_paid_three_units(made):
    assert cents(made, minutes("00100-AD-P5", 240)) == [57_93]


@pytest.mark.parametrize(
    ("status", "units"), [("P1", 0), ("P2", 0), ("P3", 1), ("P4", 2), ("P5", 3), ("P6", 0)]
)
def test_physical_status_adds_units(made, status, units):
    assert cents(made, minutes(f"00100-AA-{status}")) == [173_79 + units * 19_31]


@pytest.mark.parametrize(("code", "units"), CIRCUMSTANCES)
def test_qualifying_circumstances_add_units_to_the_service(made, code, units):
    allowed, _ = priced(made, minutes("00100"), line(code), line(code))

    assert allowed.allowed_cents.tolist() == [173_79 + units * 19_31, 0, 0]


def test_circumstances_count_once_with_the_service_of_most_base_units(made):
    found = cents(made, minutes("00170"), minutes("00100"), minutes("00100"), line("99100"))

    assert found == [154_48, 173_79 + 19_31, 173_79, 0]


@pytest.mark.parametrize("apart", [{"day": "2025-10-16"}, {"npi": "1111111112"}])
def test_circumstances_of_another_session_do_not_count(made, apart):
    assert cents(made, minutes("00100"), line("99100", **apart))[0] == 173_79


def test_medicare_pays_no_units_of_risk(made):
    assert cents(made, minutes("00100-P5"), line("99100"), insurance=MEDICARE) == [173_79, 0]


def test_charge_limits_anesthesia(made):
    assert cents(made, minutes("00100", charge=100)) == [100_00]


def test_a_tenant_has_base_units_of_its_own(made):
    assert cents(made.for_tenant("OWN"), minutes("00100")) == [193_10]
    assert cents(made.for_tenant("ANOTHER"), minutes("00100")) == [173_79]


@pytest.mark.parametrize(
    ("asked", "fields", "status", "why"),
    [
        (minutes("00300"), {}, "NO_PRICE", "ANESTHESIA"),
        (minutes("00170"), LATER, "NO_PRICE", "ANESTHESIA"),
        (minutes("00100", unit_basis="UN"), {}, "NO_PRICE", "MINUTES"),
        (minutes("99213", units=10), {}, "NO_PRICE", "MINUTES"),
        (minutes("00100"), {"billing_provider": {"zip": "99999"}}, "NO_PRICE", "LOCALITY"),
        (minutes("00100-22"), {}, "BY_REPORT", "REPORT"),
        (minutes("00100-53"), {}, "BY_REPORT", "REPORT"),
    ],
)
def test_what_cannot_be_priced_says_why(made, asked, fields, status, why):
    allowed, [steps] = priced(made, asked, **fields)

    assert reason(allowed) == (status, why)
    assert allowed.allowed_cents.tolist() == allowed.amount_cents.tolist() == [0]
    assert steps[-1][0] == status.lower()


def test_locality_without_a_factor_has_no_price(made, monkeypatch):
    monkeypatch.setattr(
        type(made.localities), "anesthesia_factor_e4", lambda _self, row, _day: 0 * row
    )

    allowed, _ = priced(made, minutes("00100"))

    assert reason(allowed) == ("NO_PRICE", "ANESTHESIA_FACTOR")


def test_without_the_table_anesthesia_has_no_price_and_says_which_is_missing(tmp_path):
    for each in SAMPLE.iterdir():
        if each.name != "claimgate":
            (tmp_path / each.name).symlink_to(each)
    build(tmp_path, tmp_path / "snapshot")

    allowed, [steps] = priced(Reference.open(tmp_path / "snapshot"), minutes("00100"))

    assert reason(allowed) == ("NO_PRICE", "ANESTHESIA")
    assert "anesthesia_base_units is not loaded" in steps[-1][1]


def test_price_is_for_the_locality_of_the_service(made):
    allowed, _ = priced(made, minutes("00100"))

    assert made.localities.label(int(allowed.locality[0])) == "1011200"


def test_trace_tells_base_time_risk_and_factor(made):
    _, [steps] = priced(made, minutes("00100-QK-P3", 50))

    release = made.release_name("anesthesia_base_units", 0)
    detail = (
        "(5 base + 3.3 time + 1 risk) x 19.3100, 50 minutes, "
        f"anesthesia_base_units {release}, ANES2025"
    )
    assert steps[3:] == [
        ("anesthesia", detail, 179_58),
        ("anesthesia_role", "179.58 x 0.5, medical direction, modifiers QK", 89_79),
    ]


def test_sample_has_base_units_of_a_few_codes(sample_reference):
    assert cents(sample_reference, minutes("00840-AA", 90)) == [231_72]  # (6 + 6.0) x 19.31
