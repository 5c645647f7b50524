"""Filing limits."""
