"""The model card: card.json for programs, and CARD.md, written from it, for people."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from evaluation import (
    AGE_BANDS,
    GROUP_CLAIMS_MIN,
    THRESHOLD,
    at_threshold,
    by_group,
    ranking,
    recall_gap,
    with_intervals,
)
from labels import DESCRIPTION
from network import LAYERS
from numpy.typing import NDArray
from training_claims import Data, Part

from engine.features import FEATURES
from engine.features import VERSION as FEATURES_VERSION
from loader.synthetic import FIRST_DAY, LAST_DAY
from server.claims_model import CARD_FILE, RUNTIME

_FIRST_LINE: Final = (
    "The labels of this model are synthetic: no claim was adjudicated, and nothing here says how "
    "well it would find improper payments."
)
_THRESHOLDS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_CALIBRATION_MAX: Final = 0.05
_RECALL_GAP_MAX: Final = 0.10


def write_card(
    folder: Path,
    *,
    name: str,
    version: int,
    data: Data,
    probability: NDArray[np.float32],
    quantisation: float,
    sha256: dict[str, str],
) -> None:
    """Write both cards of a model, judged on the test claims."""
    card = _identity(name, version, data, sha256) | _results(
        data.parts["test"], probability, quantisation, data.seed
    )
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    (folder / "CARD.md").write_text(_text(card), "utf-8")


def _identity(name: str, version: int, data: Data, sha256: dict[str, str]) -> dict[str, Any]:
    """Say what the model is, what it was made from and what it is for."""
    return {
        "synthetic_labels": _FIRST_LINE,
        "name": name,
        "version": version,
        "runtime": RUNTIME,
        "owner": "ClaimGate project",
        "licence": "the project's own",
        "default_ml_reject_policy": "ignore",
        "approval_threshold": THRESHOLD,
        "features": {"names": list(FEATURES), "version": FEATURES_VERSION},
        "architecture": (
            f"dense network 16-{'-'.join(map(str, LAYERS))}-1 over the seven features: line count, "
            "age, duration and complexity standardised, charges spread, insurance code one-hot, "
            "all inside the graph; ReLU, sigmoid; last layer stretched and shifted to calibrate"
        ),
        "training": {
            "source": f"loader.synthetic, seed {data.seed}, features over reference snapshot "
            f"{data.snapshot} of ops/reference-sample",
            "window": [FIRST_DAY.isoformat(), LAST_DAY.isoformat()],
            "generated": data.generated,
            "kept": data.kept,
            "exclusions": f"{data.generated - data.kept} claims whose day, member and practice "
            f"fall into different parts; {data.unscorable} that cannot be scored",
            "split": "by day, member and billing practice at once; none of them is in two parts",
            "parts": {part: _balance(content) for part, content in data.parts.items()},
            "median_age": float(np.median(data.parts["train"].features[:, 2])),
            "labels": f"y = 1 stands for paid in full as billed; drawn by ops/model/labels.py: "
            f"{DESCRIPTION}",
        },
        "intended_use": "routing claims to review beside the rules, in demonstrations and tests",
        "prohibited_use": "as the sole basis of a denial; profiling of providers or members",
        "limits": "trained on invented claims and invented outcomes; insurance codes 0 and 8 do "
        "not occur in training; institutional claims are few; the test part was looked at between "
        "training runs, so its figures are not of an untouched set; the effects of groups in the "
        "labels are small by construction, so the recall gap says nothing about fairness",
        "drift_plan": "PSI of each feature against the training claims, alert above 0.2; approval "
        "rate and share of imputed ages watched; retrain by ops/model/train.py",
        "rollback_version": version - 1 or None,
        "approval_signatures": [],
        "sha256": sha256,
    }


def _results(
    test: Part, probability: NDArray[np.float32], quantisation: float, seed: int
) -> dict[str, Any]:
    """Say how good the model is on the test claims, as it is served."""
    labels = test.labels
    groups = {kind: by_group(labels, probability, masks) for kind, masks in _groups(test).items()}
    overall = ranking(labels, probability)
    gaps = {kind: recall_gap(table) for kind, table in groups.items()}
    return {
        "quantisation_difference_max": round(quantisation, 5),
        "metrics_at_threshold": with_intervals(labels, probability, seed),
        "metrics": overall,
        "groups": groups,
        "recall_gaps": gaps,
        "thresholds": {
            str(threshold): {
                **{
                    key: round(value, 4)
                    for key, value in at_threshold(labels, probability, threshold).items()
                },
                "approved_share": round(float((probability >= threshold).mean()), 4),
            }
            for threshold in _THRESHOLDS
        },
        "gates": {
            f"calibration error at most {_CALIBRATION_MAX}": overall["calibration_error"]
            <= _CALIBRATION_MAX,
            f"recall gap of groups at most {_RECALL_GAP_MAX}": max(gaps.values())
            <= _RECALL_GAP_MAX,
        },
    }


def _balance(part: Part) -> dict[str, Any]:
    """Return size and class balance of a part."""
    return {"claims": len(part), "approved_share": round(float(part.labels.mean()), 4)}


def _groups(test: Part) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Return the groups that the figures are shown for."""
    age, insurance = test.features[:, 2], test.features[:, 3].astype(int)
    return {
        "age": {f"{low}-{high}": (age >= low) & (age <= high) for low, high in AGE_BANDS},
        "insurance": {str(code): insurance == code for code in sorted(set(insurance.tolist()))},
        "claim_type": {
            "professional": ~test.institutional,
            "institutional": test.institutional,
        },
    }


