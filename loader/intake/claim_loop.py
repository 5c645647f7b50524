"""Loop 2300: what holds for the whole claim."""

from typing import Final

from loader.intake.guide import ACCIDENTS, FREQUENCIES, INSTITUTIONAL
from loader.intake.item import Code
from loader.intake.open_claim import OpenClaim
from loader.intake.values import DAYS, hour

_DELAY_REASONS: Final = {str(code): code for code in (*range(1, 12), 15)}
_REFS: Final = {
    "G1": "prior_authorization_number",
    "9F": "referral_number",
    "F8": "payer_claim_control_number",
    "EA": "medical_record_number",
}
_REF_ATTRIBUTES: Final = {
    "D9": "clearinghouse_id",
    "X4": "clia_number",
    "4N": "authorization_exception",
    "EW": "mammography_certification",
    "P4": "demonstration_project",
}
_FLAGS: Final = (
    (6, "provider_signature"),
    (7, "assignment"),
    (8, "benefits_assigned"),
    (9, "release_of_information"),
    (10, "patient_signature"),
    (12, "special_program"),
)
_DAYS: Final = {"439": "accident_date", "050": "received_date"}
_DAY_ATTRIBUTES: Final = {"431": "onset_date", "454": "initial_treatment_date"}


class ClaimLoop:
    """Reads CLM and the segments right behind it."""

    def __init__(self, open_claim: OpenClaim) -> None:
        """Take the state that all loops of the claim share."""
        self._open = open_claim

    def clm(self, elements: list[str]) -> None:
        """Read CLM (21 elements): account, total charge, place, accident, delay and flags."""
        claim = self._open.claim
        claim.claim_type = self._open.guide.claim_type
        claim.patient_account_number = elements[1]
        if not elements[1]:
            self._open.warn(Code.MISSING_SEGMENT, "CLM01, the account number, is missing")
        claim.total_charge_cents = self._open.cents(elements[2], "CLM02")
        self._place(elements[5])
        self._accident(elements[11])
        self._delay(elements[20])
        for position, key in _FLAGS:
            if elements[position]:
                self._open.attribute(key, elements[position])

    def _place(self, text: str) -> None:
        if len(text) >= 5 and text[2] == text[4] and not text[2].isalnum():
            self._open.separate_by(text[2])
        facility, qualifier, frequency = (*self._open.parts(text), "", "")[:3]
        guide, claim = self._open.guide, self._open.claim
        if not facility:
            self._open.warn(Code.MISSING_SEGMENT, "CLM05-1, where the service was, is missing")
        if qualifier != guide.facility_qualifier:
            self._open.warn(
                Code.CODE_VALUE,
                f"CLM05-2 does not fit an {guide.name}; expected {guide.facility_qualifier}",
            )
        if frequency not in FREQUENCIES:
            self._open.warn(Code.CODE_VALUE, "CLM05-3 is not a claim frequency; expected 1 to 9")
        claim.frequency_code = frequency
        if guide is not INSTITUTIONAL:
            claim.place_of_service = facility
        elif facility:
            claim.type_of_bill = facility.zfill(3) + frequency

    def _accident(self, text: str) -> None:
        if text:
            parts = (*self._open.parts(text), "", "", "")
            causes = [cause for cause in parts[:3] if cause in ACCIDENTS]
            self._open.claim.accident_type = causes[0] if causes else ""
            self._open.claim.accident_state = parts[3]

    def _delay(self, text: str) -> None:
        if text and text not in _DELAY_REASONS:
            self._open.warn(
                Code.CODE_VALUE, "CLM20 is not a delay reason; expected 1 to 11 or 15: left empty"
            )
        self._open.claim.delay_reason_code = _DELAY_REASONS.get(text, 0)

    def dtp(self, elements: list[str]) -> None:
        """Read a DTP (4 elements): statement, admission, discharge, accident, receipt."""
        _, qualifier, form, text = elements[:4]
        claim = self._open.claim
        if qualifier == "434" and self._open.guide is INSTITUTIONAL:
            if self._open.once("DTP*434"):
                days = self._open.span(form, text, "DTP03 with 434")
                claim.service_from_date, claim.service_to_date = days
        elif qualifier == "435":
            self._admission(form, text)
        elif qualifier == "096":
            self._discharge(form, text)
        elif qualifier in _DAYS:
            day = self._open.day(form, text, f"DTP03 with {qualifier}")
            setattr(claim, _DAYS[qualifier], day)
        elif qualifier in _DAY_ATTRIBUTES:
            day = self._open.day(form, text, f"DTP03 with {qualifier}")
            self._open.attribute(_DAY_ATTRIBUTES[qualifier], day)

    def _admission(self, form: str, text: str) -> None:
        claim = self._open.claim
        if form != "DT":
            claim.admission_date = self._open.day(form, text, "DTP03 with 435")
            return
        day, time = DAYS[text[:8]], hour(text[8:])
        if day is None or time is None or len(text) != 12:
            self._open.warn(
                Code.DATE,
                "DTP03 with 435 is not a day and time; expected DT with CCYYMMDDHHMM: left empty",
            )
            return
        claim.admission_date, claim.admission_hour = day, time

    def _discharge(self, form: str, text: str) -> None:
        """Read DTP*096: a time in an 837I, a day in an 837P."""
        if self._open.guide is not INSTITUTIONAL:
            self._open.claim.discharge_date = self._open.day(form, text, "DTP03 with 096")
            return
        time = hour(text) if form == "TM" else None
        if time is None:
            self._open.warn(
                Code.DATE, "DTP03 with 096 is not a time; expected TM with HHMM: left empty"
            )
        self._open.claim.discharge_hour = time or ""

    def cl1(self, elements: list[str]) -> None:
        """Read CL1 (4 elements): admission type and source, patient status."""
        if self._open.once("CL1"):
            claim = self._open.claim
            _, claim.admission_type, claim.admission_source, claim.patient_status = elements[:4]
            if not claim.patient_status:
                self._open.warn(
                    Code.MISSING_SEGMENT, "CL103, the status of the patient, is missing"
                )

    def ref(self, elements: list[str]) -> None:
        """Read a REF (3 elements): authorization, referral, control number, record number."""
        _, qualifier, value = elements[:3]
        field = _REFS.get(qualifier)
        if field is None:
            if qualifier in _REF_ATTRIBUTES:
                self._open.attribute(_REF_ATTRIBUTES[qualifier], value)
        elif self._open.once(f"REF*{qualifier}"):
            setattr(self._open.claim, field, value)

    def amt(self, elements: list[str]) -> None:
        """Read an AMT (3 elements): what the patient has paid, and is expected to."""
        _, qualifier, text = elements[:3]
        if qualifier == "F5":
            self._open.claim.patient_paid_cents = self._open.cents(text, "AMT02 with F5")
        elif qualifier == "F3":
            cents = self._open.cents(text, "AMT02 with F3")
            self._open.attribute("patient_estimated_due_cents", str(cents))

    def pwk(self, _: list[str]) -> None:
        """Note that documentation is attached or on file."""
        self._open.claim.has_documentation = True
