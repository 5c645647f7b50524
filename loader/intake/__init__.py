"""Claims out of files: 837P and 837I, or one claim in JSON per line."""

from loader.intake.file import read_claims
from loader.intake.item import IntakeClaim, IntakeError, IntakeItem, IntakeProblem
from loader.intake.reader import read_837

__all__ = [
    "IntakeClaim",
    "IntakeError",
    "IntakeItem",
    "IntakeProblem",
    "read_837",
    "read_claims",
]
