"""What intake hands out: claims, problems, and the error that ends a file."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from claimgate.v1 import claim_pb2


class IntakeError(Exception):
    """A file cannot be read as claims at all."""


class Code(StrEnum):
    """What kind of problem was found; stable, so that it can be counted and looked up."""

    CHARACTERS = "characters"
    """A segment holds control characters or bytes that are not UTF-8."""
    CLAIM_SIZE = "claim_size"
    """A claim is larger than any real one."""
    CODE_VALUE = "code_value"
    """An element holds a code that its guide does not list there."""
    COMPONENTS = "components"
    """A composite has too few or too many components, or another separator than ISA16."""
    CONTROL_NUMBER = "control_number"
    """A trailer names another control number than its header, or a number repeats."""
    DATE = "date"
    """A date or time is impossible or in another form than announced; the field is left empty."""
    ENCODING = "encoding"
    """The file is not single-byte text or UTF-8."""
    ENTITY_CODE = "entity_code"
    """NM101 names a role that does not occur in this loop; the name is not read."""
    ENVELOPE = "envelope"
    """ISA, GS, ST and their trailers are not nested as they should be."""
    GUIDE = "guide"
    """The transaction follows a guide that is not read; all its claims are refused."""
    HIERARCHY = "hierarchy"
    """HL segments do not form billing provider, subscriber, patient."""
    ICD9 = "icd9"
    """ICD-9 codes on services from 2015-10-01 on; the service rejects such a claim."""
    JSON = "json"
    """A line is not the JSON of a claim."""
    LINE_NUMBER = "line_number"
    """LX01 is missing or no line number; the line is numbered by its position."""
    MISSING_LOOP = "missing_loop"
    """A required loop is missing."""
    MISSING_SEGMENT = "missing_segment"
    """A required segment or element is missing."""
    NUMBER = "number"
    """An amount, a quantity or another number cannot be read exactly."""
    REPEATED_LOOP = "repeated_loop"
    """A loop occurs more often than its guide allows."""
    REPEATED_SEGMENT = "repeated_segment"
    """A segment occurs more often than its guide allows; the first one holds."""
    SEGMENT_COUNT = "segment_count"
    """A trailer counts otherwise than the reader."""
    SEGMENT_SIZE = "segment_size"
    """A segment has no end within reason; it is skipped."""
    SEPARATORS = "separators"
    """ISA does not give usable separators, or not in fixed width."""
    TRUNCATED = "truncated"
    """The file or the transaction ends before it is complete."""
    UNEXPECTED_SEGMENT = "unexpected_segment"
    """A segment does not belong where it stands; it is not read."""
    VERSION = "version"
    """ISA12 and GS08 name different versions."""


Level = Literal["error", "warning"]
"""An error refuses something: a claim, a transaction, a stretch of the file. A warning does not."""


@dataclass(frozen=True, slots=True)
class IntakeClaim:
    """A claim as it was billed, and the number of the segment (or line) that it starts at."""

    claim: claim_pb2.Claim
    segment: int


@dataclass(frozen=True, slots=True)
class IntakeProblem:
    """What is wrong at one segment (or line) of a file, counted from 1; never its values."""

    segment: int
    level: Level
    code: str
    message: str
    claim_id: str = ""


IntakeItem = IntakeClaim | IntakeProblem
