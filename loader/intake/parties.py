"""Loops above the claim: who bills, who is insured, who pays and who is the patient."""

from dataclasses import dataclass

from claimgate.v1 import claim_pb2

from loader.intake.cursor import Cursor, Steps, ignored
from loader.intake.guide import (
    PARTY_LEVELS,
    PARTY_REQUIRED,
    PARTY_ROLES,
    PAYER_SEQUENCES,
    SUBSCRIBER_PATIENT_REQUIRED,
)
from loader.intake.item import Code, Level
from loader.intake.values import DAYS

Finding = tuple[int, Level, Code, str]
"""Segment, level, code and message of a problem that is not handed out yet."""

_LEVELS = {"20": "2000A", "22": "2000B", "23": "2000C"}
_PARENTS = {"2000B": "2000A", "2000C": "2000B"}
_KEPT_LOOPS = frozenset({"2010AA", "2010BA", "2010BB", "2010CA"})
_SELF = "18"


@dataclass(slots=True, repr=False)
class Person:
    """A subscriber or a dependant, as 2010BA or 2010CA names him or her."""

    member_id: str = ""
    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    date_of_birth: str = ""
    sex: str = ""
    relationship: str = ""


def name_provider(provider: claim_pb2.Provider, elements: list[str]) -> None:
    """Fill a provider from its NM1 (ten elements): kind, names and number."""
    _, _, kind, last, first, _, _, _, qualifier, number = elements[:10]
    if kind in {"1", "2"}:
        provider.entity_type = int(kind)
    if last:
        provider.last_or_org_name = last
    if first:
        provider.first_name = first
    if number and qualifier == "XX":
        provider.npi = number
    elif number and qualifier in {"24", "34"}:
        provider.tin = number


def place_provider(provider: claim_pb2.Provider, elements: list[str]) -> None:
    """Fill the state and ZIP of a provider from its N4 (four elements)."""
    if elements[2]:
        provider.state = elements[2].upper()
    if elements[3]:
        provider.zip = elements[3].replace("-", "")


