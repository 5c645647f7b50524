"""gRPC around the engine: wiring, handlers, batcher, model client, errors, telemetry."""
