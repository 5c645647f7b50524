"""The past of a claim: lines of other claims that its rules may see.

A claim sees committed history of its member, and the earlier claims of its own message: never the
rest of its pass (docs/decisions/0012-what-a-claim-sees.md). A claim that replaces or voids another
(frequency 7 or 8, or a later version of one id) takes its place from then on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import repeat
from typing import Any, Final, Self

import numpy as np

from engine.as_earlier import earlier_claims, earlier_lines
from engine.bills import inpatient
from engine.codes import code36
from engine.columns import Batch, Bools, Dates, Ints, Table, distinct_values, one_of, rows_where
from engine.history import LOOK_BACK_DAYS, EarlierClaims, EarlierLines, History
from engine.joins import equal_rows, in_runs
from engine.words import word_key

_VOID: Final = code36("8")
_TAKES_THE_PLACE: Final = (code36("7"), _VOID)
_COMMITTED: Final = -1
_LONG_AGO: Final = np.datetime64("0001-01-01", "D")
_LOOK_BACK: Final = np.timedelta64(LOOK_BACK_DAYS, "D")
_LINES_OF_A_DAY: Final = 256
_LINES_OF_A_MEMBER: Final = 8_192
"""Most lines of a member, and of a member's day, that claims are compared with: those of the latest
committed claims, and the first ones of a message.

Nobody has so many. A placeholder that stands for whoever is not known has: the pairs of its lines
grow with their square, and are of different people anyway.
"""
_PAIRS_AT_ONCE: Final = 1 << 20
"""How many pairs are looked at before those that nobody sees are dropped: it bounds memory."""
_DAY_BITS: Final = 20
_DAY_ZERO: Final = 200_000
"""Days are counted from long before any claim, so that a span may reach below all of them."""


@dataclass(frozen=True, slots=True)
class SeenPairs:
    """Lines of a pass, each with a line of the past that its claim sees. Shapes are (pairs,)."""

    line: Ints
    """Row of the line in the pass."""
    earlier: Ints
    """Row of the line in `Past.lines`."""

    @classmethod
    def none(cls) -> Self:
        """Return no pairs."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the pairs of all parts."""
        return cls(
            np.concatenate([each.line for each in parts]),
            np.concatenate([each.earlier for each in parts]),
        )

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.line)

    def where(self, mask: Bools) -> "SeenPairs":
        """Keep the pairs of the mask."""
        return SeenPairs(self.line[mask], self.earlier[mask])


