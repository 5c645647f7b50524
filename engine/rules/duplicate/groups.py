"""Lines of a claim that bill the same service: same code, modifiers, day, renderer, place, drug."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.columns import Batch, Bools, Ints, rows_where
from engine.facts import Facts
from engine.reference import Reference
from engine.rules.ncci.published_units import published_units

_MAI_LINE: Final = 1

_CODE_BITS: Final = 32
_PLACE_BITS: Final = 8
_MODIFIER_PLACES: Final = 1 << np.arange(0, 4 * 15, 15)
"""Modifiers are below 2**15, so that four of them fit into one integer."""


class SameService(NamedTuple):
    """Lines that share their service with another line. Shapes are (lines found,)."""

    line: Ints
    """In the order of the service, then of the claim."""
    service: Ints
    """Equal for lines of one service."""
    form: Ints
    """Equal for lines of one service that also have equal charge and units."""


def same_service(batch: Batch, reference: Reference, facts: Facts) -> SameService:
    """Return the lines whose service is on two or more lines of their claim.

    Lines whose unit limit holds by line (MAI 1) are left out: their units are split on purpose.
    """
    candidate = _repeated_codes(batch)
    candidate = candidate[~_limited_by_line(batch, reference, facts, candidate)]
    service_keys = _service_keys(batch, candidate)
    form_keys = [batch.lines.charge_cents[candidate], batch.lines.units_milli[candidate]]
    order = np.lexsort((candidate, *form_keys, *service_keys))
    service = _numbered([key[order] for key in service_keys])
    form = _numbered([service, *(key[order] for key in form_keys)])
    shared = np.bincount(service)[service] > 1
    return SameService(candidate[order][shared], service[shared], form[shared])


def _service_keys(batch: Batch, row: Ints) -> list[Ints]:
    """What makes a service, packed into few integers: sorting by a dozen columns is slow."""
    lines = batch.lines
    modifiers = np.sort(lines.modifiers[row], axis=1).astype(np.int64)
    day_and_place = (
        lines.service_from[row].view(np.int64) << _PLACE_BITS
    ) + lines.place_of_service[row]
    return [
        modifiers @ _MODIFIER_PLACES,
        day_and_place,
        lines.rendering_npi[row],
        lines.revenue[row],
        lines.ndc[row],
        _claim_and_code(batch, row),
    ]


def _claim_and_code(batch: Batch, row: Ints) -> Ints:
    return batch.lines.claim[row].astype(np.int64) << _CODE_BITS | batch.lines.procedure[row]


def _repeated_codes(batch: Batch) -> Ints:
    """Lines whose code is on another line of the claim: few, so that the exact keys are cheap."""
    coded = rows_where(batch.lines.procedure > 0)
    key = _claim_and_code(batch, coded)
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    repeated = np.zeros(len(coded), np.bool_)
    repeated[order[1:][same]] = True
    repeated[order[:-1][same]] = True
    return coded[repeated]


def _limited_by_line(batch: Batch, reference: Reference, facts: Facts, row: Ints) -> Bools:
    """Lines whose code has a unit limit of MAI 1 in their setting on their day."""
    _, indicator = published_units(batch, reference, facts, row)
    by_line: Bools = indicator == _MAI_LINE
    return by_line


def _numbered(sorted_keys: Sequence[NDArray[Any]]) -> Ints:
    """Number runs of equal keys."""
    changes = np.zeros(len(sorted_keys[0]), np.bool_)
    for key in sorted_keys:
        changes[1:] |= key[1:] != key[:-1]
    return np.cumsum(changes)


class Repeats(NamedTuple):
    """Lines that repeat an earlier one of their group, and those earlier lines."""

    line: Ints
    group: Ints
    first: Ints
    """The line that each group begins with; shape (groups,)."""
    first_group: Ints


def repeats_of(line: Ints, group: Ints) -> Repeats:
    """Return all lines but the first of each group of two or more.

    Args:
        line: Rows of lines.
        group: Group of each, any integers.
    """
    order = np.lexsort((line, group))
    line, group = line[order], group[order]
    follows = np.zeros(len(line), np.bool_)
    follows[1:] = group[1:] == group[:-1]
    leads = ~follows
    leads[:-1] &= follows[1:]
    leads[-1:] = False
    return Repeats(line[follows], group[follows], line[leads], group[leads])
