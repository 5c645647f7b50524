"""Coverage policies at random: the columns say the same as one line after another."""

import csv
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from claimgate.v1 import score_pb2

from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.reference import Reference
from engine.rules.rule import example, line
from engine.tables.listings import LISTINGS
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[3] / "ops" / "reference-sample"
CODES = ("83090", "83091", "83092")
DIAGNOSES = ("I509", "I5022", "E119", "Z0000", "G309")
PREFIXES = ("I5", "I50", "I509", "E11", "Z00", "G30")
DAYS = ("2025-03-01", "2025-06-30", "2025-07-01", "2025-10-15")
LEVELS = ("national", "local", "payer")


def drawn(seed: int):
    random = np.random.default_rng(seed)

    def pick(*values):
        return str(random.choice(values))

    policies = [
        {
            "code_from": code, "policy": f"P{number}", "version": "1", "level": LEVELS[number % 3],
            "carrier": pick("", "10112", "14212"), "investigational": "no",
            "effective_from": pick("", "2025-07-01"),
        }
        for number in range(6)
        for code in CODES
        if random.random() < 0.6
    ]  # fmt: skip
    listed = {}
    for _ in range(18):
        row = {
            "diagnosis_from": pick(*PREFIXES), "policy": f"p{random.integers(6)}",
            "rule": pick("covered", "covered", "covered", "non_covered"),
            "code_from": pick("", *CODES), "part": pick("", "1", "2"),
            "effective_to": pick("", "", "2025-06-30"),
        }  # fmt: skip
        listed.setdefault((row["policy"], row["rule"], row["code_from"], row["part"]), row)
    claims = [
        example(
            "",
            line(pick(*CODES), dx=tuple(range(1, int(random.integers(1, 4))))),
            day=pick(*DAYS),
            received="2025-12-01",
            dx=tuple(random.choice(DIAGNOSES, 3, replace=False).tolist()),
            institutional=bool(random.random() < 0.3),
            billing_provider={"npi": "1234567893", "entity_type": 2, "zip": pick("35201", "02101")},
        )
        for _ in range(150)
    ]
    return policies, list(listed.values()), claims


def expected(policies, listed, claim) -> bool:
    """What the rule says, by loops."""
    [service] = claim.lines
    day = date.fromisoformat(claim.fields["day"])
    carrier = {"35201": "10112", "02101": "14212"}[claim.fields["billing_provider"]["zip"]]
    pointers = (1, 2, 3) if claim.fields["institutional"] else service.fields["dx"]
    codes = [claim.fields["dx"][pointer - 1] for pointer in pointers]

    def live(row) -> bool:
        first, last = row.get("effective_from") or "0001-01-01", row.get("effective_to")
        return first <= str(day) <= (last or "9999-12-31")

    def about(row) -> bool:
        return live(row) and row["code_from"] in ("", service.code)

    by_level: dict[str, list] = {}
    for policy in policies:
        if not (about(policy) and policy["carrier"] in ("", carrier)):
            continue
        rows = [r for r in listed if r["policy"].upper() == policy["policy"] and about(r)]
        if rows:
            by_level.setdefault(policy["level"], []).append(rows)
    for level in LEVELS:
        judged = _judged(by_level.get(level, []), codes)
        if judged is not None:
            return judged
    return False


def _judged(policies, codes) -> bool | None:
    """Whether the policies of a level refuse the diagnoses; None where they are silent on them."""

    def names(row) -> bool:
        return any(code.startswith(row["diagnosis_from"]) for code in codes)

    met, needed = [], False
    for rows in policies:
        if any(names(row) for row in rows if row["rule"] == "non_covered"):
            return True
        parts = {row["part"] for row in rows if row["rule"] == "covered"}
        needed |= bool(parts)
        have = {row["part"] for row in rows if row["rule"] == "covered" and names(row)}
        met.append(bool(parts) and have == parts)
    return not any(met) if needed else None


def written(folder: Path, listing: str, rows) -> None:
    with (folder / f"{listing}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, LISTINGS[listing].headers, restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("seed", range(4))
def test_columns_say_the_same_as_loops(seed: int, tmp_path: Path) -> None:
    policies, listed, claims = drawn(seed)
    shutil.copytree(SAMPLE, tmp_path / "source")
    written(tmp_path / "source" / "claimgate", "coverage_policies", policies)
    written(tmp_path / "source" / "claimgate", "coverage_diagnoses", listed)
    build(tmp_path / "source", tmp_path / "snapshot")
    engine = Engine.with_all_rules(Reference.open(tmp_path / "snapshot"))

    sent = [claim_of(claim, str(number)) for number, claim in enumerate(claims)]
    read = engine.read([score_pb2.ClaimBatch(claims=sent)])
    answers = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])

    found = [any(h.rule_id == "LCD_MISMATCH" for h in r.hits) for r in answers[0].results]
    assert found == [expected(policies, listed, claim) for claim in claims]
    assert 10 < sum(found) < 140


def evidence_of(reference, claim):
    engine = Engine.with_all_rules(reference)
    read = engine.read([score_pb2.ClaimBatch(claims=[claim_of(claim)])])
    answers = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])
    [hit] = [hit for hit in answers[0].results[0].hits if hit.rule_id == "LCD_MISMATCH"]
    return hit.evidence


def test_hit_names_policy_and_day_and_the_diagnoses_as_the_line_points_to_them(sample_reference):
    dx = ("E119", "Z0000", "G309", "R413", "I10")

    told = evidence_of(sample_reference, example("", line("83090", dx=(3, 1)), dx=dx))

    assert (told["policy"], told["version"], told["level"]) == ("SAMPLE-A1", "R2", "local")
    assert told["service_date"] == "2025-10-15"
    assert [told.get(f"diagnosis_{n}", "") for n in range(1, 5)] == ["G309", "E119", "", ""]
    assert (told["diagnoses_compared"], told["policies_compared"]) == ("2", "2")


def test_diagnosis_that_is_not_covered_is_named_before_the_others(sample_reference):
    dx = ("E119", "I10", "G309", "R413", "Z0000")
    bill = example("", line("76977"), dx=dx, institutional=True)

    told = evidence_of(sample_reference, bill)

    named = [told.get(f"diagnosis_{n}", "") for n in range(1, 5)]
    assert named == ["Z0000", "E119", "I10", "G309"]
    assert told["diagnoses_compared"] == "5"
