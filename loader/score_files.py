"""Files of claims straight to a running service: one result per claim, in order."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from claimgate.client import Client
from claimgate.v1 import claim_pb2, score_pb2

from loader.intake import IntakeClaim, IntakeError, IntakeProblem, read_claims

_MESSAGE_CLAIMS: Final = 200
_MESSAGE_BYTES_MAX: Final = 3_000_000


@dataclass(frozen=True, slots=True)
class FileResult:
    """The answer to one claim of a file."""

    file: str
    lines: int
    result: score_pb2.ClaimResult


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Something of a file that could not be read, or was read with a doubt."""

    file: str
    segment: int
    level: str
    message: str


@dataclass(slots=True)
class _Item:
    """What became of one place of a file: a claim in message n at place m, or a problem."""

    file: str
    problem: FileProblem | None = None
    message: int = -1
    position: int = -1
    lines: int = 0


async def score_files(
    client: Client, files: Sequence[Path], *, ingest_date: date
) -> AsyncIterator[FileResult | FileProblem]:
    """Yield a result for each claim and a problem for each thing that could not be read, in order.

    Args:
        client: Connection to the service.
        files: 837 or JSON lines, plain or gzip.
        ingest_date: The day on which claims count as received where a file says none.

    Raises:
        CallError: The service cannot be reached or refuses a message.
    """
    items: list[_Item] = []
    answered: dict[int, Sequence[score_pb2.ClaimResult]] = {}
    messages = _messages(files, ingest_date, items)
    async for answer in client.score(messages):
        answered[answer.sequence] = answer.results
        for outcome in _ready(items, answered):
            yield outcome
    for outcome in _ready(items, answered):
        yield outcome


def _ready(
    items: list[_Item], answered: dict[int, Sequence[score_pb2.ClaimResult]]
) -> Iterator[FileResult | FileProblem]:
    """Take from the front of the list what is known, so that the order of the files is kept."""
    taken = 0
    for item in items:
        if item.problem is not None:
            yield item.problem
        elif item.message in answered:
            yield FileResult(item.file, item.lines, answered[item.message][item.position])
        else:
            break
        taken += 1
    last = items[taken - 1].message if taken else -1
    del items[:taken]
    for message in [number for number in answered if number < last]:
        del answered[message]


def _messages(
    files: Iterable[Path], ingest_date: date, items: list[_Item]
) -> Iterator[score_pb2.ClaimBatch]:
    """Cut the claims of all files into messages, noting where each went.

    A claim id that a message already holds begins a new one: files repeat ids, messages may not.
    """
    message, ids, size, number = score_pb2.ClaimBatch(), set[tuple[str, int]](), 0, 0
    for file, item in _read(files, ingest_date):
        if isinstance(item, FileProblem):
            items.append(_Item(file, problem=item))
            continue
        key, claim_size = (item.claim_id, item.claim_version), item.ByteSize()
        full = len(message.claims) >= _MESSAGE_CLAIMS or size + claim_size > _MESSAGE_BYTES_MAX
        if message.claims and (full or key in ids):
            yield message
            message, ids, size, number = score_pb2.ClaimBatch(), set(), 0, number + 1
        ids.add(key)
        size += claim_size
        items.append(_Item(file, None, number, len(message.claims), len(item.lines)))
        message.claims.append(item)
    if message.claims:
        yield message


def _read(
    files: Iterable[Path], ingest_date: date
) -> Iterator[tuple[str, claim_pb2.Claim | FileProblem]]:
    for path in files:
        name = str(path)
        try:
            for item in read_claims(path, ingest_date=ingest_date):
                if isinstance(item, IntakeClaim):
                    yield name, item.claim
                elif isinstance(item, IntakeProblem):
                    yield name, FileProblem(name, item.segment, item.level, item.message)
        except (IntakeError, OSError) as error:
            yield name, FileProblem(name, 0, "error", _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return str(error)


def as_json(outcome: FileResult | FileProblem) -> dict[str, Any]:
    """Return an outcome as the object that `claimgate score --json` prints."""
    if isinstance(outcome, FileProblem):
        return {"file": outcome.file, "segment": outcome.segment, "error": outcome.message}
    result = outcome.result
    found: dict[str, Any] = {
        "file": outcome.file,
        "claim_id": result.claim_id,
        "lines": outcome.lines,
        "decision": decision_name(result.decision),
        "fraud_score": result.fraud_score,
        "allowed_cents": result.allowed_cents if result.HasField("allowed_cents") else None,
        "hits": [
            {
                "rule_id": hit.rule_id,
                "line_numbers": list(hit.line_numbers),
                "action": _short(score_pb2.Action.Name(hit.action), "ACTION_"),
                "certainty": _short(score_pb2.Certainty.Name(hit.certainty), "CERTAINTY_"),
            }
            for hit in result.hits
        ],
    }
    if result.violations:
        found["violations"] = [
            {"field": each.field, "code": each.code, "message": each.message}
            for each in result.violations
        ]
    return found


def decision_name(decision: score_pb2.Decision.ValueType) -> str:
    """Return a decision as a word, such as `approve`."""
    return _short(score_pb2.Decision.Name(decision), "DECISION_")


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
