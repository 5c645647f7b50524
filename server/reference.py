"""ReferenceService: what the answers rest on, read from the engine that gives them now."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from claimgate.v1 import policy_pb2
from claimgate.v1 import reference_service_pb2 as pb
from claimgate.v1.reference_service_pb2_grpc import ReferenceServiceServicer
from google.protobuf.timestamp_pb2 import Timestamp

from engine.codes import code36
from engine.policy import Policy, PolicyError
from engine.policy_document import document_of, policy_of
from engine.reference import ProcedureFacts, describe
from engine.rules.rule import Rule
from engine.tables.snapshot import Release
from server.calls import Context, current_call
from server.comparison import Comparison
from server.engines import Engines
from server.errors import (
    InvalidFieldError,
    NotConfiguredError,
    NotFoundError,
    PolicyChangedError,
    PolicyUnusableError,
)
from server.policies import Policies, PolicyVersion
from server.policy_database import PolicyDatabase, PolicyRow
from server.policy_messages import document_in, stamp, version_message, whole_message_of
from server.streams import check_batch, checked_view

if TYPE_CHECKING:
    from claimgate.v1 import score_pb2

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ReferenceService"].full_name

_FEE_MODIFIERS: Final = ("", "26", "TC", "53")
_CODE_LENGTH: Final = 5
_ISO_LENGTH: Final = len("2025-10-31")
_PAGE: Final = 50
_PAGE_MAX: Final = 200
_PAGE_TOKEN: Final = re.compile("[1-9][0-9]{0,8}")
_VERSION_MAX: Final = 2**31 - 2
"""Version numbers are integers of the database; the next one has to be one too."""


class ReferenceServicer(ReferenceServiceServicer):
    """Shows tables, rules and policy."""

    def __init__(
        self,
        engines: Engines,
        policies: Policies,
        comparison: Comparison,
        policy_database: PolicyDatabase | None,
    ) -> None:
        self._engines = engines
        self._policies = policies
        self._comparison = comparison
        self._policy_database = policy_database

    async def ListReleases(  # noqa: N802
        self, _request: pb.ListReleasesRequest, _context: Context
    ) -> pb.ListReleasesResponse:
        """List the releases of the snapshot."""
        reference = self._engines.engine.reference
        return pb.ListReleasesResponse(
            reference_release=reference.release,
            releases=[_release(each) for each in reference.manifest.releases],
        )

    async def GetProcedure(  # noqa: N802
        self, request: pb.GetProcedureRequest, _context: Context
    ) -> pb.GetProcedureResponse:
        """Show what the tables say of a procedure on a day."""
        code, day = _code(request.procedure_code), _day(request.date)
        if request.modifier.upper() not in _FEE_MODIFIERS:
            raise InvalidFieldError("modifier", "nothing, 26, TC or 53")
        facts = describe(self._engines.engine.reference, code, day, request.modifier)
        if not (facts.fee or facts.unit_limits or facts.hcpcs_level_2 or facts.in_pair_edits):
            raise NotFoundError("procedure in any table", procedure_code=code, date=request.date)
        return _procedure(facts)

    async def ListRules(  # noqa: N802
        self, _request: pb.ListRulesRequest, _context: Context
    ) -> pb.ListRulesResponse:
        """List every rule."""
        return pb.ListRulesResponse(rules=map(documentation, self._engines.engine.rules))

    async def GetRule(  # noqa: N802
        self, request: pb.GetRuleRequest, _context: Context
    ) -> pb.GetRuleResponse:
        """Show one rule."""
        for rule in self._engines.engine.rules:
            if rule.id == request.rule_id:
                return pb.GetRuleResponse(rule=documentation(rule))
        raise NotFoundError("rule; ListRules shows them")

    async def GetPolicy(  # noqa: N802
        self, request: pb.GetPolicyRequest, _context: Context
    ) -> pb.GetPolicyResponse:
        """Show the policy that the caller's claims are scored under, or another version of it."""
        tenant = current_call().principal.tenant
        if request.HasField("version"):
            row = await self._stored().version(tenant, _number("version", request.version))
            if row is None:
                raise NotFoundError("policy version", version=request.version)
            return _policy(_parsed(row), valid=row.in_force)
        return _policy(await self._policies.of(tenant), valid=True)

    async def UpdatePolicy(  # noqa: N802
        self, request: pb.UpdatePolicyRequest, _context: Context
    ) -> pb.UpdatePolicyResponse:
        """Store the next version of the caller's policy."""
        principal, store = current_call().principal, self._stored()
        new = PolicyVersion(
            await self._changed(store, principal.tenant, request),
            author=principal.name,
            approver=request.approver.strip(),
            reason=request.reason.strip(),
            valid_from=_moment("valid_from_time", request.valid_from_time),
            valid_to=_moment("valid_to_time", request.valid_to_time),
        )
        _check_change(new)
        added = await store.add(principal.tenant, new, request.expected_version)
        await self._policies.look(principal.tenant)
        row = await store.version(principal.tenant, added.version)
        return pb.UpdatePolicyResponse(
            policy=whole_message_of(added.policy),
            version=version_message(added, valid=row is not None and row.in_force),
        )

    async def ListPolicyVersions(  # noqa: N802
        self, request: pb.ListPolicyVersionsRequest, _context: Context
    ) -> pb.ListPolicyVersionsResponse:
        """List the stored versions of the caller's policy."""
        if not 0 <= request.page_size <= _PAGE_MAX:
            raise InvalidFieldError("page_size", f"0 to {_PAGE_MAX}")
        if request.page_token and not _PAGE_TOKEN.fullmatch(request.page_token):
            raise InvalidFieldError("page_token", "next_page_token of an earlier answer")
        count = request.page_size or _PAGE
        rows = await self._stored().versions(
            current_call().principal.tenant,
            count + 1,
            int(request.page_token) if request.page_token else None,
        )
        return pb.ListPolicyVersionsResponse(
            versions=[_listed(row) for row in rows[:count]],
            next_page_token=str(rows[count - 1].version) if len(rows) > count else "",
        )

    async def ComparePolicies(  # noqa: N802
        self, request: pb.ComparePoliciesRequest, _context: Context
    ) -> pb.ComparePoliciesResponse:
        """Score claims under two policies."""
        check_batch(len(request.batch.claims), self._comparison.claims_max)
        checked_view(request.view)
        # Taken once: both results rest on the same tables.
        tenant = current_call().principal.tenant
        engine = self._engines.under(self._engines.engine.policy, tenant).engine
        base = await self._chosen(tenant, "base", request.base)
        candidate = await self._chosen(tenant, "candidate", request.candidate)
        return await self._comparison.run(engine, base, candidate, request, tenant)

    async def _chosen(self, tenant: str, field: str, choice: pb.PolicyChoice) -> Policy:
        kind = choice.WhichOneof("choice")
        if kind is None:
            return (await self._policies.of(tenant)).policy
        if kind == "version":
            row = await self._stored().version(tenant, _number(f"{field}.version", choice.version))
            if row is None:
                raise NotFoundError("policy version", version=choice.version)
            return _parsed(row).policy
        return self._checked(f"{field}.policy", {"name": field, **document_in(choice.policy)})

    def _checked(self, path: str, document: Mapping[str, Any]) -> Policy:
        """Return the policy of a document that a caller sent at a path of the request."""
        try:
            policy = policy_of(document)
            policy.check(self._engines.engine.rules)
        except PolicyError as error:
            raise InvalidFieldError(f"{path}.{error.field}", error.expected) from error
        return policy

    def _stored(self) -> PolicyDatabase:
        if self._policy_database is None:
            raise NotConfiguredError(
                "policies are not kept in a database here", "CLAIMGATE_PRODUCTION_URL"
            )
        return self._policy_database

    async def _changed(
        self, store: PolicyDatabase, tenant: str, request: pb.UpdatePolicyRequest
    ) -> Policy:
        """Return the policy that a request makes of the version that it expects."""
        expected = _number("expected_version", request.expected_version, at_least=0)
        document = document_in(request.policy)
        before: Mapping[str, Any] = document_of(self._engines.engine.policy)
        if expected:
            row = await store.version(tenant, expected)
            if row is None:
                newest = await store.newest(tenant)
                raise PolicyChangedError(expected, newest.version if newest else 0)
            before = row.document
        if request.HasField("update_mask"):
            document = _masked(before, document, request.update_mask.paths)
        return self._checked("policy", {"name": before.get("name", tenant), **document})


