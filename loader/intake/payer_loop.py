"""Loops 2320 and 2330: the other payers of a claim and what they have decided."""

from typing import Final

from claimgate.v1 import claim_pb2

from loader.intake.guide import PAYER_SEQUENCES
from loader.intake.item import Code
from loader.intake.open_claim import OpenClaim

_AMOUNTS: Final = {
    "D": "paid_cents",
    "A8": "non_covered_cents",
    "EAF": "remaining_liability_cents",
}


class PayerLoop:
    """Reads SBR inside a claim and what follows it, up to the next one or the first line."""

    def __init__(self, open_claim: OpenClaim) -> None:
        """Take the state that all loops of the claim share."""
        self._open = open_claim
        self._payer = claim_pb2.OtherPayer()
        self._segment = 0

    def sbr(self, elements: list[str]) -> None:
        """Read SBR (10 elements) and open loop 2320."""
        if self._open.level == "2400":
            self._open.misplaced("SBR stands behind a service line", "2000B")
            return
        self.leave()
        self._open.enter("2320")
        self._segment = self._open.number
        if elements[1] not in PAYER_SEQUENCES:
            self._open.warn(
                Code.CODE_VALUE, "SBR01 is not a payer sequence; expected P, S, T, A to H or U"
            )
        self._payer = self._open.claim.other_payers.add(
            payer_sequence=elements[1],
            insurance_type_code=elements[5],
            claim_filing_code=elements[9],
        )

    def leave(self) -> None:
        """Check a payer whose last segment is read."""
        if self._open.level == "2320" and not self._payer.payer_id:
            self._open.warn(
                Code.MISSING_LOOP,
                "loop 2320 has no payer's id; expected NM1*PR in 2330B",
                self._segment,
            )

    def nm1(self, elements: list[str]) -> None:
        """Read the insured (2330A) or the payer (2330B) from NM1 (10 elements)."""
        if self._open.loop == "2330A":
            self._payer.insured_id = elements[9]
        elif self._open.loop == "2330B":
            self._payer.payer_id = elements[9]

    def amt(self, elements: list[str]) -> None:
        """Read an AMT (3 elements): paid, not covered, left to the patient."""
        _, qualifier, text = elements[:3]
        if qualifier in _AMOUNTS:
            cents = self._open.cents(text, f"AMT02 with {qualifier}")
            setattr(self._payer, _AMOUNTS[qualifier], cents)

    def cas(self, elements: list[str]) -> None:
        """Read the payer's adjustments of the claim."""
        adjust(self._open, self._payer, elements)

    def dtp(self, elements: list[str]) -> None:
        """Read a DTP (4 elements): the day of the payer's decision."""
        _, qualifier, form, text = elements[:4]
        if qualifier == "573":
            self._payer.adjudication_date = self._open.day(form, text, "DTP03 with 573")


def adjust(
    open_claim: OpenClaim,
    owner: claim_pb2.OtherPayer | claim_pb2.PriorAdjudication,
    elements: list[str],
) -> None:
    """Add the adjustments of a CAS: one group, then up to six times reason, amount and quantity."""
    for at in range(2, len(elements), 3):
        carc, amount, quantity = [*elements[at : at + 3], "", ""][:3]
        if carc:
            owner.adjustments.add(
                group=elements[1],
                carc=carc,
                amount_cents=open_claim.cents(amount, "an amount of CAS"),
                units_milli=open_claim.milli(quantity, "a quantity of CAS") if quantity else 0,
            )
