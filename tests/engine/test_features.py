"""The seven features of a claim, and that a batch has those of its claims to the bit."""

import math

import numpy as np
import pytest
from claimgate.v1 import claim_pb2, score_pb2

from engine.decode import decode
from engine.examples import claim_of
from engine.facts import look_up
from engine.features import AGE_MEDIAN, FEATURES, Features, features
from engine.reference import Reference
from engine.rules.rule import example, line
from loader.synthetic import synthetic_claims

CLAIMS = 1_000
CHARGES, LINES, AGE, INSURANCE, DAYS, SURGERY, COMPLEXITY = range(7)


def features_of(reference: Reference, *claims: claim_pb2.Claim) -> Features:
    batch = decode([score_pb2.ClaimBatch(claims=claims)], allow_zero_charge=True)
    return features(batch, reference, look_up(batch, reference))


def feature(reference: Reference, which: int, *lines, **fields) -> float:
    claim = claim_of(example("a", *(lines or (line("99213"),)), **fields))
    [values] = features_of(reference, claim).values
    return float(values[which])


def float32(value: float) -> float:
    return float(np.float32(value))


def test_worked_example_holds_to_the_digit(sample_reference):
    claim = claim_of(
        example(
            "a",
            line("99213-25", charge=150),
            line("20610-RT", charge=100),
            birth="1978-10-15",
            insurance_type="CI",
        )
    )

    found = features_of(sample_reference, claim)

    charges = math.log(251) / math.log(1_000_001)
    assert round(charges, 4) == 0.3999
    assert found.values.dtype == np.float32
    assert found.values.tolist() == [list(map(float32, (charges, 2, 47, 4, 1, 1, 1.418)))]
    assert found.age_imputed.tolist() == [False]


def test_features_are_seven_and_named():
    assert FEATURES == (
        "total_charges_norm",
        "line_item_count",
        "patient_age",
        "insurance_type_encoded",
        "service_duration_days",
        "has_surgery",
        "complexity_score",
    )


# --- charges, lines


@pytest.mark.parametrize(
    ("dollars", "norm"),
    [
        (0.01, math.log(1.01) / math.log(1_000_001)),
        (1_000_000, 1.0),
        (1_000_000.01, 1.0),
        (9e8, 1.0),
    ],
)
def test_charges_are_logarithmic_up_to_a_million(sample_reference, dollars, norm):
    assert feature(sample_reference, CHARGES, total=dollars) == float32(norm)


def test_free_encounter_has_no_charges(sample_reference):
    assert feature(sample_reference, CHARGES, total=0, is_encounter=True) == 0.0


@pytest.mark.parametrize("count", [1, 2, 50])
def test_lines_are_counted(sample_reference, count):
    assert feature(sample_reference, LINES, *[line("99213")] * count) == count


# --- age


@pytest.mark.parametrize(
    ("birth", "day", "age"),
    [
        ("1978-10-15", "2025-10-15", 47),
        ("1978-10-16", "2025-10-15", 46),
        ("2025-10-15", "2025-10-15", 0),
        ("2000-02-29", "2025-02-28", 24),
        ("2000-02-29", "2025-03-01", 25),
        ("1901-01-01", "2025-12-31", 124),
        ("1900-01-01", "2025-12-31", 124),
    ],
)
def test_age_is_in_completed_years_at_the_first_day(sample_reference, birth, day, age):
    assert feature(sample_reference, AGE, birth=birth, day=day, received="2026-01-01") == age


@pytest.mark.parametrize("birth", ["", "2025-10-16"])
def test_unknown_age_is_the_median_and_says_so(sample_reference, birth):
    known = claim_of(example("a", line("99213"), birth="1970-01-01"), "A")
    unknown = claim_of(example("b", line("99213"), birth=birth), "B")

    found = features_of(sample_reference, known, unknown)

    assert found.age_imputed.tolist() == [False, True]
    assert found.values[:, AGE].tolist() == [55, AGE_MEDIAN]


# --- insurance, duration


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("", 0),
        ("no such kind", 0),
        ("MA", 1),
        ("MB", 1),
        ("16", 2),
        ("MC", 3),
        ("CI", 4),
        ("HM", 4),
        ("bl ", 4),
        ("CH", 5),
        ("VA", 5),
        ("WC", 6),
        ("AM", 7),
        ("LM", 7),
        ("09", 8),
        ("11", 9),
        ("ZZ", 9),
    ],
)
def test_insurance_is_a_number_of_the_table(sample_reference, kind, number):
    assert feature(sample_reference, INSURANCE, insurance_type=kind) == number


def test_health_maintenance_organisation_of_medicare_is_medicare_advantage(sample_reference):
    stated = claim_pb2.LINE_OF_BUSINESS_MEDICARE_ADVANTAGE

    assert feature(sample_reference, INSURANCE, insurance_type="HM", line_of_business=stated) == 2


@pytest.mark.parametrize(
    ("last", "days"),
    [("2024-10-15", 1), ("2024-10-16", 2), ("2025-10-13", 364), ("2025-10-14", 365)],
)
def test_duration_counts_both_ends(sample_reference, last, days):
    found = feature(sample_reference, DAYS, institutional=True, day="2024-10-15", **ends(last))

    assert found == days


def test_duration_ends_at_a_year(sample_reference):
    found = feature(
        sample_reference, DAYS, institutional=True, day="2024-10-15", **ends("2025-12-31")
    )

    assert found == 365


def ends(day: str) -> dict[str, str]:
    return {"service_to_date": day, "received": "2026-01-01"}


# --- surgery


