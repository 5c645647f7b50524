"""The wire-compatible twins of messages that are read as bytes or as whole arrays."""
