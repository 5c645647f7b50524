"""Looking again and again at what a tenant has in the database, while claims are scored on."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from server.errors import CallFaultError
from server.telemetry import stack_of

_LOG: Final = structlog.get_logger("server.polling")


async def looked_again(event: str, tenant: str, look: Callable[[str], Awaitable[object]]) -> bool:
    """Look once more, and tell whether that was possible; what is held already stays in use.

    Args:
        event: Name of the log line where it was not.
        tenant: Whose it is.
        look: Reads it and keeps it.
    """
    try:
        await look(tenant)
    except CallFaultError as fault:
        _LOG.warning(event, tenant=tenant, reason=fault.message)
    except Exception as error:  # noqa: BLE001 - claims are scored on, whatever happened here
        _LOG.error(event, tenant=tenant, error_type=type(error).__name__, raised_at=stack_of(error))
    else:
        return True
    return False
