"""ReferenceService: what the answers rest on, read from the engine that gives them now."""

from datetime import date
from typing import TYPE_CHECKING, Final, cast

from claimgate.v1 import reference_service_pb2 as pb
from claimgate.v1.reference_service_pb2_grpc import ReferenceServiceServicer

from engine.codes import code36
from engine.reference import ProcedureFacts, describe
from engine.rules.rule import Rule
from engine.tables.snapshot import Release
from server.calls import Context
from server.engines import Engines
from server.errors import InvalidFieldError, NotFoundError

if TYPE_CHECKING:
    from claimgate.v1 import score_pb2

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ReferenceService"].full_name

_FEE_MODIFIERS: Final = ("", "26", "TC", "53")
_CODE_LENGTH: Final = 5
_ISO_LENGTH: Final = len("2025-10-31")


class ReferenceServicer(ReferenceServiceServicer):
    """Shows tables, rules and policy."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

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
        self, _request: pb.GetPolicyRequest, _context: Context
    ) -> pb.GetPolicyResponse:
        """Show the policy that the caller's claims are scored under."""
        policy = self._engines.engine.policy
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
        )


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
