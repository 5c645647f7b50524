"""The priority that a caller asks for, in the words of the schedule."""

from collections.abc import Mapping
from typing import Final

from claimgate.v1 import scoring_service_pb2 as pb

from server.errors import InvalidFieldError
from server.schedule.terms import Priority

_PRIORITIES: Final[Mapping[int, Priority]] = {
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_BULK: Priority.BULK,
}


def checked_priority(asked: int, default: Priority) -> Priority:
    """Return the priority that was asked for, the default where none was.

    Raises:
        InvalidFieldError: there is no such priority.
    """
    if asked == pb.PRIORITY_UNSPECIFIED:
        return default
    if asked not in _PRIORITIES:
        raise InvalidFieldError("priority", "PRIORITY_INTERACTIVE or PRIORITY_BULK")
    return _PRIORITIES[asked]
