"""Claims to train on: generated, split so that no member, practice or day is in two parts.

The features come from the engine's own function, over the project's sample tables.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from claimgate.v1.claim_pb2 import Claim
from claimgate.v1.score_pb2 import ClaimBatch
from labels import Hidden, draw_labels
from numpy.typing import NDArray

from engine.pipeline import Engine
from engine.policy import Policy
from engine.reference import Reference
from loader.snapshot.build import build
from loader.synthetic import FIRST_DAY, LAST_DAY, synthetic_claims
from loader.synthetic.fees import fee_cents

SAMPLE_TABLES: Final = Path(__file__).parents[1] / "reference-sample"
PARTS: Final = ("train", "validation", "test")
SHARES: Final = (0.7, 0.2, 0.1)

_CUBE_ROOTS: Final = np.cbrt(SHARES)
_BOUNDS: Final = np.cumsum(_CUBE_ROOTS / _CUBE_ROOTS.sum())[:2]
"""A claim is kept if day, member and practice fall into one part, so each share is cubed."""
_MESSAGE_CLAIMS: Final = 2000
_FACILITY_PLACES: Final = frozenset({"02", "19", "21", "22", "23", "24", "31"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the data. Rows are claims."""

    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    institutional: NDArray[np.bool_]

    def __len__(self) -> int:
        """Count the claims."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Data:
    """Everything that the training sees, and where it came from."""

    parts: dict[str, Part]
    generated: int
    kept: int
    unscorable: int
    snapshot: str
    seed: int


def make_data(count: int, seed: int) -> Data:
    """Generate claims, keep those that fall into one part, compute features and draw labels."""
    with _sample_engine() as engine:
        claims = synthetic_claims(count, seed=seed)
        kept = [(claim, part) for claim in claims if (part := _part(claim)) >= 0]
        features, ordinals = _features(engine, [claim for claim, _ in kept])
        snapshot = engine.reference.release
    scorable = [kept[ordinal] for ordinal in ordinals]
    hidden = _hidden([claim for claim, _ in scorable])
    labels = draw_labels(features, hidden, np.random.default_rng(seed))
    part = np.array([part for _, part in scorable])
    institutional = np.array([bool(claim.type_of_bill) for claim, _ in scorable])
    parts = {
        name: Part(features[part == n], labels[part == n], institutional[part == n])
        for n, name in enumerate(PARTS)
    }
    return Data(parts, count, len(kept), len(kept) - len(scorable), snapshot, seed)


@contextmanager
def _sample_engine() -> Iterator[Engine]:
    """Yield an engine over the project's sample tables; it needs no rules for the features."""
    with tempfile.TemporaryDirectory() as folder:
        build(SAMPLE_TABLES, Path(folder) / "snapshot")
        yield Engine((), Reference.open(Path(folder) / "snapshot"), Policy())


def _part(claim: Claim) -> int:
    """Return the part that day, member and practice of a claim agree on; -1 where they do not."""
    try:
        day = date.fromisoformat(claim.service_from_date)
    except ValueError:
        return -1
    elapsed = (day - FIRST_DAY).days / ((LAST_DAY - FIRST_DAY).days + 1)
    places = (elapsed, _hashed(claim.person_id), _hashed(claim.billing_provider.tin))
    parts = {int(np.searchsorted(_BOUNDS, place, side="right")) for place in places}
    return parts.pop() if len(parts) == 1 else -1


def _hashed(text: str) -> float:
    """Return a number in [0, 1) that is always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


def _features(engine: Engine, claims: list[Claim]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the features of the scorable claims, and which of the claims those are."""
    values, ordinals = [], []
    for first, message in _messages(claims):
        read = engine.read([message])
        values.append(read.features.values)
        ordinals.append(np.asarray(read.batch.claims.ordinal, np.int64) + first)
    return np.concatenate(values), np.concatenate(ordinals)


def _messages(claims: list[Claim]) -> Iterator[tuple[int, ClaimBatch]]:
    """Yield the claims as messages, each with the position of its first claim."""
    for first in range(0, len(claims), _MESSAGE_CLAIMS):
        yield first, ClaimBatch(claims=islice(claims, first, first + _MESSAGE_CLAIMS))


def _hidden(claims: list[Claim]) -> Hidden:
    """Return what the label process sees beyond the features."""
    numbers: dict[str, int] = {}
    practice = [numbers.setdefault(claim.billing_provider.tin, len(numbers)) for claim in claims]
    ratio = [_charge_ratio(claim) for claim in claims]
    return Hidden(np.array(ratio), np.array(practice))


def _charge_ratio(claim: Claim) -> float:
    """Return what a claim charges for its coded lines, as a multiple of their typical fees."""
    facility = claim.place_of_service in _FACILITY_PLACES
    coded = [line for line in claim.lines if line.procedure_code]
    typical = sum(
        fee_cents(line.procedure_code, tuple(line.modifiers), facility=facility)
        * line.units_milli
        / 1000
        for line in coded
    )
    return sum(line.charge_cents for line in coded) / typical if typical else 1.0
