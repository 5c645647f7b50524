"""What a stream has done so far: up to where it is answered, and what its answers come to."""

from collections import defaultdict, deque
from time import monotonic

from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as pb

from engine.answers import Totals


class Acknowledgements:
    """Up to which message all are answered, in the order in which they were read."""

    def __init__(self) -> None:
        self._unanswered: deque[tuple[int, int]] = deque()
        self._answered: set[int] = set()
        self._taken = 0
        self.upto: int | None = None
        """Sequence of the last message up to which all are answered; None before there is one."""

    def take(self, sequence: int) -> int:
        """Note a message that was read; returns its place, for a sequence may come twice."""
        place = self._taken
        self._taken += 1
        self._unanswered.append((place, sequence))
        return place

    def answer(self, place: int) -> None:
        """Note that the message at a place is answered."""
        self._answered.add(place)
        while self._unanswered and self._unanswered[0][0] in self._answered:
            answered, self.upto = self._unanswered.popleft()
            self._answered.remove(answered)


class StreamAccount:
    """Counts what was answered, for the summary at the end of the stream."""

    def __init__(self) -> None:
        # Plain numbers: a protobuf's fields cost several times as much to add to.
        self._messages = self._claims = self._degraded = 0
        self._allowed_cents = self._exposure_cents = 0
        self._decisions: defaultdict[int, int] = defaultdict(int)
        self._started_at = monotonic()
        self._slowest_s = 0.0

    def begin(self) -> None:
        """Note that the first message was read: a stream that waits for one is not slow."""
        self._started_at = monotonic()

    def add(self, totals: Totals, accepted_at: float) -> None:
        """Count the answer to a message that was taken at a moment of the monotonic clock."""
        self._messages += 1
        self._allowed_cents += totals.allowed_cents
        self._exposure_cents += totals.exposure_cents
        self._degraded += totals.degraded_claims
        for decision, claims in totals.decisions.items():
            self._claims += claims
            self._decisions[decision] += claims
        self._slowest_s = max(self._slowest_s, monotonic() - accepted_at)

    def summary(self) -> pb.StreamSummary:
        """Return what was counted."""
        return pb.StreamSummary(
            messages=self._messages,
            claims=self._claims,
            decisions=[
                pb.DecisionCount(decision=score_pb2.Decision.ValueType(decision), claims=claims)
                for decision, claims in sorted(self._decisions.items())
            ],
            allowed_cents=self._allowed_cents,
            exposure_cents=self._exposure_cents,
            degraded_claims=self._degraded,
            duration_us=round((monotonic() - self._started_at) * 1e6),
            slowest_message_us=round(self._slowest_s * 1e6),
        )
