"""`claimgate policy` as a user runs it, against a real service on a real database."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loader import embedded

POLICY = """
name = "acme"
review_min = 0.25

[[overrides]]
rule_id = "NCCI_PTP"
tier = "payer"
weight = 0.5
locked = ["weight"]
match = { payer_ids = ["60054"], service_from = 2025-07-01 }
"""


def policy(*arguments: str | Path) -> tuple[int, str, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "claimgate.command", "policy", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(POLICY)
    return path


def test_policy_file_is_checked_without_a_service(file):
    assert policy("check", file)[0] == 0
    file.write_text(POLICY.replace("0.5", "1.5"))
    code, _, errors = policy("check", file)

    assert code == 3
    assert f"{file}: overrides[0].weight: expected 0 to 1" in errors


def test_policy_is_set_shown_listed_and_changed(postgres, served, file, monkeypatch):
    url = postgres.loading_url(embedded.PRODUCTION)
    monkeypatch.setenv("CLAIMGATE_PRODUCTION_URL", url)
    change = ("--reason", "a test", "--approver", "bob")
    with served("--listen", "127.0.0.1:0", "--model", "disabled") as address:
        at = ("--address", address)
        default = policy("show", *at)
        stored = policy("set", file, "--expected-version", 0, *change, *at)
        shown = policy("show", *at)
        file.write_text(shown[1].replace("0.25", "0.2"))
        changed = policy("set", file, "--expected-version", 1, *change, *at)
        stale = policy(
            "set", file, "--expected-version", 1, *change, "--valid-to", "2030-01-01", *at
        )
        file.write_text("review_min = 2")
        refused = policy("set", file, "--expected-version", 2, *change, *at)
        listed = policy("versions", "--json", *at)
        first = policy("show", "--version", 1, "--json", *at)

    assert 'name = "default"' in default[1]
    assert stored[:1] == (0,), stored
    assert "version 1: acme-" in stored[1]
    assert "# reason = a test" in shown[1]
    assert changed[0] == 0, changed
    assert stale[0] == 1
    assert "version 2" in stale[2]
    assert refused[0] == 3
    assert "review_min: expected 0 to 1" in refused[2]
    assert [each["version"] for each in json.loads(listed[1])] == [2, 1]
    assert json.loads(first[1])["policy"]["overrides"][0]["match"] == {
        "payer_ids": ["60054"],
        "service_from": "2025-07-01",
    }


def test_policy_of_a_folder_is_served_and_a_wrong_one_is_named(served, tmp_path, file):
    file.rename(tmp_path / "demo.toml")
    options = ("--policy-folder", str(tmp_path), "--listen", "127.0.0.1:0", "--model", "disabled")
    with served(*options) as address:
        shown = policy("show", "--address", address)
        change = policy(
            "set", tmp_path / "demo.toml", "--expected-version", 0, "--reason", "r",
            "--approver", "bob", "--address", address,
        )  # fmt: skip

    (tmp_path / "demo.toml").write_text("review_min = 2")
    ran = subprocess.run(
        [sys.executable, "-m", "claimgate.command", "serve", *options],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert "review_min = 0.25" in shown[1]
    assert "weight = 0.5" in shown[1]
    assert change[0] == 1
    assert "CLAIMGATE_PRODUCTION_URL" in change[2]
    assert ran.returncode == 1
    assert "demo.toml: review_min: expected 0 to 1" in ran.stderr
    assert "Traceback" not in ran.stderr
