"""Whether the member is covered, for what, how much of it, and with whose leave."""
