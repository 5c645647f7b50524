"""The model card says what the model is, and is of the files that lie beside it."""

import hashlib
import json

import pytest
from claimgate import resources

from engine.features import FEATURES


@pytest.fixture(scope="module")
def folder():
    return resources.find("model")


@pytest.fixture(scope="module")
def card(folder):
    return json.loads((folder / "card.json").read_text("utf-8"))


def test_first_line_says_that_the_labels_are_synthetic(folder):
    first, *_ = (folder / "CARD.md").read_text("utf-8").splitlines()

    assert "labels of this model are synthetic" in first


def test_model_with_synthetic_labels_does_not_decide_by_default(card):
    assert card["synthetic_labels"]
    assert card["default_ml_reject_policy"] == "ignore"


def test_card_holds_the_hash_of_every_file(folder, card):
    files = [path for path in folder.rglob("*") if path.is_file()]
    named = [path for path in files if path.name not in {"card.json", "CARD.md"}]

    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in named
    }

    assert found == card["sha256"]


def test_card_names_the_features_in_their_order(card):
    assert card["features"]["names"] == list(FEATURES)


def test_quantised_model_was_within_the_bound(card):
    assert 0 < card["quantisation_difference_max"] <= 0.02


def test_parts_are_split_about_seven_two_one(card):
    sizes = [part["claims"] for part in card["training"]["parts"].values()]
    shares = [size / sum(sizes) for size in sizes]

    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.08)


@pytest.mark.parametrize(
    "key",
    [
        "owner",
        "licence",
        "architecture",
        "intended_use",
        "prohibited_use",
        "limits",
        "drift_plan",
        "training",
        "metrics_at_threshold",
        "metrics",
        "groups",
        "thresholds",
        "gates",
    ],
)
def test_card_is_complete(card, key):
    assert card[key]


def test_artefacts_are_small(folder):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    assert size < 500_000
