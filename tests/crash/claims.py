"""Claims with a known end: what each has to look like in production, from its number alone."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from claimgate.v1 import claim_pb2

from tests.loader.conftest import new_claim

Key = tuple[str, int]

_NPIS: Final = ("1234567893", "1679576722", "1003000126")
_DAYS: Final = ("2025-10-06", "2025-10-07", "2025-11-03")
_EVERY: Final = ((13, "reject"), (11, "deny"), (7, "review"))
"""Each so-manieth claim has this verdict, the others are approved; see the scorer of the tests."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to become of a claim."""

    claim: claim_pb2.Claim
    content_sha256: bytes
    verdict: str

    @property
    def key(self) -> Key:
        return self.claim.claim_id, self.claim.claim_version or 1

    @property
    def loaded(self) -> bool:
        """Whether it belongs into production, and not among the failed claims."""
        return self.verdict != "reject"

    @property
    def status(self) -> str:
        """Where it has to stand in staging."""
        return {"reject": "failed", "review": "needs_review"}.get(self.verdict, "completed")


def expected(number: int) -> Expected:
    """Return the claim of a number, with its end."""
    verdict = next((name for every, name in _EVERY if number % every == 0), "ok")
    day = _DAYS[number % len(_DAYS)]
    claim = new_claim(
        f"{verdict}-{number}",
        lines=1 + number % 3,
        member=f"MEMBER-{number // 2}",
        service_from_date=day,
        service_to_date=day,
        received_date="2025-11-20",
        billing_provider=claim_pb2.Provider(
            npi=_NPIS[number % len(_NPIS)], last_or_org_name="Clinic"
        ),
    )
    content = sha256(claim.SerializeToString(deterministic=True)).digest()
    return Expected(claim, content, "approve" if verdict == "ok" else verdict)
