"""One 837 transaction, from ST to SE: the loops above the claims, and the claims."""

from dataclasses import dataclass
from datetime import date

from loader.intake.claim_builder import ClaimBuilder
from loader.intake.claim_ids import ClaimIds
from loader.intake.cursor import Cursor, Steps
from loader.intake.guide import CLAIM_SEGMENTS_MAX, GUIDES, PURPOSES, Guide
from loader.intake.item import Code, IntakeClaim, IntakeProblem
from loader.intake.parties import Parties
from loader.intake.values import DAYS

_ENCOUNTER = "RP"
_GUIDE_LENGTH_MAX = 12
_BATCH_ID_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class Source:
    """What the claims of a transaction take over from file, interchange and group."""

    file_name: str
    ingest_date: date
    ids: ClaimIds
    is_test: bool
    group_number: str
    transaction_number: str


class ClaimTransaction:
    """A transaction of a guide that is read."""

    def __init__(self, cursor: Cursor, guide: Guide, source: Source, envelope: Steps) -> None:
        """Start behind ST; the envelope's steps hold everywhere."""
        self._cursor = cursor
        self._source = source
        self._parties = Parties(cursor)
        self._builder = ClaimBuilder(cursor, guide)
        self._is_encounter = False
        self._received_date = source.ingest_date.isoformat()
        self._skipping = False
        self._told_headless = False
        claim: Steps = {"HL": (self._hl, 5), "CLM": (self._clm, 21)}
        headless: Steps = dict.fromkeys(("HI", "CL1", "LX", "SV1", "SV2"), (self._headless, 0))
        self._party_steps = {
            **envelope,
            **self._parties.steps,
            **headless,
            "CLM": (self._clm, 21),
            "BHT": (self._bht, 7),
        }
        self._claim_steps = {**envelope, **self._builder.steps, **claim}
        self._skip_steps = {**envelope, **claim}
        cursor.steps = self._party_steps

    def unexpected(self) -> None:
        """Warn of a segment that the guide does not have here."""
        if self._builder.is_open:
            self._builder.unexpected()
        elif not self._skipping:
            self._cursor.report(
                "warning",
                Code.UNEXPECTED_SEGMENT,
                "the segment does not belong above a claim; it is not read",
            )

    def grown(self) -> None:
        """Give up a claim that has no end, so that memory stays bounded."""
        if self._builder.outgrown():
            self._builder.refuse(
                Code.CLAIM_SIZE, f"the claim has more than {CLAIM_SEGMENTS_MAX} segments"
            )
            self._close()
            self._skipping = True
            self._cursor.steps = self._skip_steps

    def lose(self, code: Code, message: str) -> None:
        """Refuse the open claim, as one of its segments could not be read."""
        if self._builder.is_open:
            self._builder.refuse(code, message)
        else:
            self._cursor.report("error", code, message)

    def warn(self, code: Code, message: str) -> None:
        """Warn of a segment, with the open claim if there is one."""
        if self._builder.is_open:
            self._builder.warn(code, message)
        else:
            self._cursor.report("warning", code, message)

    def end(self, *, complete: bool) -> None:
        """Hand out the last claim; without SE it may lack segments and is refused."""
        if self._builder.is_open and not complete:
            self._builder.refuse(
                Code.TRUNCATED, "the transaction ends inside the claim; expected SE"
            )
        self._close()

    def _bht(self, elements: list[str]) -> None:
        if elements[6] not in PURPOSES:
            self._warn_header(Code.CODE_VALUE, "BHT06 is not a purpose; expected CH, RP or 31")
        self._is_encounter = elements[6] == _ENCOUNTER
        day = DAYS[elements[4]]
        if day is None:
            self._warn_header(
                Code.DATE, "BHT04 is not a day; expected CCYYMMDD: claims count as received today"
            )
        else:
            self._received_date = day

    def _warn_header(self, code: Code, message: str) -> None:
        self._cursor.report("warning", code, message)

    def _headless(self, _: list[str]) -> None:
        """Report segments of a claim whose CLM is lost, once."""
        if not self._told_headless:
            self._told_headless = True
            self._cursor.report(
                "error",
                Code.UNEXPECTED_SEGMENT,
                "segments of a claim stand behind no CLM; the claim is refused",
            )

    def _hl(self, elements: list[str]) -> None:
        self._close()
        self._told_headless = False
        self._skipping = False
        self._cursor.steps = self._party_steps
        self._parties.hl(elements)

    def _clm(self, elements: list[str]) -> None:
        self._close()
        self._skipping = False
        claim, findings = self._parties.begin_claim()
        claim.is_test = self._source.is_test
        claim.is_encounter = self._is_encounter
        claim.batch_id = self._source.file_name[-_BATCH_ID_LENGTH_MAX:]
        self._builder.open(claim, findings, elements)
        self._cursor.steps = self._claim_steps

    def _close(self) -> None:
        """Hand out the open claim, if there is one, behind everything that was found in it."""
        if not self._builder.is_open:
            return
        built = self._builder.close()
        self._parties.lose(built.lost_level)
        claim, source = built.claim, self._source
        if not claim.received_date:
            claim.received_date = self._received_date
        place = (source.group_number, source.transaction_number, claim.patient_account_number)
        claim.claim_id, taken = source.ids.give(claim.attributes.get("clearinghouse_id", ""), place)
        out = self._cursor.out
        if taken:
            out.append(_taken(built.segment, claim.claim_id))
        for segment, level, code, message in built.findings:
            out.append(IntakeProblem(segment, level, code, message, claim.claim_id))
        if not built.refused:
            out.append(IntakeClaim(claim, built.segment))


