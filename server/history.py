"""What production Postgres knows of the members and billers of a pass, read as of one commit."""

import asyncio
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import numpy as np
import structlog

from engine.columns import Batch
from engine.history import LOOK_BACK_DAYS, History, PeerRates, ProviderMonths, no_rows
from engine.history_records import FORMAT, Records, unpack
from engine.members import Members
from engine.words import word_key
from loader.lookup import MEMBER, Lookup
from server.database import Database
from server.errors import DatabaseUnavailableError
from server.member_data import read_members
from server.metrics import Metrics

if TYPE_CHECKING:
    from server.database import Connection

_LOG: Final = structlog.get_logger("server.history")
_MONTHS_BEFORE: Final = 12
_LOOK_BACK: Final = np.timedelta64(LOOK_BACK_DAYS, "D")

# The plan must not depend on what the planner believes of a tenant's size: everything here is found
# by an index, for some thousand keys.
_BEGIN: Final = """
SELECT coalesce((SELECT max(commit_seq) FROM batches WHERE tenant_id = $1), 0) AS last,
    set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
"""
# A snapshot sees the batches up to its watermark, all of them and no others: for an earlier
# watermark those since are left out, which are none for the present one. One row comes back,
# however many claims there are; a record is bytes that are put in line.
_CLAIMS: Final = """
SELECT h.format, array_agg(h.number) AS numbers, array_agg(h.claim_id) AS claim_ids,
    string_agg(h.facts, '') AS facts, string_agg(h.lines, '') AS lines
FROM (
    SELECT asked.number, found.*
    FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (member_key, number)
    CROSS JOIN LATERAL (
        SELECT claim_id, claim_version, service_to_date, batch_id, format, facts, lines
        FROM claim_history
        WHERE tenant_id = $1 AND member_key = asked.member_key AND service_to_date >= $3
        UNION ALL
        SELECT claim_id, claim_version, service_to_date, batch_id, format, facts, lines
        FROM claim_history
        WHERE tenant_id = $1 AND member_key = asked.member_key AND takes_the_place
            AND service_to_date < $3
    ) AS found
    WHERE found.batch_id NOT IN (
        SELECT batch_id FROM batches WHERE tenant_id = $1 AND commit_seq > $4
    )
    ORDER BY asked.number, found.service_to_date, found.claim_id, found.claim_version
) AS h
GROUP BY h.format
"""
_MONTHS: Final = """
SELECT asked.billing_npi, asked.month, found.claims, found.lines, found.distinct_lines
FROM (
    SELECT npi AS billing_npi, month::date AS month
    FROM unnest($2::bigint[]) AS npi
    CROSS JOIN generate_series($3::date, $4::date, interval '1 month') AS month
) AS asked
CROSS JOIN LATERAL (
    SELECT claims, lines, distinct_lines FROM provider_months
    WHERE tenant_id = $1 AND billing_npi = asked.billing_npi AND month = asked.month
        AND commit_seq <= $5
    ORDER BY commit_seq DESC LIMIT 1
) AS found
ORDER BY asked.billing_npi, asked.month
"""
_PEERS: Final = """
SELECT taxonomy, distinct_p95_e4, billers FROM peer_rates
WHERE tenant_id = $1 AND commit_seq = (
    SELECT max(commit_seq) FROM peer_rates WHERE tenant_id = $1 AND commit_seq <= $2
)
ORDER BY taxonomy
"""


class UnknownFormatError(Exception):
    """The database holds earlier claims in a layout that this version does not know."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What was found, or why it was not."""

    history: History | None = None
    members: Members = field(default_factory=Members)
    degraded: tuple[str, ...] = ()


