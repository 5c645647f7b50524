"""HI segments: diagnoses and the institutional codes, told apart by their qualifier alone."""

from collections.abc import Callable
from typing import Final

from loader.intake.guide import ICD9_QUALIFIERS, OTHER_DIAGNOSIS, PRINCIPAL_DIAGNOSIS
from loader.intake.item import Code
from loader.intake.open_claim import OpenClaim

Parts = tuple[str, ...]

_PADDING: Final = ("",) * 9
_ATTRIBUTES: Final = {"BP": "anesthesia_procedures", "BO": "anesthesia_procedures"}


class HealthCodes:
    """Reads HI; a diagnosis without a code keeps its place, so that pointers do not shift."""

    def __init__(self, open_claim: OpenClaim) -> None:
        """Take the state that all loops of the claim share."""
        self._open = open_claim
        diagnosis = dict.fromkeys(PRINCIPAL_DIAGNOSIS | OTHER_DIAGNOSIS, self._diagnosis)
        self._steps: dict[str, Callable[[Parts], None]] = {
            **diagnosis,
            **dict.fromkeys(("ABJ", "BJ"), self._admitting),
            **dict.fromkeys(("APR", "PR"), self._visit_reason),
            **dict.fromkeys(("ABN", "BN"), self._external_cause),
            **dict.fromkeys(("BBR", "BBQ", "BR", "BQ"), self._procedure),
            **dict.fromkeys(_ATTRIBUTES, self._anesthesia),
            "DR": self._drg,
            "BG": self._condition,
            "BH": self._occurrence,
            "BI": self._span,
            "BE": self._value,
            "TC": self._treatment,
        }

    def hi(self, elements: list[str]) -> None:
        """Read all composites of an HI."""
        self._open.present.add("HI")
        for text in elements[1:]:
            if text:
                self._composite(self._open.parts(text))

    def _composite(self, parts: Parts) -> None:
        qualifier = parts[0]
        step = self._steps.get(qualifier)
        if step is None:
            self._open.warn(
                Code.CODE_VALUE, "a composite of HI has no qualifier of the guide; it is not read"
            )
            return
        if len(parts) < 2 or not parts[1]:
            self._open.warn(
                Code.COMPONENTS, "a composite of HI has a qualifier without a code behind it"
            )
        if qualifier in ICD9_QUALIFIERS:
            self._open.present.add("ICD-9")
        step(parts + _PADDING[len(parts) :])

    def _diagnosis(self, parts: Parts) -> None:
        diagnoses = self._open.claim.diagnoses
        if (parts[0] in PRINCIPAL_DIAGNOSIS) == bool(diagnoses):
            self._open.warn(
                Code.CODE_VALUE, "the first diagnosis, and only the first, is expected as ABK"
            )
        diagnoses.add(
            code=_icd(parts[1]), qualifier=parts[0], present_on_admission=parts[8].strip()
        )

    def _admitting(self, parts: Parts) -> None:
        self._open.claim.admitting_diagnosis = _icd(parts[1])

    def _visit_reason(self, parts: Parts) -> None:
        self._open.claim.visit_reasons.append(_icd(parts[1]))

    def _external_cause(self, parts: Parts) -> None:
        self._open.claim.external_causes.append(_icd(parts[1]))

    def _procedure(self, parts: Parts) -> None:
        day = self._open.day(parts[2], parts[3], "the day of a procedure in HI") if parts[3] else ""
        self._open.claim.icd_procedures.add(code=_icd(parts[1]), date=day)

    def _anesthesia(self, parts: Parts) -> None:
        self._open.attribute(_ATTRIBUTES[parts[0]], parts[1])

    def _drg(self, parts: Parts) -> None:
        if self._open.once("HI*DR"):
            self._open.claim.drg_code = parts[1]

    def _condition(self, parts: Parts) -> None:
        self._open.claim.condition_codes.append(parts[1])

    def _occurrence(self, parts: Parts) -> None:
        day = self._open.day(parts[2], parts[3], "the day of an occurrence in HI")
        self._open.claim.occurrence_codes.add(code=parts[1], date=day)

    def _span(self, parts: Parts) -> None:
        first, last = self._open.span(parts[2], parts[3], "the days of an occurrence span in HI")
        self._open.claim.occurrence_spans.add(code=parts[1], from_date=first, to_date=last)

    def _value(self, parts: Parts) -> None:
        cents = self._open.cents(parts[4], "the amount of a value code in HI")
        self._open.claim.value_codes.add(code=parts[1], amount_cents=cents)

    def _treatment(self, parts: Parts) -> None:
        attributes = self._open.claim.attributes
        earlier = attributes.get("treatment_codes", "")
        attributes["treatment_codes"] = f"{earlier} {parts[1]}".strip()


def _icd(text: str) -> str:
    return text.strip().replace(".", "")
