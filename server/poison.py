"""A fault in one claim costs that claim: it is found and set aside, and the rest is scored.

What a claim comes to depends on the claims before it in its message alone. So the first claim at
fault ends the shortest beginning of the message that fails, which halving finds.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from claimgate.v1 import claim_pb2, score_pb2

from server.errors import CallFaultError
from server.scorer import Judged

POISONED_MAX: Final = 8
"""Most claims of a message that are set aside; with more of them the message fails as a whole."""
CODE: Final = "V00"
"""Code of the violation that such a claim is rejected with."""

Judge = Callable[[score_pb2.ClaimBatch], Awaitable[Judged]]


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A claim that the service fails on."""

    ordinal: int
    error: Exception


async def without_poisoned(
    batch: score_pb2.ClaimBatch, error: Exception, judge: Judge, name: Callable[[Poisoned], str]
) -> Judged:
    """Return the answer to a message that failed, with the claims at fault rejected.

    Args:
        batch: The message.
        error: What it failed with.
        judge: Scores a message; raises what is wrong with it.
        name: Tells operators of a claim at fault; returns the id of the report.

    Raises:
        Exception: the message fails, and not by a claim or few; or nobody waits any more.
    """
    rest = score_pb2.ClaimBatch()
    rest.CopyFrom(batch)
    reports: dict[int, str] = {}
    while len(reports) < POISONED_MAX:
        poisoned = await _first(rest, judge)
        if poisoned is None:
            break
        if poisoned.ordinal in reports:
            raise error  # It fails without the claim's content too: the fault is not the claim's.
        reports[poisoned.ordinal] = name(poisoned)
        # Nothing but its id: the check of the structure sets it aside before anything reads it.
        sent = rest.claims[poisoned.ordinal]
        rest.claims[poisoned.ordinal].CopyFrom(
            claim_pb2.Claim(
                claim_id=sent.claim_id, claim_version=sent.claim_version, is_test=sent.is_test
            )
        )
    if not reports:
        raise error
    judged = await judge(rest)
    for ordinal, report in reports.items():
        result = judged.answers[0].results[ordinal]
        del result.violations[:]
        result.violations.add(
            code=CODE,
            message=f"the service failed on this claim; ask its operators about error {report}, "
            "then send it again",
        )
    return judged


async def _first(batch: score_pb2.ClaimBatch, judge: Judge) -> Poisoned | None:
    """Return the first claim with which the message fails; None if it does not fail."""
    good, bad = 0, len(batch.claims)
    error = await _failure(batch.claims, judge)
    if error is None:
        return None
    while bad - good > 1:
        middle = (good + bad) // 2
        failure = await _failure(batch.claims[:middle], judge)
        good, bad, error = (middle, bad, error) if failure is None else (good, middle, failure)
    return Poisoned(bad - 1, error)


async def _failure(claims: Sequence[claim_pb2.Claim], judge: Judge) -> Exception | None:
    try:
        await judge(score_pb2.ClaimBatch(claims=claims))
    except CallFaultError:
        raise
    except Exception as error:  # noqa: BLE001 - any fault at all is what is looked for
        return error
    return None