class HistoryClient:
    """Reads history for passes, each within a deadline; what cannot be had is said, not made up."""

    def __init__(
        self, database: Database, lookup: Lookup, deadline_s: float, metrics: Metrics
    ) -> None:
        self._database = database
        self._lookup = lookup
        self._deadline_s = deadline_s
        self._up = metrics.dependency_up.labels("history")

    async def of(self, batch: Batch, tenant: str, watermark: int | None = None) -> Committed:
        """Return what was committed about the members and billers of a pass, or why it is not.

        Args:
            batch: The pass.
            tenant: Whose it is.
            watermark: The last commit to be read; left out, the last there is.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                committed = await self._read(batch, tenant, watermark)
        except TimeoutError:
            return self._without("timeout")
        except DatabaseUnavailableError:
            return self._without("unavailable")
        except UnknownFormatError:
            return self._without("unknown_format")
        except asyncpg.PostgresError as error:
            _LOG.exception("history_failed", error_type=type(error).__name__, exc_info=False)
            return self._without("error")
        self._up.set(1)
        return committed

    def _without(self, reason: str) -> Committed:
        self._up.set(0)
        return Committed(degraded=(f"history: {reason}",))

    async def _read(self, batch: Batch, tenant: str, watermark: int | None) -> Committed:
        asked = _Asked.of(batch, self._lookup, tenant)
        async with self._database.transaction(tenant, readonly=True, one_moment=True) as connection:
            last = (await connection.fetch(_BEGIN, tenant))[0]["last"]
            seq: int = last if watermark is None else min(watermark, last)
            if not seq:
                return Committed(History.of_strangers(seq))
            records = await _records(connection, tenant, asked, seq)
            months = await connection.fetch(_MONTHS, tenant, asked.billers, *asked.months, seq)
            peers = await connection.fetch(_PEERS, tenant, seq)
            members = await read_members(connection, tenant, asked.keys, asked.person, seq)
        earlier = unpack(records, asked.person, asked.payer)
        history = History(
            watermark=seq,
            claim_ids=earlier.claim_ids,
            claims=earlier.claims,
            lines=earlier.lines,
            provider_months=_provider_months(months),
            peer_rates=_peer_rates(peers),
        )
        return Committed(history, members)


@dataclass(frozen=True, slots=True, repr=False)
class _Asked:
    """What a pass asks for."""

    keys: list[bytes]
    """Keyed hash of each person."""
    person: np.ndarray[Any, np.dtype[np.int64]]
    """Place of each member's person among them; -1 for a member without an id."""
    payer: np.ndarray[Any, np.dtype[np.int64]]
    first_day: date
    months: tuple[date, date]
    billers: list[int]

    @classmethod
    def of(cls, batch: Batch, lookup: Lookup, tenant: str) -> "_Asked":
        """Return what a pass asks for, by the days of its claims."""
        persons = dict.fromkeys(person for _, person in batch.persons if person.strip())
        places = {person: place for place, person in enumerate(persons)}
        payers = {payer: word_key(payer) for payer in {payer for payer, _ in batch.persons}}
        days = batch.claims.service_from
        day = days.min() if len(days) else np.datetime64("2000-01-01")
        month = day.astype("datetime64[M]")
        last = days.max().astype("datetime64[M]") if len(days) else month
        npis = np.unique(batch.claims.billing_npi)
        return cls(
            keys=[lookup.hash(tenant, MEMBER, person) for person in persons],
            person=np.array([places.get(person, -1) for _, person in batch.persons], np.int64),
            payer=np.array([payers[payer] for payer, _ in batch.persons], np.int64),
            first_day=_date((days - _LOOK_BACK).min() if len(days) else day),
            months=(_date(month - _MONTHS_BEFORE), _date(last)),
            billers=npis[npis > 0].tolist(),
        )


def _date(moment: np.datetime64) -> date:
    day: date = moment.astype("datetime64[D]").item()
    return day


async def _records(connection: "Connection", tenant: str, asked: _Asked, watermark: int) -> Records:
    rows = await connection.fetch(_CLAIMS, tenant, asked.keys, asked.first_day, watermark)
    if any(row["format"] != FORMAT for row in rows):
        raise UnknownFormatError
    if not rows:
        return Records(np.empty(0, np.int64), (), b"", b"")
    [row] = rows
    return Records(
        np.array(row["numbers"], np.int64) - 1, row["claim_ids"], row["facts"], row["lines"]
    )


def _provider_months(rows: list[asyncpg.Record]) -> ProviderMonths:
    if not rows:
        return no_rows(ProviderMonths)
    npi, month, *counts = zip(*rows, strict=True)
    return ProviderMonths(
        np.array(npi, np.int64),
        np.array(month, "datetime64[D]"),
        *(np.array(column, np.int64) for column in counts),
    )


def _peer_rates(rows: list[asyncpg.Record]) -> PeerRates:
    if not rows:
        return no_rows(PeerRates)
    return PeerRates(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
