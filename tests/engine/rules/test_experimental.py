"""A service that both a coverage policy and the payer hold for experimental."""

import csv
import shutil
from pathlib import Path

from claimgate.v1 import score_pb2

from engine.examples import claim_of
from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.reference import Reference
from engine.rules.rule import example, line
from engine.tables.listings import LISTINGS
from loader.snapshot.build import build

SAMPLE = Path(__file__).parents[3] / "ops" / "reference-sample"


def test_of_two_findings_that_a_line_is_experimental_one_counts(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "source")
    listing = tmp_path / "source" / "claimgate" / "experimental_procedures.csv"
    with listing.open("a", newline="") as file:
        writer = csv.DictWriter(file, LISTINGS["experimental_procedures"].headers, restval="")
        writer.writerow({"code_from": "0398T"})
    build(tmp_path / "source", tmp_path / "snapshot")
    engine = Engine.with_all_rules(Reference.open(tmp_path / "snapshot"))
    claim = claim_of(example("", line("0398T"), line("0232T")))

    read = engine.read([score_pb2.ClaimBatch(claims=[claim])])
    answers = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])

    hits = [hit for hit in answers[0].results[0].hits if hit.rule_id.endswith("_EXPERIMENTAL")]
    assert sorted((h.rule_id, list(h.line_numbers), h.suppressed) for h in hits) == [
        ("LCD_EXPERIMENTAL", [1], True),
        ("NECESSITY_EXPERIMENTAL", [1], False),
        ("NECESSITY_EXPERIMENTAL", [2], False),
    ]
