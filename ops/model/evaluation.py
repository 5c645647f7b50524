"""How good a model is: the figures of the card, overall and by group, with 95 % intervals."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Metric = Callable[[Floats, Floats], float]

THRESHOLD: Final = 0.8
AGE_BANDS: Final = ((0, 17), (18, 44), (45, 64), (65, 79), (80, 124))
GROUP_CLAIMS_MIN: Final = 100
"""Groups with fewer claims are counted, not judged."""
_BINS: Final = 10
_RESAMPLES: Final = 500


def at_threshold(labels: Floats, probability: Floats, threshold: float) -> dict[str, float]:
    """Return accuracy, precision, recall and F1 of the approvals at a threshold."""
    approved, proper = probability >= threshold, labels > 0.5
    both = float((approved & proper).sum())
    precision = both / max(float(approved.sum()), 1.0)
    recall = both / max(float(proper.sum()), 1.0)
    return {
        "accuracy": float((approved == proper).mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
    }


def with_intervals(labels: Floats, probability: Floats, seed: int) -> dict[str, dict[str, float]]:
    """Return the figures at the threshold with 95 % intervals from resampled claims."""
    random = np.random.default_rng(seed)
    values = at_threshold(labels, probability, THRESHOLD)
    resampled: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(_RESAMPLES):
        rows = random.integers(0, len(labels), len(labels))
        for name, value in at_threshold(labels[rows], probability[rows], THRESHOLD).items():
            resampled[name].append(value)
    return {
        name: {
            "value": round(value, 4),
            "low": round(float(np.quantile(resampled[name], 0.025)), 4),
            "high": round(float(np.quantile(resampled[name], 0.975)), 4),
        }
        for name, value in values.items()
    }


def area_under_roc(labels: Floats, probability: Floats) -> float:
    """Return the chance that an approved claim scores above a rejected one; ties count half."""
    ranks = _mean_ranks(probability)
    proper = labels > 0.5
    positives, negatives = int(proper.sum()), int((~proper).sum())
    return float((ranks[proper].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision_of_rejects(labels: Floats, probability: Floats) -> float:
    """Return the area under precision and recall for the rejected class, by 1 - p."""
    order = np.argsort(probability, kind="stable")
    rejected = labels[order] < 0.5
    precision = np.cumsum(rejected) / np.arange(1, len(rejected) + 1)
    return float(precision[rejected].mean())


def brier(labels: Floats, probability: Floats) -> float:
    """Return the mean squared distance of probability and outcome."""
    return float(((probability - labels) ** 2).mean())


def calibration_error(labels: Floats, probability: Floats) -> float:
    """Return the expected calibration error over ten bins of equal width."""
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    gaps = [
        abs(probability[bins == n].mean() - labels[bins == n].mean()) * (bins == n).mean()
        for n in range(_BINS)
        if (bins == n).any()
    ]
    return float(sum(gaps))


def ranking(labels: Floats, probability: Floats) -> dict[str, float]:
    """Return the figures that need no threshold."""
    metrics: dict[str, Metric] = {
        "auroc": area_under_roc,
        "auprc_reject": average_precision_of_rejects,
        "brier": brier,
        "calibration_error": calibration_error,
    }
    return {name: round(metric(labels, probability), 4) for name, metric in metrics.items()}


def by_group(
    labels: Floats, probability: Floats, groups: dict[str, NDArray[np.bool_]]
) -> dict[str, dict[str, float]]:
    """Return figures of each group; a small group shows its size alone."""
    table: dict[str, dict[str, float]] = {}
    for name, mask in groups.items():
        row: dict[str, float] = {"claims": int(mask.sum())}
        if mask.sum() >= GROUP_CLAIMS_MIN:
            figures = at_threshold(labels[mask], probability[mask], THRESHOLD)
            row |= {key: round(value, 4) for key, value in figures.items()}
            row |= {
                "approved_share": round(float(labels[mask].mean()), 4),
                "calibration_error": round(calibration_error(labels[mask], probability[mask]), 4),
            }
        table[name] = row
    return table


def recall_gap(table: dict[str, dict[str, float]]) -> float:
    """Return the distance of the best and the worst recall among groups that are large enough."""
    recalls = [row["recall"] for row in table.values() if "recall" in row]
    return round(max(recalls) - min(recalls), 4)


def _mean_ranks(values: Floats) -> NDArray[np.float64]:
    """Return ranks from 1, equal values sharing their mean rank."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: NDArray[np.float64] = ((last - count + 1 + last) / 2)[group]
    return ranks
