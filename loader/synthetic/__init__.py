"""Synthetic claims: invented people, real codes, planted problems; the same for the same seed.

The mix: about 85 % professional and 15 % institutional claims (mostly outpatient), four to five
lines on average, two and a half claims per member. Charges are what a practice asks: 0.95 to 1.35
times the typical fee, of one practice in twelve up to 2.1 times. About four in five claims have
nothing worse than a note; `problems.py` lists the rest.
"""

from bisect import bisect
from collections.abc import Iterator
from datetime import date
from itertools import accumulate
from random import Random
from typing import Final

from claimgate.v1.claim_pb2 import Claim

from loader.synthetic.catalogue import INSTITUTIONAL, PROFESSIONAL, Visit
from loader.synthetic.people import Member, member
from loader.synthetic.problems import PROBLEMS, Problem
from loader.synthetic.visits import Window, write_claim

FIRST_DAY: Final = date(2025, 10, 1)
LAST_DAY: Final = date(2025, 12, 31)

_PROFESSIONAL_SHARE: Final = 0.83
_BLOCK_CLAIMS: Final = 500
"""Members see a doctor several times within a block of claims, never in two blocks."""
_BLOCK_MEMBERS: Final = 200
_SUITABLE_TRIES: Final = 12

_VISITS: Final = (PROFESSIONAL, INSTITUTIONAL)
_WEIGHTS: Final = tuple(tuple(accumulate(visit.weight for visit in visits)) for visits in _VISITS)
_SHARES: Final = tuple(accumulate(problem.share / 100 for problem in PROBLEMS))


def synthetic_claims(
    count: int,
    *,
    seed: int,
    first_day: date = FIRST_DAY,
    last_day: date = LAST_DAY,
    start: int = 0,
) -> Iterator[Claim]:
    """Yield `count` claims with service days in the window, both ends included.

    Claim number i depends on the seed, the window and i alone: `start` begins at any number, so
    that the work can be divided. Ids are unique within a seed.
    """
    if last_day < first_day:
        raise ValueError(
            f"the window ends on {last_day} before it begins on {first_day}; give a later last_day"
        )
    window = Window(first_day.toordinal(), last_day.toordinal())
    for number in range(start, start + count):
        yield _claim(seed, number, window)


def _claim(seed: int, number: int, window: Window) -> Claim:
    """Return claim `number` of the seed."""
    random = _random(seed, number)
    problem = _problem(random)
    if problem is None:
        return _clean(seed, number, window, random)
    if problem.visit is None and problem.change is None:
        return _repeat(seed, number, window)
    return _wrong(problem, seed, number, window, random)


def _clean(seed: int, number: int, window: Window, random: Random) -> Claim:
    """Return a claim without a planted problem."""
    institutional = random.random() >= _PROFESSIONAL_SHARE
    return _billed(institutional, seed, number, window, random)


def _wrong(problem: Problem, seed: int, number: int, window: Window, random: Random) -> Claim:
    """Return a claim with that problem."""
    if problem.visit is not None:
        patient = _patient(problem.visit, seed, number, random)
        return write_claim(problem.visit, patient, _claim_id(seed, number), window, random)
    professional = problem.professional_only or random.random() < _PROFESSIONAL_SHARE
    claim = _billed(not professional, seed, number, window, random)
    if problem.change is not None:
        problem.change(claim, random)
    return claim


def _repeat(seed: int, number: int, window: Window) -> Claim:
    """Return the claim before this one, sent again under a new id; the first one is clean."""
    before = max(number - 1, 0)
    random = _random(seed, before)
    problem = _problem(random)
    if problem is None or (problem.visit is None and problem.change is None):
        claim = _clean(seed, before, window, random)
    else:
        claim = _wrong(problem, seed, before, window, random)
    claim.claim_id = _claim_id(seed, number)
    return claim


def _billed(institutional: bool, seed: int, number: int, window: Window, random: Random) -> Claim:
    """Return a claim of one of the usual visits."""
    weights = _WEIGHTS[institutional]
    visit = _VISITS[institutional][bisect(weights, random.random() * weights[-1])]
    patient = _patient(visit, seed, number, random)
    return write_claim(visit, patient, _claim_id(seed, number), window, random)


def _patient(visit: Visit, seed: int, number: int, random: Random) -> Member:
    """Return a member of the claim's block whom the visit suits."""
    first = number // _BLOCK_CLAIMS * _BLOCK_MEMBERS
    youngest, oldest = visit.ages
    for _ in range(_SUITABLE_TRIES):
        patient = member(seed, first + int(random.random() * _BLOCK_MEMBERS))
        age = FIRST_DAY.year - patient.birth.year
        if youngest < age <= oldest and visit.sex in {"", patient.sex}:
            return patient
    return member(seed, _one_of_the_right_age(visit, seed, first))


def _one_of_the_right_age(visit: Visit, seed: int, first: int) -> int:
    """Search the block from its start for somebody whom a rare visit suits; else take the first."""
    youngest, oldest = visit.ages
    for number in range(first, first + _BLOCK_MEMBERS):
        patient = member(seed, number)
        age = FIRST_DAY.year - patient.birth.year
        if youngest < age <= oldest and visit.sex in {"", patient.sex}:
            return number
    return first


def _problem(random: Random) -> Problem | None:
    """Draw the problem of a claim; most have none."""
    place = bisect(_SHARES, random.random())
    return PROBLEMS[place] if place < len(PROBLEMS) else None


def _random(seed: int, number: int) -> Random:
    """Return the random numbers of one claim."""
    return Random((seed << 80) | number)  # noqa: S311 - claims are made up, not secret


def _claim_id(seed: int, number: int) -> str:
    """Return the id of one claim."""
    return f"SYN-{seed}-{number:09d}"
