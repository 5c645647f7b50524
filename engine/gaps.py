"""What could not be judged of each claim: few patterns, for most claims lack the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints, rows_where
from engine.findings import Findings

_BITS: Final = 62
"""Entries that one integer holds a bit of each of."""


class Gap(NamedTuple):
    """Rules that could not judge the same lines of a claim, for one reason."""

    reason: str
    rule_ids: Sequence[str]
    line_numbers: Sequence[int]
    """None means the whole claim."""


class _Entry(NamedTuple):
    """Rules that could not judge the very same lines, or whole claims, of a pass."""

    reason: str
    rule_ids: list[str]
    lines: Bools | None
    claims: Bools | None


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps of a pass: claims that lack the same share a pattern."""

    claim: Ints
    """Rows of the claims that have some, ascending."""
    pattern: Ints
    """Of each of them its place in `patterns`."""
    patterns: Sequence[Sequence[Gap]]
    """By reason and lines."""

    @classmethod
    def of(cls, findings: Findings, batch: Batch) -> "Gaps":
        """Return what the rules say that they could not judge."""
        entries = _entries(findings)
        of_line, of_claim = _masks(entries, len(batch.lines), len(batch.claims))
        if not entries:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), ())
        rows = rows_where(of_line.any(axis=1))
        some: Bools = np.any(of_claim, axis=1)
        some[batch.lines.claim[rows]] = True
        claims = rows_where(some)
        numbered = np.column_stack([batch.lines.number[rows], of_line[rows]]).astype(np.int64)
        bounds = batch.lines.claim[rows].searchsorted(np.append(claims, len(batch.claims)))
        keys = _keys(numbered, bounds, of_claim[claims])
        number = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        width = of_claim.shape[1]
        return cls(
            claims,
            np.fromiter(map(number.__getitem__, keys), np.int64, len(keys)),
            [_gaps(entries, np.frombuffer(key, np.int64), width) for key in number],
        )


def _entries(findings: Findings) -> list[_Entry]:
    """Return what the rules could not judge; those with the very same lines are one entry."""
    entries: dict[tuple[str, bool, bytes], _Entry] = {}
    for rule, hits in zip(findings.rules, findings.by_rule, strict=True):
        for gap in hits.not_evaluated:
            mask = gap.claims if gap.lines is None else gap.lines
            if mask is None or not mask.any():
                continue
            key = gap.reason, gap.lines is None, mask.tobytes()
            claims = gap.claims if gap.lines is None else None
            entry = entries.setdefault(key, _Entry(gap.reason, [], gap.lines, claims))
            entry.rule_ids.append(rule.id)
    return list(entries.values())


def _masks(entries: Sequence[_Entry], lines: int, claims: int) -> tuple[Ints, Ints]:
    """A bit for each entry, of the lines and of the claims. Shapes are (rows, words)."""
    words = len(entries) // _BITS + 1
    of_line, of_claim = np.zeros((lines, words), np.int64), np.zeros((claims, words), np.int64)
    for place, entry in enumerate(entries):
        word, bit = place // _BITS, np.int64(1 << place % _BITS)
        if entry.lines is not None:
            of_line[:, word] |= entry.lines * bit
        if entry.claims is not None:
            of_claim[:, word] |= entry.claims * bit
    return of_line, of_claim


def _keys(numbered: NDArray[np.int64], bounds: Ints, of_claim: Ints) -> list[bytes]:
    """What claims lack, as bytes: the bits of the claim, then number and bits of each line."""
    # Slices of bytes as keys take a fifth of a microsecond a claim, a sort of rows ten times that.
    wide, narrow = 8 * numbered.shape[1], 8 * of_claim.shape[1]
    lines, claims = numbered.tobytes(), of_claim.tobytes()
    ends = (bounds * wide).tolist()
    of_lines = map(lines.__getitem__, map(slice, ends[:-1], ends[1:]))
    starts = range(0, len(claims), narrow)
    of_claims = (claims[start : start + narrow] for start in starts)
    return [first + second for first, second in zip(of_claims, of_lines, strict=True)]


def _gaps(entries: Sequence[_Entry], key: Ints, words: int) -> list[Gap]:
    """Read such a key, and join the rules that could not judge the same lines of the claim."""
    of_claim, lines = key[:words].tolist(), key[words:].reshape(-1, words + 1)
    joined: list[tuple[str, tuple[int, ...], list[str]]] = []
    for place, entry in enumerate(entries):
        word, bit = divmod(place, _BITS)
        if of_claim[word] >> bit & 1:
            joined.append((entry.reason, (), entry.rule_ids))
        numbers = lines[lines[:, 1 + word] >> bit & 1 == 1, 0].tolist()
        if numbers:
            joined.append((entry.reason, tuple(numbers), entry.rule_ids))
    return [_joined(*each) for each in _by_lines(joined)]


def _by_lines(
    found: Iterable[tuple[str, tuple[int, ...], list[str]]],
) -> Iterable[tuple[str, tuple[int, ...], set[str]]]:
    for (reason, numbers), same in groupby(sorted(found), key=lambda each: each[:2]):
        yield reason, numbers, {rule_id for _, _, ids in same for rule_id in ids}


def _joined(reason: str, numbers: tuple[int, ...], rule_ids: set[str]) -> Gap:
    return Gap(reason, sorted(rule_ids), list(numbers))
