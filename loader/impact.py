"""What other tables do to claims: the same claims scored twice by one engine, and what differs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

from claimgate.v1 import claim_pb2, score_pb2

from engine.gathered import Gathered, ModelAnswer
from engine.pipeline import Engine
from engine.reference import Reference
from loader.intake import IntakeClaim, IntakeProblem, read_claims
from loader.score_files import decision_name

_MESSAGE_CLAIMS: Final = 200
_SUFFIXES: Final = (".837", ".x12", ".edi", ".txt", ".json", ".jsonl", ".ndjson", ".gz")


@dataclass(slots=True)
class Amount:
    """A sum of money under both sets of tables, in cents."""

    before_cents: int = 0
    after_cents: int = 0

    @property
    def difference_cents(self) -> int:
        """How much more there is afterwards."""
        return self.after_cents - self.before_cents


@dataclass(slots=True)
class Impact:
    """What differs in the answers to a set of claims."""

    claims: int = 0
    claims_changed: int = 0
    """Claims with another decision, other money or other findings."""
    problems: int = 0
    """What of the files could not be read as a claim."""
    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Claims by decision before and after, where it is another."""
    allowed: Amount = field(default_factory=Amount)
    payable: Amount = field(default_factory=Amount)
    exposure: Amount = field(default_factory=Amount)
    hits_appeared: Counter[str] = field(default_factory=Counter)
    hits_disappeared: Counter[str] = field(default_factory=Counter)

    def facts(self) -> dict[str, Any]:
        """Return it as the object that is printed."""
        return {
            "claims": self.claims,
            "claims_changed": self.claims_changed,
            "problems": self.problems,
            "decisions": [
                {"from": before, "to": after, "claims": claims}
                for (before, after), claims in sorted(self.decisions.items())
            ],
            **{
                f"{name}_cents": {
                    "before": amount.before_cents,
                    "after": amount.after_cents,
                    "difference": amount.difference_cents,
                }
                for name, amount in self.amounts().items()
            },
            "hits_appeared": dict(sorted(self.hits_appeared.items())),
            "hits_disappeared": dict(sorted(self.hits_disappeared.items())),
        }

    def amounts(self) -> dict[str, Amount]:
        """Return the sums by name."""
        return {"allowed": self.allowed, "payable": self.payable, "exposure": self.exposure}


def impact(before: Reference, after: Reference, paths: Sequence[Path], day: date) -> Impact:
    """Score the claims of files and folders under both sets of tables, without a model.

    Args:
        before: Tables in use.
        after: Tables that are to take their place.
        paths: 837 or JSON lines, plain or gzip, and folders of such files.
        day: The day on which claims count as received where a file says none.
    """
    one = Engine.with_all_rules(before)
    other = Engine(one.rules, after, one.policy)
    found = Impact()
    for message in _messages(_claims(paths, day, found)):
        pairs = zip(_scored(one, message), _scored(other, message), strict=True)
        for was, becomes in pairs:
            _count(found, was, becomes)
    return found


def _scored(engine: Engine, message: score_pb2.ClaimBatch) -> Sequence[score_pb2.ClaimResult]:
    read = engine.read([message])
    [answer] = engine.score(read, Gathered(ModelAnswer.disabled()), [score_pb2.VIEW_EVIDENCE])
    return answer.results


def _count(found: Impact, was: score_pb2.ClaimResult, becomes: score_pb2.ClaimResult) -> None:
    found.claims += 1
    hits = [Counter(hit.rule_id for hit in each.hits) for each in (was, becomes)]
    found.hits_disappeared += hits[0] - hits[1]
    found.hits_appeared += hits[1] - hits[0]
    decisions = decision_name(was.decision), decision_name(becomes.decision)
    if decisions[0] != decisions[1]:
        found.decisions[decisions] += 1
    money = [_money(each) for each in (was, becomes)]
    for amount, before_cents, after_cents in zip(found.amounts().values(), *money, strict=True):
        amount.before_cents += before_cents
        amount.after_cents += after_cents
    found.claims_changed += (
        decisions[0] != decisions[1] or money[0] != money[1] or _findings(was) != _findings(becomes)
    )


def _findings(result: score_pb2.ClaimResult) -> list[tuple[str, tuple[int, ...], str]]:
    """Return what was found where; a figure in the evidence may change without another finding."""
    return sorted((hit.rule_id, tuple(hit.line_numbers), hit.variant) for hit in result.hits)


def _money(result: score_pb2.ClaimResult) -> tuple[int, int, int]:
    return (
        result.allowed_cents,
        sum(line.payable_cents for line in result.lines),
        result.exposure_cents,
    )


def _messages(claims: Iterable[claim_pb2.Claim]) -> Iterator[score_pb2.ClaimBatch]:
    """Cut claims into messages; an id that a message already holds begins a new one."""
    message, ids = score_pb2.ClaimBatch(), set[tuple[str, int]]()
    for claim in claims:
        key = claim.claim_id, claim.claim_version
        if len(message.claims) >= _MESSAGE_CLAIMS or key in ids:
            yield message
            message, ids = score_pb2.ClaimBatch(), set()
        ids.add(key)
        message.claims.append(claim)
    if message.claims:
        yield message


def _claims(paths: Sequence[Path], day: date, found: Impact) -> Iterator[claim_pb2.Claim]:
    for path in _files(paths):
        for item in read_claims(path, ingest_date=day):
            if isinstance(item, IntakeClaim):
                yield item.claim
            elif isinstance(item, IntakeProblem) and item.level == "error":
                found.problems += 1


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.suffix.lower() in _SUFFIXES)
            if not files:
                raise FileNotFoundError(
                    f"{path} holds no file of claims; expected one of {', '.join(_SUFFIXES)}"
                )
            yield from files
        elif path.is_file():
            yield path
        else:
            raise FileNotFoundError(f"{path} is not there; give a file or folder of claims")