class RefusedTransaction:
    """A transaction that is not read: only its claims are counted."""

    def __init__(self, cursor: Cursor, reason: str, envelope: Steps) -> None:
        """Start behind ST."""
        self._cursor = cursor
        self._segment = cursor.number
        self._reason = reason
        self._claims = 0
        cursor.steps = {**envelope, "CLM": (self._clm, 0)}

    def unexpected(self) -> None:
        """Pass over everything."""

    def grown(self) -> None:
        """Hold nothing that grows."""

    def lose(self, code: Code, message: str) -> None:
        """Pass over everything."""

    def warn(self, code: Code, message: str) -> None:
        """Pass over everything."""

    def end(self, *, complete: bool) -> None:  # noqa: ARG002 - refused either way
        """Say that the transaction was refused, and how many claims with it."""
        self._cursor.report(
            "error",
            Code.GUIDE,
            f"{self._reason}; expected 005010X222 (professional) or 005010X223 (institutional): "
            f"the transaction is refused with its claims, {self._claims} in number",
            self._segment,
        )

    def _clm(self, _: list[str]) -> None:
        self._claims += 1


def begin(
    cursor: Cursor, st: list[str], group_guide: str, source: Source, envelope: Steps
) -> ClaimTransaction | RefusedTransaction:
    """Start the transaction of an ST (4 elements): its guide stands in ST03, or else in GS08."""
    named = st[3] or group_guide
    if group_guide[:10] not in {"", named[:10]}:
        cursor.report("warning", Code.VERSION, "ST03 and GS08 name different guides; ST03 holds")
    guide = GUIDES.get(named[:10])
    if st[1] != "837":
        return RefusedTransaction(cursor, "ST01 is not 837", envelope)
    if guide is None:
        readable = named.isascii() and named.isalnum() and len(named) <= _GUIDE_LENGTH_MAX
        name = named if readable else "unknown"
        return RefusedTransaction(cursor, f"guide {name} is not read", envelope)
    return ClaimTransaction(cursor, guide, source, envelope)


def _taken(segment: int, claim_id: str) -> IntakeProblem:
    return IntakeProblem(
        segment,
        "warning",
        Code.CONTROL_NUMBER,
        "REF*D9 repeats that of an earlier claim of the file; the claim is named by its place",
        claim_id,
    )
