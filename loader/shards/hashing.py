"""Which bucket a facility falls into: stable for ever, and simple enough for any other program."""

from hashlib import sha256
from typing import Final

BUCKETS: Final = 4_096
"""How many buckets there are; the number never changes, shards own more or fewer of them."""


def bucket_of(tenant: str, facility_id: str) -> int:
    r"""Return the bucket of a facility, 0 to 4095.

    The bucket is the first 8 bytes of SHA-256 of `tenant \0 facility_id`, both in UTF-8, read as a
    big-endian unsigned integer, modulo 4096. Nothing is trimmed and no case is changed: the
    facility id is taken as the claim has it, an empty one too. There is no key and no seed, so
    that a submitter can compute the bucket as well; in SQL:

        SELECT ('x' || encode(substr(sha256(convert_to(tenant, 'UTF8') || '\x00'
            || convert_to(facility_id, 'UTF8')), 7, 2), 'hex'))::bit(16)::int & 4095
    """
    digest = sha256(tenant.encode() + b"\0" + facility_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS
