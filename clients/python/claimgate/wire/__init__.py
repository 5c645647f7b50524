"""The wire-compatible twins of messages that hold whole arrays."""
