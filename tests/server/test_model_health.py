"""An endpoint that fails is left alone, probed and taken back; simulated with seeds."""

from random import Random

import pytest

from server.model_health import Health, HedgeBudget, Patience, State, breaker

PATIENCE = Patience(failures_max=3, retry_s=1.0, retry_s_max=10.0)


def failed(health: Health, times: int, now: float = 0.0) -> Health:
    for _ in range(times):
        health = health.failed(now, PATIENCE, 0.5)
    return health


def test_failures_in_a_row_eject():
    assert failed(Health(), 2).state is State.CLOSED
    assert failed(Health(), 3).state is State.OPEN


def test_an_answer_forgives_earlier_failures():
    health = failed(failed(Health(), 2).answered(), 2)

    assert health.state is State.CLOSED


def test_probe_waits_for_its_time_and_goes_alone():
    ejected = failed(Health(), 3, now=5.0)

    assert ejected.retry_at == 6.0
    assert ejected.probing(5.9) == ejected
    probing = ejected.probing(6.0)
    assert probing.state is State.HALF_OPEN
    assert probing.probing(7.0) == probing


@pytest.mark.parametrize("late", [Health.answered, failed], ids=["answer", "failure"])
def test_what_was_sent_before_an_ejection_changes_nothing(late):
    ejected = failed(Health(), 3)
    probing = ejected.probing(2.0)
    changed = late if late is Health.answered else lambda health: failed(health, 3)

    assert changed(ejected) == ejected
    assert changed(probing) == probing


def test_probe_decides():
    probing = failed(Health(), 3).probing(1.0)

    back = probing.probed(1.1, PATIENCE, 0.5, answered=True)
    again = probing.probed(1.1, PATIENCE, 0.5, answered=False)

    assert back.state is State.CLOSED
    assert (again.state, again.retry_at) == (State.OPEN, 1.1 + 2.0)


def test_one_that_answers_probes_alone_is_left_alone_for_longer():
    health, waits = Health(), []
    for _ in range(6):
        health = failed(health, 3, now=100.0)
        waits.append(health.retry_at - 100.0)
        health = health.probing(200.0).probed(200.0, PATIENCE, 0.5, answered=True)

    assert waits == [1, 2, 4, 8, 10, 10]
    assert failed(health.answered(), 3).retry_at == 1.0


def test_breaker_is_as_good_as_the_best_endpoint():
    healthy, ejected = Health(), failed(Health(), 3)

    assert breaker([ejected, healthy]) is State.CLOSED
    assert breaker([ejected, ejected.probing(9)]) is State.HALF_OPEN
    assert breaker([ejected, ejected]) is State.OPEN


@pytest.mark.parametrize("seed", range(200))
def test_simulated_outages_cost_few_passes_and_end(seed):
    """Endpoints go down and up at random, passes come, probes go: a second has ten ticks."""
    random = Random(seed)
    count = random.choice((1, 2, 3))
    patience = Patience(random.randint(1, 5), random.choice((0.1, 1.0)), 10.0)
    healths = [Health() for _ in range(count)]
    up = [True] * count
    lost, outages = [0] * count, [0] * count
    probe_ends: dict[int, float] = {}
    for tick in range(3_000):
        now = tick / 10
        for at in range(count):
            if tick < 2_000 and random.random() < 0.01:
                outages[at] += up[at]
                up[at] = not up[at]
            elif tick == 2_000:
                up[at] = True
        for at in range(count):
            if at in probe_ends:
                assert healths[at].state is State.HALF_OPEN
                if now >= probe_ends[at]:
                    del probe_ends[at]
                    healths[at] = healths[at].probed(
                        now, patience, random.random(), answered=up[at]
                    )
            elif (probing := healths[at].probing(now)) != healths[at]:
                assert now >= healths[at].retry_at
                healths[at], probe_ends[at] = probing, now + random.choice((0.1, 0.5))
        asked = [at for at in range(count) if healths[at].state is State.CLOSED]
        assert (breaker(healths) is State.CLOSED) == bool(asked)
        if asked:
            at = random.choice(asked)
            if up[at]:
                healths[at] = healths[at].answered()
            else:
                lost[at] += 1
                healths[at] = healths[at].failed(now, patience, random.random())
                if healths[at].state is State.OPEN:
                    waits = patience.retry_s_max * 1.25
                    assert 0 < healths[at].retry_at - now <= waits

    assert all(health.state is State.CLOSED for health in healths)
    assert sum(outages) > 0
    for passes, times in zip(lost, outages, strict=True):
        # A probe may just meet the endpoint between two outages: each return can cost as much.
        assert passes <= patience.failures_max * 2 * (times + 1)


def test_hedges_are_at_most_one_in_twenty():
    budget, random, spent = HedgeBudget(), Random(7), 0
    for asked in range(1, 5_001):
        budget.earn()
        spent += random.random() < 0.5 and budget.spend()
        assert spent <= asked * 0.05 + 1e-6

    assert spent > 200


def test_no_more_than_ten_hedges_are_saved():
    budget = HedgeBudget()
    for _ in range(10_000):
        budget.earn()

    assert sum(budget.spend() for _ in range(100)) == 10
