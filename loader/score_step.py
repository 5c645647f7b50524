"""The step that scores: messages to the service, its answers to batches of rows.

A claim that every call fails on which it is in is found and set aside; the others go on.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from claimgate.client import CallError, Client
from claimgate.v1 import score_pb2, scoring_service_pb2
from grpc import StatusCode

from loader.batch import Batch
from loader.failed.words import Category
from loader.failpoints import failpoint
from loader.feed import Feed, Messages
from loader.messages import Message
from loader.opened import Opened
from loader.progress import ClaimsScored, Progress, Tally
from loader.rows import DECISION, FailedClaim, load_claim, provenance_row, rejected
from loader.settings import LoaderSettings
from loader.vault import Vault

_FAULT_OF_A_CLAIM: Final = frozenset(
    {
        StatusCode.INTERNAL,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNKNOWN,
    }
)
"""What one claim can cause for the whole call: its message is then cut until it stands alone."""

_CALLS_AT_A_TIME: Final = 4
"""Calls under way for messages that a stream left without an answer."""

_OVERLOADED_MAX: Final = 20
"""How often a call is repeated that the service was too full for."""


class ServiceAtFaultError(Exception):
    """The service itself failed on too many claims."""

    def __init__(self, claims: int) -> None:
        super().__init__(
            f"the service itself failed on {claims} claims (V00): its log has the cause; these "
            "claims stay in staging, or in failed_claims as failed by the service"
        )


class IncompleteAnswerError(Exception):
    """The service ended its stream, or an answer, before everything was answered."""

    def __init__(self, unanswered: int) -> None:
        """Say how much is missing."""
        super().__init__(
            f"the service left {unanswered} messages or claims without an answer; "
            "they stay pending, run again"
        )


@dataclass(slots=True)
class Answered:
    """A batch of answers in the making."""

    batch: Batch = field(default_factory=Batch)
    tests: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.batch) + len(self.tests)


Batches = asyncio.Queue[Answered | None]
"""Batches to load, and None as the end."""


class ScoreStep:
    """Scores for one run."""

    def __init__(
        self,
        settings: LoaderSettings,
        client: Client,
        vault: Vault,
        tally: Tally,
        progress: Progress,
    ) -> None:
        """Name the service, the key, and where is counted and told what was scored."""
        self._settings = settings
        self._tenant = settings.tenant
        self._client = client
        self._vault = vault
        self._tally = tally
        self._progress = progress
        self._answered = Answered()
        self._blamed = 0

    async def run(self, messages: Messages, batches: Batches) -> None:
        """Score all messages, up to their end, and pass the answers on in batches."""
        self._batches = batches
        feed = Feed(messages)
        while not feed.ended:
            await self._score_stream(feed)
            for failed in feed.take_failed():
                await self._set_aside(failed)
        await self._pass_on()
        await batches.put(None)

    async def _score_stream(self, feed: Feed) -> None:
        """Score over one stream; where a claim ends it, find that one among what is unanswered."""
        try:
            async for answer in self._client.score(feed.stream()):
                await self._settle(feed.unanswered.pop(answer.sequence), answer)
        except CallError as error:
            if not _fault_of_a_claim(error):
                raise
            await self._score_each_apart(feed.take_unanswered())
        if feed.unanswered:
            raise IncompleteAnswerError(len(feed.unanswered))

    async def _score_each_apart(self, messages: Iterable[Message]) -> None:
        """Score messages by calls of their own, some at a time.

        All that a stream leaves: over a new one they would be sent again at each bad claim.
        """
        left = iter(messages)

        async def score_next() -> None:
            for message in left:
                await self._score_apart(message)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_CALLS_AT_A_TIME):
                tasks.create_task(score_next())

    async def _score_apart(self, message: Message) -> None:
        """Score a message by a call of its own, in quarters where that fails, down to the cause."""
        try:
            response = await self._ask(message)
        except CallError as error:
            if not _fault_of_a_claim(error):
                raise
            if len(message.claims) == 1:
                await self._blame(message.claims[0], error)
            else:
                for part in message.quarters():
                    await self._score_apart(part)
        else:
            await self._settle(message, response)

    async def _ask(self, message: Message) -> scoring_service_pb2.ScoreBatchResponse:
        """Score a message by one call, repeated while the service is too full for it."""
        for _ in range(_OVERLOADED_MAX):
            try:
                return await self._client.score_batch(message.batch())
            except CallError as error:
                if error.retry_after_s is None:
                    raise
                await asyncio.sleep(error.retry_after_s)
        return await self._client.score_batch(message.batch())

    async def _blame(self, opened: Opened, error: CallError) -> None:
        """Set a claim aside that every call fails on which it is in."""
        self._count_blamed(error)
        await self._set_aside(_refused_by_service(opened, error))

    def _count_blamed(self, error: Exception) -> None:
        """Count a claim that the service failed on; of too many, the service is the cause."""
        self._blamed += 1
        if self._blamed > self._settings.service_faults_max:
            raise error

    async def _settle(
        self,
        message: Message,
        answer: scoring_service_pb2.MessageResult | scoring_service_pb2.ScoreBatchResponse,
    ) -> None:
        """Turn the answers to a message into rows of the current batch."""
        failpoint("answer")
        if len(answer.results) != len(message.claims):
            raise IncompleteAnswerError(len(message.claims) - len(answer.results))
        self._add(message, answer.results, answer.provenance)
        self._count_scored(message, answer.results)
        if len(self._answered) >= self._settings.batch_claims:
            await self._pass_on()

    def _add(
        self,
        message: Message,
        results: Sequence[score_pb2.ClaimResult],
        provenance: score_pb2.Provenance,
    ) -> None:
        """Add answered claims to the current batch: to load, failed, or a test that is not kept."""
        releases = provenance_row(provenance)
        rests_on = cast("int", releases[0]), provenance.history_watermark
        batch = self._answered.batch
        batch.provenances[rests_on[0]] = releases
        for opened, result in zip(message.claims, results, strict=True):
            if result.decision == score_pb2.DECISION_REJECT:
                failed = rejected(opened, result)
                if failed.category is Category.SERVICE_FAULT:
                    self._count_blamed(ServiceAtFaultError(self._blamed + 1))
                batch.failed.append(failed)
            elif opened.facts.is_test:
                self._answered.tests.append(opened.leased.staging_id)
            else:
                batch.claims.append(load_claim(opened, result, rests_on, self._vault, self._tenant))

    def _count_scored(self, message: Message, results: Sequence[score_pb2.ClaimResult]) -> None:
        """Count answers, findings and money."""
        decisions = Counter(DECISION[result.decision] for result in results)
        charged = sum(opened.facts.total_charge_cents for opened in message.claims)
        exposure = sum(result.exposure_cents for result in results)
        tally = self._tally
        tally.scored += len(results)
        tally.decisions.update(decisions)
        tally.charged_cents += charged
        tally.exposure_cents += exposure
        tally.rules.update([hit.rule_id for result in results for hit in result.hits[:]])
        self._progress(ClaimsScored(len(results), decisions, charged, exposure))

    async def _set_aside(self, failed: FailedClaim) -> None:
        """Add a failed claim to the current batch."""
        self._answered.batch.failed.append(failed)
        if len(self._answered) >= self._settings.batch_claims:
            await self._pass_on()

    async def _pass_on(self) -> None:
        """Hand the current batch over to loading, and start the next."""
        if len(self._answered):
            failpoint("pass_on")
            answered, self._answered = self._answered, Answered()
            await self._batches.put(answered)


def _fault_of_a_claim(error: CallError) -> bool:
    """Tell whether a claim may be the cause; an overloaded service says when to come again."""
    return error.code in _FAULT_OF_A_CLAIM and error.retry_after_s is None


def _refused_by_service(opened: Opened, error: CallError) -> FailedClaim:
    """Return the failure of a claim that ends every call it is in."""
    reason = {
        "field": "claim",
        "code": error.reason or error.code.name,
        "message": "the service fails on this claim alone; its log has the cause",
    }
    return FailedClaim(opened.leased, Category.SERVICE_FAULT, "score", [reason], opened.claim())