def _masked(
    before: Mapping[str, Any], new: Mapping[str, Any], paths: Sequence[str]
) -> dict[str, Any]:
    """Return a document with the named fields of another; those left out there have defaults."""
    for at, path in enumerate(paths):
        if path not in policy_pb2.Policy.DESCRIPTOR.fields_by_name:
            raise InvalidFieldError(
                f"update_mask.paths[{at}]", "a field of Policy, such as review_min or overrides"
            )
    kept = {name: value for name, value in before.items() if name not in paths}
    return kept | {name: value for name, value in new.items() if name in paths}


def _check_change(new: PolicyVersion) -> None:
    """Refuse a change that nobody else approved, that has no reason or that never holds."""
    if not new.reason:
        raise InvalidFieldError("reason", "why the policy is changed")
    if not new.approver or new.approver == new.author:
        raise InvalidFieldError("approver", f"somebody other than the author, {new.author}")
    begins = new.valid_from or datetime.now(UTC)
    if new.valid_to and new.valid_to <= begins:
        raise InvalidFieldError("valid_to_time", "a moment after the one from which it holds")


def _policy(version: PolicyVersion, *, valid: bool) -> pb.GetPolicyResponse:
    policy = version.policy
    return pb.GetPolicyResponse(
        policy_version=policy.version,
        review_min=policy.review_min,
        deny_min=policy.deny_min,
        approval_threshold=policy.approval_threshold,
        model_weight=policy.model_weight,
        ml_reject_policy=policy.ml_reject_policy,
        auto_partial=policy.auto_partial,
        format_reject_mode=policy.format_reject_mode,
        allow_zero_charge=policy.allow_zero_charge,
        policy=whole_message_of(policy),
        version=version_message(version, valid=valid),
    )


