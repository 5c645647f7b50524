"""Files of claims into the staging databases of their shards."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

import asyncpg
import stamina

from loader.intake_files import Reading, Taken, keep
from loader.link import CONNECTION_LOST, connect
from loader.shards.directory import Directory, Shard
from loader.shards.fenced import is_fenced
from loader.shards.hashing import bucket_of
from loader.shards.settings import ShardSettings
from loader.source import Staged, Submitted, stage_claims

T = TypeVar("T")

_CLAIMS_AT_ONCE: Final = 5_000
_CLAIMS_IN_MEMORY: Final = 20_000
_FAR_APART_S: Final = 2.0
HOME_BUCKET: Final = 0
"""Its shard keeps what could not be read: a problem has no facility."""


async def take_in_by_shard(
    settings: ShardSettings, files: Sequence[Path], *, ingest_date: date
) -> list[Taken]:
    """Read each file, send each claim to the staging of its shard; return what became of each file.

    A shard that is being moved is waited for, `shard_wait_s` at most. Claims that their shard does
    not take are held back, and told; the others go on. Taking a file in again stages what was held
    back, and nothing twice.

    Raises:
        DirectoryError: The directory of shards cannot be used.
        VaultError: There is no usable key for patient data.
    """
    places = _Places(settings)
    try:
        return [await _take_in(places, Reading(path, ingest_date), path) for path in files]
    finally:
        await places.close()


async def _take_in(places: "_Places", reading: Reading, path: Path) -> Taken:
    """Take in one file."""
    sorting = _Sorting(places, path.name)
    for item in reading.claims():
        await sorting.add(item)
    await sorting.flush_all()
    held_back = dict(sorting.held_back)
    if reading.problems:
        try:
            await places.at(
                HOME_BUCKET, lambda c: keep(c, places.tenant, path.name, reading.problems)
            )
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            held_back[f"problems of the file are not kept: {_why(error)}"] = len(reading.problems)
    taken = reading.taken(Staged(sorting.staged, sorting.already_staged))
    taken.held_back = held_back
    return taken


class _Sorting:
    """The claims of one file on their way to several databases, in bounded memory."""

    def __init__(self, places: "_Places", file: str) -> None:
        self._places = places
        self._file = file
        self._waiting: defaultdict[str, list[Submitted]] = defaultdict(list)
        self._buckets: dict[str, int] = {}
        self._unreachable: dict[str, str] = {}
        self._count = 0
        self.staged = 0
        self.already_staged = 0
        self.held_back: Counter[str] = Counter()

    async def add(self, item: Submitted) -> None:
        """Take a claim; what waits is staged shard by shard when it is enough."""
        bucket = bucket_of(self._places.tenant, item.claim.facility_id)
        name = self._places.owner(bucket).name
        self._buckets[name] = bucket
        self._waiting[name].append(item)
        self._count += 1
        if len(self._waiting[name]) >= _CLAIMS_AT_ONCE:
            await self._flush(name)
        elif self._count >= _CLAIMS_IN_MEMORY:
            await self._flush(max(self._waiting, key=lambda each: len(self._waiting[each])))

    async def flush_all(self) -> None:
        """Stage everything that waits."""
        for name in list(self._waiting):
            await self._flush(name)

    async def _flush(self, name: str) -> None:
        """Stage the claims of one shard in one transaction, or hold them back.

        They stay together: a move takes all buckets of a shard along.
        """
        claims = self._waiting.pop(name)
        self._count -= len(claims)
        why = self._unreachable.get(name)  # waited for once a file, and not for each part of it
        if why is None:
            try:
                done = await self._places.stage(self._buckets[name], claims, self._file)
            except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
                why = self._unreachable[name] = f"shard {name}: {_why(error)}"
            else:
                self.staged += done.staged
                self.already_staged += done.already_staged
                return
        self.held_back[why] += len(claims)


class _Places:
    """The staging databases, found by bucket; the directory is read again when one has moved."""

    def __init__(self, settings: ShardSettings) -> None:
        self._settings = settings
        self._vault = settings.vault()
        self._directory: Directory = settings.directory()
        self._open: dict[str, asyncpg.Connection] = {}
        self.tenant = settings.tenant

    def owner(self, bucket: int) -> Shard:
        """Return the shard that owns a bucket, as the directory was last read."""
        return self._directory.owners[bucket]

    async def stage(self, bucket: int, claims: list[Submitted], file: str) -> Staged:
        """Stage claims of one shard, by one of its buckets."""
        high_value_cents = self._settings.high_value_cents
        return await self.at(
            bucket,
            lambda c: stage_claims(
                c,
                self._vault,
                self.tenant,
                claims,
                source_file=file,
                high_value_cents=high_value_cents,
            ),
        )

    async def at(self, bucket: int, step: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do a step where a bucket lives, as soon as it may be written there."""
        async for attempt in stamina.retry_context(
            on=_is_moving, attempts=None, timeout=self._settings.shard_wait_s, wait_max=_FAR_APART_S
        ):
            with attempt:
                if attempt.num > 1:
                    self._directory = self._settings.directory()
                return await step(await self._connection(self.owner(bucket)))
        raise AssertionError("the last attempt returns or raises")

    async def _connection(self, shard: Shard) -> asyncpg.Connection:
        connection = self._open.get(shard.name)
        if connection is None or connection.is_closed():
            url = shard.url("staging_url")
            connection = self._open[shard.name] = await connect(
                url, f"the staging of shard {shard.name}"
            )
        return connection

    async def close(self) -> None:
        """Close what is open."""
        await asyncio.gather(*(connection.close() for connection in self._open.values()))


def _is_moving(error: Exception) -> bool:
    return is_fenced(error)


def _why(error: BaseException) -> str:
    """Return what an error says, without any value."""
    return str(error) if is_fenced(error) or isinstance(error, OSError) else type(error).__name__