@dataclass(frozen=True, slots=True)
class _Supersession(Table):
    """From which claim on an earlier one is no longer seen in a message."""

    key: Ints
    """Earlier claim and message, ascending."""
    ordinal: Ints

    @classmethod
    def none(cls) -> Self:
        """Return that nothing is replaced."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True, repr=False)
class Past:
    """Lines of other claims of a pass's members, and who sees them."""

    claim_ids: Sequence[str]
    claims: EarlierClaims
    claim_message: Ints
    """Message of the claim in the pass; -1 for a committed one, which every message sees."""
    claim_ordinal: Ints
    """Ordinal of the claim in the pass: later ones see it; -1 for a committed one."""
    lines: EarlierLines
    line_start: Ints
    """Row of each claim's first line in `lines`, which are in the order of the claims."""
    has_history: bool
    """Committed history was gathered; without it what rests on history is partial."""
    crowded: Bools
    """Claims of the pass that are not compared with all lines before them, for their member has too
    many: what is found of them holds, and there may be more."""
    _by_member: Ints
    """Rows of lines by member and day."""
    _member_day: Ints
    """Member and day of those rows, ascending."""
    _has_past: Bools
    """Which members have earlier claims, by their number in the pass."""
    _same_id: Ints
    """Number of each earlier claim's id."""
    _own_id: Ints
    """The same numbering for the claims of the pass, -1 where no earlier claim has the id."""
    _superseded: _Supersession = field(default_factory=_Supersession.none)
    _of_day: SeenPairs = field(default_factory=SeenPairs.none)
    """Lines with those of their own day, for all lines: half a dozen rules ask for them."""

    @classmethod
    def of(cls, batch: Batch, history: History | None) -> Self:
        """Return what the claims of a pass may see."""
        shared = _members_with_several_claims(batch)
        claims, lines, owner = _from_batch(batch, shared)
        ids = [batch.received.claim_ids[n] for n in batch.claims.ordinal[owner].tolist()]
        message, ordinal = batch.claims.message[owner], batch.claims.ordinal[owner]
        if history is not None:
            before = len(history.claims)
            ids = [*history.claim_ids, *ids]
            claims = _joined(history.claims, claims)
            lines = _joined(history.lines, lines, claim=before)
            committed = np.full(before, _COMMITTED, np.int64)
            message, ordinal = (np.concatenate([committed, c]) for c in (message, ordinal))
        return cls._indexed(batch, ids, claims, message, ordinal, lines, history is not None)

    @classmethod
    def _indexed(
        cls,
        batch: Batch,
        ids: Sequence[str],
        claims: EarlierClaims,
        message: Ints,
        ordinal: Ints,
        lines: EarlierLines,
        has_history: bool,
    ) -> Self:
        has_past = np.zeros(len(batch.persons), np.bool_)
        has_past[claims.member] = True
        member_day = _member_day(lines.member, lines.service_from)
        order = np.argsort(member_day, kind="stable")
        end, line_message = claims.service_to[lines.claim], message[lines.claim]
        left_out = _beyond(_LINES_OF_A_DAY, member_day, line_message, end)
        left_out |= _beyond(_LINES_OF_A_MEMBER, lines.member, line_message, end)
        crowded = _crowded(batch, claims, lines.claim[left_out], message, ordinal)
        order = order[~left_out[order]]
        same, own = _numbered(batch, ids)
        past = cls(
            claim_ids=ids,
            claims=claims,
            claim_message=message,
            claim_ordinal=ordinal,
            lines=lines,
            line_start=lines.claim.searchsorted(np.arange(len(claims))),
            has_history=has_history,
            crowded=crowded,
            _by_member=order,
            _member_day=member_day[order],
            _has_past=has_past,
            _same_id=same,
            _own_id=own,
        )
        past = replace(past, _superseded=past._supersession(batch))
        day = batch.lines.service_from
        return replace(past, _of_day=past.pairs(batch, np.arange(len(day)), day, day))

    def __repr__(self) -> str:
        """Say how much there is, not whose."""
        return f"Past({len(self.claims)} claims, {len(self.lines)} lines)"

    def __len__(self) -> int:
        """Count the lines."""
        return len(self.lines)

    @property
    def line_count(self) -> Ints:
        """How many lines each claim has."""
        return np.diff(self.line_start, append=len(self.lines))

    def pairs(self, batch: Batch, line: Ints, first_day: Dates, last_day: Dates) -> SeenPairs:
        """Return each line with the lines of its past whose first day is from one day to another.

        Args:
            batch: The pass.
            line: Rows of lines, shape (n,).
            first_day: Of each the first day that is looked at, shape (n,).
            last_day: The last one.
        """
        if not len(self) or not len(line):
            return SeenPairs.none()
        member = batch.claims.member[batch.lines.claim[line]]
        some = rows_where(self._has_past[member])
        line, member = line[some], member[some]
        first_day, last_day = first_day[some], last_day[some]
        begin = self._member_day.searchsorted(_member_day(member, first_day))
        end = self._member_day.searchsorted(_member_day(member, last_day), side="right")
        width = np.where(np.isnat(first_day) | np.isnat(last_day), 0, np.maximum(end - begin, 0))
        pieces = np.cumsum(width) // _PAIRS_AT_ONCE
        parts = np.split(np.arange(len(line)), rows_where(np.diff(pieces)) + 1)
        return SeenPairs.joined(
            [self._seen(batch, line[each], begin[each], width[each]) for each in parts]
        )

    def _seen(self, batch: Batch, line: Ints, begin: Ints, width: Ints) -> SeenPairs:
        """Return lines with those that they see of a run of the lines by member and day."""
        run, at = in_runs(begin, width)
        left, earlier = line[run], self._by_member[at]
        seen = self._sees(batch, batch.lines.claim[left], self.lines.claim[earlier])
        return SeenPairs(left[seen], earlier[seen])

    def pairs_of_day(self, batch: Batch, line: Ints) -> SeenPairs:
        """Return each line with the lines of its past that begin on its own first day."""
        asked = np.zeros(len(batch.lines), np.bool_)
        asked[line] = True
        return self._of_day.where(asked[self._of_day.line])

    def counted(self, pairs: SeenPairs) -> SeenPairs:
        """Drop lines that count for duplicates only: denied ones, and of claims in process."""
        earlier = pairs.earlier
        in_process = self.claims.in_process[self.lines.claim[earlier]]
        return pairs.where(~in_process & ~self.lines.denied[earlier])

    def same_provider(self, batch: Batch, pairs: SeenPairs) -> Bools:
        """Pairs of one provider (domain C.1).

        Professional: the same renderer, or the same biller and specialty. Institutional: the same
        biller. Tax ids are not compared across claims: one that is a social security number must
        not be kept in the clear.
        """
        own_claim, earlier_claim = batch.lines.claim[pairs.line], self.lines.claim[pairs.earlier]
        same_form = batch.claims.type[own_claim] == self.claims.type[earlier_claim]
        npi, biller = batch.lines.rendering_npi[pairs.line], batch.claims.billing_npi[own_claim]
        specialty = batch.lines.specialty[pairs.line]
        same_renderer = (npi > 0) & (npi == self.lines.rendering_npi[pairs.earlier])
        same_biller = (biller > 0) & (biller == self.claims.billing_npi[earlier_claim])
        same_specialty = (specialty > 0) & (specialty == self.lines.specialty[pairs.earlier])
        professional = batch.professional[pairs.line]
        same: Bools = same_form & np.where(
            professional, same_renderer | (same_biller & same_specialty), same_biller
        )
        return same

    def outpatient(self, pairs: SeenPairs) -> Bools:
        """Pairs whose earlier line is not on a bill of inpatients."""
        bill = self.claims.type_of_bill[self.lines.claim[pairs.earlier]]
        return ~inpatient(bill)

    def claim_pairs(
        self,
        batch: Batch,
        claim: Ints,
        *,
        among: Bools | None = None,
        alike: Sequence[str] = (),
    ) -> tuple[Ints, Ints]:
        """Return claims of the pass, each with a claim of its past, as (claim, earlier claim).

        Args:
            batch: The pass.
            claim: Rows of claims, shape (n,).
            among: Earlier claims that are looked at, a mask over `claims`; None for all.
            alike: Columns that both have to be equal in.
        """
        if not len(self.claims) or not len(claim):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        held = np.arange(len(self.claims)) if among is None else rows_where(among)
        left, earlier = self._of_member(
            batch,
            claim,
            held,
            [getattr(batch.claims, name)[claim] for name in alike],
            [getattr(self.claims, name)[held] for name in alike],
        )
        seen = self._sees(batch, left, earlier)
        return left[seen], earlier[seen]

    def _of_member(
        self,
        batch: Batch,
        claim: Ints,
        held: Ints,
        own: Sequence[Ints | Dates],
        other: Sequence[Ints | Dates],
    ) -> tuple[Ints, Ints]:
        """Return claims of the pass, each with the earlier ones of its member, equal in columns.

        The columns go with the rows of `claim` and of `held`.
        """
        place, at = equal_rows(
            [batch.claims.member[claim], *own], [self.claims.member[held], *other]
        )
        return claim[place], held[at]

    def _before(self, batch: Batch, claim: Ints, earlier: Ints) -> Bools:
        """Pairs whose earlier claim is committed, or comes before in the same message."""
        message, ordinal = batch.claims.message[claim], batch.claims.ordinal[claim]
        same_message = self.claim_message[earlier] == message
        before: Bools = (self.claim_message[earlier] == _COMMITTED) | (
            same_message & (self.claim_ordinal[earlier] < ordinal)
        )
        return before

    def _supersession(self, batch: Batch) -> _Supersession:
        """Return which earlier claims the claims of the pass take the place of.

        Control numbers are matched with ids without regard to case.
        """
        own, everyone = batch.claims, np.arange(len(self.claims))
        later = rows_where(own.version > 1)
        claim, earlier = self._of_member(
            batch, later, everyone, [self._own_id[later]], [self._same_id]
        )
        older = self.claims.version[earlier] < own.version[claim]
        replaces = rows_where(one_of(own.frequency, _TAKES_THE_PLACE))
        held = rows_where(np.isin(self.claims.member, own.member[replaces]))
        words = np.array([word_key(self.claim_ids[each]) for each in held.tolist()], np.int64)
        replacing, replaced = self._of_member(
            batch, replaces, held, [own.control_number[replaces]], [words]
        )
        claim = np.concatenate([claim[older], replacing])
        earlier = np.concatenate([earlier[older], replaced])
        taken = self._before(batch, claim, earlier)
        claim, earlier = claim[taken], earlier[taken]
        keys = _claim_in_message(earlier, batch.claims.message[claim])
        ordinal = batch.claims.ordinal[claim]
        order = np.lexsort((ordinal, keys))
        key, first = np.unique(keys[order], return_index=True)
        return _Supersession(key, ordinal[order][first])

    def _sees(self, batch: Batch, claim: Ints, earlier: Ints) -> Bools:
        """Pairs of a claim of the pass and an earlier one that it sees."""
        message, ordinal = batch.claims.message[claim], batch.claims.ordinal[claim]
        # By the claim's own days, so that what else is in the pass shows it no more than alone.
        recent = self.claims.service_to[earlier] >= batch.claims.service_from[claim] - _LOOK_BACK
        seen = self._before(batch, claim, earlier)
        seen &= recent | (self.claim_message[earlier] != _COMMITTED)
        seen &= self._same_id[earlier] != self._own_id[claim]
        seen &= self.claims.frequency[earlier] != _VOID
        table = self._superseded
        if len(table):
            key = _claim_in_message(earlier, message)
            at = np.minimum(table.key.searchsorted(key), len(table) - 1)
            seen &= ~((table.key[at] == key) & (table.ordinal[at] <= ordinal))
        return seen


