"""Versions, amendments and batches of claims between the store and the API."""

from typing import Final

from claimgate.v1 import claim_life_pb2 as pb
from claimgate.v1 import claim_service_pb2 as service
from claimgate.v1 import score_pb2

from loader.claims.amendment import Amendment, LineChange
from loader.claims.batches import BatchState
from loader.claims.versions import Result, Version
from loader.claims.watch import Report
from server.errors import InvalidFieldError
from server.failed_messages import number_of
from server.policy_messages import stamp

_CLAIM_ID_MAX: Final = 200
_BATCH_ID_MAX: Final = 200
_CHANGES_MAX: Final = 1_000


def claim_id_in(sent: str) -> str:
    """Return the claim id of a request."""
    return _text_in("claim_id", sent, _CLAIM_ID_MAX)


def batch_id_in(sent: str) -> str:
    """Return the batch id of a request."""
    return _text_in("batch_id", sent, _BATCH_ID_MAX)


def _text_in(field: str, sent: str, length_max: int) -> str:
    if not 1 <= len(sent) <= length_max or "\0" in sent:
        raise InvalidFieldError(field, f"1 to {length_max} characters")
    return sent


def amendment_in(request: service.AmendClaimRequest) -> Amendment:
    """Return the amendment of a request."""
    if request.base_version < 1:
        raise InvalidFieldError("base_version", "the version that the caller has seen, 1 or more")
    paths = len(request.update_mask.paths) + sum(len(e.update_mask.paths) for e in request.lines)
    if paths > _CHANGES_MAX or len(request.lines) > _CHANGES_MAX:
        raise InvalidFieldError("update_mask", f"at most {_CHANGES_MAX} fields in all")
    return Amendment(
        request.base_version,
        tuple(request.update_mask.paths),
        request.claim,
        tuple(
            LineChange(each.line_number, tuple(each.update_mask.paths), each.line)
            for each in request.lines
        ),
        request.void,
    )


def version_message(version: Version) -> pb.ClaimVersion:
    """Return a version as the API has it."""
    return pb.ClaimVersion(
        claim_id=version.claim_id,
        claim_version=version.claim_version,
        content_sha256=version.content_sha256,
        frequency_code=version.frequency_code,
        load_time=stamp(version.loaded_at),
        commit_seq=version.commit_seq,
        load_batch_id=str(version.batch_id),
        total_charge_cents=version.total_charge_cents,
        results=map(_result_message, version.results),
        superseded_by_version=version.superseded_by or 0,
        archived=version.archived,
    )


def _result_message(result: Result) -> pb.VersionResult:
    return pb.VersionResult(
        result_no=result.result_no,
        decision=number_of(score_pb2.Decision, result.decision),
        exposure_cents=result.exposure_cents,
        allowed_cents=result.allowed_cents,
        store_time=stamp(result.stored_at),
    )


def progress_message(state: BatchState) -> pb.BatchProgress:
    """Return how far a batch is, as the API has it."""
    return pb.BatchProgress(
        batch_id=state.batch_id,
        claims_by_status=state.statuses,
        claim_count=state.claims,
        left_count=state.left,
        has_ended=state.ended,
    )


def report_message(report: Report) -> pb.BatchProgress:
    """Return a report of a watched batch, as the API has it."""
    message = progress_message(report.state)
    message.claims_by_decision.update(report.decisions)
    message.claims_per_second = report.claims_per_s
    if report.eta_s is not None:
        message.eta_seconds = report.eta_s
    return message
