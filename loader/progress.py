"""What a run tells while it runs, and what it says at the end."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ClaimsLeased:
    """Claims were taken from staging."""

    claims: int


@dataclass(frozen=True, slots=True)
class ClaimsScored:
    """The service answered a message."""

    claims: int
    decisions: Mapping[str, int]
    charged_cents: int
    exposure_cents: int


@dataclass(frozen=True, slots=True)
class BatchLoaded:
    """A batch was committed to production."""

    claims: int
    rows: int
    commit_seq: int


@dataclass(frozen=True, slots=True)
class ClaimsFailed:
    """Claims were set aside, for these reasons."""

    claims: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LeasingStopped:
    """Claims stay pending, because their shard is being moved, or was."""

    why: str


Event = ClaimsLeased | ClaimsScored | BatchLoaded | ClaimsFailed | LeasingStopped
Progress = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Let an event pass."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did."""

    claims_in: int
    """Claims leased."""

    scored: int
    """Claims that the service answered."""

    loaded: int
    """Claims written to production by this run."""

    already_loaded: int
    """Claims that production held already, from a run that died before it could say so."""

    failed: int
    """Claims set aside as failed, each with a row that says why."""

    tests: int
    """Test claims: scored, not written."""

    decisions: Mapping[str, int]
    """Answers by decision."""

    charged_cents: int
    """Charges of the scored claims."""

    exposure_cents: int
    """Money at risk on the scored claims."""

    rules: Mapping[str, int]
    """Findings by rule, most frequent first."""

    failures: Mapping[str, int]
    """Reasons of failed claims by code, most frequent first; a claim may have several."""

    rows: int
    """Rows written to production tables."""

    seconds: float
    """From the first lease to the last commit."""

    @property
    def claims_per_s(self) -> float:
        """Claims a second over the whole run."""
        return self.claims_in / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Tally:
    """The counts of a run while it runs."""

    claims_in: int = 0
    scored: int = 0
    loaded: int = 0
    already_loaded: int = 0
    failed: int = 0
    tests: int = 0
    charged_cents: int = 0
    exposure_cents: int = 0
    rows: int = 0
    started_s: float = 0.0
    ended_s: float = 0.0
    decisions: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def summary(self) -> Summary:
        """Return the counts as they stand."""
        return Summary(
            claims_in=self.claims_in,
            scored=self.scored,
            loaded=self.loaded,
            already_loaded=self.already_loaded,
            failed=self.failed,
            tests=self.tests,
            decisions=dict(self.decisions.most_common()),
            charged_cents=self.charged_cents,
            exposure_cents=self.exposure_cents,
            rules=dict(self.rules.most_common()),
            failures=dict(self.failures.most_common()),
            rows=self.rows,
            seconds=max(self.ended_s - self.started_s, 0.0),
        )