def _members_with_several_claims(batch: Batch) -> Ints:
    """Rows of the claims whose member has other claims in the same message."""
    claims = batch.claims
    key = _member_in_message(claims.member, claims.message)
    _, place, count = np.unique(key, return_inverse=True, return_counts=True)
    return rows_where(count[place] > 1)


def _from_batch(batch: Batch, claim: Ints) -> tuple[EarlierClaims, EarlierLines, Ints]:
    number = np.full(len(batch.claims), -1, np.int64)
    number[claim] = np.arange(len(claim))
    line = rows_where(number[batch.lines.claim] >= 0)
    lines = earlier_lines(batch, line, number[batch.lines.claim[line]])
    return earlier_claims(batch, claim), lines, claim


def _joined(one: Any, other: Any, **added: int) -> Any:
    """Return the rows of two tables; a number by column name is added to the second's values."""
    return type(one)(
        *(
            np.concatenate([getattr(one, f.name), getattr(other, f.name) + added[f.name]])
            if f.name in added
            else np.concatenate([getattr(one, f.name), getattr(other, f.name)])
            for f in fields(one)
        )
    )


def _member_day(member: Ints, day: Dates) -> Ints:
    days = np.where(np.isnat(day), 0, day.astype(np.int64))
    return (member.astype(np.int64) << _DAY_BITS) + np.clip(
        days + _DAY_ZERO, 0, (1 << _DAY_BITS) - 1
    )


