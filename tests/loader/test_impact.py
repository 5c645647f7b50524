"""Other tables in money: decisions, amounts and findings of claims, to the cent."""

import shutil
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from google.protobuf import json_format

from engine.examples import claim_of
from engine.reference import Reference
from engine.rules.rule import example, line
from loader.impact import impact
from loader.intake import IntakeError
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[2] / "ops" / "reference-sample"
TODAY = date(2025, 11, 3)
CLAIMS = [
    example("a visit", line("99213", charge=82)),
    example("therapy of five units", line("97110-GP", units=5, charge=110)),
    example("a limit that nothing touches", line("20610", charge=58)),
]


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Tables, and others with a lower factor for one code and a lower limit for another."""
    folder = tmp_path_factory.mktemp("impact")
    shutil.copytree(SAMPLE, folder / "source")
    build(folder / "source", folder / "before")
    for name, old, new in (
        (
            "mpfs/PPRRVU_sample.csv",
            "99213,,,A,,1.30,1.35,,0.57,,0.10,2.75,1.97,",
            "99213,,,A,,1.30,1.05,,0.57,,0.10,2.45,1.97,",
        ),
        ("ncci/MCR_MUE_PractitionerServices_sample.csv", "\r\n97110,6,", "\r\n97110,4,"),
    ):
        path = folder / "source" / name
        content = path.read_bytes().decode()
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, new).encode())
    build(folder / "source", folder / "after")
    return Reference.open(folder / "before"), Reference.open(folder / "after")


@pytest.fixture
def file(tmp_path):
    """The claims as JSON lines."""
    path = tmp_path / "claims" / "claims.jsonl"
    path.parent.mkdir()
    texts = [
        json_format.MessageToJson(claim_of(each, f"C{n}"), indent=None)
        for n, each in enumerate(CLAIMS)
    ]
    path.write_text("\n".join(texts) + "\n")
    return path


def price_cents(practice_expense):
    """The visit's price in Alabama: 1.000, 0.869 and 0.575 times 32.3465."""
    values = (
        Decimal("1.30") + Decimal(practice_expense) * Decimal("0.869")
        + Decimal("0.10") * Decimal("0.575")
    )  # fmt: skip
    return int((values * Decimal("32.3465") * 100).quantize(Decimal(1), ROUND_HALF_UP))


def test_money_decisions_and_findings_are_told_to_the_cent(references, file):
    found = impact(*references, [file], TODAY)

    assert (found.claims, found.claims_changed, found.problems) == (3, 2, 0)
    assert found.allowed.difference_cents == price_cents("1.05") - price_cents("1.35") == -844
    assert found.hits_appeared == {"NCCI_MUE": 1}
    assert found.hits_disappeared == {}
    assert found.decisions == {("approve", "review"): 1}
    assert found.exposure.difference_cents == 10_999  # the line that is over its limit now


def test_there_and_back_again_is_the_same_with_other_signs(references, file):
    there, back = impact(*references, [file], TODAY), impact(*reversed(references), [file], TODAY)

    assert back.hits_disappeared == there.hits_appeared
    assert back.hits_appeared == there.hits_disappeared
    assert {(after, before): n for (before, after), n in there.decisions.items()} == back.decisions
    for name, amount in there.amounts().items():
        assert back.amounts()[name].difference_cents == -amount.difference_cents


def test_equal_tables_change_nothing(references, file):
    found = impact(references[0], references[0], [file], TODAY)

    assert found.claims == 3
    assert found.claims_changed == 0
    assert all(amount.difference_cents == 0 for amount in found.amounts().values())


def test_files_and_folders_are_read_and_a_claim_may_come_twice(references, file):
    found = impact(*references, [file, file.parent], TODAY)

    assert found.claims == 6
    assert found.hits_appeared == {"NCCI_MUE": 2}


def test_what_is_no_claim_is_counted(references, file):
    file.write_text(file.read_text() + '{"claim_id": 7, "no such field": 1}\n')

    found = impact(*references, [file], TODAY)

    assert (found.claims, found.problems) == (3, 1)


def test_a_file_that_holds_no_claims_is_refused(references, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing of the kind\n")

    with pytest.raises(IntakeError, match=r"notes\.txt"):
        impact(*references, [tmp_path], TODAY)
