"""The connection of a client: what is repeated by itself, how soon it connects again, and TLS."""

import json
from ipaddress import ip_address
from typing import Final

import grpc

_PORT_MAX: Final = 65_535
_RESPONSE_BYTES_MAX: Final = 64 * 1024 * 1024

# CANCELLED comes from a process that was stopping when the call reached it; a caller's own cancel
# is never repeated. More than 4 attempts count as 5 in every gRPC library.
_SERVICE_CONFIG: Final = json.dumps(
    {
        "methodConfig": [
            {
                "name": [
                    {"service": "claimgate.v1.ScoringService", "method": "ScoreBatch"},
                    {"service": "claimgate.v1.ScoringService", "method": "ValidateClaims"},
                    {"service": "claimgate.v1.ReferenceService"},
                ],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
)


def open_channel(
    address: str, credentials: grpc.ChannelCredentials | None, insecure: bool | None
) -> grpc.aio.Channel:
    """Return a connection that is made when the first call needs it.

    Args:
        address: HOST:PORT.
        credentials: TLS credentials; None for the system's roots.
        insecure: No TLS; None: only to this machine.

    Raises:
        ValueError: The port cannot be, or both credentials and no TLS are asked for.
    """
    options = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.max_receive_message_length", _RESPONSE_BYTES_MAX),
        ("grpc.keepalive_time_ms", 60_000),
        # A process that just left the port refuses a connection, and the next try meets another:
        # with gRPC's second between tries, every retry of a call would fall into the first pause.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Several clients of one process get connections of their own, and so different workers.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    port = address.rpartition(":")[2]
    if port.isdecimal() and int(port) > _PORT_MAX:
        raise ValueError(
            f"{address!r} has no such port; expected HOST:PORT, PORT up to {_PORT_MAX}"
        )
    if insecure and credentials:
        raise ValueError("insecure and credentials exclude each other; leave one out")
    if insecure or (insecure is None and credentials is None and _on_this_machine(address)):
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(
        address, credentials or grpc.ssl_channel_credentials(), options=options
    )


def _on_this_machine(address: str) -> bool:
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
