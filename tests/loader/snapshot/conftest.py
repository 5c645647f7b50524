"""A source folder that a test may damage: a copy of the sample tables."""

import shutil
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[3] / "ops" / "reference-sample"


@pytest.fixture
def source(tmp_path):
    """A copy of the sample folder."""
    folder = tmp_path / "source"
    shutil.copytree(SAMPLE, folder)
    return folder
