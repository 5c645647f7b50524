"""Loaded claims as the rows of `claim_history`, by which later claims are judged."""

from collections.abc import Iterable, Sequence
from itertools import chain
from struct import Struct
from typing import Final

import numpy as np
from claimgate.v1 import score_pb2

from engine.decode import decode_unjudged
from engine.history_records import FORMAT, pack
from engine.messages import Rows
from loader.copy_format import DAY, FALSE, TRUE, sized
from loader.framing import batch_of
from loader.rows import KEY_COLUMNS, LoadClaim, Owner

HISTORY_COLUMNS: Final = (
    *KEY_COLUMNS,
    *("billing_npi", "billing_taxonomy", "line_count", "distinct_lines", "format"),
    *("takes_the_place", "batch_id", "member_key", "service_to_date", "facts", "lines"),
)
_HISTORY_HEAD: Final = len(HISTORY_COLUMNS).to_bytes(2, "big")
_HISTORY_INTEGERS: Final = Struct(">iqiqiiiiih")


def history_rows(claims: Sequence[LoadClaim], owner: Owner) -> bytes:
    """Return the rows by which later claims are judged: claims read as the service reads them."""
    # Of the bytes that were sent: a batch of parsed claims copies each, at three times the cost.
    sent = Rows.read(batch_of(item.opened.payload for item in claims))
    batch = decode_unjudged([sent])
    in_process = np.array([item.status == "needs_review" for item in claims], np.bool_)
    denied = np.fromiter(chain.from_iterable(map(_denied, claims)), np.bool_)
    packed = pack(batch, in_process, denied)
    head, rows = _HISTORY_HEAD + owner.tenant, list[bytes]()
    for item, facts, lines, count, distinct, npi, taxonomy, takes in zip(
        claims,
        packed.facts,
        packed.lines,
        packed.line_count,
        packed.distinct_lines,
        packed.billing_npi,
        packed.billing_taxonomy,
        packed.takes_the_place,
        strict=True,
    ):
        rows += (
            head,
            item.key,
            _HISTORY_INTEGERS.pack(8, npi, 8, taxonomy, 4, count, 4, distinct, 2, FORMAT),
            TRUE if takes else FALSE,
            owner.batch,
            sized(item.leased.member_key),
            DAY[item.opened.facts.service_to],
            len(facts).to_bytes(4, "big"),
            facts,
            len(lines).to_bytes(4, "big"),
            lines,
        )
    return b"".join(rows)


def _denied(item: LoadClaim) -> Iterable[bool]:
    """Tell of each line whether it was denied for certain; a line without an answer was not."""
    lines = item.result.lines[:]
    if len(lines) != item.lines:
        return [False] * item.lines
    return [line.disposition == score_pb2.DISPOSITION_DENY for line in lines]
