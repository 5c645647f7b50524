"""Loops from 2300 down: one claim, from its CLM to the segment that ends it."""

from dataclasses import dataclass
from typing import Final

from claimgate.v1 import claim_pb2

from loader.intake.claim_loop import ClaimLoop
from loader.intake.cursor import Cursor, Handler, Steps, ignored
from loader.intake.guide import (
    CLAIM_SEGMENTS_MAX,
    ICD9_LAST_DAY,
    INSTITUTIONAL,
    PARTY_LEVELS,
    Guide,
    Role,
)
from loader.intake.hi import HealthCodes
from loader.intake.item import Code
from loader.intake.line_loop import LineLoop
from loader.intake.open_claim import OpenClaim
from loader.intake.parties import Finding, name_provider, place_provider
from loader.intake.payer_loop import PayerLoop

_STILL_PATIENT: Final = "30"
_IGNORED: Final = ignored(
    *("N3", "PER", "OI", "MIA", "MOA", "NTE", "K3", "CN1", "CR1", "CR2", "CR3", "CRC", "HCP"),
    *("PS1", "QTY", "MEA", "FRM", "DMG"),
)


@dataclass(frozen=True, slots=True)
class BuiltClaim:
    """A claim whose last segment is read, and all that was found."""

    claim: claim_pb2.Claim
    segment: int
    findings: list[Finding]
    lost_level: str
    """The level of the hierarchy whose HL is lost, so that it does not hold any more; or empty."""

    @property
    def refused(self) -> bool:
        """Whether something was found for which the claim cannot be handed out."""
        return any(level == "error" for _, level, _, _ in self.findings)


