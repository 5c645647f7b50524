"""The Python client against a real server that answers, breaks and refuses."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager

import grpc
import pytest
from claimgate import CallError, Client
from claimgate.columns import pack, unpack
from claimgate.v1 import claim_pb2, score_pb2
from claimgate.v1 import reference_service_pb2 as reference
from claimgate.v1 import scoring_service_pb2 as pb
from claimgate.v1.reference_service_pb2_grpc import (
    ReferenceServiceServicer,
    add_ReferenceServiceServicer_to_server,
)
from claimgate.v1.scoring_service_pb2_grpc import (
    ScoringServiceServicer,
    add_ScoringServiceServicer_to_server,
)
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status


def results_of(batch: score_pb2.ClaimBatch) -> list[score_pb2.ClaimResult]:
    return [score_pb2.ClaimResult(claim_id=claim.claim_id) for claim in batch.claims]


class Scoring(ScoringServiceServicer):
    """Answers each message; a test may make it break."""

    def __init__(self):
        self.views: list[int] = []
        self.streams = 0
        self.received: list[int] = []
        self.break_at: set[int] = set()
        self.reverse = False
        self.unavailable_calls = 0

    async def ScoreClaims(self, requests, context):  # noqa: N802
        self.streams += 1
        held = []
        async for request in requests:
            if request.HasField("options"):
                self.views.append(request.options.view)
                continue
            self.received.append(request.sequence)
            if request.sequence in self.break_at:
                self.break_at.discard(request.sequence)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            sent = unpack(request.columns) if request.HasField("columns") else request.batch
            held.append(pb.MessageResult(sequence=request.sequence, results=results_of(sent)))
            if not self.reverse or len(held) == 4:
                yield pb.ScoreClaimsResponse(messages=reversed(held))
                held = []
        if held:
            yield pb.ScoreClaimsResponse(messages=held)

    async def ScoreBatch(self, request, context):  # noqa: N802
        if self.unavailable_calls:
            self.unavailable_calls -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        if not request.batch.claims:
            await self._refuse(context)
        if request.batch.claims[0].claim_id == "slow":
            await asyncio.sleep(30)
        return pb.ScoreBatchResponse(results=results_of(request.batch))

    async def _refuse(self, context):
        info = ErrorInfo(reason="ERROR_REASON_EMPTY_REQUEST", domain="claimgate")
        info.metadata["expected"] = "claims"
        status = Status(code=3, message="empty")
        status.details.add().Pack(info)
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            "empty",
            (("grpc-status-details-bin", status.SerializeToString()),),
        )

    async def ValidateClaims(self, request, _context):  # noqa: N802
        return pb.ValidateClaimsResponse(
            validations=[pb.ClaimValidation(claim_id=c.claim_id) for c in request.batch.claims]
        )


class Reference(ReferenceServiceServicer):
    """Answers with what it was asked."""

    async def ListReleases(self, _request, _context):  # noqa: N802
        return reference.ListReleasesResponse(reference_release="r1")

    async def GetProcedure(self, request, _context):  # noqa: N802
        return reference.GetProcedureResponse(
            procedure_code=request.procedure_code, modifier=request.modifier, status=request.date
        )

    async def ListRules(self, _request, _context):  # noqa: N802
        return reference.ListRulesResponse(rules=[reference.RuleDocumentation(rule_id="A")])

    async def GetRule(self, request, _context):  # noqa: N802
        return reference.GetRuleResponse(rule=reference.RuleDocumentation(rule_id=request.rule_id))

    async def GetPolicy(self, _request, _context):  # noqa: N802
        return reference.GetPolicyResponse(policy_version="p1")


@asynccontextmanager
async def connected(scoring: Scoring | None = None, **options):
    server = grpc.aio.server()
    add_ScoringServiceServicer_to_server(scoring or Scoring(), server)
    add_ReferenceServiceServicer_to_server(Reference(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Client(f"127.0.0.1:{port}", **options) as client:
            yield client
    finally:
        await server.stop(0)


def batch(*claim_ids: str) -> score_pb2.ClaimBatch:
    return score_pb2.ClaimBatch(claims=[claim_pb2.Claim(claim_id=each) for each in claim_ids])


async def test_answers_carry_the_place_of_their_message():
    scoring = Scoring()
    scoring.reverse = True
    async with connected(scoring) as client:
        answers = [each async for each in client.score(batch(f"c{n}") for n in range(32))]

    assert sorted(each.sequence for each in answers) == list(range(32))
    assert [each.sequence for each in answers] != list(range(32))
    assert all(each.results[0].claim_id == f"c{each.sequence}" for each in answers)


async def test_ready_made_bytes_are_sent_as_they_are_under_their_own_place():
    made = [
        pb.ScoreClaimsRequest(sequence=999, batch=batch(f"c{n}")).SerializeToString()
        for n in range(3)
    ]
    async with connected() as client:
        answers = [each async for each in client.score(made)]

    assert sorted((each.sequence, each.results[0].claim_id) for each in answers) == [
        (0, "c0"),
        (1, "c1"),
        (2, "c2"),
    ]


async def test_columns_are_sent_beside_rows_and_ready_made_bytes():
    columns = [pack(batch("a")), pack(batch("b"))]
    made = pb.ScoreClaimsRequest(sequence=9, columns=columns[1]).SerializeToString()
    async with connected() as client:
        answers = [each async for each in client.score([columns[0], made, batch("c")])]

    ids = {each.sequence: [result.claim_id for result in each.results] for each in answers}
    assert ids == {0: ["a"], 1: ["b"], 2: ["c"]}


async def test_messages_may_come_from_an_asynchronous_source():
    async def source():
        for n in range(3):
            await asyncio.sleep(0)
            yield batch(f"c{n}")

    async with connected() as client:
        answers = [each async for each in client.score(source())]

    assert len(answers) == 3


async def test_no_messages_give_no_answers():
    async with connected() as client:
        assert [each async for each in client.score([])] == []


async def test_view_is_told_first():
    scoring = Scoring()
    async with connected(scoring) as client:
        _ = [each async for each in client.score([batch("a")], view=score_pb2.VIEW_TRACE)]

    assert scoring.views == [score_pb2.VIEW_TRACE]


async def test_no_more_than_the_window_is_taken_ahead_of_the_answers():
    taken = 0

    def source():
        nonlocal taken
        for n in range(100):
            taken += 1
            yield batch(str(n))

    async with connected() as client:
        answers = client.score(source(), window=5)
        await anext(answers)
        await asyncio.sleep(0.2)
        ahead = taken
        await answers.aclose()

    # One is answered, 5 are under way, one waits for the window.
    assert ahead <= 7


@pytest.mark.parametrize("break_at", [{0}, {7}, {7, 8, 30}, {39}])
async def test_broken_stream_is_resumed_with_what_is_unanswered(break_at):
    scoring = Scoring()
    scoring.break_at = set(break_at)
    async with connected(scoring) as client:
        answers = [each async for each in client.score(batch(str(n)) for n in range(40))]

    assert sorted(each.sequence for each in answers) == list(range(40))
    assert scoring.streams > len(break_at)


async def test_stream_that_breaks_while_nothing_is_sent_loses_nothing_of_what_comes_later():
    class Breaking(Scoring):
        async def ScoreClaims(self, requests, context):  # noqa: N802
            self.streams += 1
            async for request in requests:
                if request.HasField("batch"):
                    message = pb.MessageResult(
                        sequence=request.sequence, results=results_of(request.batch)
                    )
                    yield pb.ScoreClaimsResponse(messages=[message])
                    if self.streams < 3:
                        await asyncio.sleep(0.05)
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async def source():
        for n in range(6):
            yield batch(str(n))
            await asyncio.sleep(0.5)  # until the client is there again

    async with connected(Breaking()) as client, asyncio.timeout(10):
        answers = [each.sequence async for each in client.score(source())]

    assert answers == list(range(6))


async def test_service_that_stays_away_is_reported():
    async with Client("127.0.0.1:1", deadline_s=1) as client:
        with pytest.raises(CallError) as raised:
            _ = [each async for each in client.score([batch("a")])]

    assert raised.value.code == grpc.StatusCode.UNAVAILABLE


async def test_error_of_the_source_reaches_the_caller_after_the_answers():
    def source():
        yield batch("a")
        raise RuntimeError("no more")

    answers = []
    async with connected() as client:
        stream = client.score(source())
        answers.append(await anext(stream))
        with pytest.raises(RuntimeError, match="no more"):
            await anext(stream)

    assert len(answers) == 1


async def test_batch_of_claims_is_scored_in_order():
    async with connected() as client:
        response = await client.score_batch(claim_pb2.Claim(claim_id=each) for each in "abc")

    assert [result.claim_id for result in response.results] == ["a", "b", "c"]


async def test_claims_are_validated_one_by_one():
    async with connected() as client:
        validations = await client.validate(batch("a", "b"))

    assert [each.claim_id for each in validations] == ["a", "b"]


async def test_error_carries_reason_and_facts():
    async with connected() as client:
        with pytest.raises(CallError) as raised:
            await client.score_batch([])

    error = raised.value
    assert (error.code, error.reason, error.message, error.metadata, error.retry_after_s) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "ERROR_REASON_EMPTY_REQUEST",
        "empty",
        {"expected": "claims"},
        None,
    )
    assert str(error) == "INVALID_ARGUMENT ERROR_REASON_EMPTY_REQUEST: empty"


async def test_unavailable_service_is_asked_again():
    scoring = Scoring()
    scoring.unavailable_calls = 2
    async with connected(scoring) as client:
        response = await client.score_batch(batch("a"))

    assert len(response.results) == 1


async def test_late_answer_is_not_waited_for():
    async with connected(deadline_s=0.1) as client:
        with pytest.raises(CallError) as raised:
            await client.score_batch(batch("slow"))

    assert raised.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_reference_is_asked():
    async with connected() as client:
        assert (await client.list_releases()).reference_release == "r1"
        procedure = await client.get_procedure("70450", "2025-10-31", modifier="26")
        assert (procedure.procedure_code, procedure.status, procedure.modifier) == (
            "70450",
            "2025-10-31",
            "26",
        )
        assert [rule.rule_id for rule in await client.list_rules()] == ["A"]
        assert (await client.get_rule("B")).rule_id == "B"
        assert (await client.get_policy()).policy_version == "p1"


async def test_other_machines_are_spoken_to_over_tls_unless_asked_otherwise():
    with pytest.raises(ValueError, match="exclude"):
        Client("claims.example:1", insecure=True, credentials=grpc.ssl_channel_credentials())

    async with connected(insecure=False) as client:
        with pytest.raises(CallError) as raised:
            await client.score_batch(batch("a"))

    assert raised.value.code == grpc.StatusCode.UNAVAILABLE


async def test_refusal_is_told_though_the_client_was_still_sending():
    class Refusing(Scoring):
        async def ScoreClaims(self, requests, context):  # noqa: N802
            async for request in requests:
                if request.sequence == 3:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the third is bad")
                if request.HasField("batch"):
                    results = results_of(request.batch)
                    message = pb.MessageResult(sequence=request.sequence, results=results)
                    yield pb.ScoreClaimsResponse(messages=[message])

    async with connected(Refusing()) as client:
        with pytest.raises(CallError) as raised:
            async for _ in client.score((batch("x" * 100_000) for _ in range(50)), window=50):
                pass

    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message == "the third is bad"


def test_client_loads_nothing_of_the_server_and_no_extra():
    code = """
import sys
import claimgate.client
print(" ".join({name.partition(".")[0] for name in sys.modules}))
"""
    found = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )

    loaded = set(found.stdout.split())
    assert "grpc" in loaded
    assert not loaded & {
        *("engine", "server", "loader", "numpy", "pydantic", "structlog", "prometheus_client"),
        *("opentelemetry", "uvloop", "typer", "rich", "psutil", "asyncpg"),
    }
