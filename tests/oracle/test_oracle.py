"""The engine answers as an oracle does that was written from the specification alone."""

import ast
import shutil
from pathlib import Path

import pytest

from engine.reference import Reference
from loader.snapshot.build import build
from tests.oracle.compare import Comparison
from tests.oracle.run import CLAIMS, compare

PROJECT = Path(__file__).parents[2]
SAMPLE = PROJECT / "ops" / "reference-sample"
ORACLE = ("tables", "bill", "ncci", "pricing", "scoring")
"""Modules that know what is right; the others make claims and compare."""
ALLOWED = {f"tests.oracle.{name}" for name in ORACLE} | {"claimgate.v1"}
OURS = {"engine", "loader", "server", "claimgate", "tests"}
SEED = 20251001
SOME, FEW = 4_000, 1_500
SEEN = {
    *("NCCI_PTP procedure", "NCCI_PTP visit", "NCCI_PTP no_release", "NCCI_MUTUALLY_EXCLUSIVE"),
    *("NCCI_PTP paid_before", "NCCI_MUTUALLY_EXCLUSIVE paid_before"),
    *("NCCI_MUE line", "NCCI_MUE day_policy", "NCCI_MUE day_clinical"),
    *("NCCI_ADDON_NO_PRIMARY closed_list", "NCCI_ADDON_NO_PRIMARY contractor_defined"),
    *("NCCI_ADDON_NO_PRIMARY shared_care", "NCCI_ADDON_NO_PRIMARY no_addon_row"),
    *("PRICED", "BUNDLED", "BY_REPORT report", "NO_PRICE NA", "NO_PRICE reduction"),
    *("NO_PRICE locality", "NO_PRICE no_row", "NO_PRICE no_release", "NO_PRICE contractor"),
    *("APPROVE", "INFORMATIONAL", "REVIEW", "DENY", "REJECT", "suppressed"),
}
SEEN_IN_ALL = SEEN | {"NCCI_ADDON_NO_PRIMARY open_list", "NO_PRICE incident_to"}


def imports(module: str) -> set[str]:
    """The names that a module of the oracle imports from."""
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(node.module)
    return found


@pytest.mark.parametrize("module", ORACLE)
def test_oracle_shares_no_code_with_what_it_judges(module):
    ours = {name for name in imports(module) if name.split(".")[0] in OURS}

    assert ours <= ALLOWED


def test_random_claims_over_the_sample_are_answered_as_by_the_oracle(sample_reference):
    outcome = Comparison(SAMPLE, sample_reference).run(SEED, SOME)

    assert outcome.differences == 0, "\n\n".join(outcome.told)
    assert outcome.claims >= SOME
    assert set(outcome.seen) >= SEEN


@pytest.mark.full
def test_random_claims_over_the_published_tables_are_answered_as_by_the_oracle(shared_data, capsys):
    outcome = compare(shared_data, CLAIMS, SEED)

    with capsys.disabled():
        print(f"\n{outcome.summary}")
    assert outcome.differences == 0, "\n\n".join(outcome.told)
    assert outcome.claims >= 200_000
    assert set(outcome.seen) >= SEEN_IN_ALL


# --- the comparison can fail

FAULTS = {
    "a unit limit": ("ncci/MCR_MUE_PractitionerServices_sample.csv", "\n20610,2,", "\n20610,3,"),
    "a modifier that bypasses": ("claimgate/ncci_modifiers.csv", "\n59,distinct", ""),
    "a primary": ("ncci/AOC_sample.csv", "\n11045,1,11042,", "\n11045,1,11043,"),
    "a rationale": (
        "ncci/ccipra_sample.txt",
        "Mutually exclusive procedures",
        "Misuse of Column Two code with Column One code",
    ),
    "an index": ("gpci/GPCI2025_sample.csv", "ALABAMA,1,0.869,", "ALABAMA,1,0.870,"),
    "a visit": ("claimgate/evaluation_management.csv", "\n99202,99215,,", ""),
}


def faulty(folder: Path, fault: str) -> Comparison:
    """An engine whose tables have a fault, beside an oracle over the right ones."""
    name, right, wrong = FAULTS[fault]
    shutil.copytree(SAMPLE, folder / "faulty")
    file = folder / "faulty" / name
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong))
    build(folder / "faulty", folder / "snapshot")
    return Comparison(SAMPLE, Reference.open(folder / "snapshot"))


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_engines_tables_is_found(tmp_path, fault):
    outcome = faulty(tmp_path, fault).run(SEED, FEW, told_max=0)

    assert outcome.differences > 0


def test_difference_is_told_with_its_smallest_claim(tmp_path):
    outcome = faulty(tmp_path, "a unit limit").run(SEED, FEW, told_max=1)

    [told] = outcome.told
    assert 1 <= told.count('"procedureCode": "20610"') == told.count('"procedureCode"') <= 2
    assert f"seed {SEED}" in told
    assert "engine []" in told
    assert "oracle [('NCCI_MUE', 'day_clinical'" in told