class ClaimBuilder:
    """Builds the claims of a transaction one after the other."""

    def __init__(self, cursor: Cursor, guide: Guide) -> None:
        """Take the guide; no claim is open."""
        self._cursor = cursor
        self._open = OpenClaim(cursor, guide)
        self._claim = ClaimLoop(self._open)
        self._payer = PayerLoop(self._open)
        self._line = LineLoop(self._open, self._payer.leave)
        self._codes = HealthCodes(self._open)
        self._facility_number = ""
        self._roles = {
            "2300": guide.claim_roles,
            "2320": guide.payer_roles,
            "2400": guide.line_roles,
        }
        self.steps = self._steps()
        self.is_open = False

    def _steps(self) -> Steps:
        claim, payer, line = self._claim, self._payer, self._line
        return {
            **_IGNORED,
            "HI": (self._on(self._codes.hi, None, None), 0),
            "CL1": (self._on(claim.cl1, None, None), 4),
            "DTP": (self._on(claim.dtp, payer.dtp, line.dtp), 4),
            "REF": (self._on(self._claim_ref, None, line.ref, quiet=True), 3),
            "AMT": (self._on(claim.amt, payer.amt, None, quiet=True), 3),
            "PWK": (self._on(claim.pwk, None, line.pwk), 3),
            "LQ": (self._on(None, None, line.lq, quiet=True), 2),
            "CAS": (self._on(None, payer.cas, line.cas), 0),
            "NM1": (self._nm1, 10),
            "N4": (self._n4, 4),
            "PRV": (self._prv, 4),
            "SBR": (payer.sbr, 10),
            "LX": (line.lx, 2),
            "SV1": (line.sv1, 10),
            "SV2": (line.sv2, 8),
            **{
                name: (self._on(None, None, step), width)
                for name, step, width in (
                    ("SV5", line.sv5, 6),
                    ("LIN", line.lin, 4),
                    ("CTP", line.ctp, 6),
                    ("SVD", line.svd, 6),
                )
            },
        }

    def _on(
        self,
        claim: Handler | None,
        payer: Handler | None,
        line: Handler | None,
        *,
        quiet: bool = False,
    ) -> Handler:
        """Return a step that does what its segment means in loop 2300, 2320 or 2400."""
        handlers = {"2300": claim, "2320": payer, "2400": line}
        open_claim = self._open

        def step(elements: list[str]) -> None:
            handler = handlers[open_claim.level]
            if handler is not None:
                handler(elements)
            elif not quiet:
                self._open.misplaced(f"the segment does not belong in loop {open_claim.level}")

        return step

    def unexpected(self) -> None:
        """Note a segment that the guide does not have; it may have been the name of a provider."""
        self._open.provider = None
        self._open.warn(
            Code.UNEXPECTED_SEGMENT, "the guide has no such segment in a claim; it is not read"
        )

    def refuse(self, code: Code, message: str) -> None:
        """Note something for which the open claim cannot be handed out."""
        self._open.refuse(code, message)

    def warn(self, code: Code, message: str) -> None:
        """Note something about the open claim that does not lose it."""
        self._open.warn(code, message)

    def open(self, claim: claim_pb2.Claim, findings: list[Finding], elements: list[str]) -> None:
        """Start a claim from its CLM (21 elements) and what is known above it."""
        self.is_open = True
        self._facility_number = ""
        self._open.begin(claim, findings)
        self._claim.clm(elements)

    def outgrown(self) -> bool:
        """Whether the open claim has more segments than any real one."""
        return self.is_open and self._cursor.number - self._open.segment > CLAIM_SEGMENTS_MAX

    def close(self) -> BuiltClaim:
        """End the claim: check that it is complete, and derive what follows from its segments."""
        self._line.leave()
        self._payer.leave()
        claim, guide, segment = self._open.claim, self._open.guide, self._open.segment
        if not claim.lines:
            self._open.refuse(
                Code.MISSING_LOOP, "the claim has no service line; expected loop 2400", segment
            )
        for name in guide.claim_required:
            if name not in self._open.present:
                self._open.warn(
                    Code.MISSING_SEGMENT, f"loop 2300 has no {name}, which it requires", segment
                )
        self._set_days(claim)
        if "ICD-9" in self._open.present and claim.service_to_date > ICD9_LAST_DAY:
            self._open.warn(
                Code.ICD9,
                f"ICD-9 codes on services after {ICD9_LAST_DAY}, which the service will reject; "
                "expected ICD-10 (ABK, ABF, ...)",
                segment,
            )
        biller = claim.billing_provider
        claim.facility_id = self._facility_number or biller.npi or biller.tin
        self.is_open = False
        return BuiltClaim(claim, segment, self._open.findings, self._open.lost_level)

    def _set_days(self, claim: claim_pb2.Claim) -> None:
        """Span a professional claim over its lines; end a stay with its statement."""
        days = self._open.days
        if self._open.guide is not INSTITUTIONAL:
            if days:
                claim.service_from_date, claim.service_to_date = min(days), max(days)
        elif claim.patient_status and claim.patient_status != _STILL_PATIENT:
            claim.discharge_date = claim.service_to_date

    def _claim_ref(self, elements: list[str]) -> None:
        if self._open.loop == "2300":
            self._claim.ref(elements)

    def _nm1(self, elements: list[str]) -> None:
        level, code = self._open.level, elements[1]
        role = self._roles[level].get(code)
        self._open.provider = None
        if role is None:
            self._stray_name(code)
            return
        self._open.loop = role.loop
        if code in self._open.roles:
            self.warn(
                Code.REPEATED_LOOP,
                f"loop {role.loop} occurs again in loop {level}; the first one holds",
            )
            return
        self._open.roles.add(code)
        self._name(role, elements)

    def _stray_name(self, code: str) -> None:
        """Pass over a name of no role here; one from above the claim shows that an HL is lost."""
        level = self._open.level
        self._open.loop = ""
        if code in PARTY_LEVELS:
            self._open.misplaced("NM1 names a party above the claim", PARTY_LEVELS[code])
            return
        expected = ", ".join(self._roles[level])
        self.warn(
            Code.ENTITY_CODE, f"NM101 does not fit in loop {level}; expected one of {expected}"
        )

    def _name(self, role: Role, elements: list[str]) -> None:
        if self._open.level == "2320":
            self._payer.nm1(elements)
        elif role.field:
            owner = self._line.line if self._open.level == "2400" else self._open.claim
            self._open.provider = getattr(owner, role.field)
            name_provider(self._open.provider, elements)
            if role.loop in {"2310C", "2310E"} and role.field == "facility_provider":
                self._facility_number = elements[9]

    def _n4(self, elements: list[str]) -> None:
        if self._open.provider is not None:
            place_provider(self._open.provider, elements)

    def _prv(self, elements: list[str]) -> None:
        if self._open.provider is not None and elements[3]:
            self._open.provider.taxonomy = elements[3]