@pytest.mark.parametrize(
    ("code", "surgery"),
    [
        pytest.param("20610", 1, id="global 000"),
        pytest.param("17110", 1, id="global 010"),
        pytest.param("27447", 1, id="global 090"),
        pytest.param("47999", 1, id="global YYY"),
        pytest.param("11045", 0, id="global ZZZ"),
        pytest.param("59400", 0, id="global MMM"),
        pytest.param("36415", 0, id="global XXX"),
        pytest.param("99213", 0, id="visit"),
        pytest.param("10003", 0, id="below the range"),
        pytest.param("10004", 1, id="first, without a row"),
        pytest.param("55555", 1, id="within, without a row"),
        pytest.param("69991", 0, id="above the range"),
        pytest.param("36399", 1, id="before the drawings"),
        pytest.param("36400", 0, id="first drawing, without a row"),
        pytest.param("36410", 0, id="a drawing, without a row"),
        pytest.param("36417", 1, id="after the drawings"),
        pytest.param("1234F", 0, id="a letter at the end"),
        pytest.param("G0105", 0, id="a letter in front"),
        pytest.param("", 0, id="no code"),
        pytest.param("2061", 0, id="no code of five digits"),
        pytest.param("206100", 0, id="more than five digits"),
    ],
)
def test_surgery_is_by_range_and_global_period(sample_reference, code, surgery):
    assert feature(sample_reference, SURGERY, line(code), line("99213")) == surgery


def test_row_that_is_told_apart_from_none_is_really_there(sample_reference):
    """The cases above rest on which codes the sample has a row for."""
    codes = ("20610", "36415", "10004", "36400", "36410")
    claim = claim_of(example("a", *map(line, codes)))
    batch = decode([score_pb2.ClaimBatch(claims=[claim])], allow_zero_charge=True)

    rows = look_up(batch, sample_reference).mpfs_code >= 0

    assert rows.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("code", "surgery"),
    [("0SRC0J9", 1), ("0000000", 1), ("0ZZZZZZ", 1), ("1000000", 0), ("3E0R3BZ", 0), ("0SRC0J", 0)],
)
def test_icd_procedure_of_section_0_is_surgery(sample_reference, code, surgery):
    procedures = [claim_pb2.IcdProcedure(code=code, date="2025-10-15")]

    found = feature(
        sample_reference,
        SURGERY,
        line("99213"),
        institutional=True,
        tob="0111",
        icd_procedures=procedures,
    )

    assert found == surgery


# --- complexity


@pytest.mark.parametrize(
    ("lines", "score"),
    [
        pytest.param(["36415"], 0.0, id="status X: no work, one code"),
        pytest.param(["99213"], 0.2 * 1.30, id="work"),
        pytest.param(["99213", "99213"], 0.2 * 2.60, id="work adds up, the code counts once"),
        pytest.param(["99396"], 0.0, id="work of status N does not count"),
        pytest.param(["11055"], 0.2 * 0.35, id="status R counts"),
        pytest.param(["99213", "36415", "36416"], 0.2 * 1.30 + 1.0, id="codes"),
        pytest.param(["36415-25-59", "36415-25"], 0.5, id="distinct modifiers"),
        pytest.param(["36415-26"], 0.25, id="a component without a row has no work"),
        pytest.param(["70551-26"], 0.2 * 1.48 + 0.25, id="work of the component"),
        pytest.param(["70551-TC"], 0.25, id="the technical component has none"),
        pytest.param(["", "36415"], 0.0, id="a line without a code is no code"),
        pytest.param([""], 0.0, id="no code at all"),
        pytest.param(["!", "36415"], 0.0, id="what is no code does not count"),
    ],
)
def test_complexity_adds_its_parts(sample_reference, lines, score):
    found = feature(sample_reference, COMPLEXITY, *map(line, lines))

    assert found == pytest.approx(score, abs=1e-6)


def test_units_multiply_the_work(sample_reference):
    assert feature(sample_reference, COMPLEXITY, line("99213", units=1.5)) == float32(0.2 * 1.95)


@pytest.mark.parametrize(("units", "work"), [(23, 29.9), (24, 30), (999, 30)])
def test_work_counts_up_to_thirty(sample_reference, units, work):
    found = feature(sample_reference, COMPLEXITY, line("99213", units=units))

    assert found == pytest.approx(0.2 * work, abs=1e-6)


def test_huge_units_do_not_overflow(sample_reference):
    found = feature(sample_reference, COMPLEXITY, *[line("27447", units=999_999_999.999)] * 50)

    assert found == float32(0.2 * 30 + 0.5)


def test_major_surgery_counts_once(sample_reference):
    one, two = (
        feature(sample_reference, COMPLEXITY, *[line("27447", units=0.001)] * count)
        for count in (1, 2)
    )

    assert one == pytest.approx(0.5, abs=0.005)
    assert two == pytest.approx(0.5, abs=0.009)


def test_complexity_ends_at_ten(sample_reference):
    codes = ["99213", "27447", "20610", "17110", "36415", "36416", "11055", "47999", "45378"]

    found = feature(sample_reference, COMPLEXITY, *[line(code, units=30) for code in codes])

    assert found == 10.0


# --- the batch


def test_features_of_a_batch_are_those_of_its_claims_to_the_bit(sample_reference):
    claims = list(synthetic_claims(CLAIMS, seed=3))
    for at, claim in enumerate(claims):
        if at % 17 == 0:
            claim.patient_date_of_birth = ""

    together = features_of(sample_reference, *claims)

    alone = [features_of(sample_reference, claim) for claim in claims]
    values = np.concatenate([each.values for each in alone])
    np.testing.assert_array_equal(together.values.view(np.uint32), values.view(np.uint32))
    imputed = np.concatenate([each.age_imputed for each in alone])
    np.testing.assert_array_equal(together.age_imputed, imputed)
    assert len(values) > 0.95 * CLAIMS
    assert (np.ptp(values, axis=0) > 0).all(), "every feature varies over the claims"
