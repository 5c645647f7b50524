"""The messages of a stream on their way: which are to be sent, and which are not answered yet."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Final, TypeAlias

from claimgate.framing import field_tag, varint
from claimgate.v1 import score_pb2
from claimgate.v1 import scoring_service_pb2 as scoring
from claimgate.v1.claim_columns_pb2 import ClaimColumns

Message: TypeAlias = score_pb2.ClaimBatch | ClaimColumns | bytes
"""Claims as rows or columns, or a serialized `ScoreClaimsRequest` that holds them."""

_BATCH: Final = field_tag(scoring.ScoreClaimsRequest.BATCH_FIELD_NUMBER)
_COLUMNS: Final = field_tag(scoring.ScoreClaimsRequest.COLUMNS_FIELD_NUMBER)


class Sending:
    """The messages of one `score`: which are to be sent, and which are not answered yet."""

    def __init__(
        self,
        messages: AsyncIterable[Message] | Iterable[Message],
        window: int,
        options: scoring.StreamOptions,
    ) -> None:
        self._messages = messages
        self._options = scoring.ScoreClaimsRequest(options=options).SerializeToString()
        self._room = asyncio.Semaphore(window)
        self._unanswered: dict[int, bytes] = {}
        self._new: asyncio.Queue[int | None] = asyncio.Queue()
        self._read_all = False
        self._paused = False
        self._progress = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether every message was taken and answered."""
        return self._read_all and not self._unanswered

    async def feed(self) -> None:
        """Take messages from the caller, as many as the window has room for."""
        sequence = 0
        try:
            async for message in _each(self._messages):
                await self._room.acquire()
                self._unanswered[sequence] = _request(message, sequence)
                self._new.put_nowait(sequence)
                sequence += 1
        finally:
            self._read_all = True
            self._new.put_nowait(None)

    async def requests(self, *, careful: bool) -> AsyncIterator[bytes]:
        """Yield the requests of a stream: the options, what an earlier one left, what is new.

        A careful stream waits for each answer before it sends the next of what was left.
        """
        self._paused = False
        yield self._options
        left = dict(self._unanswered)
        for sequence, request in left.items():
            if self._paused:
                return
            yield request
            while careful and sequence in self._unanswered:
                self._progress.clear()
                await self._progress.wait()
        while not (self._paused or (self._read_all and self._new.empty())):
            number = await self._new.get()
            if self._paused:
                return
            if number is not None and number not in left and number in self._unanswered:
                yield self._unanswered[number]

    def pause(self) -> None:
        """Send nothing more over this stream: the service is about to stop."""
        self._paused = True
        self._new.put_nowait(None)

    def answered(self, sequence: int) -> bool:
        """Note an answer; tell whether it is the first one to its message."""
        if self._unanswered.pop(sequence, None) is None:
            return False
        self._progress.set()
        self._room.release()
        return True


async def _each(messages: AsyncIterable[Message] | Iterable[Message]) -> AsyncIterator[Message]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message


def _request(message: Message, sequence: int) -> bytes:
    """Return the bytes of a request: parts may be joined; of a field sent twice the last counts."""
    head = scoring.ScoreClaimsRequest(sequence=sequence).SerializeToString()
    if isinstance(message, bytes):
        # An explicit zero overrides a number in the bytes; an absent one would not.
        return message + (head or b"\x08\x00")
    body = message.SerializeToString()
    tag = _COLUMNS if isinstance(message, ClaimColumns) else _BATCH
    return head + tag + varint(len(body)) + body
