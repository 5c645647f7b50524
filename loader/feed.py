"""What is on its way to the service over a stream, and what waits for an answer."""

import asyncio
from collections.abc import AsyncIterator

from loader.failpoints import failpoint
from loader.messages import Message
from loader.rows import FailedClaim

Messages = asyncio.Queue[Message | FailedClaim | None]
"""Messages in their order, claims that failed before they could be sent, and None as the end."""


class Feed:
    """Messages on their way through a stream, and those that wait for an answer, by sequence."""

    def __init__(self, messages: Messages) -> None:
        """Take what comes in over a queue."""
        self._messages = messages
        self._failed: list[FailedClaim] = []
        self._sequence = 0
        self.unanswered: dict[int, Message] = {}
        self.ended = False
        """Whether everything was sent."""

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield what the service is sent; the position is the sequence that the answer carries."""
        self._sequence = 0
        while not self.ended and (item := await self._messages.get()) is not None:
            if isinstance(item, FailedClaim):
                self._failed.append(item)
            else:
                yield self._sent(item)
        self.ended = True

    def _sent(self, message: Message) -> bytes:
        """Note a message under its sequence; return its bytes."""
        self.unanswered[self._sequence] = message
        self._sequence += 1
        failpoint("send")
        return message.request()

    def take_failed(self) -> list[FailedClaim]:
        """Hand over the claims that failed before they could be sent."""
        failed, self._failed = self._failed, []
        return failed

    def take_unanswered(self) -> list[Message]:
        """Hand over the messages that a broken stream left without an answer."""
        messages = list(self.unanswered.values())
        self.unanswered = {}
        return messages
