"""The commands that others build on, run as a user runs them: real processes, real files."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from claimgate import resources

from loader.places import prepared_snapshot

CLAIMGATE = (sys.executable, "-m", "claimgate.command")
TIMEOUT_S = 180


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLAIMGATE, *map(str, arguments)],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def service(served) -> Iterator[str]:
    """A real service on a free port, with the sample tables and the embedded model."""
    with served("--listen", "127.0.0.1:0", "--reference", str(prepared_snapshot())) as address:
        yield address


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.xdist_group("service")
def test_score_answers_each_claim_of_good_files(service: str) -> None:
    files = sorted(resources.find("claims-sample").glob("[!f]*.837"))

    done = run("score", "--address", service, "--json", *files)

    assert done.returncode == 0, done.stderr
    answers = objects(done.stdout)
    assert Counter(Path(a["file"]).name for a in answers)["professional.837"] == 3
    for answer in answers:
        assert set(answer) >= {
            "file", "claim_id", "lines", "decision", "fraud_score", "allowed_cents", "hits",
        }  # fmt: skip
        assert answer["decision"] in {"approve", "informational", "review", "deny", "reject"}
        assert answer["lines"] >= 1


@pytest.mark.xdist_group("service")
def test_score_says_what_it_refused_and_scores_the_rest(service: str, tmp_path: Path) -> None:
    faulty = resources.find("claims-sample") / "faults.837"
    nonsense = tmp_path / "nonsense.txt"
    nonsense.write_text("these are no claims")

    done = run("score", "--address", service, "--json", faulty, nonsense, tmp_path / "missing.837")

    assert done.returncode == 3
    answers = objects(done.stdout)
    refused = [answer for answer in answers if "error" in answer]
    assert {Path(r["file"]).name for r in refused} == {"faults.837", "nonsense.txt", "missing.837"}
    assert all(set(r) == {"file", "segment", "error"} for r in refused)
    assert sum("claim_id" in answer for answer in answers) == 5


def test_score_without_a_service_fails_with_a_reason() -> None:
    file = resources.find("claims-sample") / "professional.837"

    done = run("score", "--address", "127.0.0.1:1", file)

    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.xdist_group("service")
def test_published_837_files_come_back_as_the_manifest_counts(
    service: str, shared_data: Path
) -> None:
    with (shared_data / "claims" / "x12" / "MANIFEST.csv").open() as manifest:
        rows = list(csv.DictReader(manifest))
    files = [shared_data / "claims" / row["file"] for row in rows]

    done = run("score", "--address", service, "--json", *files)

    assert done.returncode == 3, done.stderr[-500:]
    claims, lines, refused = Counter(), Counter(), Counter()
    for answer in objects(done.stdout):
        refused[answer["file"]] += "error" in answer
        claims[answer["file"]] += "error" not in answer
        lines[answer["file"]] += answer.get("lines", 0)
    warned = {line.partition(": segment ")[0] for line in done.stderr.splitlines()}
    valid = 0
    for row, file in zip(rows, map(str, files), strict=True):
        if row["class"] == "valid-by-source":
            valid += 1
            found = (claims[file], lines[file], refused[file])
            assert found == (int(row["claims"]), int(row["service_lines"]), 0), file
        else:
            assert refused[file] or file in warned, file
    assert (len(rows), valid) == (86, 64)


def test_rules_are_listed_with_their_documentation() -> None:
    done = run("rules", "list", "--json")

    rules = json.loads(done.stdout)
    assert len(rules) >= 30
    for rule in rules:
        assert {"id", "category", "citation", "weight", "examples"} <= set(rule)
        assert rule["citation"]
        assert len(rule["examples"]) >= 2


def test_unknown_rule_is_refused() -> None:
    done = run("rules", "show", "NO_SUCH_RULE")

    assert done.returncode == 1
    assert "claimgate rules list" in done.stderr


def test_reference_build_ends_with_row_counts_and_refuses_to_overwrite(tmp_path: Path) -> None:
    source = resources.find("reference-sample")

    built = run("reference", "build", "--source", source, "--out", tmp_path / "snapshot")
    again = run("reference", "build", "--source", source, "--out", tmp_path / "snapshot")

    counts = json.loads(built.stdout.splitlines()[-1])["rows"]
    assert counts["mpfs"] > 400
    assert counts["ncci_ptp_practitioner"] > 1000
    assert again.returncode == 1
    assert "snapshot" in again.stderr


def test_damaged_table_is_refused_with_file_row_and_reason(
    tmp_path: Path, shared_data: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(resources.find("reference-sample"), source)
    damaged = shared_data / "mpfs" / "PPRRVU25_JAN1_excel_roundtrip.csv"
    shutil.copy(damaged, source / "mpfs" / "PPRRVU_sample.csv")

    done = run("reference", "build", "--source", source, "--out", tmp_path / "snapshot")

    assert done.returncode == 1
    assert "PPRRVU_sample.csv" in done.stderr
    assert "row" in done.stderr
    assert not (tmp_path / "snapshot").exists()


def test_reference_show_tells_what_the_tables_say() -> None:
    done = run("reference", "show", "99213", "--date", "2025-10-15")

    facts = json.loads(done.stdout)
    assert facts["procedure_code"] == "99213"
    assert facts["fee"]["status"] == "A"


def test_price_prints_each_step_of_the_worked_example() -> None:
    done = run("price", "99213", "--zip", "10001", "--date", "2024-04-15", "--units", "2")

    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    fee = "(1.30 x 1.065 + 1.33 x 1.166 + 0.10 x 1.656) x 33.2875"
    for told in (
        "99213, status A: active", "non-facility, locality 1320201", fee, "103.22",
        "units x 2 206.44",
        "stand in on that day: anesthesia_cf ANES2025, zip_locality ZIP5-2025-10",
    ):  # fmt: skip
        assert told in text


def test_price_of_several_lines_as_json() -> None:
    done = run(
        "price", "45385", "--zip", "35201", "--date", "2025-10-15", "--pos", "22", "--json",
        "--modifiers", "51", "--charge", "1,000.00", "--also", "45380-59", "--also", "27447x2",
    )  # fmt: skip

    found = json.loads(done.stdout)
    assert [each["line"] for each in found["lines"]] == ["45385-51", "45380-59", "27447"]
    assert found["allowed_cents"] == sum(each["allowed_cents"] for each in found["lines"])
    steps = [step["step"] for step in found["lines"][1]["trace"]]
    assert steps[-2:] == ["endoscopy", "multiple_procedures"]
    assert found["reference_release"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("9921", "--zip", "35201", "--date", "2025-10-15"), "no CPT or HCPCS code"),
        (("99998", "--zip", "35201", "--date", "2025-10-15"), "no table of the snapshot has"),
        (("99213", "--zip", "3520", "--date", "2025-10-15"), "no ZIP code"),
        (("99213", "--zip", "35201", "--date", "2025-13-15"), "no day"),
        (("99213", "--zip", "35201", "--date", "2025-10-15", "--modifiers", "2"), "no modifier"),
        (
            ("00170", "--zip", "35201", "--date", "2025-10-15", "--units", "1", "--minutes", "9"),
            "exclude each other",
        ),
    ],
)
def test_price_of_what_cannot_be_read_is_refused(arguments: tuple[str, ...], told: str) -> None:
    done = run("price", *arguments)

    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_plaintext_port_for_other_machines_is_refused() -> None:
    done = run("serve", "--listen", "0.0.0.0:0", "--reference", prepared_snapshot())

    assert done.returncode == 1
    assert "plaintext_anywhere" in done.stderr


@pytest.mark.xdist_group("demo")
def test_demo_runs_the_main_job(tmp_path: Path) -> None:
    done = run("demo", "--claims", "1500", TMPDIR=str(tmp_path))

    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert set(counts) == {"claims_in", "scored", "loaded", "failed", "claims_per_s"}
    assert counts["claims_in"] == counts["scored"] > 1500
    assert counts["failed"] > 0
    fired = int(done.stdout.split("rules fired)")[0].split("(")[-1])
    assert fired >= 11
    for check in ("NCCI_PTP", "NCCI_MUE", "PRICE"):
        share = next(
            line for line in done.stdout.splitlines() if line.split()[:1] == [check] and "%" in line
        )
        assert float(share.split()[-2]) > 0
    [by_fees] = [line for line in done.stdout.splitlines() if "lines priced by it" in line]
    assert int(by_fees.split()[-1].replace(",", "")) > 500
    assert "repaired by" in done.stdout
    assert "resolved, corrected: SYN-" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (("policy", "show", "--address", "127.0.0.1:1"), {}, "start the service"),
        (("policy", "show", "--address", "127.0.0.1:99999"), {}, "PORT up to 65535"),
        (("members", "show"), {"CLAIMGATE_PRODUCTION_URL": ""}, "CLAIMGATE_PRODUCTION_URL: "),
        (
            ("members", "show"),
            {"CLAIMGATE_PRODUCTION_URL": "postgresql://a:secret@127.0.0.1:1/x"},
            "check the URL and that it runs",
        ),
        (
            ("members", "show"),
            {"CLAIMGATE_PRODUCTION_URL": "secret"},
            "no URL of a database; expected postgresql://",
        ),
        (("fees", "list"), {"CLAIMGATE_PRODUCTION_URL": ""}, "CLAIMGATE_PRODUCTION_URL: "),
        (
            ("members", "load", "eligibility", "/no/such.csv"),
            {"CLAIMGATE_KEY_FILE": "/no/such.key", "CLAIMGATE_PRODUCTION_URL": "x"},
            "/no/such.key cannot be used: No such file or directory",
        ),
        (("migrate", "staging", "--url", "secret"), {}, "the role that owns the tables"),
    ],
)
def test_what_cannot_be_reached_is_named_with_what_to_do(
    arguments: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    done = run(*arguments, **environment)

    assert done.returncode == 1
    assert told in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
