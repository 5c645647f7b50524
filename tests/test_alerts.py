"""Each alert is about metrics that there are, and has a section that says what to do."""

import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
RULES = [
    rule
    for group in yaml.safe_load((PROJECT / "ops" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
OPERATING = (PROJECT / "docs" / "operating.md").read_text()
SECTIONS = re.findall(r"^## (\w+)$", (PROJECT / "docs" / "alerts.md").read_text(), re.MULTILINE)
METRIC = re.compile(r"\b(?:claimgate|grpc)_\w+")


def test_each_alert_has_its_section_and_each_section_its_alert():
    assert [rule["alert"] for rule in RULES] == SECTIONS


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_alert_is_about_documented_metrics_and_their_labels(rule):
    metrics = [
        name.removesuffix("_bucket")
        for name in METRIC.findall(rule["expr"])
        if not name.startswith(("grpc_method", "grpc_code"))
    ]

    assert metrics
    for name in metrics:
        assert f"`{name}`" in OPERATING, name
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