class Parties:
    """Who bills, is insured, pays and is the patient of the next claim, kept level by level."""

    def __init__(self, cursor: Cursor) -> None:
        """Start a transaction: nobody is known yet."""
        self._cursor = cursor
        self._level = "1000"
        self._lost_level = ""
        self._loop = ""
        self._segment = 0
        self._present: set[str] = set()
        self._loops: dict[str, set[str]] = {"1000": set()}
        self._ids: dict[str, str] = {}
        self._faults: dict[str, list[Finding]] = {}
        self._header = claim_pb2.Claim()
        self._biller = claim_pb2.Provider()
        self._coverage = claim_pb2.Claim()
        self._subscriber = Person()
        self._patient = Person()
        self.steps: Steps = {
            "HL": (self.hl, 5),
            "NM1": (self._nm1, 10),
            "N3": (self._n3, 0),
            "N4": (self._n4, 4),
            "REF": (self._ref, 3),
            "PRV": (self._prv, 4),
            "SBR": (self._sbr, 10),
            "PAT": (self._pat, 2),
            "DMG": (self._dmg, 4),
            **ignored("BHT", "CUR", "PER"),
        }

    def hl(self, elements: list[str]) -> None:
        """Enter a level of the hierarchy; what was known of it and below it is forgotten."""
        self._leave_loop()
        level = _LEVELS.get(elements[3])
        if level is None:
            parents = {self._ids.get(above): below for below, above in _PARENTS.items()}
            self.lose(parents.get(elements[2], "2000A") if elements[2] else "2000A")
            self._cursor.report(
                "error", Code.HIERARCHY, "HL03 is not a level of a claim; expected 20, 22 or 23"
            )
            return
        if level <= self._lost_level:
            self._lost_level = ""
        parent = _PARENTS.get(level)
        if parent and elements[2] != self._ids.get(parent, ""):
            self._warn(Code.HIERARCHY, f"HL02 is not the HL01 of the {parent} loop above it")
        self._level = level
        self._ids[level] = elements[1]
        self._forget(level)

    def lose(self, level: str) -> None:
        """Refuse claims until the next HL of this level or above: one like it is lost."""
        if level:
            self._lost_level = min(level, self._lost_level or level)

    def _forget(self, level: str) -> None:
        if level == "2000A":
            self._biller = claim_pb2.Provider()
        if level <= "2000B":
            self._subscriber = Person()
            self._coverage = claim_pb2.Claim()
        self._patient = Person()
        for lower in ("2000A", "2000B", "2000C"):
            if lower >= level:
                self._loops.pop(lower, None)
                self._faults.pop(lower, None)
        self._loops[level] = set()
        self._faults[level] = []

    def begin_claim(self) -> tuple[claim_pb2.Claim, list[Finding]]:
        """Return a claim with all that is known above it, and what is missing or wrong there."""
        self._leave_loop()
        claim = claim_pb2.Claim()
        claim.CopyFrom(self._header)
        claim.MergeFrom(self._coverage)
        claim.billing_provider.CopyFrom(self._biller)
        self._fill_patient(claim)
        return claim, self._findings()

    def _fill_patient(self, claim: claim_pb2.Claim) -> None:
        person = self._subscriber
        if "2000C" in self._loops:
            claim.subscriber_id = person.member_id
            person = self._patient
            claim.person_id = person.member_id or f"{claim.subscriber_id}-{person.relationship}"
        else:
            claim.person_id = person.member_id
        claim.relationship_code = person.relationship
        claim.patient_first_name = person.first_name
        claim.patient_middle_name = person.middle_name
        claim.patient_last_name = person.last_name
        claim.patient_date_of_birth = person.date_of_birth
        claim.patient_sex = person.sex

    def _findings(self) -> list[Finding]:
        findings = [fault for faults in self._faults.values() for fault in faults]
        loops = self._loops
        if self._lost_level:
            findings.append(
                self._at(
                    "error",
                    Code.HIERARCHY,
                    f"the HL of loop {self._lost_level} is lost: whose claim it is, is not known",
                )
            )
        if "2000A" not in loops or "2000B" not in loops:
            findings.append(
                self._at(
                    "error",
                    Code.HIERARCHY,
                    "the claim stands under no subscriber of a billing provider; "
                    "expected HL 20 and HL 22 before it",
                )
            )
            return findings
        for level, loop in (("2000A", "2010AA"), ("2000B", "2010BA"), ("2000C", "2010CA")):
            if level in loops and loop not in loops[level]:
                findings.append(
                    self._at("error", Code.MISSING_LOOP, f"required loop {loop} is missing")
                )
        if "2010BB" not in loops["2000B"]:
            findings.append(
                self._at("warning", Code.MISSING_LOOP, "required loop 2010BB is missing")
            )
        if "2000C" not in loops and self._subscriber.relationship != _SELF:
            findings.append(
                self._at(
                    "warning",
                    Code.HIERARCHY,
                    "SBR02 does not say that the subscriber is the patient and there is no "
                    "loop 2000C; the subscriber is taken as the patient",
                )
            )
        return findings

    def _at(self, level: Level, code: Code, message: str) -> Finding:
        return self._cursor.number, level, code, message

    def _warn(self, code: Code, message: str) -> None:
        self._cursor.report("warning", code, message)

    def _leave_loop(self) -> None:
        required = PARTY_REQUIRED.get(self._loop, ())
        if self._loop == "2010BA" and self._subscriber.relationship == _SELF:
            required = SUBSCRIBER_PATIENT_REQUIRED
        for name in required:
            if name not in self._present:
                self._cursor.report(
                    "warning",
                    Code.MISSING_SEGMENT,
                    f"loop {self._loop} has no {name}, which it requires",
                    self._segment,
                )
        self._loop = ""
        self._present.clear()

    def _first(self, name: str) -> bool:
        """Note a segment that a loop holds once; False, and a warning, for one more."""
        if name in self._present:
            self._warn(
                Code.REPEATED_SEGMENT,
                f"{name} occurs again in loop {self._loop or self._level}; the first one holds",
            )
            return False
        self._present.add(name)
        return True

    def _nm1(self, elements: list[str]) -> None:
        self._leave_loop()
        roles = PARTY_ROLES[self._level]
        role = roles.get(elements[1])
        if role is None:
            self.lose(PARTY_LEVELS.get(elements[1], ""))
            self._warn(
                Code.ENTITY_CODE,
                f"NM101 does not fit in loop {self._level}; expected one of {', '.join(roles)}",
            )
            return
        if role.loop in self._loops[self._level]:
            self._repeat(role.loop)
            return
        self._loops[self._level].add(role.loop)
        self._loop = role.loop
        self._segment = self._cursor.number
        self._name(elements)

    def _repeat(self, loop: str) -> None:
        message = f"loop {loop} occurs again; expected it once in loop {self._level}"
        if loop in _KEPT_LOOPS:
            fault = self._at(
                "error", Code.REPEATED_LOOP, f"{message}: which one holds for the claim is open"
            )
            self._faults[self._level].append(fault)
        else:
            self._warn(Code.REPEATED_LOOP, f"{message}; the first one holds")

    def _name(self, elements: list[str]) -> None:
        loop = self._loop
        if loop == "2010AA":
            name_provider(self._biller, elements)
        elif loop == "2010BA":
            _name_person(self._subscriber, elements)
        elif loop == "2010CA":
            _name_person(self._patient, elements)
        elif loop == "2010BB":
            self._coverage.payer_name = elements[3]
            self._coverage.payer_id = elements[9]
        elif loop in {"1000A", "1000B"} and elements[9]:
            key = "submitter_id" if loop == "1000A" else "receiver_id"
            self._header.attributes[key] = elements[9]

    def _n3(self, _: list[str]) -> None:
        self._first("N3")

    def _n4(self, elements: list[str]) -> None:
        if self._first("N4") and self._loop == "2010AA":
            place_provider(self._biller, elements)

    def _ref(self, elements: list[str]) -> None:
        if self._loop == "2010AA" and elements[1] in {"EI", "SY"} and self._first("REF*EI"):
            self._biller.tin = elements[2]

    def _prv(self, elements: list[str]) -> None:
        if self._level == "2000A" and elements[1] == "BI":
            self._biller.taxonomy = elements[3]

    def _sbr(self, elements: list[str]) -> None:
        if self._level != "2000B":
            self.lose("2000B")
            self._warn(Code.UNEXPECTED_SEGMENT, "SBR stands outside loops 2000B and 2320")
            return
        if not self._first("SBR"):
            return
        if elements[1] not in PAYER_SEQUENCES:
            self._warn(
                Code.CODE_VALUE, "SBR01 is not a payer sequence; expected P, S, T, A to H or U"
            )
        coverage = self._coverage
        coverage.payer_sequence = elements[1]
        coverage.insurance_type = elements[9]
        self._subscriber.relationship = elements[2]
        for key, value in zip(
            ("group_number", "group_name", "insurance_type_code"), elements[3:6], strict=True
        ):
            if value:
                coverage.attributes[key] = value

    def _pat(self, elements: list[str]) -> None:
        if self._level == "2000C":
            self._patient.relationship = elements[1]

    def _dmg(self, elements: list[str]) -> None:
        person = {"2010BA": self._subscriber, "2010CA": self._patient}.get(self._loop)
        if person is None or not self._first("DMG"):
            return
        day = DAYS[elements[2]] if elements[1] == "D8" else None
        if day is None:
            self._warn(Code.DATE, "DMG02 is not a day; expected D8 with CCYYMMDD: left empty")
        person.date_of_birth = day or ""
        person.sex = elements[3]


def _name_person(person: Person, elements: list[str]) -> None:
    person.last_name, person.first_name, person.middle_name = elements[3:6]
    person.member_id = elements[9]
