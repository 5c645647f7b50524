"""The claim that is being read: what it holds so far, the loop, and what was found wrong."""

from typing import Final

from claimgate.v1 import claim_pb2

from loader.intake.cursor import Cursor
from loader.intake.guide import Guide
from loader.intake.item import Code
from loader.intake.parties import Finding
from loader.intake.values import CENTS, DAYS, MILLI, Composites, span

_AMOUNT_FORM: Final = "expected digits with at most two decimals"
_QUANTITY_FORM: Final = "expected digits with at most three decimals"
_DAY_FORM: Final = "expected D8 with CCYYMMDD: left empty"
_SPAN_FORM: Final = "expected D8 with CCYYMMDD or RD8 with CCYYMMDD-CCYYMMDD: left empty"
_ATTRIBUTES_MAX: Final = 50


class OpenClaim:
    """What the loops of one claim share: `level` is 2300, 2320 or 2400, `loop` a loop inside it."""

    __slots__ = (
        "_cursor",
        "claim",
        "days",
        "findings",
        "guide",
        "level",
        "loop",
        "lost_level",
        "present",
        "provider",
        "roles",
        "segment",
    )

    def __init__(self, cursor: Cursor, guide: Guide) -> None:
        """Take what all claims of the transaction share."""
        self._cursor = cursor
        self.guide = guide
        self.begin(claim_pb2.Claim(), [])

    def begin(self, claim: claim_pb2.Claim, findings: list[Finding]) -> None:
        """Start a claim at the current segment, with what is known above it."""
        self.claim = claim
        self.findings = findings
        self.segment = self._cursor.number
        self.present: set[str] = set()
        self.days: list[str] = []
        self.roles: set[str] = set()
        self.lost_level = ""
        self.enter("2300")

    def enter(self, level: str) -> None:
        """Enter loop 2300, 2320 or 2400; the names given in the loop before are not its own."""
        self.level = self.loop = level
        self.provider: claim_pb2.Provider | None = None
        self.roles.clear()

    @property
    def number(self) -> int:
        """The number of the current segment."""
        return self._cursor.number

    def warn(self, code: Code, message: str, segment: int = 0) -> None:
        """Note something that does not lose the claim, at the current segment or another one."""
        self.findings.append((segment or self._cursor.number, "warning", code, message))

    def refuse(self, code: Code, message: str, segment: int = 0) -> None:
        """Note something for which the claim cannot be handed out."""
        self.findings.append((segment or self._cursor.number, "error", code, message))

    def misplaced(self, what: str, lost_level: str = "") -> None:
        """Refuse the claim over a segment in the wrong place, as CLM or HL before it is lost."""
        self.refuse(
            Code.UNEXPECTED_SEGMENT,
            f"{what}; CLM or HL before it may be lost, and the claim holds parts of another",
        )
        self.lost_level = min(filter(None, (self.lost_level, lost_level)), default="")

    def once(self, name: str) -> bool:
        """Note a segment that the claim holds once; False, and a warning, for one more."""
        if name in self.present:
            self.warn(Code.REPEATED_SEGMENT, f"{name} occurs again; the first one holds")
            return False
        self.present.add(name)
        return True

    def attribute(self, key: str, value: str) -> None:
        """Keep a value that has no field of its own; the first one of a key holds."""
        attributes = self.claim.attributes
        if not value or key in attributes:
            return
        if len(attributes) < _ATTRIBUTES_MAX:
            attributes[key] = value
        elif "attributes" not in self.present:
            self.present.add("attributes")
            self.warn(Code.CLAIM_SIZE, f"more than {_ATTRIBUTES_MAX} values without a field")

    def parts(self, text: str) -> tuple[str, ...]:
        """Split a composite, in upper case."""
        return self._cursor.composites[text]

    def separate_by(self, separator: str) -> None:
        """Follow the separator that composites evidently use, where ISA16 names another."""
        if separator != self._cursor.composites.separator:
            self._cursor.composites = Composites(separator)
            self.warn(
                Code.COMPONENTS,
                "composites are separated otherwise than ISA16 says; "
                "the separator of CLM05 holds from here to the end of the interchange",
            )

    def cents(self, text: str, name: str) -> int:
        """Return an amount in cents; refuse the claim where it is none."""
        value = CENTS[text]
        if value is None:
            self.refuse(Code.NUMBER, f"{name} is not an amount; {_AMOUNT_FORM}")
            return 0
        return value

    def milli(self, text: str, name: str) -> int:
        """Return a quantity in thousandths; refuse the claim where it is none."""
        value = MILLI[text]
        if value is None:
            self.refuse(Code.NUMBER, f"{name} is not a quantity; {_QUANTITY_FORM}")
            return 0
        return value

    def day(self, form: str, text: str, name: str) -> str:
        """Return a day as ISO date; empty, and a warning, where it is none."""
        day = DAYS[text] if form == "D8" else None
        if day is None:
            self.warn(Code.DATE, f"{name} is not a day; {_DAY_FORM}")
        return day or ""

    def span(self, form: str, text: str, name: str) -> tuple[str, str]:
        """Return the first and last day of a span; empty, and a warning, where it is none."""
        days = span(form, text)
        if days is None:
            self.warn(Code.DATE, f"{name} is not a day or span of days; {_SPAN_FORM}")
        return days or ("", "")