def _parsed(row: PolicyRow) -> PolicyVersion:
    try:
        return row.parsed()
    except PolicyError as error:
        raise PolicyUnusableError(error.field, error.expected) from error


def _listed(row: PolicyRow) -> policy_pb2.PolicyVersion:
    return policy_pb2.PolicyVersion(
        version=row.version,
        policy_version=row.policy_version,
        author=row.author,
        approver=row.approver,
        reason=row.reason,
        valid_from_time=stamp(row.valid_from),
        valid_to_time=stamp(row.valid_to),
        create_time=stamp(row.created_at),
        valid=row.in_force,
    )


def _number(field: str, number: int, at_least: int = 1) -> int:
    if not at_least <= number <= _VERSION_MAX:
        raise InvalidFieldError(field, f"{at_least} or more")
    return number


def _moment(field: str, sent: Timestamp) -> datetime | None:
    """Return a moment that was sent; the first of 1970 counts as left out."""
    if sent == Timestamp():
        return None
    try:
        return sent.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidFieldError(field, "a moment of the years 1 to 9999") from error


def documentation(rule: Rule) -> pb.RuleDocumentation:
    """Return a rule's documentation, from the fields that the engine runs by."""
    return pb.RuleDocumentation(
        rule_id=rule.id,
        summary=rule.summary,
        category=cast("score_pb2.Category.ValueType", rule.category.value),
        scope=cast("score_pb2.Scope.ValueType", rule.scope.value),
        severity=cast("score_pb2.Severity.ValueType", rule.severity.value),
        variants=[
            pb.RuleVariant(
                name=case.name,
                weight=case.weight,
                action=cast("score_pb2.Action.ValueType", case.action.value),
                certainty=cast("score_pb2.Certainty.ValueType", case.certainty.value),
            )
            for case in rule.cases
        ],
        citation=rule.cites,
        carc=rule.carc,
        needs=sorted({*rule.datasets, *rule.needs}),
        parameters={name: _text(value) for name, value in rule.params.items()},
        examples=[
            pb.RuleExample(name=each.name, hit=each.hit, claim=str(each)) for each in rule.examples
        ],
        caveat=rule.caveat,
    )


def _release(release: Release) -> pb.Release:
    return pb.Release(
        dataset=release.dataset,
        release_id=release.release_id,
        from_date=_iso(release.from_date),
        to_date=_iso(release.to_date),
        serves_from_date=_iso(release.serves_from_date),
        serves_to_date=_iso(release.serves_to_date),
        rows=release.rows,
        rows_left_out=release.rows_left_out,
        source_hashes=[f"{file.name}:{file.sha256}" for file in release.files],
    )


def _procedure(facts: ProcedureFacts) -> pb.GetProcedureResponse:
    response = pb.GetProcedureResponse(
        procedure_code=facts.procedure_code,
        modifier=facts.modifier,
        unit_limits=[
            pb.UnitLimit(
                setting=each.setting,
                limit=each.limit,
                adjudication_indicator=each.adjudication_indicator,
                release_id=each.release,
            )
            for each in facts.unit_limits
        ],
    )
    if fee := facts.fee:
        response.MergeFrom(
            pb.GetProcedureResponse(
                mpfs_release=fee.release,
                status=fee.status,
                work_rvu_e2=fee.work_e2,
                non_facility_pe_rvu_e2=fee.non_facility_pe_e2,
                facility_pe_rvu_e2=fee.facility_pe_e2,
                malpractice_rvu_e2=fee.malpractice_e2,
                non_facility_na=fee.non_facility_na,
                facility_na=fee.facility_na,
                global_days=fee.global_days,
                pctc=fee.pctc,
                multiple_procedure=fee.multiple_procedure,
                bilateral=fee.bilateral,
                assistant=fee.assistant,
                co_surgeon=fee.co_surgeon,
                team=fee.team,
                conversion_factor_e4=fee.conversion_factor_e4,
            )
        )
    return response


def _code(text: str) -> str:
    code = text.strip().upper()
    if len(code) != _CODE_LENGTH or code36(code) <= 0:
        raise InvalidFieldError("procedure_code", "a CPT or HCPCS code of five characters")
    return code


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or len(text) != _ISO_LENGTH:
        raise InvalidFieldError("date", "an ISO date such as 2025-10-31")
    return day


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


def _text(value: object) -> str:
    """Return a parameter as text; lists are joined."""
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(sorted(map(str, value)))
    return str(value)
