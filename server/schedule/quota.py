"""A tenant's quota of claims: a bucket that fills at a rate and is paid from."""

from dataclasses import dataclass

# Rounding must not make a moment that was computed come too early.
_TOLERANCE_CLAIMS = 1e-6


@dataclass(frozen=True, slots=True)
class Quota:
    """How many claims a tenant may send."""

    claims_per_s: float
    """Claims a second, in the long run."""
    burst_claims: float
    """Claims at once, after a pause."""

    def __post_init__(self) -> None:
        """Refuse a quota that lets nothing through."""
        if not (self.claims_per_s > 0 and self.burst_claims > 0):
            raise ValueError("claims_per_s and burst_claims have to be above 0")

    def shared_by(self, processes: int) -> "Quota":
        """Return the part of one process."""
        return Quota(self.claims_per_s / processes, self.burst_claims / processes)


class Bucket:
    """What is left of a quota; a message larger than the burst leaves a debt."""

    def __init__(self, quota: Quota, now: float) -> None:
        self.quota = quota
        self._claims = quota.burst_claims
        self._filled_at = now

    def claims(self, now: float) -> float:
        """Return how many claims are left; below 0 is a debt."""
        grown = (now - self._filled_at) * self.quota.claims_per_s
        return min(self.quota.burst_claims, self._claims + grown)

    def wait_s(self, claims: int, kept_share: float, now: float) -> float:
        """Return how long until so many claims may be paid and a share of the burst stays.

        A message larger than the burst waits for a full bucket.
        """
        burst = self.quota.burst_claims
        missing = min(burst, claims + burst * kept_share) - self.claims(now)
        return missing / self.quota.claims_per_s if missing > _TOLERANCE_CLAIMS else 0.0

    def pay(self, claims: int, now: float) -> None:
        """Take claims out."""
        self._claims, self._filled_at = self.claims(now) - claims, now
