"""How a database says that it is shut, because its shard is or was moved."""

from typing import Final

import asyncpg

_SQLSTATE: Final = "CG001"


def is_fenced(error: BaseException) -> bool:
    """Tell whether a database refused a write because its shard is, or was, moved."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == _SQLSTATE
