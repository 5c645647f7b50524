"""Claims as nobody sends them: every field of the API with values usual, odd or impossible."""

from random import Random

from claimgate.v1 import claim_pb2, score_pb2
from google.protobuf.descriptor import FieldDescriptor

from engine.fields import CLAIM_FIELDS, CLAIM_ROLES, LINE_FIELDS, LINE_ROLES, Kind

READ_AS_TEXT = {Kind.TEXT, Kind.KEPT}
SPACES = " \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f"
CODES = (
    "", " ", "99213", "J1100", "LT", "lt ", " 25", "0131", "111", "11", "1", "99", "1234567893",
    "0000000000", "35201", "352011234", "00000", "12345678901", "zzzzzzzzzzz", "123456789012",
    "ZZZZZ", "ZZZZZZ", "7ZZ", "ZZZ", "F", "m", "BK", "abf", "A.B", "A-B", "@[`{", "\x00", "\x7f",
    "\x1c99213\x1f", "\x0b11\x0c", "12345", "1234 5", "207Q00000X", "x" * 20, "9" * 21,
)  # fmt: skip
DATES = (
    "", " ", "2025-10-15", "20251015", "10/15/2025", " 2025-10-15\n", "2024-02-29", "2025-02-29",
    "1900-02-28", "1900-02-29", "2000-02-29", "2100-12-31", "2101-01-01", "1899-12-31", "00000000",
    "2025-13-01", "2025-00-10", "2025-10-00", "2025-04-31", "2025/10/15", "15/10/2025", "1/2/2025",
    "2025-1-02", "+025-10-15", "2025-10-1\x00", "12-/-01-01", "12/34-5-67", "not a date",
    "20 51015", "\x1f20251015", "10/15-2025", "10/15/20251",
)  # fmt: skip
TEXTS = (
    "", " ", "MEMBER 1", "PAYER", "MB", "hm", " Medicare ", "disaster", "Jos\xe9", "\xa0", "\u2003",
    "\x85", "\x9f", "\u6771\u4eac", "\U0001f600" * 30, "e\u0301" * 60, "a\x00b", "tab\t", "\x7f",
    "x" * 50, "x" * 101, "\xe9" * 50, "\xe9" * 101, "\u0130", "\xad", "\u200b",
)  # fmt: skip
FOREIGN = (
    "\xa011\xa0",
    "9921\uff13",
    "\u0131",
    "\u017f",
    "\xdf",
    "\x85",
    "\u2003LT",
    "\u0661\u0661",
)
INTS = (0, 1, 2, 3, 5, 7, 999, 1000, 10**6, -1, 2**31 - 1, -(2**31))
WIDE_INTS = (*INTS, 10**11, 10**12, 2**63 - 1, -(2**63))
LINES = {**LINE_FIELDS, **LINE_ROLES}
LISTS_MAX = {"lines": 60, "diagnoses": 30, "modifiers": 8, "diagnosis_pointers": 8}


class Scribbler:
    """Fills any message of the API with values that are usual, odd or impossible."""

    def __init__(self, random: Random, *, ascii_codes: bool) -> None:
        self.random, self.ascii_codes = random, ascii_codes

    def fill(self, message, read: dict) -> None:
        for field in message.DESCRIPTOR.fields:
            if field.is_repeated:
                self._fill_list(message, field, read)
            elif field.message_type:
                if self.random.random() < 0.3:
                    self._fill_message(getattr(message, field.name), field, read)
            elif self.random.random() < 0.7:
                setattr(message, field.name, self._value(field, read))

    def _fill_list(self, message, field: FieldDescriptor, read: dict) -> None:
        most = LISTS_MAX.get(field.name, 4 if self.random.random() < 0.9 else 60)
        count = int(most * self.random.random() ** 3 + 0.5)
        values = getattr(message, field.name)
        if field.name == "attributes":
            values.update({str(number): "value" for number in range(count)})
        elif field.message_type:
            for _ in range(count):
                self._fill_message(values.add(), field, read)
        else:
            values.extend(self._value(field, read) for _ in range(count))

    def _fill_message(self, message, field: FieldDescriptor, read: dict) -> None:
        within = LINES if field.name == "lines" else read.get(field.name, {})
        if not field.is_repeated:
            message.SetInParent()
        self.fill(message, within if isinstance(within, dict) else {})

    def _value(self, field: FieldDescriptor, read: dict):
        pick = self.random.choice
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._text(field, read)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return pick((True, False))
        wide = field.cpp_type == FieldDescriptor.CPPTYPE_INT64
        return pick(WIDE_INTS if wide else INTS)

    def _text(self, field: FieldDescriptor, read: dict) -> str:
        pick = self.random.choice
        known = read.get(field.name)
        if known and known.kind in READ_AS_TEXT:
            return pick((*TEXTS, *CODES, *FOREIGN))
        if not self.ascii_codes and self.random.random() < 0.05:
            return pick(FOREIGN + TEXTS)
        if self.random.random() < 0.3:
            return "".join(pick(SPACES + "AZaz09-/") for _ in range(self.random.randrange(14)))
        return pick(DATES if "date" in field.name else CODES)


def scribbled(seed: int, count: int, *, ascii_codes: bool) -> list[claim_pb2.Claim]:
    scribbler = Scribbler(Random(seed), ascii_codes=ascii_codes)
    claims = [claim_pb2.Claim() for _ in range(count)]
    for claim in claims:
        scribbler.fill(claim, {**CLAIM_FIELDS, **CLAIM_ROLES})
    return claims


def in_messages(claims: list[claim_pb2.Claim], size: int) -> list[score_pb2.ClaimBatch]:
    return [
        score_pb2.ClaimBatch(claims=claims[first : first + size])
        for first in range(0, len(claims), size)
    ]
