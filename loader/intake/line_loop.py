"""Loops 2400, 2410 and 2430: service lines, their drugs, and earlier payers' decisions on them."""

from collections.abc import Callable
from typing import Final

from claimgate.v1 import claim_pb2

from loader.intake.guide import CLAIM_LINES_MAX
from loader.intake.item import Code
from loader.intake.open_claim import OpenClaim
from loader.intake.payer_loop import adjust

_POINTERS: Final = {str(number): number for number in range(1, 100)}
_POINTERS_MAX: Final = 4
_REFS: Final = {"6R": "line_control_number", "G1": "prior_authorization_number"}
_CERTIFICATE: Final = "CT"
_WITH_THE_PAYER: Final = ("AB", "AD", "AF")
"""Sent before, in the claim, or in its notes."""
_NOT_REQUIRED: Final = "AG"
_CERTIFICATE_FORM: Final = "UT"
"""LQ01 of Medicare's certificates of medical necessity for equipment."""
_REF_ATTRIBUTES: Final = {"9F": "referral_number", "X4": "clia_number"}


class LineLoop:
    """Reads LX and what follows it, up to the next line or claim."""

    def __init__(self, open_claim: OpenClaim, leave_payer: Callable[[], None]) -> None:
        """Take the state that all loops of the claim share, and how loop 2320 ends."""
        self._open = open_claim
        self._leave_payer = leave_payer
        self.line = claim_pb2.ServiceLine()
        self._billed = self._dated = False
        self._segment = 0
        self._decision: claim_pb2.PriorAdjudication | None = None

    def lx(self, elements: list[str]) -> None:
        """Open the line that LX (2 elements) numbers."""
        text = elements[1]
        self.leave()
        number = int(text) if text.isdecimal() and text.isascii() and len(text) <= 6 else 0
        if not number:
            self._open.warn(
                Code.LINE_NUMBER,
                "LX01 is not a line number; expected 1 to 999: numbered by position",
            )
        self._begin(number or len(self._open.claim.lines) + 1)

    def _begin(self, number: int) -> None:
        lines = self._open.claim.lines
        if len(lines) == CLAIM_LINES_MAX:
            self._open.refuse(Code.CLAIM_SIZE, f"more than {CLAIM_LINES_MAX} service lines")
            del lines[:]
        self._leave_payer()
        self._open.enter("2400")
        self._billed = self._dated = False
        self._decision = None
        self._segment = self._open.number
        self.line = lines.add(line_number=number)

    def leave(self) -> None:
        """Check a line whose last segment is read."""
        if self._open.level != "2400":
            return
        guide = self._open.guide
        if not self._billed:
            self._open.refuse(
                Code.MISSING_SEGMENT,
                f"loop 2400 has no {guide.service_segment}, which it requires",
                self._segment,
            )
        elif guide.line_days_required and not self._dated:
            self._open.warn(
                Code.MISSING_SEGMENT, "loop 2400 has no DTP*472, which it requires", self._segment
            )

    def _bill(self, segment: str) -> claim_pb2.ServiceLine:
        """Return the line that a service segment bills; one without LX opens its own."""
        guide = self._open.guide
        if segment != guide.service_segment:
            self._open.warn(
                Code.UNEXPECTED_SEGMENT,
                f"{segment} does not fit an {guide.name}; expected {guide.service_segment}: "
                "it is read as it stands",
            )
        if self._open.level != "2400" or self._billed:
            self.leave()
            self._begin(len(self._open.claim.lines) + 1)
            self._open.warn(
                Code.MISSING_SEGMENT, f"{segment} without an LX before it: numbered by position"
            )
        self._billed = True
        return self.line

    def sv1(self, elements: list[str]) -> None:
        """Read SV1 (10 elements): procedure, charge, units, place, pointers, emergency."""
        _, procedure, charge, basis, units, place, _, pointers, _, emergency = elements[:10]
        line = self._bill("SV1")
        self._procedure(line, procedure)
        self._charge(line, charge, basis, units, "SV1")
        if place:
            line.place_of_service = place
        if pointers:
            self._point(line, pointers)
        if emergency == "Y":
            line.emergency_indicator = True

    def sv2(self, elements: list[str]) -> None:
        """Read SV2 (8 elements): revenue code, procedure, charge, units, charge not covered."""
        _, revenue, procedure, charge, basis, units, _, non_covered = elements[:8]
        line = self._bill("SV2")
        if revenue:
            line.revenue_code = revenue.zfill(4)
        else:
            self._open.warn(Code.MISSING_SEGMENT, "SV201, the revenue code, is missing")
        self._procedure(line, procedure)
        self._charge(line, charge, basis, units, "SV2")
        if non_covered:
            line.non_covered_charge_cents = self._open.cents(non_covered, "SV207")

    def _procedure(self, line: claim_pb2.ServiceLine, text: str) -> None:
        """Take qualifier, code and modifiers; the seventh component is free text and is dropped."""
        if not text:
            return
        parts = self._open.parts(text)
        line.procedure_qualifier = parts[0]
        if len(parts) > 1:
            line.procedure_code = parts[1].strip()
            line.modifiers.extend(filter(None, parts[2:6]))

    def _charge(
        self, line: claim_pb2.ServiceLine, charge: str, basis: str, units: str, segment: str
    ) -> None:
        first = 2 if segment == "SV1" else 3
        line.charge_cents = self._open.cents(charge, f"{segment}{first:02}")
        line.units_milli = self._open.milli(units, f"{segment}{first + 2:02}")
        line.unit_basis = basis
        if basis not in self._open.guide.unit_bases:
            expected = " or ".join(sorted(self._open.guide.unit_bases))
            self._open.warn(
                Code.CODE_VALUE, f"{segment}{first + 1:02} is not a unit; expected {expected}"
            )

    def _point(self, line: claim_pb2.ServiceLine, text: str) -> None:
        """Take the pointers; one that is no number becomes 0, which points to nothing."""
        pointers = [_POINTERS.get(part, 0) for part in self._open.parts(text)]
        if 0 in pointers or len(pointers) > _POINTERS_MAX:
            self._open.warn(
                Code.COMPONENTS, "SV107 does not hold diagnosis pointers; expected 1 to 4 numbers"
            )
        line.diagnosis_pointers.extend(pointers)

    def sv5(self, elements: list[str]) -> None:
        """Read SV5 (6 elements): rental and purchase price of equipment."""
        rental, purchase = elements[4:6]
        if rental and self._open.cents(rental, "SV504"):
            self.line.is_rental = True
        if purchase:
            self.line.purchase_price_cents = self._open.cents(purchase, "SV505")

    def dtp(self, elements: list[str]) -> None:
        """Read a DTP (4 elements): the days of the service, or of an earlier payer's decision."""
        _, qualifier, form, text = elements[:4]
        if qualifier == "472":
            self._service_days(form, text)
        elif qualifier == "573" and self._decision is not None:
            self._decision.adjudication_date = self._open.day(form, text, "DTP03 with 573")

    def _service_days(self, form: str, text: str) -> None:
        self._dated = True
        first, last = self._open.span(form, text, "DTP03 with 472")
        if first:
            self._open.days += first, last
            self.line.service_from_date = first
        if form == "RD8":
            self.line.service_to_date = last

    def ref(self, elements: list[str]) -> None:
        """Read a REF (3 elements): line control number, authorization, referral."""
        _, qualifier, value = elements[:3]
        if self._open.loop != "2400":
            return
        field = _REFS.get(qualifier)
        if field is not None:
            setattr(self.line, field, value)
        elif qualifier in _REF_ATTRIBUTES:
            position = len(self._open.claim.lines) - 1
            self._open.attribute(f"lines[{position}].{_REF_ATTRIBUTES[qualifier]}", value)

    def pwk(self, elements: list[str]) -> None:
        """Read PWK (3 elements): documentation of the line is attached or on file."""
        _, kind, transmission = elements[:3]
        if kind == _CERTIFICATE:
            if transmission == _NOT_REQUIRED:
                return
            if transmission in _WITH_THE_PAYER:
                self.line.has_medical_necessity_certificate = True
        self.line.has_documentation = True

    def lq(self, elements: list[str]) -> None:
        """Read LQ (2 elements): the form of equipment whose answers follow in FRM."""
        if elements[1] == _CERTIFICATE_FORM:
            self.line.has_medical_necessity_certificate = True

    def lin(self, elements: list[str]) -> None:
        """Read LIN (4 elements), the drug, and open loop 2410."""
        self._open.loop = "2410"
        if elements[2] == "N4":
            self.line.ndc = elements[3].replace("-", "")

    def ctp(self, elements: list[str]) -> None:
        """Read CTP (6 elements): quantity and unit of the drug."""
        quantity, unit = elements[4:6]
        if quantity:
            self.line.ndc_quantity_milli = self._open.milli(quantity, "CTP04")
        if unit:
            self.line.ndc_unit = self._open.parts(unit)[0]

    def svd(self, elements: list[str]) -> None:
        """Read SVD (6 elements), an earlier payer's decision on the line, and open loop 2430."""
        _, payer, paid, _, _, units = elements[:6]
        self._open.loop = "2430"
        self._open.provider = None
        self._decision = self.line.prior_adjudications.add(
            payer_id=payer,
            paid_cents=self._open.cents(paid, "SVD02"),
            units_milli=self._open.milli(units, "SVD05") if units else 0,
        )

    def cas(self, elements: list[str]) -> None:
        """Read the earlier payer's adjustments of the line."""
        if self._decision is None:
            self._open.warn(
                Code.UNEXPECTED_SEGMENT, "CAS on a line without SVD before it; it is not read"
            )
        else:
            adjust(self._open, self._decision, elements)