def _text(card: dict[str, Any]) -> str:
    """Return the card as a page."""
    training, metrics = card["training"], card["metrics"]
    return "\n".join(
        [
            f"**{card['synthetic_labels']}**",
            "",
            f"# Model card: {card['name']} {card['version']}",
            "",
            (
                f"Default: `ml_reject_policy = {card['default_ml_reject_policy']}`. "
                f"Threshold {card['approval_threshold']}. Runtime {card['runtime']}; a stock "
                "TensorFlow Serving runs `saved_model/`."
            ),
            "",
            "| | |",
            "|---|---|",
            *(
                f"| {key.replace('_', ' ')} | {card[key]} |"
                for key in (
                    "owner",
                    "licence",
                    "architecture",
                    "intended_use",
                    "prohibited_use",
                    "limits",
                    "drift_plan",
                    "rollback_version",
                )
            ),
            "| approval signatures | none: not approved for production |",
            (
                f"| features | version {card['features']['version']}: "
                f"{', '.join(card['features']['names'])} |"
            ),
            (
                f"| quantisation | int8 weights of the two large layers, float activations; "
                f"largest difference from the float export {card['quantisation_difference_max']} |"
            ),
            "",
            "## Training",
            "",
            (
                f"{training['source']}. Window {training['window'][0]} to {training['window'][1]}. "
                f"Of {training['generated']} claims {training['kept']} were kept: "
                f"{training['exclusions']}. Split {training['split']}. "
                f"Median age {training['median_age']:.0f}."
            ),
            "",
            f"Labels: {training['labels']}.",
            "",
            *_table(training["parts"], "part"),
            "",
            f"## Results on the test claims, threshold {THRESHOLD}",
            "",
            *_table(card["metrics_at_threshold"], "figure"),
            "",
            (
                f"AUROC {metrics['auroc']}, AUPRC of rejects {metrics['auprc_reject']}, "
                f"Brier {metrics['brier']}, calibration error over 10 bins "
                f"{metrics['calibration_error']}."
            ),
            "",
            "Release gates: "
            + "; ".join(
                f"{name}: {'met' if met else 'NOT met, needs sign-off'}"
                for name, met in card["gates"].items()
            )
            + ".",
            "",
            "## Thresholds",
            "",
            *_table(card["thresholds"], "threshold"),
            "",
            f"## Groups (figures from {GROUP_CLAIMS_MIN} claims on)",
            "",
            *(
                line
                for kind, table in card["groups"].items()
                for line in (*_table(table, kind.replace("_", " ")), "")
            ),
            "## Files",
            "",
            *(f"- `{name}` sha256 `{digest}`" for name, digest in card["sha256"].items()),
            "",
        ]
    )


def _table(rows: dict[str, dict[str, Any]], title: str) -> list[str]:
    """Return rows as a table; a value that a row lacks stays blank."""
    columns = list(max(rows.values(), key=len))
    return [
        f"| {title} | {' | '.join(column.replace('_', ' ') for column in columns)} |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {name} | {' | '.join(str(row.get(column, '')) for column in columns)} |"
            for name, row in rows.items()
        ),
    ]
