"""The envelope of an 837 file, ISA to IEA: finds the transactions and checks their trailers."""

from collections.abc import Iterator
from datetime import date
from typing import BinaryIO, Final

from loader.intake.claim_ids import ClaimIds
from loader.intake.cursor import Cursor, Steps, ignored
from loader.intake.item import Code, IntakeItem
from loader.intake.tokens import Fault, Isa, tokenize
from loader.intake.transaction import ClaimTransaction, RefusedTransaction, Source, begin
from loader.intake.values import Composites

_BLANK: Final = " \t\r\n\x00\x1a"
_PADDING: Final = ("",) * 21
_TEST: Final = "T"


def read_837(stream: BinaryIO, *, file_name: str, ingest_date: date) -> Iterator[IntakeItem]:
    """Yield the claims of an 837P or 837I file and the problems found, in file order.

    The file is read once, in bounded memory, whatever its size. A problem inside a claim comes just
    before the claim; a claim with an error is refused and does not come. `segment` counts from 1.

    Args:
        stream: The file, opened for reading bytes.
        file_name: Its name without a folder, kept as the claims' `batch_id`.
        ingest_date: The day on which claims count as received where the file says none.
    """
    reader = _Reader(file_name, ingest_date)
    out = reader.cursor.out
    for token in tokenize(stream):
        if isinstance(token, list):
            reader.take(token)
        elif isinstance(token, Isa):
            reader.open_interchange(token)
        else:
            reader.fault(token)
        yield from out
        out.clear()
    reader.finish()
    yield from out


