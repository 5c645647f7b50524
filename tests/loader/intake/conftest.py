"""What the intake tests share: the project's own 837 files, and reading bytes as a file."""

import io
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from claimgate.v1 import claim_pb2

from loader.intake import IntakeClaim, IntakeProblem, read_837

SAMPLES = Path(__file__).parents[3] / "ops" / "claims-sample"


@pytest.fixture(scope="session")
def samples() -> Path:
    return SAMPLES


@pytest.fixture(scope="session")
def professional() -> bytes:
    return (SAMPLES / "professional.837").read_bytes()


@pytest.fixture(scope="session")
def inpatient() -> bytes:
    return (SAMPLES / "institutional-inpatient.837").read_bytes()


@pytest.fixture(scope="session")
def read() -> Callable[[bytes], tuple[list[claim_pb2.Claim], list[IntakeProblem]]]:
    """Claims and problems of a file given as bytes."""

    def read_bytes(content: bytes) -> tuple[list[claim_pb2.Claim], list[IntakeProblem]]:
        items = list(
            read_837(io.BytesIO(content), file_name="test.837", ingest_date=date(2025, 11, 21))
        )
        claims = [item.claim for item in items if isinstance(item, IntakeClaim)]
        return claims, [item for item in items if isinstance(item, IntakeProblem)]

    return read_bytes
