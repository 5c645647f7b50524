"""Waits grow, are bounded on both sides, and end."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.failed.backoff import Backoff
from loader.settings import LoaderSettings, LoaderSettingsError

seconds = st.floats(0.001, 1e7)
chances = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10_000), seconds, seconds, chances)
def test_a_wait_is_between_half_and_the_whole_of_its_bound(retries, first, longest, chance):
    wait = Backoff(first, longest, chance=lambda: chance).wait(retries).total_seconds()

    whole = min(longest, first * 2.0 ** min(retries, 60))
    assert whole / 2 - 1e-5 <= wait <= whole + 1e-5


@given(st.integers(0, 100), seconds, seconds, chances)
def test_with_the_same_luck_a_later_retry_never_waits_less(retries, first, longest, chance):
    backoff = Backoff(first, longest, chance=lambda: chance)

    assert backoff.wait(retries) <= backoff.wait(retries + 1)


@given(st.integers(1, 1_000))
def test_a_claim_is_dead_after_exactly_so_many_retries(most):
    backoff = Backoff(retries_max=most)

    assert [backoff.dead(retries) for retries in (most - 1, most)] == [False, True]


def test_each_retry_doubles_the_wait_up_to_the_longest():
    backoff = Backoff(60, 300, chance=lambda: 0.0)

    waits = [backoff.wait(retries) for retries in range(5)]

    assert waits == [timedelta(seconds=each) for each in (30, 60, 120, 150, 150)]


def test_claims_that_failed_together_do_not_come_back_together():
    assert len({Backoff().wait(3) for _ in range(20)}) > 10


def test_a_repair_step_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("CLAIMGATE_STAGING_URL", "postgresql://s")
    monkeypatch.setenv("CLAIMGATE_PRODUCTION_URL", "postgresql://p")
    monkeypatch.setenv("CLAIMGATE_REPAIR_STEPS", '["renumber_lines", "make_it_pass"]')

    with pytest.raises(LoaderSettingsError, match="no repair step 'make_it_pass'; expected some"):
        LoaderSettings.from_environment()


def test_no_step_is_applied_unless_it_is_named():
    assert LoaderSettings(staging_url="s", production_url="p").repair_steps == ()