class _Reader:
    """Which interchange, group and transaction are open, and what they hold so far."""

    def __init__(self, file_name: str, ingest_date: date) -> None:
        self.cursor = Cursor()
        self._file_name = file_name
        self._ingest_date = ingest_date
        self._ids = ClaimIds()
        self._isa: Isa | None = None
        self._element = "*"
        self._gs: list[str] | None = None
        self._st_number = ""
        self._st_segment = 0
        self._groups = 0
        self._transactions = 0
        self._transaction: ClaimTransaction | RefusedTransaction | None = None
        self._told_outside = False
        self._envelope: Steps = {
            "GS": (self._open_group, 9),
            "GE": (self._close_group, 3),
            "ST": (self._open_transaction, 4),
            "SE": (self._close_transaction, 3),
            "IEA": (self._close_interchange, 3),
            **ignored("TA1"),
        }

    def take(self, texts: list[str]) -> None:
        """Read a stretch of segments."""
        cursor, element = self.cursor, self._element
        number = cursor.number
        for text in texts:
            elements = text.strip(_BLANK).split(element)
            name = elements[0]
            if not name and len(elements) == 1:
                continue
            number += 1
            cursor.number = number
            step = cursor.steps.get(name)
            if step is None:
                self._unexpected()
                continue
            handle, width = step
            if len(elements) < width:
                elements += _PADDING[len(elements) : width]
            handle(elements)
        if self._transaction is not None:
            self._transaction.grown()

    def _unexpected(self) -> None:
        if self._transaction is not None:
            self._transaction.unexpected()
        elif not self._told_outside:
            self._told_outside = True
            self._report_error(
                "segments stand outside a transaction; expected ST: they are skipped"
            )

    def fault(self, fault: Fault) -> None:
        """Report what the bytes show at the segment that follows, or in place of one."""
        self.cursor.number += 1
        transaction = self._transaction
        if transaction is None:
            self.cursor.report(fault.level, fault.code, fault.message)
        elif fault.level == "error":
            transaction.lose(fault.code, fault.message)
        else:
            transaction.warn(fault.code, fault.message)
        if not fault.skipped:
            self.cursor.number -= 1

    def open_interchange(self, isa: Isa) -> None:
        """Begin an interchange."""
        self._abandon("ISA")
        self.cursor.number += 1
        self._isa, self._groups = isa, 0
        self._element, self.cursor.composites = isa.element, Composites(isa.component)
        self.cursor.steps = self._envelope
        self._told_outside = False
        if not self._ids.open_interchange(isa.elements[6], isa.elements[13]):
            self._warn(
                Code.CONTROL_NUMBER, "ISA13 repeats that of an earlier interchange of this sender"
            )
        if not isa.fixed_width:
            self._warn(
                Code.SEPARATORS,
                "ISA does not have the widths of its 16 elements (106 characters with the "
                "terminator); its separators are taken by their order",
            )
        if isa.terminator in "\r\n":
            self._warn(
                Code.SEPARATORS,
                "ISA ends with a line break, which then ends every segment; expected a printable "
                "terminator such as ~",
            )
        if isa.elements[15] not in {"P", _TEST}:
            self._warn(Code.CODE_VALUE, "ISA15 is not a usage; expected P or T: taken as P")

    def finish(self) -> None:
        """End the file."""
        self._abandon("the end of the file")
        if not self.cursor.number:
            self.cursor.number = 1
            self._report_error("the file is empty; expected an ISA segment")

    def _abandon(self, by: str) -> None:
        """End what is open where its trailers do not come."""
        if self._isa is None:
            return
        self._abandon_transaction()
        self.cursor.report("error", Code.TRUNCATED, f"{by} comes before IEA of the interchange")
        self._gs = self._isa = None

    def _abandon_transaction(self) -> None:
        if self._transaction is not None:
            self._transaction.end(complete=False)
            self._transaction = None
            self.cursor.steps = self._envelope
            self.cursor.report("error", Code.TRUNCATED, "the transaction ends without SE")

    def _open_group(self, elements: list[str]) -> None:
        self._abandon_transaction()
        if self._gs is not None:
            self._warn(Code.ENVELOPE, "GS comes before GE of the group")
        self._gs = elements
        self._groups += 1
        self._transactions = 0
        if elements[1] != "HC":
            self._warn(Code.CODE_VALUE, "GS01 is not HC, a health care claim")
        self._check_version(elements[8])

    def _check_version(self, group_version: str) -> None:
        """Compare ISA12 (00501) with GS08 (005010X222A1)."""
        if self._isa is not None and not group_version.startswith(self._isa.elements[12]):
            self._warn(Code.VERSION, "ISA12 and GS08 name different versions; GS08 holds")

    def _close_group(self, elements: list[str]) -> None:
        self._abandon_transaction()
        if self._gs is None:
            self._warn(Code.ENVELOPE, "GE comes without GS")
            return
        self._compare(elements[2], self._gs[6], "GE02", "GS06")
        self._count(elements[1], self._transactions, "GE01", "transactions")
        self._gs = None

    def _open_transaction(self, elements: list[str]) -> None:
        self._abandon_transaction()
        if self._gs is None:
            self._warn(Code.ENVELOPE, "ST comes without GS")
        gs = self._gs or [""] * 9
        self._transactions += 1
        self._st_number, self._st_segment = elements[2], self.cursor.number
        source = Source(
            file_name=self._file_name,
            ingest_date=self._ingest_date,
            ids=self._ids,
            is_test=self._isa is not None and self._isa.elements[15] == _TEST,
            group_number=gs[6],
            transaction_number=elements[2],
        )
        self._transaction = begin(self.cursor, elements, gs[8], source, self._envelope)

    def _close_transaction(self, elements: list[str]) -> None:
        if self._transaction is None:
            self._warn(Code.ENVELOPE, "SE comes without ST")
            return
        self._transaction.end(complete=True)
        self._transaction = None
        self.cursor.steps = self._envelope
        self._compare(elements[2], self._st_number, "SE02", "ST02")
        self._count(elements[1], self.cursor.number - self._st_segment + 1, "SE01", "segments")

    def _close_interchange(self, elements: list[str]) -> None:
        self._abandon_transaction()
        if self._gs is not None:
            self._warn(Code.ENVELOPE, "IEA comes before GE of the group")
            self._gs = None
        if self._isa is None:
            self._warn(Code.ENVELOPE, "IEA comes without ISA")
            return
        self._compare(elements[2], self._isa.elements[13], "IEA02", "ISA13")
        self._count(elements[1], self._groups, "IEA01", "groups")
        self._isa = None

    def _compare(self, trailer: str, header: str, trailer_name: str, header_name: str) -> None:
        if trailer != header:
            self._warn(Code.CONTROL_NUMBER, f"{trailer_name} is not {header_name}")

    def _count(self, text: str, counted: int, name: str, what: str) -> None:
        if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) == counted):
            self._warn(Code.SEGMENT_COUNT, f"{name} is wrong; expected {counted} {what}")

    def _warn(self, code: Code, message: str) -> None:
        self.cursor.report("warning", code, message)

    def _report_error(self, message: str) -> None:
        self.cursor.report("error", Code.ENVELOPE, message)
