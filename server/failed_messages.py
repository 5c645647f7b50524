"""Failed claims between the store and the API: the same words, as enumerations."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar

from claimgate.v1 import failed_claim_pb2 as pb

from loader.failed.filter import FailedFilter, Order
from loader.failed.review import AT_ONCE, Chosen, Done
from loader.failed.stats import Stats
from loader.failed.store import FailedDetail, FailedRow
from loader.failed.words import Category, FailedStatus, Resolution
from server.errors import InvalidFieldError
from server.policy_messages import stamp

Word = TypeVar("Word", bound=StrEnum)

Enum: TypeAlias = Any
"""An enumeration of the API: a wrapper at run time, a class in the stubs."""

IDS_MAX: Final = 1_000
_AGE_S_MAX: Final = 100 * 366 * 86_400
_CENTS_MAX: Final = 10**15 - 1
_UNSPECIFIED: Final = 0


def word_in(kind: type[Word], enum: Enum, field: str, number: int) -> Word:
    """Return the word of an enumeration's value.

    Raises:
        InvalidFieldError: it is unspecified, or no value that this version knows.
    """
    known = {value: name for name, value in enum.items()}
    if number == _UNSPECIFIED or number not in known:
        names = [name for name, value in enum.items() if value != _UNSPECIFIED]
        raise InvalidFieldError(field, f"one of {', '.join(names)}")
    return kind(known[number].removeprefix(_prefix(enum)).lower())


def number_of(enum: Enum, word: str | None) -> Any:
    """Return the value that an enumeration has for a word; unspecified for none."""
    return enum.Value(_prefix(enum) + word.upper()) if word else _UNSPECIFIED


def _prefix(enum: Enum) -> str:
    """Return how the names of an enumeration begin."""
    return str(enum.Name(_UNSPECIFIED)).removesuffix("UNSPECIFIED")


# What is asked. -----------------------------------------------------------------------------------


def filter_in(message: pb.FailedClaimFilter, path: str) -> FailedFilter:
    """Return the filter of a request; `path` is where it stands there."""
    now = datetime.now(UTC)
    return FailedFilter(
        categories=_words(Category, pb.FailureCategory, f"{path}.categories", message.categories),
        statuses=_words(FailedStatus, pb.FailedClaimStatus, f"{path}.statuses", message.statuses),
        assignee=_text(message, path, "assignee") if message.HasField("assignee") else None,
        reason_code=_text(message, path, "reason_code"),
        facility_id=_text(message, path, "facility_id"),
        claim_id=_text(message, path, "claim_id"),
        failed_to=_ago(now, _bounded(message, path, "age_seconds_min", _AGE_S_MAX)),
        failed_from=_ago(now, _bounded(message, path, "age_seconds_max", _AGE_S_MAX)),
        charge_cents_min=_bounded(message, path, "charge_cents_min", _CENTS_MAX),
        charge_cents_max=_bounded(message, path, "charge_cents_max", _CENTS_MAX),
    )


def order_in(number: int) -> Order:
    """Return the order of a request; left out, the most urgent first."""
    number = number or pb.FAILED_CLAIM_ORDER_URGENCY
    return word_in(Order, pb.FailedClaimOrder, "order", number)


def selection_in(message: pb.FailedClaimSelection) -> Chosen:
    """Return which claims a request changes.

    Raises:
        InvalidFieldError: it says neither which nor what they have in common, or both.
    """
    ids = list(dict.fromkeys(message.failed_ids))
    if bool(ids) == message.HasField("filter"):
        raise InvalidFieldError("selection", "failed_ids, or a filter, and not both")
    if ids:
        if len(ids) > IDS_MAX:
            raise InvalidFieldError("selection.failed_ids", f"at most {IDS_MAX}")
        return Chosen.by_id(ids, dry_run=message.dry_run)
    chosen = filter_in(message.filter, "selection.filter")
    return Chosen(chosen, message.limit or AT_ONCE, message.dry_run)


def _words(kind: type[Word], enum: Enum, field: str, numbers: Sequence[int]) -> tuple[Word, ...]:
    return tuple(
        word_in(kind, enum, f"{field}[{place}]", number) for place, number in enumerate(numbers)
    )


def _text(message: pb.FailedClaimFilter, path: str, name: str) -> str:
    text: str = getattr(message, name)
    if "\0" in text:
        raise InvalidFieldError(f"{path}.{name}", "text without NUL characters")
    return text


def _bounded(message: pb.FailedClaimFilter, path: str, name: str, most: int) -> int | None:
    if not message.HasField(name):  # type: ignore[arg-type] # of four names
        return None
    number: int = getattr(message, name)
    if not 0 <= number <= most:
        raise InvalidFieldError(f"{path}.{name}", f"0 to {most}")
    return number


def _ago(now: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else now - timedelta(seconds=seconds)


# What is answered. --------------------------------------------------------------------------------


def row_message(row: FailedRow) -> pb.FailedClaim:
    """Return a failed claim."""
    return pb.FailedClaim(
        failed_id=row.failed_id,
        claim_id=row.claim_id,
        claim_version=row.claim_version,
        category=number_of(pb.FailureCategory, row.category),
        stage=row.stage,
        reasons=[pb.FailureReason(**reason) for reason in row.reasons],
        facility_id=row.facility_id,
        charge_cents=row.charge_cents,
        status=number_of(pb.FailedClaimStatus, row.status),
        assignee=row.assignee,
        attempt_count=row.attempts,
        retry_count=row.retries,
        next_attempt_time=stamp(row.next_attempt_at),
        fail_time=stamp(row.failed_at),
        update_time=stamp(row.updated_at),
        age_seconds=int(row.age_s),
        urgency=row.urgency,
        resolution=number_of(pb.FailedClaimResolution, row.resolution),
        resolve_time=stamp(row.resolved_at),
        resolver=row.resolved_by,
        repair_count=row.repairs,
    )


def detail_message(detail: FailedDetail) -> pb.FailedClaimDetail:
    """Return a failed claim with its history, without its payload."""
    return pb.FailedClaimDetail(
        failed_claim=row_message(detail.row),
        changes=[
            pb.FailedClaimChange(
                before=number_of(pb.FailedClaimStatus, each.from_status),
                after=number_of(pb.FailedClaimStatus, each.to_status),
                change_time=stamp(each.changed_at),
                author=each.changed_by,
                assignee=each.assignee,
                resolution=number_of(pb.FailedClaimResolution, each.resolution),
            )
            for each in detail.changes
        ],
        notes=[
            pb.FailedClaimNote(
                text=each.text, author=each.written_by, create_time=stamp(each.written_at)
            )
            for each in detail.notes
        ],
        repairs=[
            pb.ClaimRepair(
                step=each.step,
                fields=each.fields,
                automatic=each.automatic,
                author=each.repaired_by,
                repair_time=stamp(each.repaired_at),
                undo_author=each.undone_by,
                undo_time=stamp(each.undone_at),
            )
            for each in detail.repairs
        ],
    )


def outcome_message(done: Done) -> pb.FailedClaimOutcome:
    """Return what a call changed."""
    return pb.FailedClaimOutcome(
        changed_ids=done.changed,
        refused=[
            pb.RefusedFailedClaim(
                failed_id=each.failed_id,
                status=number_of(pb.FailedClaimStatus, each.status),
                reason=each.reason,
            )
            for each in done.refused
        ],
        matched=done.matched,
    )


def unsettled_messages(stats: Stats) -> list[pb.UnsettledFailedClaims]:
    """Return what has not ended."""
    return [
        pb.UnsettledFailedClaims(
            category=number_of(pb.FailureCategory, each.category),
            status=number_of(pb.FailedClaimStatus, each.status),
            claim_count=each.claims,
            charge_cents=each.charge_cents,
            oldest_seconds=int(each.oldest_s),
        )
        for each in stats.unsettled
    ]


def ended_messages(stats: Stats) -> list[pb.EndedFailedClaims]:
    """Return what has ended."""
    return [
        pb.EndedFailedClaims(
            resolution=number_of(pb.FailedClaimResolution, each.resolution),
            category=number_of(pb.FailureCategory, each.category),
            claim_count=each.claims,
            charge_cents=each.charge_cents,
            mean_seconds=each.mean_s,
            median_seconds=each.median_s,
        )
        for each in stats.ended
    ]


def resolution_in(number: int) -> Resolution:
    """Return how a request ends claims."""
    return word_in(Resolution, pb.FailedClaimResolution, "resolution", number)
