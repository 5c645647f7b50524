"""What a pass is answered with: the bytes of each message's answer, and what they come to.

Bytes are written in C where that was compiled, else in Python. Sums and counts are taken from the
columns, so that nobody has to read an answer in order to count it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

import numpy as np
from claimgate.v1 import score_pb2 as pb
from claimgate.v1.scoring_service_pb2 import MessageResult
from numpy.typing import NDArray

from engine import encode_native, wire_tables
from engine.columns import Ints
from engine.encode import Scored, encode, opinions, totals_of
from engine.gaps import Gaps
from engine.verdict import Decision

T = TypeVar("T")

Writer = Literal["native", "python"]

WRITER: Final[Writer] = "native" if wire_tables.LIBRARY else "python"
"""What writes answers in this process."""

_DECISIONS_MAX: Final = max(Decision) + 1


@dataclass(frozen=True, slots=True)
class Totals:
    """What the answer to a message comes to."""

    decisions: Mapping[int, int]
    """Claims by `Decision`; those that could not be scored are rejected."""
    allowed_cents: int
    """Sum of the allowed amounts of the claims that have one."""
    exposure_cents: int
    """Sum of the money at risk."""
    degraded_claims: int
    """Claims that were scored while a dependency was out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one message."""

    content: bytes = field(repr=False)
    """A `MessageResult` without its sequence: also a `ScoreBatchResponse`, whose numbers are the
    same."""
    totals: Totals

    def parsed(self) -> MessageResult:
        """Return the answer as a message: read anew each time, for callers that are rare."""
        return MessageResult.FromString(self.content)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the answers of a pass say, counted."""

    decisions: Mapping[int, int]
    """Claims by `Decision`."""
    model_statuses: Mapping[int, int]
    """Claims without a probability by `ModelStatus`; 0 stands for those that were not scored."""
    probabilities: NDArray[np.float64]
    """The model's probability of each claim that has one."""
    hits: Mapping[str, int]
    """Findings by rule id."""
    not_evaluated: Mapping[str, int]
    """What could not be checked, by reason."""
    degraded: Mapping[str, int]
    """Claims by what was out while they were scored, with its reason."""


def answers(
    scored: Scored, gaps: Gaps, views: Sequence[int], *, writer: Writer = WRITER
) -> list[Answer]:
    """Answer each message's claims, in order.

    Args:
        scored: The pass.
        gaps: What could not be judged in it.
        views: How much each message's answer says, a `View` per message.
        writer: What writes; both give messages that are equal.
    """
    views = [view or pb.VIEW_EVIDENCE for view in views]
    contents = encode_native.encode(scored, gaps, views) if writer == "native" else None
    if contents is None:
        contents = [each.SerializeToString() for each in encode(scored, gaps, views)]
    return list(map(Answer, contents, _totals(scored)))


def counts(scored: Scored, gaps: Gaps) -> Counts:
    """Return what the answers of a pass say, counted."""
    findings, claims, rejected = scored.findings, scored.batch.claims, _rejected(scored)
    probability = scored.gathered.model.probability
    has_p = np.zeros(len(claims), np.bool_)
    if probability is not None:
        has_p = ~np.isnan(probability) if scored.gathered.model.by_message else ~has_p
    messages = len(scored.batch.received.message_claims)
    without = np.bincount(claims.message[~has_p], minlength=messages).tolist()
    sizes = np.bincount(claims.message, minlength=messages).tolist()
    statuses = Counter({pb.MODEL_STATUS_UNSPECIFIED: int(rejected.sum())})
    outages: Counter[str] = Counter()
    for said, count, size in zip(opinions(scored), without, sizes, strict=True):
        statuses[said.status] += count
        outages.update(dict.fromkeys(said.degraded, size))
    of_rule = np.bincount(findings.rule, minlength=len(findings.rules)).tolist()
    reasons: dict[str, int] = {}
    of_pattern = np.bincount(gaps.pattern, minlength=len(gaps.patterns)).tolist()
    for pattern, count in zip(gaps.patterns, of_pattern, strict=True):
        for gap in pattern:
            reasons[gap.reason] = reasons.get(gap.reason, 0) + count
    return Counts(
        decisions=_some(enumerate(_decisions(scored).sum(axis=0).tolist())),
        model_statuses=_some(statuses.items()),
        probabilities=np.empty(0) if probability is None else probability[has_p].astype(np.float64),
        hits=_some(zip((rule.id for rule in findings.rules), of_rule, strict=True)),
        not_evaluated=reasons,
        degraded=_some(outages.items()),
    )


def _totals(scored: Scored) -> list[Totals]:
    """What the answer to each message comes to."""
    message = scored.batch.claims.message
    messages = len(scored.batch.received.message_claims)
    allowed, _ = totals_of(scored)
    sums = [_summed(message, each, messages) for each in (allowed, scored.verdict.exposure_cents)]
    out = np.array([bool(each.degraded) for each in opinions(scored)], np.bool_)
    degraded = np.where(out, np.bincount(message, minlength=messages), 0)
    decisions = [_some(enumerate(each)) for each in _decisions(scored).tolist()]
    return list(map(Totals, decisions, *(each.tolist() for each in (*sums, degraded))))


def _summed(group: Ints, cents: Ints, groups: int) -> NDArray[np.int64]:
    total = np.zeros(groups, np.int64)
    np.add.at(total, group, cents)
    return total


def _decisions(scored: Scored) -> NDArray[np.int64]:
    """Claims by message and decision, shape (messages, decisions)."""
    received, message = scored.batch.received, scored.batch.claims.message
    messages = len(received.message_claims)
    key = message.astype(np.int64) * _DECISIONS_MAX + scored.verdict.decision
    table = np.bincount(key, minlength=messages * _DECISIONS_MAX).reshape(messages, _DECISIONS_MAX)
    table[:, Decision.REJECT] += _rejected(scored)
    return table


def _rejected(scored: Scored) -> NDArray[np.int64]:
    """Claims of each message that could not be scored."""
    sizes = np.array(scored.batch.received.message_claims, np.int64)
    return sizes - np.bincount(scored.batch.claims.message, minlength=len(sizes))


def _some(counts: Iterable[tuple[T, int]]) -> dict[T, int]:
    """What was counted at least once."""
    return {key: count for key, count in counts if count}