def _beyond(most: int, group: Ints, message: Ints, end: Dates) -> Bools:
    """Return which lines are more than so many of their group, by message.

    Of a message the first are within, in its order; of history those of the claims that end latest,
    which are then the same however far back a pass reads.

    Args:
        most: How many are within.
        group: What is counted by, shape (lines,).
        message: The message of each line.
        end: The last day of its claim.
    """
    left_out = np.zeros(len(group), np.bool_)
    if len(group) <= most or np.unique_counts(group).counts.max() <= most:
        return left_out
    rank = np.where(message == _COMMITTED, -end.astype(np.int64), np.arange(len(group)))
    order = np.lexsort((rank, message, group))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (np.diff(group[order]) != 0) | (np.diff(message[order]) != 0)
    place = np.arange(len(order))
    number = place - np.maximum.accumulate(np.where(begins, place, 0))
    left_out[order] = number >= most
    return left_out


def _crowded(
    batch: Batch, claims: EarlierClaims, left_out: Ints, message: Ints, ordinal: Ints
) -> Bools:
    """Return which claims of the pass would see lines of these earlier claims."""
    crowded = np.zeros(len(batch.claims), np.bool_)
    if not len(left_out):
        return crowded
    own, left_out = batch.claims, distinct_values(left_out)
    of_message = left_out[message[left_out] != _COMMITTED]
    claim, at = equal_rows(
        [own.member, own.message], [claims.member[of_message], message[of_message]]
    )
    crowded[claim[own.ordinal[claim] > ordinal[of_message[at]]]] = True
    last = np.full(len(batch.persons), _LONG_AGO)
    committed = left_out[message[left_out] == _COMMITTED]
    np.maximum.at(last, claims.member[committed], claims.service_to[committed])
    return crowded | (last[own.member] >= own.service_from - _LOOK_BACK)


def _member_in_message(member: Ints, message: Ints) -> Ints:
    return (message.astype(np.int64) << 32) + member


def _claim_in_message(claim: Ints, message: Ints) -> Ints:
    return (claim.astype(np.int64) << 32) + message


def _numbered(batch: Batch, ids: Sequence[str]) -> tuple[Ints, Ints]:
    """Number the ids of earlier claims, and those of the pass alike; -1 for others."""
    if not ids:
        return np.empty(0, np.int64), np.full(len(batch.claims), -1, np.int64)
    numbers = {claim_id: number for number, claim_id in enumerate(ids)}
    received = np.array(list(map(numbers.get, batch.received.claim_ids, repeat(-1))), np.int64)
    return np.array([numbers[each] for each in ids], np.int64), received[batch.claims.ordinal]
