"""Places are armed by the environment alone; each that is named is passed somewhere, and once."""

import re
from pathlib import Path

import pytest

from loader import failpoints

LOADER = Path(failpoints.__file__).parent


def test_every_place_stands_in_the_code_once():
    places = [
        name
        for path in LOADER.rglob("*.py")
        for name in re.findall(r'^ +failpoint\("([\w.]+)"\)$', path.read_text(), re.MULTILINE)
    ]

    assert sorted(places) == sorted(failpoints.FAILPOINTS)
    assert len(places) >= 12


def test_nothing_is_armed_without_the_variable():
    assert failpoints._armed is None
    assert failpoints._armed_by("") is None


@pytest.mark.parametrize("text", ["nowhere:1", "load.commit", "load.commit:x", "send:1:TERM"])
def test_a_place_that_cannot_be_armed_is_an_error(text):
    with pytest.raises(ValueError, match="expected NAME:PASSES"):
        failpoints._armed_by(text)


def test_the_last_pass_ends_the_process_and_no_other(monkeypatch):
    sent = []
    monkeypatch.setattr(failpoints.os, "kill", lambda _, number: sent.append(number.name))
    armed = failpoints._armed_by("load.commit:2")

    for name in ("load.commit", "send", "load.commit", "load.commit"):
        armed.passed(name)

    assert sent == ["SIGKILL"]
