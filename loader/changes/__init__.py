"""Committed results, told to others: each once, in the order of commits, from where they are."""
