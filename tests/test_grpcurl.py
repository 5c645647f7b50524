"""The service as operators meet it first: with the real grpcurl."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from claimgate.v1 import scoring_service_pb2
from google.protobuf import json_format

from engine.examples import claim_of
from engine.rules.rule import example, line
from loader.places import prepared_snapshot

pytestmark = pytest.mark.full
STATUS_OFFSET = 64
INVALID_ARGUMENT = 3


@pytest.fixture(scope="module")
def grpcurl(skip_or_fail) -> str:
    found = os.environ.get("CLAIMGATE_GRPCURL", "")
    path = found if Path(found).is_file() else shutil.which("grpcurl")
    if not path:
        skip_or_fail("no grpcurl: run through `make test-full`, which installs it")
    return str(path)


@pytest.fixture(scope="module")
def address(served) -> Iterator[str]:
    with served("--listen", "127.0.0.1:0", "--reference", str(prepared_snapshot())) as address:
        yield address


@pytest.fixture
def ask(grpcurl: str, address: str):
    def run(*arguments: str, data: str = "", flags: tuple[str, ...] = ()):
        words = [grpcurl, "-plaintext", *flags, *(("-d", "@") if data else ()), address, *arguments]
        return subprocess.run(
            words, input=data, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def document(sequence: int, *codes: str) -> str:
    request = scoring_service_pb2.ScoreClaimsRequest(sequence=sequence)
    claim = claim_of(example("", *map(line, codes)), f"CLAIM-{sequence}")
    request.batch.claims.append(claim)
    return json_format.MessageToJson(request)


def documents(text: str) -> list[dict]:
    decoder, found, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].strip()
    return found


def test_list_names_every_service(ask) -> None:
    names = ask("list").stdout.split()

    assert {
        "claimgate.v1.ScoringService",
        "claimgate.v1.ClaimService",
        "claimgate.v1.ReferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "grpc.channelz.v1.Channelz",
    } <= set(names)


@pytest.mark.parametrize(
    "symbol",
    ["claimgate.v1.ScoringService", "claimgate.v1.Claim", "google.rpc.ErrorInfo"],
)
def test_describe_knows_services_messages_and_error_details(ask, symbol: str) -> None:
    done = ask("describe", symbol)

    assert done.returncode == 0, done.stderr
    assert symbol.rpartition(".")[2] in done.stdout


def test_stream_of_json_documents_is_answered_message_by_message(ask) -> None:
    stream = "\n".join(document(n, "45385", "45380") for n in range(1, 6))

    done = ask("claimgate.v1.ScoringService/ScoreClaims", data=stream)

    assert done.returncode == 0, done.stderr
    messages = [m for answer in documents(done.stdout) for m in answer.get("messages", ())]
    assert sorted(int(message["sequence"]) for message in messages) == [1, 2, 3, 4, 5]
    for message in messages:
        (result,) = message["results"]
        assert result["claim_id"] == f"CLAIM-{message['sequence']}"
        assert "NCCI_PTP" in {hit["rule_id"] for hit in result["hits"]}
        assert message["provenance"]["reference_release"]


def test_health_is_serving(ask) -> None:
    done = ask("grpc.health.v1.Health/Check")

    assert json.loads(done.stdout)["status"] == "SERVING"


def test_failed_call_shows_its_reason(ask) -> None:
    done = ask("claimgate.v1.ScoringService/ScoreBatch", data="{}", flags=("-format-error",))

    assert done.returncode == STATUS_OFFSET + INVALID_ARGUMENT
    assert "ERROR_REASON_EMPTY_REQUEST" in done.stderr


def test_procedure_is_shown_on_a_day(ask) -> None:
    question = '{"procedureCode": "99213", "date": "2025-10-15"}'

    done = ask("claimgate.v1.ReferenceService/GetProcedure", data=question)

    assert json.loads(done.stdout)["status"] == "A"
