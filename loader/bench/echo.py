"""An echo server: parses the same requests, returns a prebuilt answer; the transport's limit.

`python -m loader.bench.echo ANSWER_FILE HOST:PORT`: prints `ready HOST:PORT` when it serves.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
from claimgate.v1 import scoring_service_pb2 as pb


async def serve(answer: bytes, address: str) -> None:
    """Answer every message with `answer`, its own sequence put in, until the process is ended."""

    async def echo(requests: AsyncIterator[pb.ScoreClaimsRequest], _: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            if request.WhichOneof("content") in {"batch", "columns"}:
                head = pb.MessageResult(sequence=request.sequence).SerializeToString()
                yield _response(answer + head)

    handler: grpc.RpcMethodHandler[pb.ScoreClaimsRequest, bytes]
    handler = grpc.stream_stream_rpc_method_handler(
        echo, request_deserializer=pb.ScoreClaimsRequest.FromString, response_serializer=None
    )
    generic = grpc.method_handlers_generic_handler(
        "claimgate.v1.ScoringService", {"ScoreClaims": handler}
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    server.add_generic_rpc_handlers((generic,))
    server.add_insecure_port(address)
    await server.start()
    print(f"ready {address}", flush=True)  # noqa: T201 - whoever started it waits for this line
    await server.wait_for_termination()


def _response(message: bytes) -> bytes:
    """Wrap the bytes of a MessageResult as the one message of a ScoreClaimsResponse."""
    length, prefix = len(message), bytearray(b"\x0a")
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + message


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]).read_bytes(), sys.argv[2]))
