"""What modifiers do to the price of a professional line (domain E.2 steps 7, 8 and 11)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.codes import code36
from engine.columns import Bools, Ints, one_of
from engine.facts import MOD_53, Facts
from engine.pricing.cents import WHOLE_E5, Int64s
from engine.tables.fees import FeeSchedule

Bits = NDArray[np.uint16]


class Effect(IntFlag):
    """What a modifier says that changes a price."""

    UNUSUAL = 1
    """More or less than the usual service: priced from the report."""
    DISCONTINUED = 2
    """Stopped: priced by a row of its own, else from the report."""
    BOTH_SIDES = 4
    ASSISTANT = 8
    """A physician assisted."""
    LESSER_ASSISTANT = 16
    """A physician assistant, nurse practitioner or clinical nurse specialist assisted."""
    CO_SURGEON = 32
    TEAM = 64
    OPERATION = 128
    """The care before and during the operation only."""
    AFTERCARE = 256
    """The care after it only."""
    PREPARATION = 512
    """The care before it only."""
    RETURN = 1024
    """Back to the operating room within the global period."""


EFFECTS: Final[Mapping[str, Effect]] = {
    "22": Effect.UNUSUAL,
    "52": Effect.UNUSUAL,
    "53": Effect.DISCONTINUED,
    "50": Effect.BOTH_SIDES,
    "80": Effect.ASSISTANT,
    "81": Effect.ASSISTANT,
    "82": Effect.ASSISTANT,
    "AS": Effect.LESSER_ASSISTANT,
    "62": Effect.CO_SURGEON,
    "66": Effect.TEAM,
    "54": Effect.OPERATION,
    "55": Effect.AFTERCARE,
    "56": Effect.PREPARATION,
    "78": Effect.RETURN,
}

ASSISTING: Final = Effect.ASSISTANT | Effect.LESSER_ASSISTANT
SPLIT: Final = Effect.OPERATION | Effect.AFTERCARE | Effect.PREPARATION | Effect.RETURN
ROLES: Final = ASSISTING | Effect.CO_SURGEON | SPLIT
"""What multiplies an amount in step 11."""

_EFFECT_BY_CODE: Final = np.zeros(max(map(code36, EFFECTS)) + 2, np.uint16)
for _modifier, _effect in EFFECTS.items():
    _EFFECT_BY_CODE[code36(_modifier)] = _effect

# By bilateral indicator: once, one and a half, once (both sides are in the values), per side.
_SIDES_E5: Final = np.full(10, WHOLE_E5)
_SIDES_E5[1] = 150_000
_SIDES_E5[3] = 200_000

_SPLIT_DAYS: Final = (10, 90)
"""Global periods whose care can be split."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What the modifiers of lines say of their prices."""

    by_line: Bits
    """Bits of `Effect`, over all lines of the pass."""
    noted: Ints
    """Rows of the lines that have any."""

    def having(self, effect: Effect) -> tuple[Ints, Bits]:
        """Return the rows of the lines with one of these effects, and their bits."""
        bits = self.by_line[self.noted]
        having = (bits & effect) > 0
        return self.noted[having], bits[having]


def effects_of(modifiers: Ints, line: Ints) -> Effects:
    """Return what the modifiers of some lines say of their prices."""
    own = np.ascontiguousarray(modifiers[line], np.int16)
    # Four modifiers read as one number: several times as fast as any(axis=1).
    some = own.view(np.int64)[:, 0] != 0
    bits = np.bitwise_or.reduce(np.take(_EFFECT_BY_CODE, own[some], mode="clip"), axis=1)
    by_line = np.zeros(len(modifiers), np.uint16)
    by_line[line[some]] = bits
    return Effects(by_line, line[some][bits > 0])


def by_report(effects: Effects, facts: Facts) -> Ints:
    """Return the lines that a person prices from the report, whatever their rank."""
    line, effect = effects.having(Effect.UNUSUAL | Effect.TEAM | Effect.DISCONTINUED)
    only_stopped = (effect & (Effect.UNUSUAL | Effect.TEAM)) == 0
    return line[~(only_stopped & (facts.component[line] == MOD_53))]


def sides_e5(effect: Bits, indicator: Ints) -> Int64s:
    """Return what a unit is multiplied by for both sides, by the bilateral indicator."""
    return np.where(effect & Effect.BOTH_SIDES, _SIDES_E5[indicator], WHOLE_E5)


def role_e3(effect: Bits) -> Int64s:
    """Return the share of who took part beside, or as one of two; a thousand for the surgeon."""
    share = np.full(len(effect), 1000, np.int64)
    # Of several the last written holds.
    share[(effect & Effect.CO_SURGEON) > 0] = 625
    share[(effect & Effect.ASSISTANT) > 0] = 160
    share[(effect & Effect.LESSER_ASSISTANT) > 0] = 136
    return share


def split_e2(effect: Bits, mpfs: FeeSchedule, row: Ints) -> Int64s:
    """Return the share of split care; -1 where the row does not say how its care divides.

    A return to the operating room pays the operation alone; other parts are paid once each.
    """
    before, during, after = mpfs.pre_e2[row], mpfs.intra_e2[row], mpfs.post_e2[row]

    def said(some: Effect) -> Bools:
        return (effect & some) > 0

    parts = (
        before * said(Effect.OPERATION | Effect.PREPARATION)
        + during * said(Effect.OPERATION)
        + after * said(Effect.AFTERCARE)
    )
    share = np.where(said(Effect.RETURN), during, parts).astype(np.int64)
    share[before + during + after == 0] = -1
    share[~said(SPLIT) | ~one_of(mpfs.global_days[row], _SPLIT_DAYS)] = 100
    return share
