"""Places of service."""
