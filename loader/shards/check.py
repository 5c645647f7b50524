"""Whether shards can be used, and whether each claim is where it belongs."""

import heapq
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from loader.link import CONNECTION_LOST, connect
from loader.shards.directory import Directory, DirectoryError, Shard
from loader.shards.fence import read_fence
from loader.source import Connection, tenant_transaction

_FIELDS: Final = {"staging": "staging_url", "production": "production_url"}
_FOUND_MAX: Final = 100
_KEYS: Final = """
SELECT claim_id, claim_version FROM claim_keys
WHERE tenant_id = $1 AND (claim_id, claim_version) > ($2, $3)
ORDER BY claim_id, claim_version LIMIT 50000
"""
_FACILITIES: Final = (
    "SELECT facility_id, count(*) FROM claims WHERE tenant_id = $1 GROUP BY 1 ORDER BY 1"
)
_UNUSABLE: Final = (DirectoryError, ValueError, asyncpg.PostgresError, *CONNECTION_LOST)
"""What makes a shard unusable, rather than this program."""


Key = tuple[str, int]
"""Id and version of a claim."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    shard: str
    what: str


@asynccontextmanager
async def database(shard: Shard, field: str) -> AsyncIterator[Connection]:
    """Open a database of a shard, by the field that names its URL.

    Raises:
        OSError: It cannot be reached; the message has no URL.
        DirectoryError: Its variable is not set.
    """
    connection = await connect(shard.url(field), f"{field} of shard {shard.name}")
    try:
        yield connection
    finally:
        await connection.close()


async def states_of(directory: Directory, tenant: str) -> dict[str, str]:
    """Return the state of each shard's fence, by its name."""
    return {shard.name: await _state_of(shard, tenant) for shard in directory.shards}


async def _state_of(shard: Shard, tenant: str) -> str:
    try:
        async with database(shard, "staging_url") as connection:
            fence = await read_fence(connection, tenant)
    except asyncpg.UndefinedTableError:
        return "not migrated"
    except _UNUSABLE as error:
        return f"unusable ({type(error).__name__})"
    if fence.state == "open":
        return "open"
    return f"{fence.state} ({fence.source} to {fence.target})"


async def check_all(directory: Directory, tenant: str, *, claims: bool) -> list[Finding]:
    """Return what is wrong with the shards; at most some hundred misplaced claims."""
    found = [each for shard in directory.shards for each in await _check(shard, tenant)]
    if claims and not found:
        for shard in directory.in_use:
            found += await _strangers(directory, shard, tenant)
        found += await _in_several(directory, tenant)
    return found


async def _check(shard: Shard, tenant: str) -> list[Finding]:
    """Check one shard: its databases answer, are at one revision of theirs, and are open."""
    found = []
    for name, field in _FIELDS.items():
        try:
            async with database(shard, field) as connection:
                fence = await read_fence(connection, tenant)
        except asyncpg.UndefinedTableError:
            found.append(Finding(shard.name, f"{name} is not migrated: claimgate migrate {name}"))
        except _UNUSABLE as error:
            found.append(Finding(shard.name, f"{name} cannot be used: {_said(error)}"))
        else:
            if shard.buckets and fence.state != "open":
                found.append(
                    Finding(
                        shard.name,
                        f"{name} is {fence.state} in a move from {fence.source} to "
                        f"{fence.target}; go on with it: claimgate shards move",
                    )
                )
    return found


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, OSError | DirectoryError) else type(error).__name__


async def _strangers(directory: Directory, shard: Shard, tenant: str) -> list[Finding]:
    """Return the facilities whose claims lie in a shard that they do not belong to."""
    async with (
        database(shard, "production_url") as connection,
        tenant_transaction(connection, tenant),
    ):
        rows = await connection.fetch(_FACILITIES, tenant)
    return [
        Finding(shard.name, f"{claims} claims of facility {facility}, which belongs to {owner}")
        for facility, claims in rows
        if (owner := directory.shard_of(tenant, facility).name) != shard.name
    ][:_FOUND_MAX]


async def _in_several(directory: Directory, tenant: str) -> list[Finding]:
    """Return the claim keys that stand in several shards."""
    found: list[Finding] = []
    names: list[str] = []
    former: Key | None = None
    async for key, name in _merged({each.name: _keys(each, tenant) for each in directory.in_use}):
        names = [*names, name] if key == former else [name]
        former = key
        if len(names) > 1:
            found.append(
                Finding(" and ".join(names), f"claim {key[0]} version {key[1]} is in both")
            )
        if len(found) == _FOUND_MAX:
            break
    return found


async def _merged(streams: dict[str, AsyncGenerator[Key]]) -> AsyncIterator[tuple[Key, str]]:
    """Yield what sorted streams have, in one order, with the stream's name; in little memory."""
    try:
        heads = [(key, name) for name in streams if (key := await anext(streams[name], None))]
        heapq.heapify(heads)
        while heads:
            key, name = heads[0]
            yield key, name
            following = await anext(streams[name], None)
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following, name))
    finally:
        for stream in streams.values():
            await stream.aclose()


async def _keys(shard: Shard, tenant: str) -> AsyncGenerator[Key]:
    """Yield the claim keys of a shard, in their order."""
    last = ("", -(2**31))
    async with database(shard, "production_url") as connection:
        while True:
            async with tenant_transaction(connection, tenant):
                rows = await connection.fetch(_KEYS, tenant, *last)
            for row in rows:
                last = (row["claim_id"], row["claim_version"])
                yield last
            if not rows:
                return
