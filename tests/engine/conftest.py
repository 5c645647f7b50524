"""What tests of the engine share."""

import pytest

from engine import native


@pytest.fixture(scope="session")
def compiled(skip_or_fail) -> None:
    """Everything in C was built, here and for the sources that are here."""
    for each in native.EVERY:
        if each.load() is None:
            skip_or_fail(
                f"engine/native/{each.name}.c was not built: install again with a compiler"
            )
